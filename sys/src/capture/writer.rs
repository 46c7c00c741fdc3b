//! The one thread that writes all logs of a process. It sleeps until a log has whole lines; the only clock it keeps is
//! for logs whose disk refused (try again within a second; nothing tells when space returns) and for giving memory back.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::LogSpec;
use super::file::LogFile;
use super::ring::Ring;

/// When a log that could not be written is tried again (promise 20 allows 5 s).
const RETRY: Duration = Duration::from_secs(1);

/// How long a log keeps its large buffers after the last line.
const QUIET: Duration = Duration::from_secs(1);

/// A handle to the thread that writes logs. Clones are the same thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct LogWriter {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Arc<Log>>,
    stop: bool,
}

/// One log, as its pushers and the writer thread share it.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<LogState>,
    output: Mutex<Output>,
    /// Rings when something was written or could not be.
    pub(super) progress: Notify,
}

#[derive(Debug)]
pub(super) struct LogState {
    pub(super) ring: Ring,
    /// The writer thread has it: in its queue, in its hands, or to be retried.
    queued: bool,
    /// Nothing can be written at present: who pushes must not wait.
    pub(super) stalled: bool,
    finished: bool,
}

/// What only the writer thread touches.
#[derive(Debug)]
struct Output {
    file: LogFile,
    batch: Vec<u8>,
    written: usize,
    refused: bool,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (alive, ended) = channel();
        let work = Arc::clone(&shared);
        thread::Builder::new().name(String::from("log-writer")).spawn(move || run(&work, &alive))?;
        Ok(Self { owner: Arc::new(Owner { shared, ended: Mutex::new(ended) }) })
    }

    /// Ends the thread after it wrote what it has; waits for that at most so long (a disk may hang). Whether all is
    /// written. Nothing is logged any more after this. Blocks: for the end of a process.
    #[must_use]
    pub fn stop(&self, limit: Duration) -> bool {
        self.owner.shared.stop();
        let ended = self.owner.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }

    pub(super) fn push(&self, log: &Arc<Log>, bytes: &[u8]) {
        let mut state = log.state();
        state.finished = false;
        state.ring.push(bytes);
        self.enqueue(log, state);
    }

    pub(super) fn finish(&self, log: &Arc<Log>) {
        let mut state = log.state();
        state.finished = true;
        state.ring.finish();
        self.enqueue(log, state);
    }

    fn enqueue(&self, log: &Arc<Log>, mut state: MutexGuard<'_, LogState>) {
        if state.queued || !(state.ring.has_work() || state.finished) {
            return;
        }
        state.queued = true;
        drop(state);
        self.owner.shared.queue().ready.push_back(Arc::clone(log));
        self.owner.shared.wake.notify_one();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.queue().stop = true;
        self.wake.notify_one();
    }

    /// The next log to write; `None` when none came before `until`.
    fn next(&self, until: Option<Instant>) -> Next {
        let mut queue = self.queue();
        loop {
            if let Some(log) = queue.ready.pop_front() {
                return Next::Log(log);
            }
            if queue.stop {
                return Next::Stop;
            }
            queue = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Next::Time,
                Some(left) => self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

enum Next {
    Log(Arc<Log>),
    Time,
    Stop,
}

impl Log {
    pub(super) fn new(spec: LogSpec) -> Self {
        Self {
            state: Mutex::new(LogState {
                ring: Ring::default(),
                queued: false,
                stalled: false,
                finished: false,
            }),
            output: Mutex::new(Output {
                file: LogFile::new(spec),
                batch: Vec::new(),
                written: 0,
                refused: false,
            }),
            progress: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one batch and says what is to become of the log.
    fn write(&self) -> After {
        let mut output = self.output();
        if output.batch.is_empty() {
            self.state().ring.take(&mut output.batch);
        }
        let Output { file, batch, written, .. } = &mut *output;
        let (more, result) = file.write(&batch[*written..]);
        *written += more;
        let after = match result {
            Ok(()) => self.wrote(&mut output),
            Err(error) => self.refused(&mut output, &error),
        };
        self.progress.notify_waiters();
        after
    }

    fn wrote(&self, output: &mut Output) -> After {
        output.batch.clear();
        output.written = 0;
        if std::mem::take(&mut output.refused) {
            tracing::info!(log = ?output.file, "the log can be written again");
        }
        let mut state = self.state();
        state.ring.written();
        state.stalled = false;
        if state.ring.has_work() {
            return After::Again;
        }
        state.queued = false;
        if state.finished {
            output.file.close();
        }
        After::Quiet
    }

    fn refused(&self, output: &mut Output, error: &io::Error) -> After {
        if !std::mem::replace(&mut output.refused, true) {
            tracing::warn!(log = ?output.file, error = %error, "the log cannot be written; trying again");
        }
        self.state().stalled = true;
        After::Retry
    }

    fn trim(&self) {
        let mut output = self.output();
        if output.batch.is_empty() {
            output.batch = Vec::new();
        }
        self.state().ring.trim();
    }
}

enum After {
    /// It has more.
    Again,
    /// It has nothing more for now.
    Quiet,
    /// The disk refused.
    Retry,
}

/// `_alive` tells by its end that the thread has ended.
fn run(shared: &Shared, _alive: &Sender<()>) {
    let mut retry: VecDeque<(Instant, Arc<Log>)> = VecDeque::new();
    let mut quiet: Vec<Arc<Log>> = Vec::new();
    let mut trim_at: Option<Instant> = None;
    loop {
        let until = retry.front().map(|(at, _)| *at).into_iter().chain(trim_at).min();
        match shared.next(until) {
            Next::Log(log) => match log.write() {
                After::Again => shared.queue().ready.push_back(log),
                After::Retry => retry.push_back((Instant::now() + RETRY, log)),
                After::Quiet => {
                    trim_at = trim_at.or_else(|| Some(Instant::now() + QUIET));
                    if !quiet.iter().any(|known| Arc::ptr_eq(known, &log)) {
                        quiet.push(log);
                    }
                }
            },
            Next::Time => {
                let now = Instant::now();
                if trim_at.is_some_and(|at| at <= now) {
                    trim_at = None;
                    quiet.drain(..).for_each(|log| log.trim());
                }
                while retry.front().is_some_and(|(at, _)| *at <= now) {
                    shared.queue().ready.extend(retry.pop_front().map(|(_, log)| log));
                }
            }
            // A last try for those whose disk refused.
            Next::Stop => {
                for (_, log) in retry {
                    while matches!(log.write(), After::Again) {}
                }
                return;
            }
        }
    }
}
