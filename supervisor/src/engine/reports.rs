//! What workers and the pool report.

use std::time::Duration;

use jiff::Timestamp;
use skep_common::api::WorkerInfo;
use skep_common::code::{ApiError, Code};
use skep_common::ids::{RequestId, WorkerId};
use skep_common::protocol::{Report, WorkerHello};
use skep_common::session::{Cause, SessionFile, SessionSnapshot, SessionState};

use tokio::time::Instant;

use super::core::{Core, Effect, PendingWhat, Waiter, answer};
use super::notify;
use crate::sessions::Place;

impl Core {
    /// A worker said hello.
    pub(crate) fn on_up(&mut self, worker: &WorkerId, hello: WorkerHello) {
        if !self.slots.set_up(worker) {
            self.effect(Effect::Refresh);
        }
        for snapshot in hello.sessions {
            self.on_snapshot(worker, snapshot);
        }
        self.pump_all();
    }

    /// The pool says where a worker stands.
    pub(crate) fn on_worker(&mut self, info: &WorkerInfo) {
        self.slots.observe(info);
        self.pump_all();
    }

    /// The pool says where all workers stand, after one said hello that it had not told of.
    pub(crate) fn on_workers(&mut self, infos: &[WorkerInfo]) {
        for info in infos {
            self.slots.observe(info);
            if info.state == skep_common::api::WorkerState::Running {
                self.slots.set_up(&info.id);
            }
        }
        self.pump_all();
    }

    /// A worker that was asked for is there, or will not come.
    pub(crate) fn on_grown(&mut self, kind: &str, grown: Result<WorkerInfo, ApiError>, now: Timestamp) {
        self.slots.end_growing(kind);
        match grown {
            Ok(info) => {
                if self.slots.kind(&info.id).is_none() {
                    self.slots.observe(&info);
                }
                self.grown.insert(info.id, None);
            }
            Err(error) => {
                tracing::warn!(worker.kind = kind, "no further {kind} worker: {error}");
                self.no_growth(kind, &error, now);
            }
        }
        self.pump_all();
    }

    /// A worker is not in the pool any more.
    pub(crate) fn on_removed(&mut self, worker: &WorkerId) {
        self.on_down(worker, Cause::WorkerStopped);
        self.slots.remove(worker);
        self.grown.remove(worker);
        self.pump_all();
    }

    /// Which of the workers that were started on demand hold nothing, and since when; stops those that have been so
    /// for `patience`. The answer is when to look again.
    pub(crate) fn retire_idle(&mut self, now: Instant, patience: Duration) -> Option<Instant> {
        let mut next = None;
        let mut retired = Vec::new();
        for (worker, idle_since) in &mut self.grown {
            if self.index.on_worker(worker).next().is_some() {
                *idle_since = None;
                continue;
            }
            let at = *idle_since.get_or_insert(now) + patience;
            if at <= now {
                retired.push(worker.clone());
            } else {
                next = Some(next.map_or(at, |earliest: Instant| earliest.min(at)));
            }
        }
        for worker in retired {
            self.grown.remove(&worker);
            self.slots.set_retiring(&worker);
            self.effect(Effect::Retire(worker));
        }
        next
    }

    /// A worker's whole tree is gone: its sessions are recovered, and who waits for an answer is told.
    pub(crate) fn on_down(&mut self, worker: &WorkerId, cause: Cause) {
        self.slots.set_down(worker);
        let lost: Vec<_> = self.pending.extract_if(|_, pending| pending.worker == *worker).collect();
        for (_, pending) in lost {
            if let PendingWhat::Act { reply, .. } = pending.what {
                answer(reply, Err(worker_gone()));
            }
        }
        let held: Vec<_> =
            self.index.on_worker(worker).map(|entry| (entry.spec().id, entry.place().clone())).collect();
        for (session, place) in held {
            if matches!(place, Place::Opening(_)) {
                self.fail_unless_removal(session);
            }
            self.index.set_place(session, Place::Recovering);
            self.effect(Effect::Recover { session, cause });
        }
        self.pump_all();
    }

