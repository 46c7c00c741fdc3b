//! Giving sessions a place on a worker, in the order in which they came.

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::ids::{SessionId, WorkerId};
use skep_common::protocol::Action;
use skep_common::session::{Cause, SessionState};

use super::core::{Core, Effect, Intake, PendingWhat, never_began};
use super::slots::{BACKGROUND, REMOTE_CONTROL, worker_kind};
use crate::sessions::{Entry, Place};

/// What became of a wish for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// It has one, or one comes by itself.
    Soon,
    /// Every place is taken by a session that works.
    Queued,
}

impl Core {
    /// Puts a stored session in line for a place.
    ///
    /// # Errors
    ///
    /// `pool_full` when no worker of its kind can come, or the line is full; the session is stored as before.
    pub(super) fn seat(&mut self, id: SessionId) -> Result<Seat, ApiError> {
        let kind = self.kind_of(id);
        if !self.slots.has_prospects(kind) {
            return Err(no_worker(kind));
        }
        self.index.set_place(id, Place::Waiting);
        self.waiting.push_back(id);
        self.pump(kind);
        if self.index.get(id).is_none_or(|entry| *entry.place() != Place::Waiting) {
            return Ok(Seat::Soon);
        }
        let before = self.line(kind).take_while(|other| *other != id).count();
        let incoming = self.slots.incoming(kind, &self.index);
        if before < incoming {
            return Ok(Seat::Soon);
        }
        if before - incoming < self.policy.max_waiting {
            return Ok(Seat::Queued);
        }
        self.waiting.retain(|other| *other != id);
        self.index.set_place(id, Place::Stored);
        let message = format!("every {kind} worker is full and {before} sessions wait; try again later");
        Err(ApiError::new(Code::PoolFull, message))
    }

