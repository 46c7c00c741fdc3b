//! Ending trees: SIGTERM, a time of grace, then SIGKILL until two scans in a row find nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::time::Duration;

use nix::libc;
use skep_common::ids::Process;
use tokio::time::{Instant, timeout_at};

use super::members::{Key, find};
use super::pursue::pursue;
use super::scan::{Snapshot, snapshot};
use super::{Tree, TreeReport};
use crate::os::handle::{ProcessHandle, signal_checked};
use crate::os::{ProcessStat, table};
use crate::process;
use crate::signal::Signal;
use crate::subreaper;

/// How long SIGKILL is repeated before what is left is reported as survivors.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long one round of SIGKILL is waited for before the next scan: a tree that keeps forking is not waited for.
const KILL_ROUND: Duration = Duration::from_millis(20);

/// After so many rounds of SIGKILL that did not empty the trees, newborn processes are hunted one by one.
const PATIENCE: u32 = 2;

/// How many processes are watched at once; more are signalled, but found gone only by the next scan.
const WATCHED: usize = 256;

/// How many rounds [`kill_orphans`] takes for orphans that only appear when others die.
const ORPHAN_ROUNDS: usize = 16;

/// Ends the trees: SIGTERM and SIGCONT to everybody, SIGKILL to who is left after `grace`. Returns when they are gone,
/// or at most ten seconds after the grace with a report of who is not. Needs a tokio runtime. The caller reaps its
/// children, adopted ones included.
pub async fn terminate(trees: &[Tree], grace: Duration) -> TreeReport {
    let mut hunt = Hunt::new(trees);
    let end_of_grace = Instant::now() + grace;
    while !hunt.is_over() && Instant::now() < end_of_grace {
        hunt.look().await;
        hunt.ask_to_end();
        hunt.wait(end_of_grace).await;
    }
    hunt.finish().await
}

/// Ends the trees by SIGKILL at once; otherwise as [`terminate`].
pub async fn kill(trees: &[Tree]) -> TreeReport {
    Hunt::new(trees).finish().await
}

/// Kills every orphan that this process adopted as a subreaper, with all its descendants. For a supervisor, whose
/// workers adopt what is theirs as long as they live, and for a worker without another session.
pub async fn kill_orphans(known: &dyn Fn(u32) -> bool) -> TreeReport {
    let begun = Instant::now();
    let mut total = TreeReport::default();
    for _ in 0..ORPHAN_ROUNDS {
        let trees: Vec<Tree> =
            subreaper::orphans(known).into_iter().map(|root| Tree { root, mark: None }).collect();
        if trees.is_empty() {
            total.survivors.clear();
            break;
        }
        let report = kill(&trees).await;
        total.killed += report.killed;
        let hopeless = !report.is_empty();
        total.survivors = report.survivors;
        if hopeless {
            break;
        }
    }
    total.took = begun.elapsed();
    total
}

/// One pursuit of some trees.
struct Hunt<'a> {
    trees: &'a [Tree],
    keys: Vec<String>,
    begun: Instant,
    /// Per tree: everybody who was ever found in it.
    seen: Vec<HashSet<Key>>,
    /// Who the last scan found.
    found: Vec<ProcessStat>,
    empty_scans: u32,
    asked: HashSet<Key>,
    killed: HashSet<Key>,
    watched: HashMap<Key, ProcessHandle>,
}

