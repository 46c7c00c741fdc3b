//! The end of a worker's tree (promises 10 to 13, N4): whatever is left of a dead worker is killed, and nothing of the
//! worker starts before that is over.
//!
//! The usual case is quick: a worker that held no session, whose report pipe is at its end, with no orphan handed to
//! us. Orphans of a worker come to us at the moment of its death, before it can be seen, because we are a subreaper; so
//! an empty list of orphans proves that the tree is gone, without a search of the process table.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use skep_common::ids::{Process, WorkerId};
use skep_sys::capture::{Capture, PumpEnd};
use skep_sys::exit::ExitCause;
use skep_sys::subreaper::orphans;
use skep_sys::tree::{self, Tree};

use super::process::Live;
use super::{Driver, Shared};
use crate::lifecycle::{Event, Next, Phase};
use crate::pool::PoolEvent;

/// Between attempts to end a tree that does not end.
const RETRY: Duration = Duration::from_secs(1);

/// How much of its stderr a parked worker shows (promise 8).
const LAST_STDERR: usize = 4096;

/// A sweep under way.
pub(super) struct Sweeping(Pin<Box<dyn Future<Output = Swept> + Send>>);

/// What a sweep found out.
pub(super) struct Swept {
    /// The end of the process's stderr.
    stderr: String,
}

impl std::fmt::Debug for Sweeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sweeping")
    }
}

/// The end of a sweep. Never, while there is none.
pub(super) async fn finished(sweeping: Option<&mut Sweeping>) -> Swept {
    match sweeping {
        Some(sweeping) => sweeping.0.as_mut().await,
        None => pending().await,
    }
}

impl Driver {
    /// The process is gone: what it still said is read, then the machine learns of it.
    pub(super) fn exited(&mut self, cause: ExitCause) {
        if let Some(live) = &mut self.live {
            live.exit = Some(cause);
            live.alive = None;
        }
        self.read_pending();
        self.follow.push_back(Event::Exited(cause));
    }

    pub(super) fn sweep(&mut self) {
        self.close_commands();
        let Some(live) = self.live.take() else { return self.gone() };
        // The reason of a parking includes the end of stderr, which is complete only after the drain.
        let parking = matches!(&self.state.phase, Phase::Sweeping { next: Next::Park { .. }, .. });
        if !parking && left_nothing(&live, &self.shared) {
            live.child.reap();
            return self.gone();
        }
        self.sweeping = Some(Sweeping(Box::pin(end_tree(live, self.log.clone(), self.spec.id.clone()))));
    }

    pub(super) fn swept(&mut self, swept: Swept) {
        self.sweeping = None;
        self.last_stderr = swept.stderr;
        self.gone();
    }

    fn gone(&mut self) {
        if let Some((cause, kind)) = self.down.take() {
            self.tell(PoolEvent::Down { worker: self.spec.id.clone(), cause, kind });
        }
        self.follow.push_back(Event::Swept);
    }
}

/// Whether a dead process provably left nothing behind.
fn left_nothing(live: &Live, shared: &Shared) -> bool {
    shared.subreaper
        && live.stdout.is_none()
        && live.sessions.none_ever()
        && strays(&live.child.process).is_empty()
}

/// Orphans handed to this process that may have been `worker`'s: those that are not older than it.
fn strays(worker: &Process) -> Vec<Process> {
    let mut strays = orphans(&|_| false);
    strays.retain(|stray| stray.start_time >= worker.start_time);
    strays
}

/// Kills the rest of the tree, however often that takes; then reaps, and waits for the end of stderr.
async fn end_tree(live: Live, log: Capture, id: WorkerId) -> Swept {
    let trees = live.trees();
    let Live { child, pump, .. } = live;
    let mut attempts = 0u32;
    loop {
        let survivors = kill_all(&trees, &child.process).await;
        if survivors.is_empty() {
            break;
        }
        attempts += 1;
        if attempts.is_power_of_two() {
            let pids: Vec<u32> = survivors.iter().map(|process| process.pid).collect();
            tracing::error!(
                worker.name = %id, process.pids = ?pids,
                "processes of worker `{id}` cannot be ended; it waits for their end: {pids:?}"
            );
        }
        tokio::time::sleep(RETRY).await;
    }
    child.reap();
    if let Ok(PumpEnd::Drained) = pump.await {
        tracing::warn!(worker.name = %id, "somebody else holds the stderr of worker `{id}`; its log ends here");
    }
    Swept { stderr: String::from_utf8_lossy(&log.last(LAST_STDERR)).into_owned() }
}

async fn kill_all(trees: &[Tree], worker: &Process) -> Vec<Process> {
    let mut survivors = tree::kill(trees).await.survivors;
    // Who cleared its environment and left group and session can only be known by its having been handed to us. The
    // first process of a container is handed everybody's orphans, so there it proves nothing.
    if std::process::id() != 1 {
        let strays: Vec<Tree> = strays(worker).into_iter().map(|root| Tree { root, mark: None }).collect();
        if !strays.is_empty() {
            survivors.extend(tree::kill(&strays).await.survivors);
        }
    }
    survivors
}
