//! Creating sessions, and removing them. Transactional: a failure frees the place and the name (G8).

use jiff::Timestamp;
use skep_common::api::SessionInfo;
use skep_common::code::{ApiError, Code};
use skep_common::ids::{SessionId, SessionName};
use skep_common::session::{
    Cause, PermissionMode, SessionFile, SessionKind, SessionOptions, SessionSnapshot, SessionSpec,
    SessionState, WhenBusy,
};

use super::core::{Act, Core, Effect, Intake, ReplyTo, Waiter, answer, shutting_down};
use super::delegation::Descent;
use super::seats::Seat;
use crate::sessions::{Entry, Place, not_found};

/// A checked request for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedCreate {
    /// The client's own id for it.
    pub(crate) id: Option<SessionId>,
    /// Its name.
    pub(crate) name: Option<SessionName>,
    /// Its agent, which exists.
    pub(crate) agent: Choice<String>,
    /// Whether that takes prompts while a turn runs.
    pub(crate) steers: bool,
    /// Its directory: absolute, symlinks resolved, allowed.
    pub(crate) cwd: String,
    /// Its permission mode.
    pub(crate) mode: Choice<PermissionMode>,
    /// What starts it.
    pub(crate) kind: SessionKind,
    /// Close it after its first turn.
    pub(crate) ephemeral: bool,
    /// Whatever else it is given.
    pub(crate) options: SessionOptions,
    /// If the name or id is open, continue that session.
    pub(crate) continue_open: bool,
    /// From inside of which session it is opened.
    pub(crate) descent: Descent,
}

/// A value, and whether the client asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice<T> {
    /// The client named it.
    Given(T),
    /// The configured default.
    Default(T),
}

impl<T: PartialEq> Choice<T> {
    /// The value.
    pub(crate) fn value(&self) -> &T {
        match self {
            Self::Given(value) | Self::Default(value) => value,
        }
    }

    fn into_inner(self) -> T {
        match self {
            Self::Given(value) | Self::Default(value) => value,
        }
    }

    fn conflicts_with(&self, other: &T) -> bool {
        matches!(self, Self::Given(value) if value != other)
    }
}

/// A session that was created, or found.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The session.
    pub info: SessionInfo,
    /// Whether it is new.
    pub created: bool,
}

impl Core {
    pub(crate) fn create(&mut self, request: CheckedCreate, reply: ReplyTo<Created>, now: Timestamp) {
        match self.admit(&request) {
            Err(error) => answer(reply, Err(error)),
            Ok(Some(info)) => answer(reply, Ok(Created { info, created: false })),
            Ok(None) => self.open_new(request, reply, now),
        }
    }

    /// Whether the request may have a new session, or which session it already has.
    fn admit(&self, request: &CheckedCreate) -> Result<Option<SessionInfo>, ApiError> {
        if self.intake == Intake::Stopping {
            return Err(shutting_down());
        }
        if let Some(entry) = request.id.and_then(|id| self.index.get(id)) {
            let same_name = request.name.is_none() || entry.spec().name == request.name;
            if request.continue_open && same_name {
                return self.found(request, entry).map(Some);
            }
            return Err(ApiError::new(
                Code::SessionExists,
                format!("the session id `{}` is taken", entry.spec().id),
            ));
        }
        if let Some(entry) = request.name.as_ref().and_then(|name| self.index.open_by_name(name)) {
            if request.continue_open && request.id.is_none() {
                return self.found(request, entry).map(Some);
            }
            let name = entry.spec().name.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = format!("the name `{name}` belongs to an open session; close it, or continue it");
            return Err(ApiError::new(Code::SessionExists, message));
        }
        if self.index.counted() >= self.policy.max_sessions {
            let message =
                format!("{} sessions are open, the limit (session.max_open)", self.policy.max_sessions);
            return Err(ApiError::new(Code::TooManySessions, message));
        }
        if request.options.when_busy == Some(WhenBusy::Steer) && !request.steers {
            let message =
                "options.when_busy: the agent takes no prompt while a turn runs; `queue` lets them wait";
            return Err(ApiError::new(Code::NotSupported, message));
        }
        self.check_room(&request.descent.lineage)?;
        Ok(None)
    }

    #[expect(clippy::unused_self, reason = "reads as a rule of the core, beside `admit`")]
    fn found(&self, request: &CheckedCreate, entry: &Entry) -> Result<SessionInfo, ApiError> {
        let spec = entry.spec();
        if request.descent.confined_to.is_some_and(|root| !spec.lineage.contains(&root)) {
            let message = "an open session of that name or id is none of yours; choose another";
            return Err(ApiError::new(Code::SessionExists, message));
        }
        let differs = if request.agent.conflicts_with(&spec.agent) {
            Some(("agent", spec.agent.clone()))
        } else if request.cwd != spec.cwd {
            Some(("directory", spec.cwd.clone()))
        } else if request.mode.conflicts_with(&spec.permission_mode) {
            let mode = serde_json::to_value(spec.permission_mode).ok();
            Some(("permission mode", mode.and_then(|m| m.as_str().map(str::to_owned)).unwrap_or_default()))
        } else if let Some(option) = request.options.conflict_with(&spec.options) {
            let has = serde_json::to_value(&spec.options).unwrap_or_default();
            Some((option, has.get(option).map_or_else(|| String::from("the default"), ToString::to_string)))
        } else {
            None
        };
        match differs {
            None => Ok(entry.info()),
            Some((what, has)) => {
                let name = spec.name.as_ref().map_or_else(|| spec.id.to_string(), ToString::to_string);
                let message =
                    format!("session `{name}` is open with another {what}: `{}`", has.escape_debug());
                Err(ApiError::new(Code::SessionConflict, message))
            }
        }
    }

