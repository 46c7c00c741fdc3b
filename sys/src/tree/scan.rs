//! One look at all processes, shared by everybody who wants one at the same time.
//!
//! A hundred trees that end together would read `/proc` two hundred times; here those who ask while a scan runs all get
//! the next one, which began after they asked. Scans run on a blocking thread: a long process table must not hold up
//! a heartbeat.
//!
//! A list of processes is no snapshot: who forks and leaves while it is read is missed, again and again. So after the
//! list, the numbers that were given out meanwhile are looked at, until none is new: everybody who lives then was seen.
//! A scan that does not get there is not [`Snapshot::is_whole`], and proves no absence.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::os::{ProcessStat, table};
use crate::process::{ancestors, mark_values};

/// How many newborn processes one scan looks at before it gives up being whole.
const MAX_NEWBORN: usize = 20_000;

/// All processes at about one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) processes: Vec<ProcessStat>,
    by_pid: HashMap<u32, usize>,
    children: HashMap<u32, Vec<usize>>,
    /// This process and its ancestors: never anybody's prey.
    spared: HashSet<u32>,
    /// Per variable that was asked for: who carries which value.
    marks: HashMap<String, Carriers>,
    whole: bool,
}

/// Who carries a variable in its environment.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    by_value: HashMap<Vec<u8>, Vec<usize>>,
    all: HashSet<usize>,
}

impl Carriers {
    fn of(&self, value: &str) -> &[usize] {
        self.by_value.get(value.as_bytes()).map_or(&[], Vec::as_slice)
    }
}

impl Snapshot {
    /// Looks at everybody; of the environments, at the variables `keys`.
    pub(super) fn take<'a>(keys: impl IntoIterator<Item = &'a String>) -> io::Result<Self> {
        let own = std::process::id();
        let mut snapshot = Self {
            spared: ancestors(own).into_iter().chain([own]).collect(),
            marks: keys.into_iter().map(|key| (key.clone(), Carriers::default())).collect(),
            ..Self::default()
        };
        let mut buffer = Vec::new();
        let mut last = table::last_number();
        for pid in table::numbers()? {
            snapshot.look_at(pid, &mut buffer);
        }
        let mut newborn = 0;
        while newborn < MAX_NEWBORN {
            let now = table::last_number();
            let Some(new) = given_out(last, now) else { break };
            if new.is_empty() {
                snapshot.whole = true;
                break;
            }
            newborn += new.clone().count();
            new.for_each(|pid| snapshot.look_at(pid, &mut buffer));
            last = now;
        }
        // Without such a number (macOS), two lists must do.
        snapshot.whole |= last.is_none();
        snapshot.link();
        Ok(snapshot)
    }

    #[cfg(test)]
    pub(super) fn of(processes: Vec<ProcessStat>, spared: HashSet<u32>) -> Self {
        let mut snapshot = Self { processes, spared, whole: true, ..Self::default() };
        snapshot.link();
        snapshot
    }

    /// Whether everybody who lived when it was done is in it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn find(&self, pid: u32) -> Option<usize> {
        self.by_pid.get(&pid).copied()
    }

    pub(super) fn children(&self, pid: u32) -> &[usize] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// Who carries the mark. Only for keys that the scan was taken with.
    pub(super) fn carriers(&self, key: &str, value: &str) -> &[usize] {
        self.marks.get(key).map_or(&[], |carriers| carriers.of(value))
    }

    /// Whether the process carries the variable with a value other than this.
    pub(super) fn contradicts(&self, process: usize, key: &str, value: &str) -> bool {
        let carriers = self.marks.get(key);
        carriers.is_some_and(|c| c.all.contains(&process) && !c.of(value).contains(&process))
    }

    /// Whether it may be a member at all.
    pub(super) fn is_game(&self, process: usize) -> bool {
        let stat = &self.processes[process];
        !stat.dead && !stat.kernel && !self.spared.contains(&stat.pid)
    }

    /// Whether `ancestor` is among the parents of the process.
    pub(super) fn descends_from(&self, process: usize, ancestor: u32) -> bool {
        let mut parent = self.processes[process].parent;
        for _ in 0..self.processes.len() {
            if parent == ancestor {
                return true;
            }
            match self.find(parent) {
                Some(next) => parent = self.processes[next].parent,
                None => return false,
            }
        }
        false
    }

    fn look_at(&mut self, pid: u32, buffer: &mut Vec<u8>) {
        let Some(stat) = table::stat(pid) else { return };
        if stat.pid != pid {
            return;
        }
        let index = self.processes.len();
        self.processes.push(stat);
        // An environment that is not to be read is that of another user, or of a process that is gone.
        if self.marks.is_empty() || !self.is_game(index) || table::environ(pid, buffer).is_err() {
            return;
        }
        for (key, carriers) in &mut self.marks {
            for value in mark_values(buffer, key.as_bytes()) {
                carriers.by_value.entry(value.to_vec()).or_default().push(index);
                carriers.all.insert(index);
            }
        }
    }

    fn link(&mut self) {
        for (index, stat) in self.processes.iter().enumerate() {
            self.children.entry(stat.parent).or_default().push(index);
            self.by_pid.insert(stat.pid, index);
        }
    }
}

