//! Who belongs to a tree, in one snapshot. Pure, but for the environments that the snapshot reads.

use std::collections::HashSet;

use skep_common::ids::Process;

use super::Tree;
use super::scan::Snapshot;
use crate::process::{self, boot_id, is_about};

/// The living processes of a tree at this moment.
#[must_use]
pub fn members(tree: &Tree) -> Vec<Process> {
    let Ok(snapshot) = Snapshot::take(tree.mark.iter().map(|(key, _)| key)) else { return Vec::new() };
    find(&snapshot, tree, &HashSet::new())
        .into_iter()
        .map(|index| process::of(&snapshot.processes[index]))
        .collect()
}

/// Pid and start time, which identify a process within this boot.
pub(super) type Key = (u32, u64);

/// The members of `tree`; `seen` are those of earlier snapshots, who stay members whoever their parents are now.
pub(super) fn find(snapshot: &Snapshot, tree: &Tree, seen: &HashSet<Key>) -> Vec<usize> {
    let mut open: Vec<usize> = seeds(snapshot, tree);
    open.extend(seen.iter().filter_map(|(pid, start)| {
        snapshot.find(*pid).filter(|index| snapshot.processes[*index].start_time == *start)
    }));
    let mut visited = HashSet::new();
    let mut found = Vec::new();
    while let Some(index) = open.pop() {
        if !visited.insert(index) {
            continue;
        }
        if snapshot.is_game(index) {
            found.push(index);
        }
        open.extend_from_slice(snapshot.children(snapshot.processes[index].pid));
    }
    found
}

/// The root, its group and session, and whoever carries the mark.
fn seeds(snapshot: &Snapshot, tree: &Tree) -> Vec<usize> {
    let mut seeds = Vec::new();
    if let Some((key, value)) = &tree.mark {
        seeds.extend_from_slice(snapshot.carriers(key, value));
    }
    if tree.root.boot_id != boot_id() {
        return seeds;
    }
    let root = tree.root.pid;
    let in_group = |index: &usize| {
        let stat = &snapshot.processes[*index];
        stat.group == root || stat.session == root
    };
    let candidates = (0..snapshot.processes.len()).filter(in_group);
    match snapshot.find(root) {
        // As long as the root is there, if only as a zombie, the number of its group is its own.
        Some(index) if is_about(&snapshot.processes[index], &tree.root) => {
            seeds.push(index);
            seeds.extend(candidates);
        }
        // The number went to somebody else, which the kernel allows only when group and session are empty.
        Some(_) => {}
        // The root was reaped, so the number may have had another owner since: only what descends from us and does
        // not carry another tree's mark.
        None => seeds.extend(candidates.filter(|index| {
            snapshot.descends_from(*index, std::process::id()) && !contradicts(snapshot, tree, *index)
        })),
    }
    seeds
}

fn contradicts(snapshot: &Snapshot, tree: &Tree, process: usize) -> bool {
    tree.mark.as_ref().is_some_and(|(key, value)| snapshot.contradicts(process, key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::ProcessStat;

    fn stat(pid: u32, parent: u32, group: u32, start_time: u64) -> ProcessStat {
        ProcessStat { pid, parent, group, session: group, start_time, dead: false, kernel: false }
    }

    fn pids(processes: Vec<ProcessStat>, root: (u32, u64), seen: &[Key]) -> Vec<u32> {
        let own = std::process::id();
        let snapshot = Snapshot::of(processes, HashSet::from([1, own]));
        let root = Process { pid: root.0, start_time: root.1, boot_id: boot_id().to_owned() };
        let found = find(&snapshot, &Tree { root, mark: None }, &seen.iter().copied().collect());
        let mut pids: Vec<u32> = found.into_iter().map(|index| snapshot.processes[index].pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Numbers that no real process has, so that no environment is read.
    const A: u32 = 10_000_000;

    #[test]
    fn p11_group_session_and_descendants_are_members() {
        let processes = vec![
            stat(1, 0, 1, 1),
            stat(A, 1, A, 5),
            stat(A + 1, 1, A, 6),
            stat(A + 2, A + 1, A + 2, 7),
            stat(A + 3, A + 2, A + 3, 8),
            stat(A + 4, 1, A + 4, 9),
        ];
        assert_eq!(pids(processes, (A, 5), &[]), [A, A + 1, A + 2, A + 3]);
    }

    #[test]
    fn p11_the_leaders_early_exit_loses_nobody() {
        let own = std::process::id();
        let mut zombie = stat(A, own, A, 5);
        zombie.dead = true;
        let rest = [stat(1, 0, 1, 1), stat(own, 1, own, 2), stat(A + 1, own, A, 6)];
        let with = |first: &[ProcessStat]| [first, &rest[..]].concat();
        assert_eq!(pids(with(&[zombie]), (A, 5), &[]), [A + 1]);
        assert_eq!(pids(with(&[]), (A, 5), &[]), [A + 1], "reaped, the group descends from us");
    }

    #[test]
    fn p13_a_stranger_with_the_roots_number_is_no_member_nor_is_its_group() {
        let processes = vec![stat(1, 0, 1, 1), stat(A, 1, A, 50), stat(A + 1, A, A, 51)];
        assert!(pids(processes, (A, 5), &[]).is_empty());
    }

    #[test]
    fn p13_the_group_of_a_reaped_root_is_ours_only_below_us() {
        let processes = vec![stat(1, 0, 1, 1), stat(A + 1, 1, A, 6)];
        assert!(pids(processes, (A, 5), &[]).is_empty());
    }

    #[test]
    fn p11_who_was_a_member_stays_one() {
        let processes = vec![stat(1, 0, 1, 1), stat(A + 1, 1, A + 1, 6), stat(A + 2, A + 1, A + 2, 7)];
        assert_eq!(pids(processes.clone(), (A, 5), &[(A + 1, 6)]), [A + 1, A + 2]);
        assert!(pids(processes, (A, 5), &[(A + 1, 66)]).is_empty());
    }

    #[test]
    fn g23_we_and_our_ancestors_are_never_members() {
        let own = std::process::id();
        let processes = vec![stat(1, 0, 1, 1), stat(own, 1, 1, 2), stat(A, own, 1, 3)];
        assert_eq!(pids(processes, (1, 1), &[]), [A]);
    }

    #[test]
    fn another_boot_has_other_processes() {
        let snapshot = Snapshot::of(vec![stat(A, 1, A, 5)], HashSet::new());
        let root = Process { pid: A, start_time: 5, boot_id: String::from("before") };
        assert!(find(&snapshot, &Tree { root, mark: None }, &HashSet::new()).is_empty());
    }
}
