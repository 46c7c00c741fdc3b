//! Threads for what waits on a disk: syncs, and the opening of journals.
//!
//! They exist so that one file's slow sync delays nobody else: not the writer thread, not another session's sync.
//! Threads start when there is work, and end after [`IDLE`] without any.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many disk operations may wait at the same time. There is at most one per open session.
const MAX_THREADS: usize = 32;

/// How long a thread waits for more work.
const IDLE: Duration = Duration::from_secs(5);

/// Jobs sync files and replay journals; neither recurses.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to the threads.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    wake: Condvar,
}

/// The queue is bounded by its users: one sync per open session, one opening per caller that awaits it.
#[derive(Default)]
struct State {
    queue: VecDeque<(Instant, Job)>,
    running: BTreeMap<u64, Instant>,
    started: u64,
    idle: usize,
    threads: usize,
    stopped: bool,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// Runs `job` on one of the threads; jobs start in order.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.inner.lock();
        state.queue.push_back((Instant::now(), Box::new(job)));
        if state.idle >= state.queue.len() {
            self.inner.wake.notify_one();
            return;
        }
        if state.threads == MAX_THREADS {
            return; // Whichever is ready first comes to it.
        }
        state.threads += 1;
        drop(state);
        let inner = Arc::clone(&self.inner);
        let thread = std::thread::Builder::new().name("journal-disk".to_owned()).stack_size(STACK);
        if let Err(error) = thread.spawn(move || inner.work(IDLE)) {
            // Late is better than never: the caller does it itself.
            tracing::warn!(error = %error, "no thread for journal syncs");
            self.inner.work(Duration::ZERO);
        }
    }

    /// Lets idle threads end. What is queued is still done.
    pub(crate) fn stop(&self) {
        self.inner.lock().stopped = true;
        self.inner.wake.notify_all();
    }

    /// Since when the oldest operation waits or runs.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let state = self.inner.lock();
        state.running.values().copied().chain(state.queue.front().map(|(since, _)| *since)).min()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is queued, until nothing was for `idle`.
    fn work(&self, idle: Duration) {
        let mut state = self.lock();
        loop {
            if let Some((since, job)) = state.queue.pop_front() {
                let number = state.started;
                state.started += 1;
                state.running.insert(number, since);
                drop(state);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a journal disk operation panicked");
                }
                state = self.lock();
                state.running.remove(&number);
                continue;
            }
            if state.stopped || idle.is_zero() {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.wake.wait_timeout(state, idle).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.lock();
        f.debug_struct("Pool").field("queued", &state.queue.len()).field("threads", &state.threads).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn one_job_that_hangs_holds_up_no_other() {
        let pool = Pool::new();
        let (release, hang) = channel::<()>();
        let (done, finished) = channel();
        let before = Instant::now();
        pool.run(move || hang.recv().unwrap());
        for number in 0..100 {
            let done = done.clone();
            pool.run(move || done.send(number).unwrap());
        }
        let mut all: Vec<i32> = finished.iter().take(100).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(pool.oldest().is_some_and(|since| since >= before));
        release.send(()).unwrap();
        pool.stop();
    }

    #[test]
    fn a_job_that_panics_takes_no_thread_with_it() {
        let pool = Pool::new();
        let (done, finished) = channel();
        pool.run(|| panic!("on purpose"));
        pool.run(move || done.send(()).unwrap());
        finished.recv().unwrap();
        pool.stop();
    }
}
