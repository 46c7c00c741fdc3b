//! The session index: every stored session, where it is held and what it waits for.
//!
//! Owned by the engine's actor, alone. Pure: no clock, no I/O, no tasks; `now` and what the disk said come as
//! arguments. The journal is the truth; what stands here is rebuilt from it.
//!
//! ```text
//!  create ──▶ Waiting ──▶ Opening ──▶ Live ──▶ Releasing ──▶ Stored ──▶ (removed)
//!                ▲                      │ worker down           │ ▲
//!                │                      ▼                       │ │
//!                │                  Recovering ─────────────────┼─┘
//!                └──────────── wake by a prompt ────────────────┘
//! ```

mod entry;
mod lookup;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use skep_common::api::{ProcessUsage, SessionInfo, WaitingPermission};
use skep_common::ids::{Process, SessionId, SessionName, WorkerId};
use skep_common::session::{Head, SessionSettings, SessionSnapshot, SessionSpec, SessionState, TurnOutcome};
use skep_common::usage::Tokens;
use tokio::sync::watch;

pub use entry::{Entry, Place};
pub use lookup::not_found;

/// How many removals the change feed remembers; a reader that is further behind gets a new snapshot.
const REMOVALS_KEPT: usize = 1024;

/// What changed since a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Ask with this the next time.
    pub generation: u64,
    /// The reader was too far behind: `changed` is every open session, and all that it knew is void.
    pub reset: bool,
    /// Sessions that changed, oldest change first, each in its latest state.
    pub changed: Vec<SessionInfo>,
    /// Sessions that are gone.
    pub removed: Vec<SessionId>,
}

/// All sessions.
#[derive(Debug)]
pub struct Index {
    entries: HashMap<SessionId, Box<Entry>>,
    names: HashMap<SessionName, Vec<SessionId>>,
    removed: VecDeque<(u64, SessionId)>,
    forgotten: u64,
    generation: watch::Sender<u64>,
    turns: HashMap<TurnOutcome, u64>,
    agents: HashMap<SessionId, Process>,
    agent_changes: u64,
    /// The same as each entry's `changed`, the other way round: a reader of the feed costs what has changed.
    order: BTreeMap<u64, SessionId>,
    /// The same as each entry's place, the other way round: a worker costs what it holds.
    seated: HashMap<WorkerId, HashSet<SessionId>>,
    /// What they used.
    tokens: Tokens,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            names: HashMap::new(),
            removed: VecDeque::new(),
            forgotten: 0,
            generation: watch::Sender::new(1),
            turns: HashMap::new(),
            agents: HashMap::new(),
            agent_changes: 0,
            order: BTreeMap::new(),
            seated: HashMap::new(),
            tokens: Tokens::default(),
        }
    }
}

impl Index {
    /// Adds a session; one with the same id is replaced.
    pub fn insert(&mut self, spec: SessionSpec, snapshot: SessionSnapshot, place: Place) {
        let id = spec.id;
        drop(self.take(id));
        if let Some(name) = &spec.name {
            self.names.entry(name.clone()).or_default().push(id);
        }
        self.set_seat(id, None, place.worker());
        self.entries
            .insert(id, Box::new(Entry { spec, snapshot, place, changed: 0, usage: None, head: None }));
        self.touch(id);
        self.note_agent(id);
    }

    /// Removes a session and its name.
    pub fn remove(&mut self, id: SessionId) -> Option<Box<Entry>> {
        let entry = self.take(id)?;
        let generation = self.next_generation();
        self.removed.push_back((generation, id));
        if self.removed.len() > REMOVALS_KEPT
            && let Some((oldest, _)) = self.removed.pop_front()
        {
            self.forgotten = oldest;
        }
        Some(entry)
    }

