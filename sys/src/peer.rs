//! Who is at the other end of a Unix socket, as the kernel says it (G4).

use std::io;
use std::os::fd::AsFd;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_the_kernel_names_the_peer() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let cred = peer_cred(&ours).unwrap();
        assert_eq!(cred, PeerCred { uid: rustix::process::geteuid().as_raw(), pid: std::process::id() });
    }
}
