//! What is to be told, and how far it has been: the state that the outbox's records add up to. Pure.
//!
//! Everything that lasts changes by [`Outbox::apply`] alone, at run time and when the file is read again. It is bounded
//! here, so that neither a receiver that is down for weeks nor a hostile file can make it grow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use skep_common::api::HookCounts;
use skep_common::ids::{DeliveryId, SessionId};

use crate::record::{Cursor, Delivery, Happening, Mark, Record};

/// Deliveries of one hook that may wait; the oldest is dropped for one more.
pub(crate) const MAX_WAITING: usize = 1_000;

/// What the waiting deliveries of one hook may take, in bytes of what they send.
pub(crate) const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Deliveries that were given up and are kept; the oldest is dropped for one more.
pub(crate) const MAX_DEAD: usize = 500;

/// A delivery that has not arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: DeliveryId,
    pub(crate) hook: String,
    pub(crate) what: Arc<Happening>,
    /// Since when it is tried.
    pub(crate) since: Timestamp,
    pub(crate) attempts: u32,
    /// When it is tried next.
    pub(crate) next: Timestamp,
    pub(crate) error: Option<String>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) id: DeliveryId,
    pub(crate) hook: String,
    pub(crate) what: Arc<Happening>,
    pub(crate) at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) why: String,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outbox {
    /// Since when things are told; none while there are no hooks.
    pub(crate) on: Option<Timestamp>,
    pub(crate) cursors: BTreeMap<SessionId, u64>,
    pub(crate) marks: BTreeSet<Mark>,
    /// Oldest first.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Oldest first.
    pub(crate) dead: VecDeque<Dead>,
    counts: BTreeMap<String, HookCounts>,
}