    fn take(&mut self, id: SessionId) -> Option<Box<Entry>> {
        let entry = self.entries.remove(&id)?;
        self.order.remove(&entry.changed);
        self.set_seat(id, entry.place.worker(), None);
        self.note_agent(id);
        if let Some(name) = &entry.spec.name
            && let Some(ids) = self.names.get_mut(name)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.names.remove(name);
            }
        }
        Some(entry)
    }

    fn next_generation(&self) -> u64 {
        let mut now = 0;
        self.generation.send_modify(|generation| {
            *generation += 1;
            now = *generation;
        });
        now
    }

    /// The session has changed.
    fn touch(&mut self, id: SessionId) {
        let generation = self.next_generation();
        if let Some(entry) = self.entries.get_mut(&id) {
            self.order.remove(&std::mem::replace(&mut entry.changed, generation));
            self.order.insert(generation, id);
        }
    }

    fn set_seat(&mut self, id: SessionId, before: Option<&WorkerId>, now: Option<&WorkerId>) {
        if let Some(before) = before
            && let Some(held) = self.seated.get_mut(before)
        {
            held.remove(&id);
            if held.is_empty() {
                self.seated.remove(before);
            }
        }
        if let Some(now) = now {
            self.seated.entry(now.clone()).or_default().insert(id);
        }
    }

    /// The number of the latest change, to wait on.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// A session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.get(&id).map(Box::as_ref)
    }

    /// All sessions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(Box::as_ref)
    }

    /// Moves a session.
    pub fn set_place(&mut self, id: SessionId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let now = place.worker().cloned();
        let before = std::mem::replace(&mut entry.place, place);
        if entry.place == Place::Stored && entry.head.as_ref().is_some_and(|head| head.receiver_count() == 0)
        {
            entry.head = None;
        }
        self.set_seat(id, before.worker(), now.as_ref());
        self.touch(id);
    }

    /// Takes a session's settings, where they changed.
    pub fn set_settings(&mut self, id: SessionId, settings: SessionSettings) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.spec.settings() != settings {
            entry.spec.take(settings);
            self.touch(id);
        }
    }

    /// Takes a session's latest state. Its head never goes back, but for a new writer epoch.
    pub fn set_snapshot(&mut self, mut snapshot: SessionSnapshot) -> Option<SessionSnapshot> {
        let id = snapshot.id;
        if let Some(settings) = snapshot.settings.take() {
            self.set_settings(id, *settings);
        }
        let entry = self.entries.get_mut(&id)?;
        let head = snapshot.head;
        let before = std::mem::replace(&mut entry.snapshot, snapshot);
        // Snapshots may skip turns, but not their sums.
        let (used, known) = (&entry.snapshot.used, &before.used);
        for (outcome, count) in &used.ended {
            let more = count.saturating_sub(known.ended.get(outcome).copied().unwrap_or(0));
            if more > 0 {
                *self.turns.entry(*outcome).or_default() += more;
            }
        }
        self.tokens = self.tokens.plus(used.tokens.since(known.tokens));
        entry.snapshot.head = before.head;
        Self::advance(entry, head);
        self.touch(id);
        self.note_agent(id);
        Some(before)
    }

    /// Keeps in mind which agent's process serves the session.
    fn note_agent(&mut self, id: SessionId) {
        let entry = self.entries.get_mut(&id);
        let now = entry.as_ref().and_then(|entry| Some(entry.snapshot.agent.as_ref()?.process.clone()));
        if self.agents.get(&id) == now.as_ref() {
            return;
        }
        self.agent_changes += 1;
        if let Some(entry) = entry {
            entry.usage = None;
        }
        match now {
            Some(process) => drop(self.agents.insert(id, process)),
            None => drop(self.agents.remove(&id)),
        }
    }

    /// The sessions with an agent, each with its process, and a number that changes with them.
    #[must_use]
    pub fn agents(&self) -> (&HashMap<SessionId, Process>, u64) {
        (&self.agents, self.agent_changes)
    }

    /// Takes what a session's agent uses. Only a notable difference is a change of the session.
    pub fn set_usage(&mut self, id: SessionId, usage: ProcessUsage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = entry.usage.replace(usage).map_or(0, |before| before.memory_bytes);
        if before.abs_diff(usage.memory_bytes) > before / 8 {
            self.touch(id);
        }
    }

    /// Takes how far a session's journal is committed. Not a change of the session: only its followers hear of it.
    pub fn set_head(&mut self, id: SessionId, head: Head) {
        if let Some(entry) = self.entries.get_mut(&id) {
            Self::advance(entry, head);
        }
    }

    fn advance(entry: &mut Entry, head: Head) {
        let before = entry.snapshot.head;
        if (head.epoch, head.seq) <= (before.epoch, before.seq) {
            return;
        }
        entry.snapshot.head = head;
        if let Some(sender) = &entry.head {
            sender.send_replace(head);
        }
    }

    /// The bell that rings when a session's journal has grown.
    pub fn watch_head(&mut self, id: SessionId) -> Option<watch::Receiver<Head>> {
        let entry = self.entries.get_mut(&id)?;
        let now = entry.snapshot.head;
        Some(entry.head.get_or_insert_with(|| watch::Sender::new(now)).subscribe())
    }

    /// How many sessions count towards the limit.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.iter().filter(|entry| entry.counts()).count()
    }

    /// The sessions to list, newest change first.
    #[must_use]
    pub fn list(&self, closed_too: bool) -> Vec<SessionInfo> {
        let mut shown: Vec<&Entry> = self.iter().filter(|entry| closed_too || !entry.is_closed()).collect();
        shown.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.snapshot.updated_at), entry.spec.id));
        shown.into_iter().map(Entry::info).collect()
    }

    /// How many closed sessions are kept.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.iter().filter(|entry| entry.is_closed()).count()
    }

    /// Tokens of the turns that were seen to end.
    #[must_use]
    pub const fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// How many turns were seen to end, by outcome.
    #[must_use]
    pub fn turns(&self) -> &HashMap<TurnOutcome, u64> {
        &self.turns
    }

    /// How many sessions are in each state.
    #[must_use]
    pub fn states(&self) -> HashMap<SessionState, u64> {
        self.iter().fold(HashMap::new(), |mut states, entry| {
            *states.entry(entry.state()).or_default() += 1;
            states
        })
    }

    /// Every permission request that waits, oldest first.
    #[must_use]
    pub fn waiting_permissions(&self) -> Vec<WaitingPermission> {
        let mut all: Vec<WaitingPermission> = self
            .iter()
            .filter(|entry| matches!(entry.place, Place::Live(_)))
            .flat_map(|entry| {
                entry.snapshot.waiting.iter().map(|permission| WaitingPermission {
                    session: entry.spec.id,
                    session_name: entry.spec.name.clone(),
                    agent: entry.spec.agent.clone(),
                    cwd: entry.spec.cwd.clone(),
                    permission: permission.clone(),
                })
            })
            .collect();
        all.sort_by_key(|waiting| waiting.permission.requested_at);
        all
    }

    /// What changed since `generation`; 0 asks for everything.
    #[must_use]
    pub fn changed_since(&self, generation: u64) -> Changes {
        let now = *self.generation.borrow();
        let reset = generation == 0 || generation < self.forgotten || generation > now;
        let since = if reset { 0 } else { generation };
        let changed = self.order.range(since + 1..).filter_map(|(_, id)| self.get(*id));
        let changed = changed.filter(|entry| !reset || !entry.is_closed());
        let removed = self.removed.iter().filter(|(at, _)| !reset && *at > generation).map(|(_, id)| *id);
        Changes {
            generation: now,
            reset,
            changed: changed.map(Entry::info).collect(),
            removed: removed.collect(),
        }
    }

    /// The sessions that take up a place on a worker.
    pub fn on_worker<'a>(&'a self, worker: &'a WorkerId) -> impl Iterator<Item = &'a Entry> {
        self.seated.get(worker).into_iter().flatten().filter_map(|id| self.get(*id))
    }
}

#[cfg(test)]
mod tests;
