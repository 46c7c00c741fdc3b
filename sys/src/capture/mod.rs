//! A process's output into log files: whole lines, exact bytes, rotated by size, never in anybody's way (promise 20).
//!
//! ```text
//! pipe ── pump ──► Ring (1 MiB per log, lines counted when dropped) ──► one writer thread for all ──► LogFile
//!         waits for room while the writer makes progress,               woken, never polling;         10 MiB × 5
//!         drops when it does not                                        a failed write is retried
//! ```
//!
//! The state of a log is its ring, under a lock held for a copy at most; the file belongs to the writer thread.
//! Nothing here may block the task that pushes.

mod file;
mod pump;
mod ring;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use pump::{PumpEnd, pump};
pub use ring::{LINE_MAX, SPLIT_MARK};
pub use writer::LogWriter;

use ring::CAPACITY;
use writer::Log;

/// How long a pump waits for a writer that makes no progress, before it drops rather than holds up a worker.
const STALL: Duration = Duration::from_millis(200);

/// How much of the latest output [`Capture::last`] knows.
pub const TAIL_BYTES: usize = ring::TAIL;

/// Where a log goes and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// The current file; older ones are `<path>.1` (the latest) and up.
    pub path: PathBuf,
    /// A file is rotated before it becomes larger.
    pub max_bytes: u64,
    /// How many files there are at most, the current one included.
    pub files: u32,
}

impl LogSpec {
    /// A log of 10 MiB × 5 (promise 20).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_bytes: 10 * 1024 * 1024, files: 5 }
    }
}

/// What was lost because the disk was full or stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Whole lines.
    pub lines: u64,
    /// Their bytes, newlines included.
    pub bytes: u64,
}

/// One log. Clones are the same log; when the last one goes, what is held of an unfinished line is written.
#[derive(Debug, Clone)]
pub struct Capture {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    log: Arc<Log>,
    writer: LogWriter,
}

impl Capture {
    /// A log that `writer` writes. The file is opened, and its directory expected, when the first line is there.
    #[must_use]
    pub fn new(writer: &LogWriter, spec: LogSpec) -> Self {
        Self { handle: Arc::new(Handle { log: Arc::new(Log::new(spec)), writer: writer.clone() }) }
    }

    /// Takes output, cut anywhere. Never blocks: what does not fit is dropped by whole lines, and the log says so.
    pub fn push(&self, bytes: &[u8]) {
        self.handle.writer.push(&self.handle.log, bytes);
    }

    /// No more will come (or not for now): the last line is written even without a newline.
    pub fn finish(&self) {
        self.handle.writer.finish(&self.handle.log);
    }

    /// The latest output, at most `limit` and at most [`TAIL_BYTES`] bytes.
    #[must_use]
    pub fn last(&self, limit: usize) -> Vec<u8> {
        self.handle.log.state().ring.last(limit).to_vec()
    }

    /// What was dropped so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.handle.log.state().ring.dropped_in_all()
    }

    /// Whether the log cannot be written at present.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.handle.log.state().stalled
    }

    /// Resolves when all whole lines pushed so far are written, or cannot be at present.
    pub async fn flushed(&self) {
        loop {
            let changed = self.handle.log.progress.notified();
            {
                let state = self.handle.log.state();
                if state.stalled || !state.ring.has_work() && !state.ring.is_being_written() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Resolves when `bytes` more fit, or when it would be wrong to wait for that any longer.
    async fn room(&self, bytes: usize) {
        loop {
            let changed = self.handle.log.progress.notified();
            {
                let state = self.handle.log.state();
                if state.stalled || state.ring.room() >= bytes.min(CAPACITY / 2) {
                    return;
                }
            }
            if timeout(STALL, changed).await.is_err() {
                self.handle.log.state().stalled = true;
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.writer.finish(&self.log);
    }
}

#[cfg(test)]
mod tests;
