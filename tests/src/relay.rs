//! A port of this machine that leads to a Unix socket, for clients that know only TCP. Its connections can be cut in
//! the middle, and it stays when the daemon behind it is replaced.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::api::connect;

/// The relay; gone when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    ended: AtomicBool,
    pairs: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl Relay {
    /// A relay to `socket`.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            ended: AtomicBool::new(false),
            pairs: Mutex::new(Vec::new()),
        });
        let accepted = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepted.ended.load(Ordering::SeqCst) {
                    return;
                }
                // Nobody behind it: the client's connection ends, as that to a daemon that is away.
                let Ok(stream) = stream else { continue };
                if let Ok(behind) = connect(&accepted.socket) {
                    accepted.join(stream, behind).ok();
                }
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens, as `http://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection that goes through it now; says how many there were.
    pub fn cut(&self) -> usize {
        let pairs = std::mem::take(&mut *self.shared.pairs());
        for (front, behind) in &pairs {
            front.shutdown(Shutdown::Both).ok();
            behind.shutdown(Shutdown::Both).ok();
        }
        pairs.len()
    }
}

impl Shared {
    fn pairs(&self) -> std::sync::MutexGuard<'_, Vec<(TcpStream, UnixStream)>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, front: TcpStream, behind: UnixStream) -> std::io::Result<()> {
        let there = (front.try_clone()?, behind.try_clone()?);
        let back = (behind.try_clone()?, front.try_clone()?);
        std::thread::spawn(move || {
            pump(&there.0, &there.1);
            there.1.shutdown(Shutdown::Both).ok();
        });
        std::thread::spawn(move || {
            pump(&back.0, &back.1);
            back.1.shutdown(Shutdown::Both).ok();
        });
        self.pairs().push((front, behind));
        Ok(())
    }
}

/// Copies until one side ends.
fn pump(mut from: impl Read, mut to: impl Write) {
    std::io::copy(&mut from, &mut to).ok();
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It waits for a connection; this is the last.
        TcpStream::connect(self.address).ok();
        self.cut();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}
