//! The engine's state and rules, without I/O: calls and pool events come in, effects go out.
//!
//! Owned by the engine's actor. Replies leave through the one-shot channels that came with the calls; everything else
//! that must happen is an [`Effect`]. Nothing here awaits or reads a clock.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::environment::CapturedEnvironment;
use skep_common::ids::{AnswerId, IncomingId, PermissionId, PromptId, RequestId, SessionId, WorkerId};
use skep_common::protocol::{Action, Decision, Reply};
use skep_common::session::{
    Cause, Consent, ContentBlock, Head, Resume, SessionChange, SessionFile, SessionSnapshot, SessionSpec,
    SessionState, WhenBusy,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::comeback::Returns;
use super::create::Created;
use super::delegation::Room;
use super::environment::Environments;
use super::memory::Watch;
use super::notify::Notice;
use super::slots::{KindLimit, Slots};
use crate::sessions::{Index, Place};

/// Where an answer goes.
pub(crate) type ReplyTo<T> = oneshot::Sender<Result<T, ApiError>>;

/// The limits and defaults that the core applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Open sessions at most (G17).
    pub(crate) max_sessions: usize,
    /// Sessions that may wait for a place.
    pub(crate) max_waiting: usize,
    /// Requests that may wait for one session.
    pub(crate) max_requests: usize,
    /// The limits of each kind of worker.
    pub(crate) kinds: Vec<(String, KindLimit)>,
    /// How much all agents may take, in bytes.
    pub(crate) memory_budget: Option<u64>,
    /// What brings sessions back that do not say.
    pub(crate) resume: Resume,
    /// Open sessions below another at most.
    pub(crate) room: Room,
}

/// What a client wants of a session that exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Run a prompt.
    Prompt {
        /// Its id.
        prompt: PromptId,
        /// What it says.
        content: Vec<ContentBlock>,
        /// What to do while a turn runs.
        when_busy: WhenBusy,
        /// Whose consent comes with it.
        consent: Consent,
        /// Front end and user.
        via: String,
        /// Seconds until its turn is cancelled.
        timeout_seconds: Option<u64>,
        /// What the client gave of its environment.
        environment: Option<CapturedEnvironment>,
        /// Run the turn that was cut off again.
        retry: bool,
        /// Where its attachments wait, if it has any.
        incoming: Option<IncomingId>,
        /// Whether the client chose the id, so that this may be its second delivery.
        repeatable: bool,
    },
    /// Cancel a turn or a queued prompt.
    Cancel {
        /// Only this one.
        prompt: Option<PromptId>,
        /// Why.
        cause: Cause,
    },
    /// Answer a permission request.
    Answer {
        /// The request.
        permission: PermissionId,
        /// The answer's id.
        answer: AnswerId,
        /// What is decided.
        decision: Decision,
        /// Front end and user.
        via: String,
    },
    /// Let a held queue go on.
    ReleaseQueue {
        /// Front end and user.
        via: String,
    },
    /// Change its settings.
    Change {
        /// What changes.
        change: Box<SessionChange>,
        /// Front end and user.
        via: String,
    },
    /// End the session for good.
    Close {
        /// Person or killed.
        cause: Cause,
    },
}

impl Act {
    pub(super) fn into_action(self, session: SessionId) -> Action {
        match self {
            Self::Prompt {
                prompt,
                content,
                when_busy,
                consent,
                via,
                timeout_seconds,
                environment,
                retry,
                incoming,
                repeatable: _,
            } => Action::Prompt {
                session,
                prompt,
                content,
                when_busy,
                consent,
                via,
                timeout_seconds,
                environment,
                retry,
                incoming,
            },
            Self::Cancel { prompt, cause } => Action::Cancel { session, prompt, cause },
            Self::Answer { permission, answer, decision, via } => {
                Action::Answer { session, permission, answer, decision, via }
            }
            Self::ReleaseQueue { via } => Action::ReleaseQueue { session, via },
            Self::Change { change, via } => Action::Change { session, change, via },
            Self::Close { cause } => Action::Close { session, cause },
        }
    }
}

/// Somebody who waits until a session has come to rest in one place.
#[derive(Debug)]
pub(super) enum Waiter {
    /// The creator.
    Created(ReplyTo<Created>),
    /// A client with something to do.
    Act { act: Act, reply: ReplyTo<Reply>, retried: bool },
    /// A client that wants it gone.
    Remove { reply: ReplyTo<()> },
}

impl Waiter {
    pub(super) fn fail(self, error: ApiError) {
        match self {
            Self::Created(reply) => answer(reply, Err(error)),
            Self::Act { reply, .. } => answer(reply, Err(error)),
            Self::Remove { reply } => answer(reply, Err(error)),
        }
    }
}

