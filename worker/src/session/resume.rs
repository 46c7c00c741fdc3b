//! What brings a session back whose agent, worker or machine died: the policy, the keys that are missing, the turn that
//! was cut off.

use skep_common::code::{ApiError, Code};
use skep_common::environment::{needed, needs};
use skep_common::event::{Event, QueueHeld};
use skep_common::session::{Cause, Consent, Resume, SessionState};
use skep_config::Driver;

use super::journal::Broken;
use super::{Fault, Session, Slot};
use crate::agent::launch::missing_keys;
use crate::turn::Prompt;

impl Session {
    /// The session's policy.
    pub(super) fn resume(&self) -> Resume {
        self.spec.options.resume.unwrap_or(self.shared.settings.session.resume)
    }

    /// Whether the next agent gets the context of the one before: with `never`, only if that was stopped on purpose.
    pub(super) fn remembers(&self) -> bool {
        self.resume() != Resume::Never || self.left.is_some_and(|cause| !is_death(cause))
    }

    /// The session is open again. With `always`, one whose turn was cut off by a death comes back by itself: what was
    /// queued goes on; where nothing was, its agent is started with its context and waits. The turn that was cut off is
    /// not run again, and what a person has stopped stays so.
    pub(super) async fn come_back(&mut self) -> Result<(), Broken> {
        let held_by = self.history.held;
        let wanted = match held_by {
            Some(cause) => !matches!(cause, Cause::Person | Cause::Killed | Cause::Credentials),
            None => self.state == SessionState::Interrupted && self.left.is_none_or(is_death),
        };
        if self.resume() == Resume::Always && wanted {
            let missing = self.missing_keys();
            if !missing.is_empty() {
                let events = self.need_keys(&missing);
                self.append(events).await?;
            } else if self.turns.held() {
                match self.release_queue(String::from("resume = always")).await {
                    Err(Fault::Broken(broken)) => return Err(broken),
                    Ok(_) | Err(Fault::Refused(_)) => {}
                }
            } else {
                self.wake_agent().await?;
            }
        }
        self.settle().await
    }

    /// Starts an agent that has no prompt yet, so that it is back with its context. A command per prompt has none to
    /// start, and is back at once.
    pub(super) async fn wake_agent(&mut self) -> Result<(), Broken> {
        let preset = self.shared.settings.agents.get(&self.spec.agent);
        if preset.is_some_and(|preset| preset.driver == Driver::Oneshot) || self.agent_session.is_none() {
            return self.is_back().await;
        }
        if matches!(self.slot, Slot::Empty) {
            self.start_agent();
        }
        Ok(())
    }

    /// Whatever cut the last turn off, the session can go on.
    async fn is_back(&mut self) -> Result<(), Broken> {
        let event = self.enter(SessionState::Idle, None);
        self.unsaved = true;
        self.append(event.into_iter().collect()).await
    }

    /// The keys that the session's agent once had and would lack if a turn began now; none while one runs.
    pub(super) fn missing_keys(&self) -> Vec<String> {
        if self.turns.running().is_some() || !matches!(self.slot, Slot::Empty | Slot::Stopping(_)) {
            return Vec::new();
        }
        let credentials = &self.credentials;
        missing_keys(&self.spec, &self.shared.settings, credentials.captured(), credentials.had())
    }

    /// Nothing runs until somebody gives these keys, if there are any; the events.
    pub(super) fn need_keys(&mut self, missing: &[String]) -> Vec<Event> {
        if missing.is_empty() {
            return Vec::new();
        }
        let prompts = u32::try_from(self.turns.queued().len()).unwrap_or(u32::MAX);
        let state = self.enter(SessionState::NeedsYou, Some(needs(missing)));
        self.unsaved = true;
        let held =
            (prompts > 0).then_some(Event::QueueHeld(QueueHeld { cause: Cause::Credentials, prompts }));
        state.into_iter().chain(held).collect()
    }

    /// No prompt waits for keys any more: nobody is needed; the event.
    pub(super) fn needs_nothing(&mut self) -> Option<Event> {
        let over = self.turns.queued().is_empty() && self.needs_keys();
        over.then(|| self.enter(SessionState::Idle, None)).flatten()
    }

    /// Whether the session needs a person for its agent's keys.
    pub(super) fn needs_keys(&self) -> bool {
        self.state == SessionState::NeedsYou && needed(self.why.as_deref()).next().is_some()
    }

    /// Makes `prompt` run the turn again that was cut off. Consent to one's own command holds if it came with both.
    pub(super) fn again(&self, prompt: &mut Prompt) -> Result<(), ApiError> {
        let Some(cut) = &self.cut_off else {
            let message = "the last turn of this session was not cut off: there is nothing to run again";
            return Err(ApiError::new(Code::PromptNotFound, message));
        };
        prompt.retry_of = Some(cut.id);
        prompt.content.clone_from(&cut.content);
        if cut.consent != Consent::OwnCommand {
            prompt.consent = Consent::None;
        }
        prompt.timeout_seconds = prompt.timeout_seconds.or(cut.timeout_seconds);
        Ok(())
    }
}

/// Whether an agent that ended so had died: nobody had meant it to.
const fn is_death(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AgentCrashed
            | Cause::WorkerCrashed
            | Cause::SupervisorGone
            | Cause::Parked
            | Cause::StorageFailed
            | Cause::Unknown
            | Cause::Other
    )
}
