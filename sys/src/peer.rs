//! Who is at the other end of a Unix socket, as the kernel says it (G4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use skep_common::ids::Process;

/// The process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCred {
    /// Its effective user when it connected.
    pub uid: u32,
    /// Its pid when it connected; 0 if it is outside our pid namespace. It may be gone since.
    pub pid: u32,
}

/// Asks the kernel who connected to this Unix stream socket.
///
/// # Errors
///
/// When the descriptor is no connected Unix socket.
#[cfg(target_os = "linux")]
pub fn peer_cred(socket: &impl AsFd) -> io::Result<PeerCred> {
    // Not through rustix's type: its pid is non-zero by type, and a peer outside our pid namespace has 0.
    let cred = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(PeerCred { uid: cred.uid(), pid: u32::try_from(cred.pid()).unwrap_or(0) })
}

/// Asks the kernel who connected to this Unix stream socket.
///
/// # Errors
///
/// When the descriptor is no connected Unix socket.
#[cfg(target_os = "macos")]
pub fn peer_cred(socket: &impl AsFd) -> io::Result<PeerCred> {
    use nix::sys::socket::{getsockopt, sockopt};
    let cred = getsockopt(socket, sockopt::LocalPeerCred)?;
    let pid = getsockopt(socket, sockopt::LocalPeerPid)?;
    Ok(PeerCred { uid: cred.uid(), pid: u32::try_from(pid).unwrap_or(0) })
}

/// Who holds the other end of a connection on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// Nobody any more: it was closed.
    Gone,
    /// Somebody does.
    Found {
        /// Those who could be named.
        holders: Vec<Process>,
        /// Processes whose descriptors may not be seen; one of them may hold it.
        hidden: Vec<u32>,
    },
}

/// Finds the processes that hold the socket bound to `from` and connected to `to`, both on this machine. Reads a table
/// of the kernel and looks at every process: not for every request.
///
/// # Errors
///
/// When the kernel does not tell; on systems other than Linux it never does.
pub fn tcp_holders(from: SocketAddr, to: SocketAddr) -> io::Result<Holders> {
    crate::os::tcp_holders(from, to)
}

/// Whether an address belongs to this machine. Where the system does not tell, it may.
#[must_use]
pub fn is_own_address(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let Ok(mut interfaces) = nix::ifaddrs::getifaddrs() else { return true };
    address.is_loopback()
        || interfaces.any(|interface| {
            interface.address.is_some_and(|has| {
                has.as_sockaddr_in().is_some_and(|v4| IpAddr::V4(v4.ip()) == address)
                    || has.as_sockaddr_in6().is_some_and(|v6| IpAddr::V6(v6.ip()) == address)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_the_kernel_names_the_peer() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let cred = peer_cred(&ours).unwrap();
        assert_eq!(cred, PeerCred { uid: rustix::process::geteuid().as_raw(), pid: std::process::id() });
    }

    #[test]
    fn every_address_of_this_machine_is_its_own_and_no_other_is() {
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(is_own_address(own.parse().unwrap()), "{own}");
        }
        for other in ["192.0.2.1", "2001:db8::1", "::ffff:198.51.100.7"] {
            assert!(!is_own_address(other.parse().unwrap()), "{other}");
        }
        // Wherever packets to a far address would leave from: an address that is not loopback, where there is one.
        let way_out = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        if way_out.connect("192.0.2.1:9").is_ok() {
            assert!(is_own_address(way_out.local_addr().unwrap().ip()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_of_a_connection_on_this_machine_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, from) = listener.accept().unwrap();
            let found = tcp_holders(from, server.local_addr().unwrap()).unwrap();
            let Holders::Found { holders, .. } = found else { panic!("{found:?}") };
            assert_eq!(holders, [crate::process::current()]);
            drop(client);
            assert_eq!(tcp_holders(from, server.local_addr().unwrap()).unwrap(), Holders::Gone);
        }
    }
}