/// The process numbers given out between two looks; `None` if nobody can say, as when they began anew at the lowest.
pub(super) fn given_out(before: Option<u32>, now: Option<u32>) -> Option<RangeInclusive<u32>> {
    let (before, now) = (before?, now?);
    (before <= now).then(|| before + 1..=now)
}

/// A snapshot that began after this was called.
pub(super) async fn snapshot(keys: &[String]) -> io::Result<Arc<Snapshot>> {
    loop {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut desk = desk();
            desk.waiting.push(reply);
            desk.keys.extend(keys.iter().cloned());
            !std::mem::replace(&mut desk.busy, true)
        };
        if first {
            let shift = Shift;
            // Nobody awaits the thread: it answers through the channels.
            drop(tokio::task::spawn_blocking(move || serve(shift)));
        }
        // An answer that never comes means that the scanning runtime was shut down: then this one scans.
        if let Ok(answer) = answer.await {
            return answer.map_err(io::Error::from);
        }
    }
}

type Answer = Result<Arc<Snapshot>, io::ErrorKind>;

/// Who waits for a scan. Process-wide as the process table is; it holds nothing between scans.
struct Desk {
    waiting: Vec<oneshot::Sender<Answer>>,
    keys: BTreeSet<String>,
    busy: bool,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { waiting: Vec::new(), keys: BTreeSet::new(), busy: false });

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody scans as long as this lives.
struct Shift;

impl Drop for Shift {
    fn drop(&mut self) {
        let mut desk = desk();
        desk.busy = false;
        desk.waiting.clear();
    }
}

fn serve(shift: Shift) {
    loop {
        let (waiting, keys) = {
            let mut desk = desk();
            if desk.waiting.is_empty() {
                // Under the same lock, so that nobody comes between.
                desk.busy = false;
                std::mem::forget(shift);
                return;
            }
            (std::mem::take(&mut desk.waiting), std::mem::take(&mut desk.keys))
        };
        let answer = Snapshot::take(&keys).map(Arc::new).map_err(|error| error.kind());
        for reply in waiting {
            // Whoever asked may have been cancelled.
            drop(reply.send(answer.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_newborn_numbers_are_those_given_out_since() {
        assert_eq!(given_out(Some(7), Some(7)).unwrap().count(), 0);
        assert_eq!(given_out(Some(7), Some(9)), Some(8..=9));
        assert_eq!(given_out(Some(9), Some(7)), None, "they began anew");
        assert_eq!(given_out(None, Some(7)), None);
    }

    #[test]
    fn a_scan_finds_this_process_and_can_be_whole() {
        let found = (0..100).any(|_| {
            let snapshot = Snapshot::take([]).unwrap();
            let own = snapshot.find(std::process::id()).unwrap();
            assert!(!snapshot.is_game(own), "we are nobody's prey");
            snapshot.is_whole()
        });
        assert!(found);
    }
}