/// A request that a worker has not acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) session: SessionId,
    pub(super) worker: WorkerId,
    pub(super) what: PendingWhat,
}

#[derive(Debug)]
pub(super) enum PendingWhat {
    Open,
    Release,
    Act { act: Act, reply: ReplyTo<Reply>, retried: bool },
}

/// What the actor has to do.
#[expect(clippy::large_enum_variant, reason = "a few at a time; each is carried out at once")]
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send a request to a worker; its acknowledgement or failure comes back with the same id.
    Send {
        /// To whom.
        worker: WorkerId,
        /// The request.
        id: RequestId,
        /// What to do.
        action: Action,
    },
    /// Repair the journal of a session whose holder is gone.
    Recover {
        /// The session.
        session: SessionId,
        /// Why its turn ended.
        cause: Cause,
    },
    /// Write the end of a session that no worker holds.
    CloseStored {
        /// The session.
        session: SessionId,
        /// Why.
        cause: Cause,
    },
    /// Delete the session's directory.
    Delete {
        /// The session.
        session: SessionId,
    },
    /// Delete what a failed start may have left; nobody waits for it.
    Discard {
        /// The session.
        session: SessionId,
    },
    /// Look into the journal of a session that nobody holds: whether this was done before.
    Recall {
        /// The session.
        session: SessionId,
        /// What a client wants done.
        act: Act,
        /// Where the answer goes.
        reply: ReplyTo<Reply>,
    },
    /// Write `session.json` of a session that no worker has opened yet.
    Persist(Box<SessionFile>),
    /// Start one more worker of this kind.
    Grow(String),
    /// Read the settings of a session that a worker brought along.
    LoadSpec {
        /// Its state.
        snapshot: Box<SessionSnapshot>,
        /// Its holder.
        worker: WorkerId,
    },
    /// Ask the pool for its workers.
    Refresh,
    /// Stop a worker that was started on demand and holds nothing.
    Retire(WorkerId),
    /// Tell a worker to keep no agent ready.
    SpareMemory(WorkerId),
    /// Tell the person.
    Notify(Notice),
}

/// Whether new work is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It is.
    Open,
    /// The daemon stops.
    Stopping,
}

/// All of the engine's state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) index: Index,
    pub(crate) policy: Policy,
    pub(super) slots: Slots,
    pub(super) waiting: VecDeque<SessionId>,
    pub(super) desks: HashMap<SessionId, Vec<Waiter>>,
    pub(super) pending: HashMap<RequestId, Pending>,
    pub(super) intake: Intake,
    pub(super) grown: BTreeMap<WorkerId, Option<Instant>>,
    pub(super) environments: Environments,
    pub(super) watch: Watch,
    pub(super) returns: Returns,
    effects: Vec<Effect>,
}

/// Sends an answer; the one who asked may have gone away, which is harmless (G22).
pub(super) fn answer<T>(reply: ReplyTo<T>, result: Result<T, ApiError>) {
    drop(reply.send(result));
}

pub(super) fn shutting_down() -> ApiError {
    ApiError::new(Code::ShuttingDown, "the daemon is stopping")
}

impl Core {
    pub(crate) fn new(index: Index, policy: Policy) -> Self {
        let mut core = Self {
            index,
            policy: policy.clone(),
            slots: Slots::default(),
            waiting: VecDeque::new(),
            desks: HashMap::new(),
            pending: HashMap::new(),
            intake: Intake::Open,
            grown: BTreeMap::new(),
            environments: Environments::default(),
            watch: Watch::default(),
            returns: Returns::default(),
            effects: Vec::new(),
        };
        core.set_policy(policy);
        core
    }