    fn fail_unless_removal(&mut self, session: skep_common::ids::SessionId) {
        let (removals, others): (Vec<_>, Vec<_>) = self
            .desks
            .remove(&session)
            .unwrap_or_default()
            .into_iter()
            .partition(|waiter| matches!(waiter, Waiter::Remove { .. }));
        others.into_iter().for_each(|waiter| waiter.fail(worker_gone()));
        if !removals.is_empty() {
            self.desks.insert(session, removals);
        }
    }

    /// The request never reached its worker.
    pub(crate) fn undelivered(&mut self, id: RequestId, now: Timestamp) {
        let Some(pending) = self.pending.remove(&id) else { return };
        match pending.what {
            PendingWhat::Act { reply, .. } => answer(reply, Err(worker_gone())),
            PendingWhat::Open => self.open_failed(pending.session, &pending.worker, &worker_gone(), now),
            PendingWhat::Release => self.not_released(pending.session, &pending.worker, now),
        }
    }

    pub(crate) fn on_report(&mut self, worker: &WorkerId, report: Report, now: Timestamp) {
        match report {
            Report::Ack { id, reply } => {
                if self.pending.get(&id).is_some_and(|pending| pending.worker == *worker) {
                    self.acknowledged(id, reply, now);
                }
            }
            Report::Session(snapshot) => self.on_snapshot(worker, snapshot),
            Report::Head { session, head } => {
                if self.holds(worker, session) {
                    self.index.set_head(session, head);
                }
            }
            Report::Released(snapshot) => self.on_released(worker, snapshot, now),
            // The pool's business.
            Report::Hello(_) | Report::Heartbeat { .. } | Report::Fenced { .. } | Report::Unknown => {}
        }
    }

    /// A worker speaks only for the sessions that it holds: what another says of them is ignored.
    fn holds(&self, worker: &WorkerId, session: skep_common::ids::SessionId) -> bool {
        self.index.get(session).is_some_and(|entry| entry.place().worker() == Some(worker))
    }

    fn on_snapshot(&mut self, worker: &WorkerId, snapshot: SessionSnapshot) {
        let id = snapshot.id;
        let Some(entry) = self.index.get(id) else {
            self.effect(Effect::LoadSpec { snapshot: Box::new(snapshot), worker: worker.clone() });
            return;
        };
        match entry.place() {
            Place::Stored => self.index.set_place(id, Place::Live(worker.clone())),
            Place::Opening(holder) | Place::Live(holder) | Place::Releasing(holder) if holder == worker => {}
            _ => return,
        }
        self.take_snapshot(worker, snapshot);
        // It may make room now, or another has to in its place.
        if !self.waiting.is_empty() {
            self.pump_all();
        }
    }

    fn take_snapshot(&mut self, worker: &WorkerId, snapshot: SessionSnapshot) {
        let (id, snapshot) = (snapshot.id, SessionSnapshot { worker: Some(worker.clone()), ..snapshot });
        let Some(before) = self.index.set_snapshot(snapshot) else { return };
        if let Some(entry) = self.index.get(id)
            && let Some(notice) = notify::notice(&before, entry)
        {
            self.effect(Effect::Notify(notice));
        }
    }

    fn on_released(&mut self, worker: &WorkerId, snapshot: SessionSnapshot, now: Timestamp) {
        let id = snapshot.id;
        if !self.holds(worker, id) {
            return;
        }
        let without = SessionSnapshot { agent: None, agent_silent_since: None, kept_awake: None, ..snapshot };
        self.take_snapshot(worker, without);
        if let Some(entry) = self.index.get(id) {
            let mut stored = entry.snapshot().clone();
            stored.worker = None;
            if stored.state.is_live() && stored.needed_keys().next().is_none() {
                stored.state = SessionState::Hibernated;
            }
            drop(self.index.set_snapshot(stored));
        }
        self.index.set_place(id, Place::Stored);
        self.settle(id, now);
        self.pump_all();
    }

    /// The settings of a session that a worker brought along.
    pub(crate) fn spec_loaded(&mut self, worker: &WorkerId, file: SessionFile) {
        let Some(snapshot) = file.snapshot else { return };
        if self.index.get(snapshot.id).is_none() {
            self.index.insert(file.spec, snapshot.clone(), Place::Live(worker.clone()));
        }
        self.on_snapshot(worker, snapshot);
    }
}

fn worker_gone() -> ApiError {
    ApiError::new(
        Code::WorkerGone,
        "the worker went away before it answered; to try again with the same id is safe",
    )
}
