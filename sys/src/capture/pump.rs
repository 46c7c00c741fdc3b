//! From a pipe into a log, for as long as the pipe has a writer (promise 12).

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::Capture;

/// How much is read at once: all that an ordinary pipe holds.
const BLOCK: usize = 64 * 1024;

/// How many blocks are read before other tasks get a turn.
const BURST: usize = 16;

/// What a pipe that is flooded is enlarged to.
#[cfg(target_os = "linux")]
const LARGE_PIPE: usize = 1024 * 1024;

/// A writer that wakes us more often than this, with little each time, is left alone for a moment: every wake-up
/// costs it more than the line that it writes.
const TOO_OFTEN: Duration = Duration::from_millis(1);

/// What "little" is.
const LITTLE: usize = 16 * 1024;

/// Why a pump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpEnd {
    /// Nobody can write to the pipe any more.
    Closed,
    /// The process ended, and others still held the pipe when the time to drain it was over.
    Drained,
    /// The pipe could not be read.
    Failed(io::ErrorKind),
}

/// Reads the pipe into the log until its end, or until `drain` after `exited` resolved: descendants may hold the pipe
/// for ever. Finishes the log.
pub async fn pump(
    receiver: Receiver,
    capture: Capture,
    exited: impl Future<Output = ()>,
    drain: Duration,
) -> PumpEnd {
    let mut exited = pin!(exited);
    let mut deadline: Option<Instant> = None;
    let mut flow = Flow { drained_at: Instant::now(), enlarged: false };
    let end = loop {
        tokio::select! {
            biased;
            () = &mut exited, if deadline.is_none() => deadline = Some(Instant::now() + drain),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break PumpEnd::Drained,
            ready = receiver.readable() => {
                if let Err(error) = ready {
                    break PumpEnd::Failed(error.kind());
                }
                if let Some(end) = flow.read_burst(&receiver, &capture).await {
                    break end;
                }
            }
        }
    };
    capture.finish();
    end
}

/// How the bytes come.
struct Flow {
    /// When the pipe was last found empty.
    drained_at: Instant,
    enlarged: bool,
}

impl Flow {
    /// Reads until the pipe is empty, at most one burst.
    async fn read_burst(&mut self, receiver: &Receiver, capture: &Capture) -> Option<PumpEnd> {
        let mut total = 0;
        for _ in 0..BURST {
            capture.room(BLOCK).await;
            match read_block(receiver, capture) {
                Ok(0) => return Some(PumpEnd::Closed),
                Ok(length) => total += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained(receiver, total).await;
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(PumpEnd::Failed(error.kind())),
            }
        }
        self.enlarge(receiver);
        tokio::task::yield_now().await;
        None
    }

    async fn drained(&mut self, receiver: &Receiver, read: usize) {
        let now = Instant::now();
        if now - self.drained_at < TOO_OFTEN && read < LITTLE {
            self.enlarge(receiver);
            sleep(TOO_OFTEN).await;
        } else if read >= BLOCK {
            self.enlarge(receiver);
        }
        self.drained_at = Instant::now();
    }

    /// Best effort: the system limits how much pipe memory a user may have.
    fn enlarge(&mut self, receiver: &Receiver) {
        if !std::mem::replace(&mut self.enlarged, true) {
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::pipe::fcntl_setpipe_size(receiver, LARGE_PIPE) {
                tracing::debug!(error = %error, "the pipe keeps its size");
            }
            #[cfg(not(target_os = "linux"))]
            let _ = receiver;
        }
    }
}

/// All pumps of a thread share one buffer: between the read and the copy nothing awaits.
fn read_block(receiver: &Receiver, capture: &Capture) -> io::Result<usize> {
    thread_local! {
        static BLOCK_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BLOCK]);
    }
    BLOCK_BUFFER.with_borrow_mut(|buffer| {
        let length = receiver.try_read(buffer)?;
        capture.push(&buffer[..length]);
        Ok(length)
    })
}