impl<'a> Hunt<'a> {
    fn new(trees: &'a [Tree]) -> Self {
        let keys: BTreeSet<String> =
            trees.iter().filter_map(|tree| Some(tree.mark.as_ref()?.0.clone())).collect();
        Self {
            trees,
            keys: keys.into_iter().collect(),
            begun: Instant::now(),
            seen: vec![HashSet::new(); trees.len()],
            found: Vec::new(),
            empty_scans: 0,
            asked: HashSet::new(),
            killed: HashSet::new(),
            watched: HashMap::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.empty_scans >= 2
    }

    async fn look(&mut self) {
        match snapshot(&self.keys).await {
            Ok(snapshot) => self.take_in(&snapshot),
            Err(error) => {
                // Nothing is known, so nothing counts as empty.
                tracing::warn!(error = %error, "the process table cannot be read");
                tokio::time::sleep(KILL_ROUND).await;
            }
        }
    }

    fn take_in(&mut self, snapshot: &Snapshot) {
        let mut all = HashSet::new();
        for (tree, seen) in self.trees.iter().zip(&mut self.seen) {
            let members = find(snapshot, tree, seen);
            seen.clear();
            seen.extend(members.iter().map(|index| key(&snapshot.processes[*index])));
            all.extend(members);
        }
        self.found = all.into_iter().map(|index| snapshot.processes[index]).collect();
        let still_there: HashSet<Key> = self.found.iter().map(key).collect();
        self.watched.retain(|key, _| still_there.contains(key));
        self.empty_scans = match (self.found.is_empty(), snapshot.is_whole()) {
            (false, _) => 0,
            (true, true) => self.empty_scans + 1,
            // Somebody may have slipped through: this scan says nothing.
            (true, false) => self.empty_scans,
        };
    }

    /// SIGTERM, once, to everybody found; SIGCONT so that a stopped process can obey.
    fn ask_to_end(&mut self) {
        for stat in std::mem::take(&mut self.found) {
            if self.asked.insert(key(&stat)) && self.signal(&stat, Signal::SIGTERM) {
                self.signal(&stat, Signal::SIGCONT);
            }
            self.found.push(stat);
        }
    }

    fn kill_found(&mut self) {
        for stat in std::mem::take(&mut self.found) {
            if self.signal(&stat, Signal::SIGKILL) {
                self.killed.insert(key(&stat));
                if stat.group == stat.pid
                    && let Some(handle) = self.watched.get(&key(&stat))
                {
                    // In one step, so that who forks at this moment does not slip through. Kernels before 6.9
                    // refuse; the next scan finds the others.
                    drop(handle.signal_group(Signal::SIGKILL));
                }
            }
            self.found.push(stat);
        }
    }

    /// Signals one process after its identity was checked with its handle open; false if it is gone or refused.
    fn signal(&mut self, stat: &ProcessStat, signal: Signal) -> bool {
        let is_it =
            || table::stat(stat.pid).is_some_and(|now| now.start_time == stat.start_time && !now.dead);
        if let Some(handle) = self.watched.get(&key(stat)) {
            return handle.signal(signal).is_ok();
        }
        if self.watched.len() < WATCHED
            && let Ok(handle) = ProcessHandle::open(stat.pid)
        {
            if !is_it() {
                return false;
            }
            let sent = handle.signal(signal);
            self.watched.insert(key(stat), handle);
            return sent.is_ok();
        }
        match signal_checked(stat.pid, signal, is_it) {
            Ok(sent) => sent,
            Err(error) => {
                if error.raw_os_error() != Some(libc::ESRCH) {
                    tracing::debug!(process.pid = stat.pid, error = %error, "a process could not be signalled");
                }
                false
            }
        }
    }

    /// Waits until everybody watched has ended, at most until `deadline`.
    async fn wait(&mut self, deadline: Instant) {
        if self.watched.is_empty() && !self.found.is_empty() {
            // Without handles (out of descriptors) there is no event to wait for.
            return tokio::time::sleep_until(deadline.min(Instant::now() + KILL_ROUND)).await;
        }
        let all_ended = async {
            for handle in self.watched.values() {
                handle.ended().await?;
            }
            io::Result::Ok(())
        };
        // Whether they ended or the time did, the next scan tells.
        drop(timeout_at(deadline, all_ended).await);
    }

    /// Hunts down who forks faster than scans can follow.
    async fn pursue(&mut self) {
        let marks: Vec<(String, String)> = self.trees.iter().filter_map(|tree| tree.mark.clone()).collect();
        if !marks.is_empty()
            && let Err(error) = tokio::task::spawn_blocking(move || pursue(&marks)).await
        {
            tracing::warn!(error = %error, "the pursuit of a forking tree failed");
        }
    }

    async fn finish(mut self) -> TreeReport {
        let limit = Instant::now() + KILL_LIMIT;
        let mut round = 0;
        while !self.is_over() {
            self.look().await;
            if self.is_over() || Instant::now() >= limit {
                break;
            }
            if self.found.is_empty() {
                continue;
            }
            self.kill_found();
            if round > PATIENCE {
                self.pursue().await;
            }
            // Who resists for long is not going to end by being asked more often.
            round = (round + 1).min(10);
            self.wait(Instant::now() + KILL_ROUND * round).await;
        }
        TreeReport {
            terminated: self.asked.len(),
            killed: self.killed.len(),
            survivors: self.found.iter().map(process::of).collect::<Vec<Process>>(),
            took: self.begun.elapsed(),
        }
    }
}

fn key(stat: &ProcessStat) -> Key {
    (stat.pid, stat.start_time)
}
