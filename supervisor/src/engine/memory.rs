//! What agents use, measured now and then while there are any, and what the memory budget demands of that (N5).
//!
//! Nobody can be told when memory grows, so this is looked at by the clock: soon after an agent came or went, then ever
//! more rarely; more often again while something works or little of the budget is left. Without agents it never is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use skep_common::api::ProcessUsage;
use skep_common::ids::{Process, SessionId, WorkerId};
use skep_common::protocol::Action;
use skep_common::session::{Cause, SessionState};
use skep_sys::process::is_alive;
use skep_sys::usage;
use tokio::time::Instant;

use super::budget::{Held, choose};
use super::core::{Core, Effect, Intake, PendingWhat};
use crate::sessions::{Entry, Place};

/// From an agent's start or end to the next look.
const FIRST: Duration = Duration::from_secs(2);

/// From look to look while nothing works and there is no budget.
const RARE: Duration = Duration::from_secs(60);

/// The same with a budget.
const WITH_BUDGET: Duration = Duration::from_secs(30);

/// While something works, or three quarters of the budget are taken.
const OFTEN: Duration = Duration::from_secs(10);

/// How long a worker that was told to keep nothing ready is not told again.
const SPARED: Duration = skep_common::protocol::SPARE_MEMORY;

/// Whose use is to be measured.
#[derive(Debug)]
pub(crate) struct Wanted {
    workers: Vec<(WorkerId, Process)>,
    /// The agents' processes, each once.
    agents: HashSet<Process>,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Each agent's process with everything below it.
    agents: HashMap<Process, ProcessUsage>,
    /// What the workers have below them beside that, in bytes: processes that wait for a session, or start.
    spare: BTreeMap<WorkerId, u64>,
}

impl Measured {
    fn total(&self) -> u64 {
        let agents = self.agents.values().map(|usage| usage.memory_bytes);
        agents.chain(self.spare.values().copied()).fold(0, u64::saturating_add)
    }
}

/// When the next look is due, and what the last one said.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The agents that are watched, as the index counts their changes.
    seen: u64,
    next: Option<Instant>,
    interval: Duration,
    /// A look is being taken.
    looking: bool,
    /// The last look found processes that serve no session.
    leftovers: bool,
    /// The budget is exceeded, and that was told.
    told: bool,
    /// Which workers were told to keep nothing ready, and when.
    spared: HashMap<WorkerId, Instant>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            seen: 0,
            next: None,
            interval: FIRST,
            looking: false,
            leftovers: false,
            told: false,
            spared: HashMap::new(),
        }
    }
}

impl Watch {
    /// When to look next; never while a look is being taken, or nothing is there to look at.
    fn due(&mut self, agents: usize, changes: u64, now: Instant) -> Option<Instant> {
        if agents == 0 && !self.leftovers {
            self.next = None;
        } else if self.seen != changes || self.next.is_none() {
            self.interval = FIRST;
            let soon = now + FIRST;
            self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        }
        self.seen = changes;
        self.next.filter(|_| !self.looking)
    }

    fn looked(&mut self, cap: Duration, now: Instant) {
        self.looking = false;
        self.interval = (self.interval * 2).min(cap);
        self.next = Some(now + self.interval);
    }
}

/// How long to wait from look to look, at most.
fn cap(works: bool, budget: Option<u64>, total: u64) -> Duration {
    match budget {
        Some(budget) if total > budget / 4 * 3 => OFTEN,
        _ if works => OFTEN,
        Some(_) => WITH_BUDGET,
        None => RARE,
    }
}

/// Looks. Blocks for as long as reading the process table takes.
pub(crate) fn measure(wanted: Wanted) -> Measured {
    let table = usage::Table::read();
    let used = |process: &Process| table.tree(process.pid).filter(|_| is_alive(process));
    let agents: HashMap<Process, ProcessUsage> =
        wanted.agents.into_iter().filter_map(|agent| used(&agent).map(|usage| (agent, usage))).collect();
    let spare = wanted.workers.into_iter().filter_map(|(worker, process)| {
        let below = used(&process)?.memory_bytes.saturating_sub(table.process(process.pid)?.memory_bytes);
        let known = agents.iter().filter(|(agent, _)| table.is_below(agent.pid, process.pid));
        let known = known.fold(0u64, |sum, (_, usage)| sum.saturating_add(usage.memory_bytes));
        Some((worker, below.saturating_sub(known)))
    });
    let spare = spare.filter(|(_, bytes)| *bytes > 0).collect();
    Measured { agents, spare }
}

impl Core {
    /// When agents' use is to be measured next.
    pub(crate) fn measure_at(&mut self, now: Instant) -> Option<Instant> {
        let (agents, changes) = self.index.agents();
        self.watch.due(agents.len(), changes, now)
    }

    /// Begins a look: whose use is to be measured.
    pub(crate) fn begin_look(&mut self, workers: Vec<(WorkerId, Process)>) -> Wanted {
        self.watch.looking = true;
        Wanted { workers, agents: self.index.agents().0.values().cloned().collect() }
    }

