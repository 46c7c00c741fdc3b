//! Who is at the other end of a Unix socket, as the kernel says it (G4).

use std::io;
use std::net::SocketAddr;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_the_kernel_names_the_peer() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let cred = peer_cred(&ours).unwrap();
        assert_eq!(cred, PeerCred { uid: rustix::process::geteuid().as_raw(), pid: std::process::id() });
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
