//! Who of a tree began after a moment: what an agent started, as far as it still runs.

use std::collections::HashSet;
use std::io;

use skep_common::ids::Process;

use super::Tree;
use super::members::find;
use super::scan::{Snapshot, given_out};
use crate::os::{ProcessStat, table};
use crate::process::of;

/// A moment in the life of this machine, as the process table counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// In the unit of a process's start time.
    time: u64,
    /// The process number that was given out last, which tells those apart that began in the same instant.
    last: Option<u32>,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        // The number first: who begins between the two counts as later.
        let last = table::last_number();
        Self { time: table::now(), last }
    }

    fn is_before(&self, stat: &ProcessStat) -> bool {
        let same = stat.start_time == self.time;
        // Numbers that began anew at the lowest say nothing.
        let newer = same && given_out(self.last, Some(stat.pid)).is_some_and(|given| !given.is_empty());
        stat.start_time > self.time || newer
    }
}

/// A process that began after a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Who.
    pub process: Process,
    /// The name of its program, as the system has it; empty where it does not say.
    pub name: String,
}

/// The living processes of the tree that were not there at `moment`. Blocks: it reads the process table.
///
/// # Errors
///
/// When the process table cannot be read.
pub fn newcomers(tree: &Tree, moment: Moment) -> io::Result<Vec<Newcomer>> {
    let snapshot = Snapshot::take(tree.mark.iter().map(|(key, _)| key))?;
    let found = find(&snapshot, tree, &HashSet::new()).into_iter().map(|index| &snapshot.processes[index]);
    Ok(found
        .filter(|stat| stat.pid != tree.root.pid && moment.is_before(stat))
        .map(|stat| Newcomer { process: of(stat), name: table::name(stat.pid).unwrap_or_default() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(pid: u32, start_time: u64) -> ProcessStat {
        ProcessStat { pid, parent: 1, group: pid, session: pid, start_time, dead: false, kernel: false }
    }

    #[test]
    fn n5_who_began_in_the_same_instant_is_told_apart_by_number() {
        let moment = Moment { time: 100, last: Some(50) };
        for (pid, time, later) in [
            (40, 99, false),
            (60, 99, false),
            (50, 100, false),
            (51, 100, true),
            (49, 100, false),
            (9, 101, true),
        ] {
            assert_eq!(moment.is_before(&began(pid, time)), later, "{pid} at {time}");
        }
        let without = Moment { time: 100, last: None };
        assert!(!without.is_before(&began(51, 100)) && without.is_before(&began(51, 101)));
    }

    #[test]
    fn n5_now_lies_between_what_runs_and_what_comes() {
        let own = table::stat(std::process::id()).unwrap();
        assert!(!Moment::now().is_before(&own));
        assert!(Moment { time: own.start_time.saturating_sub(1), last: None }.is_before(&own));
    }
}