    fn open_new(&mut self, request: CheckedCreate, reply: ReplyTo<Created>, now: Timestamp) {
        let id = request.id.unwrap_or_else(SessionId::random);
        let spec = SessionSpec {
            id,
            name: request.name,
            agent: request.agent.into_inner(),
            cwd: request.cwd,
            permission_mode: request.mode.into_inner(),
            kind: request.kind,
            ephemeral: request.ephemeral,
            options: request.options,
            lineage: request.descent.lineage.clone(),
            created_at: now,
        };
        let snapshot = SessionSnapshot::blank(id, SessionState::Starting, now);
        self.index.insert(spec, snapshot, Place::Stored);
        self.hand_down(&request.descent, id);
        match self.seat(id) {
            Err(error) => {
                self.environments.forget(id);
                drop(self.index.remove(id));
                answer(reply, Err(error));
            }
            Ok(Seat::Soon) => self.wait(id, Waiter::Created(reply)),
            Ok(Seat::Queued) => {
                self.wait(id, Waiter::Created(reply));
                self.tell_queued(id, now);
            }
        }
    }

    /// The session waits behind sessions that work: its creator need not wait with it. What is told is kept.
    pub(super) fn tell_queued(&mut self, id: SessionId, now: Timestamp) {
        let is_creating = |waiter: &mut Waiter| matches!(waiter, Waiter::Created(_));
        let Some(desk) = self.desks.get_mut(&id) else { return };
        let creators: Vec<Waiter> = desk.extract_if(.., is_creating).collect();
        if creators.is_empty() {
            return;
        }
        drop(self.index.set_snapshot(SessionSnapshot::blank(id, SessionState::Queued, now)));
        let Some(entry) = self.index.get(id) else { return };
        let file = SessionFile { spec: entry.spec().clone(), snapshot: Some(entry.snapshot().clone()) };
        for creator in creators {
            if let Waiter::Created(reply) = creator {
                answer(reply, Ok(Created { info: entry.info(), created: true }));
            }
        }
        self.effect(Effect::Persist(Box::new(file)));
    }

    /// Deletes a session's history; an open one only with `force`, which kills it first.
    pub(crate) fn remove(&mut self, id: SessionId, force: bool, reply: ReplyTo<()>, now: Timestamp) {
        let Some(entry) = self.index.get(id) else {
            return answer(reply, Err(not_found(&id.to_string())));
        };
        if !force && !entry.is_closed() {
            let message = "the session is open; close it first, or force its removal";
            return answer(reply, Err(ApiError::new(Code::SessionBusy, message)));
        }
        match entry.place() {
            Place::Stored => {
                self.index.set_place(id, Place::Recovering);
                self.effect(Effect::Delete { session: id });
                self.wait(id, Waiter::Remove { reply });
            }
            Place::Recovering | Place::Opening(_) | Place::Releasing(_) => {
                self.wait(id, Waiter::Remove { reply });
            }
            Place::Waiting => {
                self.waiting.retain(|other| *other != id);
                self.index.set_place(id, Place::Stored);
                self.fail_waiters(id, &ApiError::new(Code::SessionClosed, "the session was removed"));
                self.remove(id, true, reply, now);
            }
            Place::Live(_) => {
                let (killed, _) = tokio::sync::oneshot::channel();
                self.act(id, Act::Close { cause: Cause::Killed }, killed, false, now);
                self.wait(id, Waiter::Remove { reply });
            }
        }
    }

    /// The session's directory is gone, or could not be deleted.
    pub(crate) fn deleted(&mut self, id: SessionId, result: Result<(), ApiError>, now: Timestamp) {
        match result {
            Ok(()) => {
                self.environments.forget(id);
                drop(self.index.remove(id));
                for waiter in self.desks.remove(&id).unwrap_or_default() {
                    match waiter {
                        Waiter::Remove { reply } => answer(reply, Ok(())),
                        other => other.fail(not_found(&id.to_string())),
                    }
                }
            }
            Err(error) => {
                self.index.set_place(id, Place::Stored);
                let (removals, others): (Vec<_>, Vec<_>) = self
                    .desks
                    .remove(&id)
                    .unwrap_or_default()
                    .into_iter()
                    .partition(|waiter| matches!(waiter, Waiter::Remove { .. }));
                removals.into_iter().for_each(|waiter| waiter.fail(error.clone()));
                self.desks.insert(id, others);
                self.settle(id, now);
            }
        }
    }
}
