//! What a supervisor that died left behind: processes that its run files name (the spawn window included), and those of
//! sessions that nobody holds any more. They are ended before an id is used again.
//!
//! Adoption will take living workers over instead; until then a worker ends by itself when its stdin closes, and this
//! makes sure of it.

use std::collections::BTreeSet;
use std::time::Duration;

use skep_common::ids::{SessionId, WorkerId};
use skep_config::Paths;
use skep_config::env::SKEP_SESSION;
use skep_sys::tree::{self, Tree};

use crate::worker_file::{Leftover, RunFile, marked_tree, nobody};

/// A worker whose supervisor died is stopping already; this is how long it may take.
const GRACE: Duration = Duration::from_secs(2);

/// Ends what is left. The workers of which something is left all the same.
pub(super) async fn end(paths: &Paths, leftovers: &[Leftover]) -> BTreeSet<WorkerId> {
    let runs: Vec<(&WorkerId, Tree)> =
        leftovers.iter().filter_map(|left| Some((&left.id, left.run.as_ref()?.tree()))).collect();
    if runs.is_empty() {
        // The last supervisor ended in order.
        return BTreeSet::new();
    }
    let mut trees: Vec<Tree> = runs.iter().map(|(_, tree)| tree.clone()).collect();
    trees.extend(sessions(paths).iter().map(|id| marked_tree(nobody(), SKEP_SESSION, &id.to_string())));
    let report = tree::terminate(&trees, GRACE).await;
    if report.terminated > 0 {
        tracing::warn!(
            processes.ended = report.terminated,
            processes.killed = report.killed,
            took.ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            "ended {} processes that a former daemon left behind",
            report.terminated
        );
    }
    let mut stuck = BTreeSet::new();
    for (id, tree) in runs {
        if report.is_empty() || tree::members(&tree).is_empty() {
            drop(std::fs::remove_file(RunFile::path(paths, id)));
        } else {
            tracing::error!(worker.name = %id, "processes that a former daemon left of worker `{id}` cannot be ended");
            stuck.insert(id.clone());
        }
    }
    stuck
}

/// Every session that there ever was and is still kept.
fn sessions(paths: &Paths) -> Vec<SessionId> {
    let Ok(entries) = std::fs::read_dir(paths.sessions()) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
