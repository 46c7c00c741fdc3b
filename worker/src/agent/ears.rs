//! Where the standard error of a process goes that serves several sessions, or none yet: into the process log of each of
//! them, since it does not say which of them a line is about. What it writes before anybody sits there goes to the
//! first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_sys::capture::Capture;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::switchboard::SeatId;

/// How much is kept for the first session.
const KEPT: usize = 16 * 1024;

/// How much is read at once.
const BLOCK: usize = 8 * 1024;

/// The logs that hear a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Ears(Arc<Mutex<Logs>>);

#[derive(Debug, Default)]
struct Logs {
    open: Vec<(SeatId, Capture)>,
    kept: Vec<u8>,
}

impl Ears {
    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's log hears from now on.
    pub(super) fn add(&self, seat: SeatId, log: Capture) {
        let mut logs = self.logs();
        log.push(&std::mem::take(&mut logs.kept));
        logs.open.push((seat, log));
    }

    /// It hears no more.
    pub(super) fn remove(&self, seat: SeatId) {
        self.logs().open.retain(|(known, _)| *known != seat);
    }

    fn hear(&self, bytes: &[u8]) {
        let mut logs = self.logs();
        // A log takes what it has room for, and never blocks.
        for (_, log) in &logs.open {
            log.push(bytes);
        }
        if logs.open.is_empty() {
            logs.kept.extend_from_slice(bytes);
            let over = logs.kept.len().saturating_sub(KEPT);
            logs.kept.drain(..over);
        }
    }

    /// Reads the pipe until its end, or until `drain` after the process was given up.
    pub(super) async fn pump(self, mut pipe: pipe::Receiver, over: CancellationToken, drain: Duration) {
        let mut buffer = vec![0; BLOCK];
        let mut reading = std::pin::pin!(async {
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                self.hear(&buffer[..count]);
            }
        });
        tokio::select! {
            biased;
            () = &mut reading => {}
            () = over.cancelled() => drop(timeout(drain, reading).await),
        }
    }
}
