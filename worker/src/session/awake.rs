//! What keeps an idle session awake: processes that it started in the background and that still serve. Its agent is not
//! stopped under them (N5).
//!
//! A background process is one of the agent's tree that began after the agent was given its first prompt. So a helper
//! that an agent starts late counts too: the agent's memory is not worth the loss of a person's server. Of an agent
//! that several sessions share, nobody can say whose a process is: it keeps them all awake.

use std::collections::BTreeMap;
use std::future::pending;

use skep_common::code::{ApiError, Code};
use skep_common::ids::{Process, RequestId};
use skep_common::protocol::Reply;
use skep_common::sanitise::one_line;
use skep_common::session::Cause;
use skep_sys::process::ended;
use skep_sys::tree::{Moment, Newcomer, Tree, newcomers};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::ending::Ending;
use super::journal::Broken;
use super::{Session, Slot};

/// How many names are told.
const NAMES: usize = 3;

/// What is known of the agent's tree, and why its end was put off.
#[derive(Debug, Default)]
pub(super) struct Awake {
    /// All its processes.
    tree: Option<Tree>,
    /// When it was given its first prompt.
    since: Option<Moment>,
    kept: Option<Kept>,
}

/// An end that was put off.
#[derive(Debug)]
struct Kept {
    /// By whom, for people.
    by: String,
    /// Why it was to end.
    cause: Cause,
    /// Resolves when all of them have ended.
    over: oneshot::Receiver<()>,
}

impl Awake {
    /// An agent is there.
    pub(super) fn agent_started(&mut self, tree: Tree) {
        self.tree = Some(tree);
    }

    /// Nothing of it is left.
    pub(super) fn agent_gone(&mut self) {
        *self = Self::default();
    }

    /// The agent is given a prompt.
    pub(super) fn prompted(&mut self) {
        self.kept = None;
        self.since.get_or_insert_with(Moment::now);
    }

    /// What keeps the session awake, if its end was put off.
    pub(super) fn kept_by(&self) -> Option<&str> {
        self.kept.as_ref().map(|kept| kept.by.as_str())
    }

    /// Resolves when whoever kept the session awake has ended.
    pub(super) async fn over(&mut self) {
        match &mut self.kept {
            // Who was to tell may have been ended itself: then one looks again.
            Some(kept) => drop((&mut kept.over).await),
            None => pending().await,
        }
    }
}

impl Session {
    /// The session is to be let go of since nobody uses it: unless something runs, waits or still serves in it.
    pub(super) async fn hibernate(&mut self, cause: Cause, request: Option<RequestId>) -> Result<(), Broken> {
        if self.ending.is_some() {
            return self.end(Ending::release(cause), request).await;
        }
        if self.turns.running().is_some() || !self.requests.waiting().is_empty() {
            self.refuse(request, "a turn runs");
            return Ok(());
        }
        let found = self.background().await;
        let Some(by) = told(&found) else {
            self.awake.kept = None;
            return self.end(Ending::release(cause), request).await;
        };
        self.refuse(request, &format!("it is kept awake: {by}"));
        let over = watch(found, &self.shared.tracker);
        self.awake.kept = Some(Kept { by, cause, over });
        self.deadlines.touch();
        Ok(())
    }

    /// What kept the session awake has ended. Memory may be plenty again; the time that it was idle is not less.
    pub(super) async fn background_over(&mut self) -> Result<(), Broken> {
        let kept = self.awake.kept.take();
        match kept {
            Some(kept) if kept.cause == Cause::Idle && self.is_at_rest() => {
                self.hibernate(kept.cause, None).await
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, request: Option<RequestId>, why: &str) {
        if let Some(request) = request {
            let error = ApiError::new(Code::SessionBusy, format!("the session is not let go of: {why}"));
            self.shared.reports.ack(request, Reply::Error { error });
        }
    }

    /// What the session still runs beside its agent, in words.
    pub(super) async fn awake_for(&self) -> Option<String> {
        told(&self.background().await)
    }

    /// What the session still runs beside its agent.
    async fn background(&self) -> Vec<Newcomer> {
        let (Slot::Ready(..), Some(tree), Some(since)) = (&self.slot, &self.awake.tree, self.awake.since)
        else {
            return Vec::new();
        };
        let tree = tree.clone();
        match tokio::task::spawn_blocking(move || newcomers(&tree, since)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(session.id = %self.spec.id, %error, "the processes of a session cannot be looked at");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(%error, "a look at a session's processes ended early");
                Vec::new()
            }
        }
    }
}

/// Resolves when all of them have ended, or cannot be watched.
fn watch(found: Vec<Newcomer>, tracker: &TaskTracker) -> oneshot::Receiver<()> {
    let (mut tell, over) = oneshot::channel();
    tracker.spawn(async move {
        let all = async {
            for Newcomer { process, .. } in found {
                wait(&process).await;
            }
        };
        let all_ended = tokio::select! {
            biased;
            () = tell.closed() => false,
            () = all => true,
        };
        if all_ended {
            // Whoever waited may have gone on.
            let _heard = tell.send(());
        }
    });
    over
}

/// Resolves when the process has ended. One that cannot be watched is looked at when the session has been idle again.
async fn wait(process: &Process) {
    if let Err(error) = ended(process).await {
        tracing::warn!(process.pid = process.pid, %error, "a background process cannot be watched");
        pending::<()>().await;
    }
}

/// `2 background processes (node ×2)`; none if there are none.
fn told(found: &[Newcomer]) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for newcomer in found {
        *names.entry(one_line(&newcomer.name).trim().to_owned()).or_default() += 1;
    }
    let mut shown: Vec<String> = names
        .iter()
        .take(NAMES)
        .map(|(name, count)| if *count == 1 { name.clone() } else { format!("{name} ×{count}") })
        .collect();
    if names.len() > NAMES {
        shown.push(String::from("…"));
    }
    let what = if found.len() == 1 { "process" } else { "processes" };
    Some(format!("{} background {what} ({})", found.len(), shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n5_background_processes_are_told_by_name_and_number() {
        let newcomer = |name: &str| Newcomer {
            process: Process { pid: 1, start_time: 1, boot_id: String::new() },
            name: name.to_owned(),
        };
        let of = |names: &[&str]| told(&names.iter().map(|name| newcomer(name)).collect::<Vec<_>>());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["node"]).as_deref(), Some("1 background process (node)"));
        assert_eq!(of(&["node", "sh", "node"]).as_deref(), Some("3 background processes (node ×2, sh)"));
        assert_eq!(of(&["a", "b", "c", "d"]).as_deref(), Some("4 background processes (a, b, c, …)"));
        assert_eq!(of(&["\u{1b}[31mx\n"]).as_deref(), Some("1 background process (x)"));
    }
}
