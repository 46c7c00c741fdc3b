//! Who is at the other end of a connection, as the system says it.

use std::net::SocketAddr;

use skep_common::ids::Process;

/// Who is at the other end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine, over the Unix socket.
    Unix(UnixPeer),
    /// Somebody, over TCP.
    Tcp(TcpPeer),
}

/// A peer over the Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixPeer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its process when it connected; none if that could not be examined.
    pub(crate) process: Option<Process>,
}

/// A peer over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpPeer {
    /// Its address.
    pub(crate) remote: SocketAddr,
    /// Ours.
    pub(crate) local: SocketAddr,
    /// Whether the connection speaks TLS.
    pub(crate) tls: bool,
}
