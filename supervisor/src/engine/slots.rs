//! Places on workers: which worker takes the next session. Pure.
//!
//! The pool says which workers there are; the index says how many sessions each holds. This module only chooses.

use std::collections::BTreeMap;

use skep_common::api::{WorkerInfo, WorkerState};
use skep_common::ids::WorkerId;
use skep_common::session::SessionKind;

use crate::sessions::{Index, Place};

/// The kind of worker that hosts interactive and API sessions.
pub const REMOTE_CONTROL: &str = "remote-control";

/// The kind of worker that hosts `bg` sessions.
pub const BACKGROUND: &str = "background";

/// The kind of worker on which a session of `kind` runs.
#[must_use]
pub fn worker_kind(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Interactive | SessionKind::Daemon => REMOTE_CONTROL,
        SessionKind::Bg => BACKGROUND,
    }
}

/// A worker, as far as placement cares.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    kind: String,
    capacity: usize,
    state: WorkerState,
    up: bool,
}

impl Slot {
    /// Whether it takes sessions now or will without anybody's help.
    fn is_viable(&self) -> bool {
        match self.state {
            WorkerState::Idle | WorkerState::Starting | WorkerState::Running | WorkerState::Backoff => true,
            WorkerState::Stopping | WorkerState::Stopped | WorkerState::Parked | WorkerState::Unknown => {
                false
            }
        }
    }

    fn takes_sessions(&self) -> bool {
        self.up && self.state == WorkerState::Running
    }
}

/// All workers.
#[derive(Debug, Default)]
pub struct Slots {
    workers: BTreeMap<WorkerId, Slot>,
    kinds: BTreeMap<String, Kind>,
}

/// How many workers of a kind there may be, and how many more were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kind {
    limit: KindLimit,
    growing: usize,
    blocked: bool,
}

/// The limits of one kind of worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindLimit {
    /// Workers at most.
    pub max_workers: usize,
    /// Sessions per worker.
    pub capacity: usize,
}

impl Slots {
    /// The limits of a kind, from the configuration.
    pub fn set_limit(&mut self, kind: &str, limit: KindLimit) {
        let kind = self.kinds.entry(kind.to_owned()).or_default();
        (kind.limit, kind.blocked) = (limit, false);
    }

    /// The pool refused one more worker of this kind: no further try until something has changed.
    pub fn block_growth(&mut self, kind: &str) {
        self.kinds.entry(kind.to_owned()).or_default().blocked = true;
    }

    fn unblock(&mut self, kind: &str) {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.blocked = false;
        }
    }

    /// The worker is being stopped: it takes no further session.
    pub fn set_retiring(&mut self, worker: &WorkerId) {
        if let Some(slot) = self.workers.get_mut(worker) {
            (slot.up, slot.state) = (false, WorkerState::Stopping);
        }
    }

    /// What the pool says about a worker.
    pub fn observe(&mut self, info: &WorkerInfo) {
        let up = self.workers.get(&info.id).is_some_and(|slot| slot.up) && info.state == WorkerState::Running;
        let capacity = usize::try_from(info.capacity).unwrap_or(usize::MAX);
        let slot = Slot { kind: info.kind.clone(), capacity, state: info.state, up };
        if self.workers.insert(info.id.clone(), slot.clone()).as_ref() != Some(&slot) {
            self.unblock(&info.kind);
        }
    }

    /// The worker said hello. False if the pool has not told of it yet.
    pub fn set_up(&mut self, worker: &WorkerId) -> bool {
        let Some(slot) = self.workers.get_mut(worker) else { return false };
        slot.up = true;
        slot.state = WorkerState::Running;
        true
    }

    /// The worker is gone; it may come back.
    pub fn set_down(&mut self, worker: &WorkerId) {
        if let Some(slot) = self.workers.get_mut(worker) {
            slot.up = false;
            if slot.state == WorkerState::Running {
                slot.state = WorkerState::Backoff;
            }
        }
    }

    /// The worker will not come back.
    pub fn remove(&mut self, worker: &WorkerId) {
        if let Some(slot) = self.workers.remove(worker) {
            self.unblock(&slot.kind);
        }
    }

    /// The worker's kind.
    #[must_use]
    pub fn kind(&self, worker: &WorkerId) -> Option<&str> {
        self.workers.get(worker).map(|slot| slot.kind.as_str())
    }

    /// A worker was asked for and is not there yet.
    pub fn begin_growing(&mut self, kind: &str) {
        self.kinds.entry(kind.to_owned()).or_default().growing += 1;
    }

    /// The worker that was asked for is there, or will not come.
    pub fn end_growing(&mut self, kind: &str) {
        let entry = self.kinds.entry(kind.to_owned()).or_default();
        entry.growing = entry.growing.saturating_sub(1);
    }

    /// The least-loaded worker of `kind` that has a place.
    #[must_use]
    pub fn choose(&self, kind: &str, index: &Index) -> Option<WorkerId> {
        self.of_kind(kind)
            .filter(|(_, slot)| slot.takes_sessions())
            .map(|(id, slot)| (index.on_worker(id).count(), slot.capacity, id))
            .filter(|(load, capacity, _)| load < capacity)
            .min_by_key(|(load, _, id)| (*load, (*id).clone()))
            .map(|(_, _, id)| id.clone())
    }

    /// How many places of `kind` will come free or into being without any further step.
    #[must_use]
    pub fn incoming(&self, kind: &str, index: &Index) -> usize {
        let growing = self.kinds.get(kind).map_or(0, |kind| kind.growing * kind.limit.capacity);
        let workers = self.of_kind(kind).map(|(id, slot)| {
            if slot.takes_sessions() {
                index.on_worker(id).filter(|entry| matches!(entry.place(), Place::Releasing(_))).count()
            } else if slot.is_viable() {
                slot.capacity
            } else {
                0
            }
        });
        growing + workers.sum::<usize>()
    }

    /// Whether one more worker of `kind` may be started on demand.
    #[must_use]
    pub fn may_grow(&self, kind: &str) -> bool {
        let viable = self.of_kind(kind).filter(|(_, slot)| slot.is_viable()).count();
        self.kinds
            .get(kind)
            .is_some_and(|kind| !kind.blocked && viable + kind.growing < kind.limit.max_workers)
    }

    /// Whether anything of `kind` runs, comes, or could be started.
    #[must_use]
    pub fn has_prospects(&self, kind: &str) -> bool {
        self.may_grow(kind)
            || self.kinds.get(kind).is_some_and(|kind| kind.growing > 0)
            || self.of_kind(kind).any(|(_, slot)| slot.is_viable())
    }

    /// The workers of `kind` that are up.
    pub fn up<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a WorkerId> {
        self.of_kind(kind).filter(|(_, slot)| slot.takes_sessions()).map(|(id, _)| id)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a WorkerId, &'a Slot)> {
        self.workers.iter().filter(move |(_, slot)| slot.kind == kind)
    }
}
