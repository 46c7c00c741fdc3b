//! A session's processes, however they forked: found, stopped, and gone for good (promises 10 and 11, N4).
//!
//! There is no cgroup here (that tier comes later). A process belongs to a tree if it is its root, or in the root's
//! group or session, or a descendant of a member, or carries the tree's mark in its environment. A tree is gone
//! when two whole scans in a row find none of it. The root's early exit cancels nothing.
//!
//! Every signal goes through a pidfd that was opened before the identity was checked; a stranger that got a member's
//! number is never hit (promise 13). This process and its ancestors are never members.

mod kill;
mod members;
mod newcomers;
mod pursue;
mod scan;

use std::time::Duration;

use skep_common::ids::Process;

pub use kill::{kill, kill_orphans, terminate};
pub use members::members;
pub use newcomers::{Moment, Newcomer, newcomers};

/// One tree of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The first process of it, alive or not.
    pub root: Process,
    /// An environment variable and its value that every process of the tree inherits unless it works against that.
    pub mark: Option<(String, String)>,
}

/// What became of the trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeReport {
    /// How many processes were asked to end with SIGTERM.
    pub terminated: usize,
    /// How many got SIGKILL.
    pub killed: usize,
    /// Who is left although everything was tried: hung in the kernel, or not ours to signal.
    pub survivors: Vec<Process>,
    /// How long it took.
    pub took: Duration,
}

impl TreeReport {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.survivors.is_empty()
    }
}

/// How trees are held together on this machine, for `status`.
#[must_use]
pub fn active_tier() -> &'static str {
    if cfg!(target_os = "linux") { "group+subreaper+mark" } else { "group+mark" }
}
