//! The standard descriptors of a process that speaks the protocol on them.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// What the standard descriptors are. Clients give pipes or (Node.js) sockets, which the runtime can wait for; anything
/// else is read and written by threads.
enum Kind {
    Pipe,
    Socket,
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let file = std::fs::File::from(fd.try_clone()?).metadata()?.file_type();
    Ok(if file.is_fifo() {
        Kind::Pipe
    } else if file.is_socket() {
        Kind::Socket
    } else {
        Kind::Other
    })
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = StdUnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Standard input.
///
/// # Errors
///
/// When it is closed, or cannot be waited for.
pub fn input() -> io::Result<Box<dyn AsyncRead + Unpin + Send>> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(match kind(&fd)? {
        Kind::Pipe => Box::new(pipe::Receiver::from_owned_fd(fd)?),
        Kind::Socket => Box::new(socket(fd)?),
        Kind::Other => Box::new(tokio::io::stdin()),
    })
}

/// Standard output.
///
/// # Errors
///
/// When it is closed, or cannot be waited for.
pub fn output() -> io::Result<Box<dyn AsyncWrite + Unpin + Send>> {
    let fd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(match kind(&fd)? {
        Kind::Pipe => Box::new(pipe::Sender::from_owned_fd(fd)?),
        Kind::Socket => Box::new(socket(fd)?),
        Kind::Other => Box::new(tokio::io::stdout()),
    })
}
