//! One look at all processes, shared by everybody who wants one at the same time.
//!
//! A hundred trees that end together would read `/proc` two hundred times; here those who ask while a scan runs all get
//! the next one, which began after they asked. Scans run on a blocking thread: a long process table must not hold up
//! a heartbeat.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::os::{ProcessStat, table};
use crate::process::{ancestors, mark_values};

/// All processes at about one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) processes: Vec<ProcessStat>,
    by_pid: HashMap<u32, usize>,
    children: HashMap<u32, Vec<usize>>,
    /// This process and its ancestors: never anybody's prey.
    spared: HashSet<u32>,
    /// Per variable: who carries which value. Read when first asked for.
    marks: Mutex<HashMap<String, Arc<Carriers>>>,
}

/// Who carries a variable in its environment.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    by_value: HashMap<Vec<u8>, Vec<usize>>,
    all: HashSet<usize>,
}

impl Carriers {
    pub(super) fn of(&self, value: &str) -> &[usize] {
        self.by_value.get(value.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// Whether the process carries the variable with a value other than this.
    pub(super) fn contradicts(&self, process: usize, value: &str) -> bool {
        self.all.contains(&process) && !self.of(value).contains(&process)
    }
}

impl Snapshot {
    pub(super) fn take() -> io::Result<Self> {
        let own = std::process::id();
        Ok(Self::of(table::all()?, ancestors(own).into_iter().chain([own]).collect()))
    }

    pub(super) fn of(processes: Vec<ProcessStat>, spared: HashSet<u32>) -> Self {
        let mut children: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, stat) in processes.iter().enumerate() {
            children.entry(stat.parent).or_default().push(index);
        }
        let by_pid = processes.iter().enumerate().map(|(index, stat)| (stat.pid, index)).collect();
        Self { processes, by_pid, children, spared, marks: Mutex::default() }
    }

    pub(super) fn find(&self, pid: u32) -> Option<usize> {
        self.by_pid.get(&pid).copied()
    }

    pub(super) fn children(&self, pid: u32) -> &[usize] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
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

    /// Who carries the variable `key`; reads the environment of every process that is ours to read, once.
    pub(super) fn carriers(&self, key: &str) -> Arc<Carriers> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = marks.get(key) {
            return Arc::clone(known);
        }
        let read = Arc::new(self.read_carriers(key));
        marks.insert(key.to_owned(), Arc::clone(&read));
        read
    }

    fn read_carriers(&self, key: &str) -> Carriers {
        let mut carriers = Carriers::default();
        let mut environ = Vec::new();
        for index in (0..self.processes.len()).filter(|index| self.is_game(*index)) {
            table::environ(self.processes[index].pid, &mut environ);
            for value in mark_values(&environ, key.as_bytes()) {
                carriers.by_value.entry(value.to_vec()).or_default().push(index);
                carriers.all.insert(index);
            }
        }
        carriers
    }
}

/// A snapshot that began after this was called. `keys` are read along.
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
                desk.busy = false;
                std::mem::forget(shift);
                return;
            }
            (std::mem::take(&mut desk.waiting), std::mem::take(&mut desk.keys))
        };
        let answer = Snapshot::take().map(Arc::new).map_err(|error| error.kind());
        if let Ok(snapshot) = &answer {
            for key in &keys {
                snapshot.carriers(key);
            }
        }
        for reply in waiting {
            // Whoever asked may have been cancelled.
            drop(reply.send(answer.clone()));
        }
    }
}
