//! What clients do with a session that exists, wherever it is: to its worker, onto the waiting list, or answered here.

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::ids::{RequestId, SessionId};
use skep_common::protocol::Reply;
use skep_common::session::Cause;

use super::core::{Act, Core, Effect, Intake, PendingWhat, ReplyTo, Waiter, answer, shutting_down};
use crate::sessions::{Entry, Place, not_found};

/// What an act needs of a session that no worker holds.
enum Stored {
    /// It is answered at once.
    Answer(Result<Reply, ApiError>),
    /// A worker must open the session first.
    Wake,
    /// Its journal says whether this was done before.
    Recall,
    /// The engine writes the session's end itself.
    Close(Cause),
}

impl Core {
    pub(crate) fn act(
        &mut self,
        id: SessionId,
        act: Act,
        reply: ReplyTo<Reply>,
        retried: bool,
        now: Timestamp,
    ) {
        let Some(entry) = self.index.get(id) else {
            return answer(reply, Err(not_found(&id.to_string())));
        };
        if self.intake == Intake::Stopping
            && matches!(act, Act::Prompt { .. } | Act::ReleaseQueue { .. } | Act::Change { .. })
        {
            return answer(reply, Err(shutting_down()));
        }
        let act = if entry.is_closed() { act } else { self.environed(id, act) };
        let Some(entry) = self.index.get(id) else { return };
        match entry.place().clone() {
            Place::Live(worker) => {
                let action = act.clone().into_action(id);
                self.send(worker, id, action, PendingWhat::Act { act, reply, retried });
            }
            Place::Waiting => self.act_on_waiting(id, act, reply, now),
            Place::Opening(_) | Place::Releasing(_) | Place::Recovering => {
                self.wait(id, Waiter::Act { act, reply, retried });
            }
            Place::Stored => match act_on_stored(entry, &act) {
                Stored::Answer(result) => answer(reply, result),
                Stored::Wake => self.wake(id, act, reply),
                Stored::Recall => self.effect(Effect::Recall { session: id, act, reply }),
                Stored::Close(_) if self.intake == Intake::Stopping => answer(reply, Err(shutting_down())),
                Stored::Close(cause) => {
                    self.index.set_place(id, Place::Recovering);
                    self.effect(Effect::CloseStored { session: id, cause });
                    self.wait(id, Waiter::Act { act, reply, retried });
                }
            },
        }
    }

    /// Keeps what a client gives of its environment, and lets its prompt carry all that the session was given.
    fn environed(&mut self, id: SessionId, mut act: Act) -> Act {
        if let Act::Prompt { environment: Some(given), .. } = &mut act {
            *given = self.environments.take(id, given.clone());
        }
        act
    }

    /// The session waits for a place: what would run waits with it, what ends it takes it off the list.
    fn act_on_waiting(&mut self, id: SessionId, act: Act, reply: ReplyTo<Reply>, now: Timestamp) {
        match act {
            Act::Close { .. } => {
                self.waiting.retain(|other| *other != id);
                let error =
                    ApiError::new(Code::SessionClosed, "the session was closed while it waited for a place");
                self.fail_waiters(id, &error);
                self.index.set_place(id, Place::Stored);
                self.act(id, act, reply, false, now);
            }
            Act::Cancel { prompt, .. } => {
                self.drop_waiting_prompts(id, prompt);
                answer(reply, Ok(self.done(id)));
            }
            Act::Prompt { .. } | Act::Answer { .. } | Act::ReleaseQueue { .. } | Act::Change { .. } => {
                self.wait(id, Waiter::Act { act, reply, retried: false });
            }
        }
    }

    fn drop_waiting_prompts(&mut self, id: SessionId, only: Option<skep_common::ids::PromptId>) {
        let Some(desk) = self.desks.get_mut(&id) else { return };
        let cancelled = desk.extract_if(.., |waiter| match waiter {
            Waiter::Act { act: Act::Prompt { prompt, .. }, .. } => {
                only.is_none_or(|wanted| wanted == *prompt)
            }
            _ => false,
        });
        for waiter in cancelled {
            waiter
                .fail(ApiError::new(Code::PromptNotFound, "the prompt was cancelled before it was accepted"));
        }
    }