    /// Takes in what was measured, and does what the budget demands.
    pub(crate) fn measured(&mut self, measured: &Measured, now: Instant) {
        let agents: Vec<(SessionId, Process)> =
            self.index.agents().0.iter().map(|(id, process)| (*id, process.clone())).collect();
        for (id, process) in &agents {
            if let Some(usage) = measured.agents.get(process) {
                self.index.set_usage(*id, *usage);
            }
        }
        if self.policy.memory_budget.is_some() && !usage::IS_KNOWN {
            if !std::mem::replace(&mut self.watch.told, true) {
                tracing::warn!(
                    "this system does not tell what processes take: session.memory_budget has no effect"
                );
            }
            return self.watch.looked(RARE, now);
        }
        let total = measured.total();
        self.watch.leftovers = !measured.spare.is_empty();
        let works = self.index.iter().any(|entry| entry.snapshot().state == SessionState::Running);
        self.watch.looked(cap(works, self.policy.memory_budget, total), now);
        match self.policy.memory_budget {
            Some(budget) if total > budget && self.intake == Intake::Open => {
                self.make_room(budget, measured, &agents, now);
            }
            _ => self.watch.told = false,
        }
    }

    /// What waits for a session goes first, then idle sessions.
    fn make_room(&mut self, budget: u64, measured: &Measured, agents: &[(SessionId, Process)], now: Instant) {
        let mut total = measured.total();
        self.watch.spared.retain(|_, at| now.duration_since(*at) < SPARED);
        for (worker, bytes) in &measured.spare {
            if !self.watch.spared.contains_key(worker) {
                self.watch.spared.insert(worker.clone(), now);
                self.effect(Effect::SpareMemory(worker.clone()));
                total = total.saturating_sub(*bytes);
            }
        }
        let mut held: HashMap<&Process, Vec<&Entry>> = HashMap::new();
        for (id, process) in agents {
            held.entry(process).or_default().extend(self.index.get(*id));
        }
        let mut trees = Vec::with_capacity(held.len());
        for (process, entries) in held {
            let Some(usage) = measured.agents.get(process) else { continue };
            if entries.iter().all(|entry| matches!(entry.place(), Place::Releasing(_))) {
                // On its way already.
                total = total.saturating_sub(usage.memory_bytes);
                continue;
            }
            let Some(used_at) = entries.iter().map(|entry| entry.snapshot().updated_at).max() else {
                continue;
            };
            trees.push(Held {
                sessions: entries.iter().map(|entry| entry.spec().id).collect(),
                memory_bytes: usage.memory_bytes,
                idle: entries.iter().all(|entry| entry.is_evictable() && !self.is_wanted(entry)),
                used_at,
            });
        }
        let chosen = choose(budget, total, &trees);
        self.tell_of(budget, total, &chosen);
        for session in chosen {
            self.let_hibernate(session, Cause::Memory);
        }
    }

    fn tell_of(&mut self, budget: u64, total: u64, chosen: &[SessionId]) {
        if !chosen.is_empty() {
            tracing::info!(
                memory.bytes = total,
                memory.budget_bytes = budget,
                sessions = chosen.len(),
                "agents take more memory than session.memory_budget: {} idle sessions hibernate",
                chosen.len()
            );
        } else if total > budget && !std::mem::replace(&mut self.watch.told, true) {
            tracing::warn!(
                memory.bytes = total,
                memory.budget_bytes = budget,
                "agents take more memory than session.memory_budget, and no session is idle"
            );
        }
    }

    /// Lets go of a session that nobody uses; who prompts it meanwhile waits and wakes it.
    pub(super) fn let_hibernate(&mut self, session: SessionId, cause: Cause) {
        let Some(Place::Live(worker)) = self.index.get(session).map(Entry::place).cloned() else { return };
        self.index.set_place(session, Place::Releasing(worker.clone()));
        self.send(worker, session, Action::Release { session, cause }, PendingWhat::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n5_looks_become_rare_and_end_with_the_last_agent() {
        let mut watch = Watch::default();
        let begun = Instant::now();
        assert_eq!(watch.due(0, 0, begun), None, "nobody is there");
        let first = watch.due(1, 1, begun).unwrap();
        assert_eq!(first, begun + FIRST);
        let mut at = first;
        let mut waits = Vec::new();
        for _ in 0..7 {
            watch.looking = true;
            assert_eq!(watch.due(1, 1, at), None, "one look at a time");
            watch.looked(RARE, at);
            let next = watch.due(1, 1, at).unwrap();
            waits.push((next - at).as_secs());
            at = next;
        }
        assert_eq!(waits, [4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(watch.due(2, 2, at - RARE + FIRST).unwrap(), at - RARE + FIRST * 2, "another agent came");
        watch.leftovers = true;
        assert!(watch.due(0, 3, at).is_some(), "something still waits for a session");
        watch.leftovers = false;
        assert_eq!(watch.due(0, 3, at), None);
    }

    #[test]
    fn n5_looks_are_more_frequent_where_it_matters() {
        let mib = 1 << 20;
        for (works, budget, total, wait) in [
            (false, None, 900 * mib, RARE),
            (true, None, mib, OFTEN),
            (false, Some(1000 * mib), 700 * mib, WITH_BUDGET),
            (false, Some(1000 * mib), 800 * mib, OFTEN),
            (false, Some(0), 0, WITH_BUDGET),
        ] {
            assert_eq!(cap(works, budget, total), wait);
        }
    }
}