    fn kind_of(&self, id: SessionId) -> &'static str {
        self.index.get(id).map_or(REMOTE_CONTROL, |entry| worker_kind(entry.spec().kind))
    }

    /// The sessions of `kind` that wait for a place, first come first.
    fn line<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = SessionId> + 'a {
        self.waiting.iter().copied().filter(move |id| self.kind_of(*id) == kind)
    }

    /// Gives free places to whoever waits, and makes room for the rest: by one more worker, else by letting go of the
    /// idle sessions that were used least recently.
    pub(super) fn pump(&mut self, kind: &str) {
        if self.intake == Intake::Stopping {
            return;
        }
        loop {
            let first = self.line(kind).next();
            let Some(id) = first else { break };
            let Some(worker) = self.slots.choose(kind, &self.index) else { break };
            self.waiting.retain(|other| *other != id);
            self.open_on(id, worker);
        }
        while self.line(kind).count() > self.slots.incoming(kind, &self.index) {
            if self.slots.may_grow(kind) {
                self.slots.begin_growing(kind);
                self.effect(Effect::Grow(kind.to_owned()));
            } else if !self.evict_one(kind) {
                break;
            }
        }
        if !self.slots.has_prospects(kind) {
            let stranded: Vec<SessionId> = self.line(kind).collect();
            self.waiting.retain(|id| !stranded.contains(id));
            for id in stranded {
                self.unseat(id, &no_worker(kind));
            }
        }
    }

    /// One worker more was wished for and cannot be had: those to whom it was promised wait in the queue, or hear
    /// that there is no room there.
    pub(super) fn no_growth(&mut self, kind: &str, error: &ApiError, now: Timestamp) {
        self.slots.block_growth(kind);
        self.pump(kind);
        let incoming = self.slots.incoming(kind, &self.index);
        let behind: Vec<SessionId> = self.line(kind).skip(incoming).collect();
        for (position, id) in behind.into_iter().enumerate() {
            if position < self.policy.max_waiting {
                self.tell_queued(id, now);
            } else {
                self.waiting.retain(|other| *other != id);
                self.unseat(id, error);
            }
        }
    }

    pub(super) fn pump_all(&mut self) {
        self.pump(REMOTE_CONTROL);
        self.pump(BACKGROUND);
    }

    fn open_on(&mut self, id: SessionId, worker: WorkerId) {
        let Some(spec) = self.index.get(id).map(|entry| entry.spec().clone()) else { return };
        self.index.set_place(id, Place::Opening(worker.clone()));
        let environment = self.environments.of(id);
        self.send(worker, id, Action::OpenSession { spec, environment }, PendingWhat::Open);
    }

    fn evict_one(&mut self, kind: &str) -> bool {
        let oldest = self
            .slots
            .up(kind)
            .flat_map(|worker| self.index.on_worker(worker))
            .filter(|entry| entry.is_evictable() && !self.is_wanted(entry))
            .min_by_key(|entry| entry.snapshot().updated_at)
            .map(|entry| entry.spec().id);
        let Some(session) = oldest else { return false };
        self.let_hibernate(session, Cause::Idle);
        true
    }

    /// Whether a request to the session is under way.
    pub(super) fn is_wanted(&self, entry: &Entry) -> bool {
        let id = entry.spec().id;
        self.desks.contains_key(&id) || self.pending.values().any(|pending| pending.session == id)
    }

    /// The worker holds the session.
    pub(super) fn opened(&mut self, id: SessionId, worker: &WorkerId, now: Timestamp) {
        let Some(entry) = self.index.get(id) else { return };
        if *entry.place() != Place::Opening(worker.clone()) {
            return;
        }
        if !entry.snapshot().state.is_live() {
            let mut snapshot = entry.snapshot().clone();
            (snapshot.state, snapshot.why, snapshot.updated_at) = (SessionState::Idle, None, now);
            drop(self.index.set_snapshot(snapshot));
        }
        self.index.set_place(id, Place::Live(worker.clone()));
        self.settle(id, now);
    }

    /// The worker could not open the session: its place is free again, and what never began is forgotten.
    pub(super) fn open_failed(&mut self, id: SessionId, worker: &WorkerId, error: &ApiError, now: Timestamp) {
        let Some(entry) = self.index.get(id) else { return };
        if *entry.place() != Place::Opening(worker.clone()) {
            return;
        }
        let kind = self.kind_of(id);
        self.unseat(id, error);
        if let Some(entry) = self.index.get(id)
            && entry.snapshot().state == SessionState::Queued
        {
            let mut snapshot = entry.snapshot().clone();
            (snapshot.state, snapshot.why, snapshot.updated_at) =
                (SessionState::Failed, Some(error.message.clone()), now);
            drop(self.index.set_snapshot(snapshot));
        }
        self.pump(kind);
    }

    /// Takes back a wish for a place: whoever waits for the session is told why, and what never began is forgotten.
    pub(super) fn unseat(&mut self, id: SessionId, error: &ApiError) {
        let Some(entry) = self.index.get(id) else { return };
        let never_began = never_began(entry);
        self.index.set_place(id, Place::Stored);
        self.fail_waiters(id, error);
        if never_began {
            self.environments.forget(id);
            drop(self.index.remove(id));
            self.effect(Effect::Discard { session: id });
        }
    }

    /// The worker did not let go of the session: it has become busy.
    pub(super) fn not_released(&mut self, id: SessionId, worker: &WorkerId, now: Timestamp) {
        let releasing = self.index.get(id).is_some_and(|e| *e.place() == Place::Releasing(worker.clone()));
        if releasing {
            self.index.set_place(id, Place::Live(worker.clone()));
            self.settle(id, now);
            // Whoever waits is served with the next snapshot: until then it looks as idle as before.
        }
    }
}

fn no_worker(kind: &str) -> ApiError {
    let message = format!(
        "no {kind} worker runs and none may be started; see `skep worker ls`, and `skep worker unpark`"
    );
    ApiError::new(Code::PoolFull, message)
}
