//! What the machine, a process and a process tree use: memory and processor time.
//!
//! A tree is what hangs below a process by parent links; orphans of ours hang on their subreaper. Memory that processes
//! share is divided among them (PSS) where the kernel tells it, else it counts in each of them (RSS). Only Linux tells;
//! elsewhere the answers are none.

use std::cell::RefCell;
use std::collections::HashMap;

use skep_common::api::{ProcessUsage, SystemUsage};

/// Whether this system tells what processes use.
pub const IS_KNOWN: bool = cfg!(target_os = "linux");

/// The process table at one moment.
#[derive(Debug, Default)]
pub struct Table {
    entries: HashMap<u32, ProcessUsage>,
    children: HashMap<u32, Vec<u32>>,
    parents: HashMap<u32, u32>,
    /// The shares of memory that the kernel was asked for, which it takes time to add up.
    shares: RefCell<HashMap<u32, Option<u64>>>,
}

impl Table {
    /// Reads it.
    #[must_use]
    pub fn read() -> Self {
        let mut table = Self::default();
        for pid in crate::os::table::numbers().unwrap_or_default() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some((parent, usage)) = parse(&stat) {
                table.entries.insert(pid, usage);
                table.parents.insert(pid, parent);
                table.children.entry(parent).or_default().push(pid);
            }
        }
        table
    }

    /// What a process alone uses. Asks the kernel for its share of memory, so this blocks as reading the table does.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<ProcessUsage> {
        let usage = *self.entries.get(&pid)?;
        let share = *self.shares.borrow_mut().entry(pid).or_insert_with(|| share(pid));
        Some(ProcessUsage { memory_bytes: share.unwrap_or(usage.memory_bytes), ..usage })
    }

    /// Whether a process is below another one.
    #[must_use]
    pub fn is_below(&self, pid: u32, root: u32) -> bool {
        let mut parents = std::iter::successors(self.parents.get(&pid), |parent| self.parents.get(parent));
        // As in a tree, a circle must end.
        parents.by_ref().take(self.entries.len()).any(|parent| *parent == root)
    }

    /// What a process and everything below it use.
    #[must_use]
    pub fn tree(&self, root: u32) -> Option<ProcessUsage> {
        let mut total = self.process(root)?;
        let mut below: Vec<u32> = self.children.get(&root).cloned().unwrap_or_default();
        // A table that was read while numbers were reused might have a circle; no tree has more members than the table.
        for _ in 0..self.entries.len() {
            let Some(pid) = below.pop() else { break };
            if let Some(usage) = self.process(pid) {
                total.processes += usage.processes;
                total.memory_bytes += usage.memory_bytes;
                total.cpu_seconds += usage.cpu_seconds;
            }
            below.extend(self.children.get(&pid).into_iter().flatten());
        }
        Some(total)
    }
}

/// A process's share of memory in bytes: what it has alone, and its part of what it shares. None if it is gone, not ours to
/// look at, or the kernel does not tell.
fn share(pid: u32) -> Option<u64> {
    parse_share(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_share(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The parent and the usage in a line of `/proc/PID/stat`: fields 4, 14 to 17 and 24 of proc(5). The program's name may
/// hold anything, so what counts begins behind its last parenthesis.
#[expect(
    clippy::cast_precision_loss,
    reason = "processor time in hundredths of a second stays far below 2^52"
)]
fn parse(stat: &str) -> Option<(u32, ProcessUsage)> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks: i64 = (14..=17).map(|field| number(field).unwrap_or(0)).sum();
    let pages = u64::try_from(number(24)?).ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    let usage = ProcessUsage {
        processes: 1,
        memory_bytes: pages * page,
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    };
    Some((u32::try_from(number(4)?).ok()?, usage))
}

/// What the machine has.
#[must_use]
pub fn system() -> Option<SystemUsage> {
    let loads = std::fs::read_to_string("/proc/loadavg").ok()?;
    let mut loads = loads.split_ascii_whitespace().map(|load| load.parse::<f64>().ok());
    let load = [loads.next()??, loads.next()??, loads.next()??];
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Some(SystemUsage {
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        load,
        memory_bytes: kib("MemTotal:")? * 1024,
        memory_available_bytes: kib("MemAvailable:")? * 1024,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_programs_name() {
        let line = "7 (a) b (c) S 3 1 1 0 -1 0 0 0 0 0 100 50 20 30 20 0 1 0 99 1000 5 0";
        let (parent, usage) = parse(line).unwrap();
        assert_eq!((parent, usage.processes), (3, 1));
        assert_eq!(usage.memory_bytes, 5 * rustix::param::page_size() as u64);
        assert!((usage.cpu_seconds - 200.0 / rustix::param::clock_ticks_per_second() as f64).abs() < 1e-9);
        assert!(parse("").is_none());
        assert!(parse("7 (a) S").is_none());
    }

    #[test]
    fn a_tree_holds_everything_below_its_root_and_a_circle_ends() {
        let one = ProcessUsage { processes: 1, memory_bytes: 10, cpu_seconds: 1.0 };
        let mut table = Table::default();
        // Numbers that no real process has.
        const BASE: u32 = 1 << 30;
        for (pid, parent) in [(2, 1), (3, 2), (4, 3), (9, 1), (20, 21), (21, 20)] {
            let (pid, parent) = (BASE + pid, BASE + parent);
            table.entries.insert(pid, one);
            table.children.entry(parent).or_default().push(pid);
            table.parents.insert(pid, parent);
        }
        assert!(table.is_below(BASE + 4, BASE + 1) && !table.is_below(BASE + 9, BASE + 2));
        assert!(!table.is_below(BASE + 20, BASE + 1), "a circle ends");
        let tree = table.tree(BASE + 2).unwrap();
        assert_eq!((tree.processes, tree.memory_bytes), (3, 30));
        assert!(table.tree(BASE + 20).is_some(), "a circle ends");
        assert!(table.tree(BASE + 77).is_none());
    }

    #[test]
    fn n5_a_process_counts_with_its_share_of_what_it_shares() {
        let rollup =
            "5566-7788 ---p 00000000 00:00 0 [rollup]\nRss:  2000 kB\nPss:  1000 kB\nPss_Dirty:  7 kB\n";
        assert_eq!(parse_share(rollup), Some(1_024_000));
        assert_eq!(parse_share("Rss: 1 kB\nPss_Dirty: 7 kB\n"), None);
        assert_eq!(parse_share("Pss: 99999999999999999999 kB"), None);
        assert_eq!(parse_share("Pss: 18446744073709551615 kB"), None);
        let own = std::process::id();
        let table = Table::read();
        let (share, resident) = (table.process(own).unwrap().memory_bytes, table.entries[&own].memory_bytes);
        // Other threads allocate between the two looks.
        assert!(share > 0 && share < resident * 2, "{share} {resident}");
    }

    #[test]
    fn this_process_and_this_machine_use_something() {
        let own = Table::read().process(std::process::id()).unwrap();
        assert!(own.memory_bytes > 0, "{own:?}");
        let system = system().unwrap();
        assert!(system.memory_available_bytes <= system.memory_bytes && system.processors > 0, "{system:?}");
    }
}