    /// What has to be done now.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// New limits, after a reload.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        for (kind, limit) in &policy.kinds {
            self.slots.set_limit(kind, *limit);
        }
        self.policy = policy;
    }

    /// Takes no new work from here on; what waits for a place is refused.
    pub(crate) fn stop_intake(&mut self) {
        self.intake = Intake::Stopping;
        for id in std::mem::take(&mut self.waiting) {
            self.unseat(id, &shutting_down());
        }
    }

    /// Whether nothing is held, recovered or awaited any more.
    pub(crate) fn is_quiet(&self) -> bool {
        self.index.iter().all(|entry| *entry.place() == Place::Stored)
    }

    /// Sessions that still stand on a worker, once the pool has said that all are gone.
    pub(crate) fn recover_leftovers(&mut self, cause: Cause) {
        let left: Vec<WorkerId> =
            self.index.iter().filter_map(|entry| entry.place().worker().cloned()).collect();
        for worker in left {
            self.on_down(&worker, cause);
        }
    }

    pub(super) fn send(&mut self, worker: WorkerId, session: SessionId, action: Action, what: PendingWhat) {
        let id = RequestId::random();
        self.pending.insert(id, Pending { session, worker: worker.clone(), what });
        self.effect(Effect::Send { worker, id, action });
    }

    /// Lets a client wait until the session has come to rest.
    pub(super) fn wait(&mut self, id: SessionId, waiter: Waiter) {
        let desk = self.desks.entry(id).or_default();
        if desk.len() >= self.policy.max_requests {
            waiter.fail(ApiError::new(Code::QueueFull, "too many requests wait for this session"));
        } else {
            desk.push(waiter);
        }
    }

    /// The session has come to rest: whoever waited for that goes on.
    pub(super) fn settle(&mut self, id: SessionId, now: Timestamp) {
        if self.index.get(id).is_none_or(crate::sessions::Entry::is_closed) {
            self.environments.forget(id);
        }
        for waiter in self.desks.remove(&id).unwrap_or_default() {
            match waiter {
                Waiter::Created(reply) => {
                    let info = self.index.get(id).map(|entry| Created { info: entry.info(), created: true });
                    answer(reply, info.ok_or_else(|| crate::sessions::not_found(&id.to_string())));
                }
                Waiter::Act { act, reply, retried } => self.act(id, act, reply, retried, now),
                Waiter::Remove { reply } => self.remove(id, true, reply, now),
            }
        }
    }

    pub(super) fn fail_waiters(&mut self, id: SessionId, error: &ApiError) {
        for waiter in self.desks.remove(&id).unwrap_or_default() {
            waiter.fail(error.clone());
        }
    }

    /// A session as the disk has it, at start.
    pub(crate) fn restore(
        &mut self,
        spec: SessionSpec,
        snapshot: SessionSnapshot,
        unfinished: Option<Cause>,
    ) {
        let id = spec.id;
        let place = if unfinished.is_some() { Place::Recovering } else { Place::Stored };
        self.index.insert(spec, snapshot, place);
        if let Some(cause) = unfinished {
            self.effect(Effect::Recover { session: id, cause });
        }
    }

    /// A task has repaired, closed or looked at a session's journal.
    pub(crate) fn recovered(
        &mut self,
        id: SessionId,
        result: Result<Box<SessionFile>, Unrecovered>,
        now: Timestamp,
    ) {
        let Some(entry) = self.index.get(id) else { return };
        if *entry.place() != Place::Recovering {
            return;
        }
        match result {
            Ok(_) if never_began(entry) => {
                // Its creator was told that it failed.
                self.effect(Effect::Delete { session: id });
                return;
            }
            Ok(file) => self.take_recovered(*file, now),
            Err(Unrecovered::NeverBegan) => {
                drop(self.index.remove(id));
                let error = ApiError::new(Code::WorkerGone, "its worker went away before the session began");
                self.fail_waiters(id, &error);
                return;
            }
            Err(Unrecovered::Failed(why)) => {
                let mut snapshot = entry.snapshot().clone();
                (snapshot.state, snapshot.why) = (SessionState::Failed, Some(why));
                (snapshot.turn, snapshot.agent, snapshot.updated_at) = (None, None, now);
                snapshot.waiting.clear();
                drop(self.index.set_snapshot(snapshot));
            }
        }
        self.index.set_place(id, Place::Stored);
        self.settle(id, now);
        self.bring_back(id, now);
    }

    fn take_recovered(&mut self, file: SessionFile, now: Timestamp) {
        let id = file.spec.id;
        let blank = || SessionSnapshot::blank(id, SessionState::Hibernated, now);
        self.index.set_settings(id, file.spec.settings());
        let Some(before) = self.index.set_snapshot(file.snapshot.unwrap_or_else(blank)) else { return };
        let Some(entry) = self.index.get(id) else { return };
        let cause = entry.snapshot().last_turn.as_ref().and_then(|turn| turn.cause);
        // Nobody needs to hear of what ended with the daemon or with the machine.
        let is_news = !matches!(cause, Some(Cause::DaemonStopped | Cause::SupervisorGone | Cause::Unknown));
        if is_news && let Some(notice) = super::notify::notice(&before, entry) {
            self.effect(Effect::Notify(notice));
        }
    }

    /// The bell of a session's journal.
    pub(crate) fn watch_head(
        &mut self,
        id: SessionId,
    ) -> Result<tokio::sync::watch::Receiver<Head>, ApiError> {
        self.index.watch_head(id).ok_or_else(|| crate::sessions::not_found(&id.to_string()))
    }
}

/// Whether nothing of the session has happened and its creator has not been told of it.
pub(super) fn never_began(entry: &crate::sessions::Entry) -> bool {
    entry.snapshot().head.seq == 0 && entry.snapshot().state == SessionState::Starting
}

/// Why a session could not be recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unrecovered {
    /// Nothing of it is on disk.
    NeverBegan,
    /// Its journal cannot be read or written, or another process holds it.
    Failed(String),
}