    fn done(&self, id: SessionId) -> Reply {
        Reply::Done { head: self.index.get(id).map(|entry| entry.snapshot().head).unwrap_or_default() }
    }

    /// Opens a stored session on a worker for the sake of `act`.
    fn wake(&mut self, id: SessionId, act: Act, reply: ReplyTo<Reply>) {
        if self.intake == Intake::Stopping {
            return answer(reply, Err(shutting_down()));
        }
        if self.index.counted() >= self.policy.max_sessions {
            let message =
                format!("{} sessions are open, the limit (session.max_open)", self.policy.max_sessions);
            return answer(reply, Err(ApiError::new(Code::TooManySessions, message)));
        }
        match self.seat(id) {
            Ok(_) => self.wait(id, Waiter::Act { act, reply, retried: true }),
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// A worker has answered a request.
    pub(crate) fn acknowledged(&mut self, id: RequestId, result: Reply, now: Timestamp) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let session = pending.session;
        match (pending.what, result) {
            (PendingWhat::Open, Reply::Error { error }) => {
                self.open_failed(session, &pending.worker, &error, now);
            }
            (PendingWhat::Open, _) => self.opened(session, &pending.worker, now),
            (PendingWhat::Release, Reply::Error { .. }) => self.not_released(session, &pending.worker, now),
            (PendingWhat::Release, _) => {}
            (PendingWhat::Act { act, reply, retried: false }, Reply::Error { error })
                if error.code == Code::SessionNotFound =>
            {
                // The worker let go of the session while the request was under way.
                self.wait_or_act(session, act, reply, now);
            }
            (PendingWhat::Act { reply, .. }, Reply::Error { error }) => answer(reply, Err(error)),
            (PendingWhat::Act { act: act @ Act::Close { .. }, reply, .. }, _) => {
                self.wait_or_act(session, act, reply, now);
            }
            (PendingWhat::Act { reply, .. }, done) => {
                if let Reply::Changed { settings, .. } = &done {
                    self.index.set_settings(session, settings.as_ref().clone());
                }
                answer(reply, Ok(done));
            }
        }
    }

    /// Tries again when the session has come to rest, or at once if it has.
    fn wait_or_act(&mut self, id: SessionId, act: Act, reply: ReplyTo<Reply>, now: Timestamp) {
        match self.index.get(id).map(Entry::place) {
            Some(Place::Live(_)) => self.wait(id, Waiter::Act { act, reply, retried: true }),
            _ => self.act(id, act, reply, true, now),
        }
    }
}

fn act_on_stored(entry: &Entry, act: &Act) -> Stored {
    let snapshot = entry.snapshot();
    let done = Stored::Answer(Ok(Reply::Done { head: snapshot.head }));
    let closed = snapshot.state.is_closed();
    match act {
        Act::Prompt { repeatable: true, .. } if closed => Stored::Recall,
        Act::Prompt { .. } | Act::ReleaseQueue { .. } if closed => Stored::Answer(Err(session_closed())),
        Act::Change { .. } if closed => {
            let message = "the session is closed; its settings are history";
            Stored::Answer(Err(ApiError::new(Code::SessionClosed, message)))
        }
        Act::Prompt { .. } | Act::Change { .. } => Stored::Wake,
        Act::ReleaseQueue { .. } if snapshot.queued.is_empty() => done,
        Act::ReleaseQueue { .. } => Stored::Wake,
        Act::Cancel { prompt: Some(prompt), .. } if !closed && snapshot.queued.contains(prompt) => {
            Stored::Wake
        }
        Act::Cancel { .. } => done,
        Act::Answer { .. } => Stored::Recall,
        Act::Close { .. } if closed => done,
        Act::Close { cause } => Stored::Close(*cause),
    }
}

/// The error for a prompt to a closed session.
pub(super) fn session_closed() -> ApiError {
    ApiError::new(Code::SessionClosed, "the session is closed; it takes no prompts")
}