impl Outbox {
    /// Takes a record in. One that fits nothing changes nothing.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::On { at } => self.on = Some(*at),
            Record::Off => {
                self.on = None;
                self.cursors.clear();
                self.marks.clear();
            }
            Record::Looked(cursor) => self.look(*cursor),
            Record::Forgotten { session } => {
                self.cursors.remove(session);
                self.marks.retain(|mark| mark.session() != Some(*session));
            }
            Record::Marked { what } => drop(self.marks.insert(what.clone())),
            Record::Unmarked { what } => drop(self.marks.remove(what)),
            Record::Happened { what, to, looked, mark, since } => {
                looked.iter().for_each(|cursor| self.look(*cursor));
                self.marks.extend(mark.clone());
                self.happened(what, to, *since);
            }
            Record::Failed { id, attempts, next, error } => {
                if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == *id) {
                    (waiting.attempts, waiting.next) = (*attempts, *next);
                    waiting.error = Some(error.clone());
                    self.counts.entry(waiting.hook.clone()).or_default().failed_attempts += 1;
                }
            }
            Record::Delivered { id, .. } => {
                if let Some(hook) = self.remove(*id) {
                    self.counts.entry(hook).or_default().delivered += 1;
                }
            }
            Record::Dismissed { id } => drop(self.remove(*id)),
            Record::Dead { id, attempts, at, why } => self.bury(*id, *attempts, *at, why),
            Record::Revived { id, at } => self.revive(*id, *at),
            Record::Counted { hook, counts } => drop(self.counts.insert(hook.clone(), *counts)),
        }
    }

    fn look(&mut self, cursor: Cursor) {
        self.cursors.insert(cursor.session, cursor.seq);
    }

    fn happened(&mut self, what: &Happening, to: &[Delivery], since: Timestamp) {
        let what = Arc::new(what.clone());
        for delivery in to {
            let known = self.waiting.iter().any(|waiting| waiting.id == delivery.id)
                || self.dead.iter().any(|dead| dead.id == delivery.id);
            if known {
                continue;
            }
            let Delivery { id, hook } = delivery.clone();
            self.counts.entry(hook.clone()).or_default();
            let (next, what) = (since, Arc::clone(&what));
            self.waiting.push_back(Waiting { id, hook, what, since, attempts: 0, next, error: None });
            self.bound(&delivery.hook);
        }
    }

    /// Drops the oldest of a hook's waiting deliveries until the rest is within the limits.
    fn bound(&mut self, hook: &str) {
        let of_hook = |waiting: &&Waiting| waiting.hook == hook;
        let mut count = self.waiting.iter().filter(of_hook).count();
        let mut bytes: usize =
            self.waiting.iter().filter(of_hook).map(|waiting| waiting.what.body.len()).sum();
        while count > MAX_WAITING || (bytes > MAX_BYTES && count > 1) {
            let Some(oldest) = self.waiting.iter().position(|waiting| waiting.hook == hook) else { return };
            let Some(dropped) = self.waiting.remove(oldest) else { return };
            (count, bytes) = (count - 1, bytes - dropped.what.body.len());
            self.counts.entry(dropped.hook).or_default().dropped += 1;
        }
    }

    fn take(&mut self, id: DeliveryId) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.id == id)?;
        self.waiting.remove(place)
    }

    /// Removes a delivery wherever it is; its hook.
    fn remove(&mut self, id: DeliveryId) -> Option<String> {
        let waiting = self.take(id).map(|waiting| waiting.hook);
        waiting.or_else(|| {
            let place = self.dead.iter().position(|dead| dead.id == id)?;
            self.dead.remove(place).map(|dead| dead.hook)
        })
    }

    fn bury(&mut self, id: DeliveryId, attempts: u32, at: Timestamp, why: &str) {
        let Some(Waiting { hook, what, attempts: before, .. }) = self.take(id) else { return };
        if attempts > before {
            self.counts.entry(hook.clone()).or_default().failed_attempts += 1;
        }
        self.dead.push_back(Dead { id, hook, what, at, attempts, why: why.to_owned() });
        if self.dead.len() > MAX_DEAD
            && let Some(oldest) = self.dead.pop_front()
        {
            self.counts.entry(oldest.hook).or_default().dropped += 1;
        }
    }

    fn revive(&mut self, id: DeliveryId, at: Timestamp) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            (waiting.next, waiting.since, waiting.attempts) = (at, at, 0);
            return;
        }
        let Some(place) = self.dead.iter().position(|dead| dead.id == id) else { return };
        let Some(Dead { id, hook, what, why, .. }) = self.dead.remove(place) else { return };
        let of_hook = hook.clone();
        self.waiting.push_back(Waiting {
            id,
            hook,
            what,
            since: at,
            attempts: 0,
            next: at,
            error: Some(why),
        });
        self.bound(&of_hook);
    }

    /// How often a hook was used.
    pub(crate) fn counts(&self, hook: &str) -> HookCounts {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        HookCounts {
            pending: count(self.waiting.iter().filter(|waiting| waiting.hook == hook).count()),
            dead: count(self.dead.iter().filter(|dead| dead.hook == hook).count()),
            ..self.counts.get(hook).copied().unwrap_or_default()
        }
    }

    /// Records that add up to the same state: what a file that has grown too long is replaced by.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.on.iter().map(|at| Record::On { at: *at }).collect();
        records.extend(
            self.cursors.iter().map(|(session, seq)| Record::Looked(Cursor { session: *session, seq: *seq })),
        );
        records.extend(self.marks.iter().map(|what| Record::Marked { what: what.clone() }));
        let happened = |id, hook: &String, what: &Arc<Happening>, since| Record::Happened {
            what: Box::new((**what).clone()),
            to: vec![Delivery { id, hook: hook.clone() }],
            looked: None,
            mark: None,
            since,
        };
        for dead in &self.dead {
            let Dead { id, hook, what, at, attempts, why } = dead;
            records.push(happened(*id, hook, what, *at));
            records.push(Record::Dead { id: *id, attempts: *attempts, at: *at, why: why.clone() });
        }
        for waiting in &self.waiting {
            let Waiting { id, hook, what, since, attempts, next, error } = waiting;
            records.push(happened(*id, hook, what, *since));
            if *attempts > 0 || error.is_some() || next != since {
                let (attempts, error) = (*attempts, error.clone().unwrap_or_default());
                records.push(Record::Failed { id: *id, attempts, next: *next, error });
            }
        }
        let counted =
            self.counts.iter().map(|(hook, counts)| Record::Counted { hook: hook.clone(), counts: *counts });
        records.extend(counted);
        records
    }
}

impl Mark {
    /// The session that it is about.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Failed { session } | Self::Keys { session } => Some(*session),
            Self::Parked { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
