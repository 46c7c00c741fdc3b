//! What a cancelled turn leaves running, for agents that are known not to end it themselves: the processes that appeared
//! in the session's tree during the turn. What was there before, an agent's own helpers for example, stays.

use std::collections::HashSet;

use skep_common::ids::Process;
use skep_sys::tree::{self, Tree};

/// The tree as it was when a turn began.
#[derive(Debug, Default)]
pub(super) struct Before(Option<HashSet<Process>>);

impl Before {
    /// Looks at the tree. Blocks for as long as a look at all processes takes, so it is done off the runtime.
    pub(super) async fn look(tree: &Tree) -> Self {
        Self(members(tree).await.map(|members| members.into_iter().collect()))
    }

    /// Kills what has appeared since; how many processes that were. Nothing is known, nothing is killed.
    pub(super) async fn end_newer(&self, tree: &Tree) -> usize {
        let (Some(before), Some(now)) = (&self.0, members(tree).await) else { return 0 };
        let newer: Vec<Tree> = now
            .into_iter()
            .filter(|process| !before.contains(process))
            .map(|root| Tree { root, mark: None })
            .collect();
        if newer.is_empty() {
            return 0;
        }
        tree::kill(&newer).await.killed
    }
}

async fn members(tree: &Tree) -> Option<Vec<Process>> {
    let tree = tree.clone();
    tokio::task::spawn_blocking(move || tree::members(&tree)).await.ok()
}
