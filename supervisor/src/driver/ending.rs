//! How a process's end is told, once (promise 25), and what is left when a worker ends for good.

use std::time::Duration;

use skep_common::code::{ApiError, Code};
use skep_common::ids::WorkerId;
use skep_common::session::Cause;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Driver, Ending, Intent, Order, answer};
use crate::lifecycle::{By, Ended, Next};
use crate::pool::PoolEvent;
use crate::worker_file::RunFile;

/// How long the last words wait for a consumer that does not listen.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Driver {
    /// Logs the end of a process, or of the attempt to make one.
    pub(super) fn ended(&mut self, ended: &Ended) {
        let id = &self.spec.id;
        let how = match (ended.exit, &ended.next) {
            (Some(exit), _) => exit.to_string(),
            (None, Next::Restart { why, .. } | Next::Stop { why } | Next::Park { why }) => why.clone(),
            (None, Next::Start) => "cannot be started".to_owned(),
        };
        let by = match &ended.by {
            None => "nobody asked for it".to_owned(),
            Some(By::Watchdog(why)) => format!("stopped because {why}"),
            Some(By::Asked(cause)) => format!("asked for: {}", asked(*cause)),
        };
        let next = match &ended.next {
            Next::Start => "it starts again at once".to_owned(),
            Next::Restart { delay, .. } => format!("it restarts in {:.1} s", delay.as_secs_f64()),
            Next::Stop { .. } => "it stays stopped".to_owned(),
            Next::Park { why } => format!("it is parked: {why}"),
        };
        let (ran, ran_ms) = (ended.ran.as_secs_f64(), ended.ran.as_millis());
        if matches!(ended.by, Some(By::Asked(_))) {
            tracing::info!(
                worker.name = %id, exit.how = how, exit.by = by, run.ms = ran_ms, next,
                "worker `{id}` ended after {ran:.1} s: {how}, {by}; {next}"
            );
        } else {
            tracing::warn!(
                worker.name = %id, exit.how = how, exit.by = by, run.ms = ran_ms, next,
                "worker `{id}` ended after {ran:.1} s: {how}, {by}; {next}"
            );
        }
        let kind = match &ended.by {
            Some(By::Asked(cause)) => *cause,
            Some(By::Watchdog(_)) | None => Cause::WorkerCrashed,
        };
        let cause = match &ended.by {
            Some(By::Watchdog(why)) => format!("{why}; {how}"),
            Some(By::Asked(_)) | None => how,
        };
        if ended.exit.is_some() {
            self.down = Some((cause.clone(), kind));
        }
        self.last_exit = Some(cause);
    }

    /// The end of a driver whose worker is at rest.
    pub(super) async fn end(mut self, mut orders: mpsc::Receiver<Order>) -> WorkerId {
        let id = self.spec.id.clone();
        self.forget_run();
        if self.ending == Ending::Remove {
            self.shared.saver.remove(&id);
            self.shared.directory.remove(&id);
            self.tell(PoolEvent::Removed(id.clone()));
        }
        for waiter in self.waiters.drain(..) {
            answer(Some(waiter), Ok(()));
        }
        orders.close();
        while let Some(order) = orders.recv().await {
            if let Order::Ask(_, reply) = order {
                let error = ApiError::new(Code::WorkerNotFound, format!("worker `{id}` is gone"));
                answer(Some(reply), Err(error));
            }
        }
        while let Some(event) = self.outbox.pop() {
            if !matches!(timeout(LAST_WORDS, self.shared.events.send(event)).await, Ok(Ok(()))) {
                break;
            }
        }
        id
    }

    /// Without a process there is nothing that the next supervisor must look for.
    pub(super) fn forget_run(&mut self) {
        if std::mem::replace(&mut self.intent, Intent::Absent) == Intent::Absent {
            return;
        }
        match std::fs::remove_file(RunFile::path(&self.shared.paths, &self.spec.id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(worker.name = %self.spec.id, %error, "failed to remove an intent");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn asked(cause: Cause) -> &'static str {
    match cause {
        Cause::DaemonStopped => "the daemon stops",
        Cause::Killed => "a person killed it",
        Cause::Parked => "it is being parked",
        Cause::Upgraded => "a newer version takes over",
        _ => "a restart or stop on request",
    }
}
