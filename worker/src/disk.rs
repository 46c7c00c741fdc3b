//! The worker's threads that touch the disk. They start with its first session: a worker that holds none costs no
//! thread, and starts and ends the faster.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use skep_journal::{JournalThread, Journals};
use skep_sys::capture::LogWriter;

/// How long the end of the worker waits for the disk that its agents' logs are on.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The threads, or the place for them. Cloneable; all clones mean the same threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<OnceLock<Threads>>);

/// What writes to the disk.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Opens and appends to journals.
    pub(crate) journals: Journals,
    /// Writes captured output.
    pub(crate) logs: LogWriter,
    owner: Mutex<Option<JournalThread>>,
}

impl Disk {
    /// The threads, started if they do not run yet.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn threads(&self) -> io::Result<&Threads> {
        if let Some(threads) = self.0.get() {
            return Ok(threads);
        }
        let (owner, journals) = JournalThread::start()?;
        let threads = Threads { journals, logs: LogWriter::start()?, owner: Mutex::new(Some(owner)) };
        Ok(self.0.get_or_init(|| threads))
    }

    /// The threads, if they run.
    pub(crate) fn started(&self) -> Option<&Threads> {
        self.0.get()
    }

    /// Milliseconds that the oldest journal write has been waiting; 0 when none does.
    pub(crate) fn oldest_wait_ms(&self) -> u64 {
        self.started().map_or(0, |threads| threads.journals.oldest_wait_ms())
    }

    /// Writes what is pending and ends the threads. Blocks on the disk.
    pub(crate) fn stop(&self) {
        if let Some(threads) = self.started() {
            drop(threads.owner.lock().unwrap_or_else(PoisonError::into_inner).take());
            if !threads.logs.stop(LAST_WORDS) {
                tracing::warn!("the last lines of agents' logs were not written within {LAST_WORDS:?}");
            }
        }
    }
}
