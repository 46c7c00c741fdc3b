//! Prompts and turns: accepted, journalled, acknowledged, given to the agent, ended.

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::environment::needs;
use skep_common::event::{
    Event, PromptDropped, PromptQueued, PromptSteered, QueueHeld, QueueReleased, TurnEnded, TurnStarted,
};
use skep_common::ids::{IncomingId, PromptId, RequestId};
use skep_common::protocol::Reply;
use skep_common::session::{
    Cause, ContentBlock, Resolution, Resume, SessionState, TurnOutcome, TurnSummary, WhenBusy,
};
use skep_journal::Fate;
use tokio::time::Instant;

use super::attachments::give_back;
use super::journal::Broken;
use super::{Fault, Session, Slot};
use crate::agent::acp::{Stop, ToAgent};
use crate::turn::outcome::{End, Seen, stopped};
use crate::turn::{Accepted, Cancelled, Prompt, Refusal, Steering};

/// What follows once a prompt is journalled and acknowledged.
#[derive(Debug)]
enum Then {
    Nothing,
    /// A turn begins.
    Begin,
    /// The agent is given the prompt in the turn that runs.
    Steer(PromptId, Vec<ContentBlock>),
}

/// What follows the end of a turn.
#[derive(Debug)]
pub(super) enum After {
    /// The next prompt, if one waits.
    Next,
    /// Nothing until a person says so; the session's state and why.
    Hold(SessionState, Option<String>),
}

/// How a prompt came.
#[derive(Debug)]
pub(super) struct Delivery {
    /// What to do while a turn runs.
    pub(super) when_busy: WhenBusy,
    /// It runs the turn again that was cut off.
    pub(super) retry: bool,
    /// Where its attachments wait.
    pub(super) incoming: Option<IncomingId>,
    /// Front end and user.
    pub(super) via: String,
}

impl Session {
    /// Accepts a prompt, journals it, acknowledges it, and starts its turn if nothing else runs (or gives it to the agent
    /// in the turn that does).
    pub(super) async fn prompt(
        &mut self,
        request: RequestId,
        prompt: Prompt,
        delivery: Delivery,
    ) -> Result<(), Broken> {
        let mut then = Then::Nothing;
        let done = self.accept(prompt, delivery, &mut then).await;
        self.acknowledge(request, done)?;
        match then {
            Then::Nothing => {}
            Then::Begin => {
                self.begin_turn();
                let changed = self.branch_changed().await;
                self.append(changed.into_iter().collect()).await?;
            }
            Then::Steer(prompt, content) => {
                self.steering += 1;
                self.tell(ToAgent::Steer(prompt, content));
            }
        }
        Ok(())
    }

    async fn accept(
        &mut self,
        mut prompt: Prompt,
        delivery: Delivery,
        then: &mut Then,
    ) -> Result<Reply, Fault> {
        let Delivery { when_busy, retry, incoming, via } = delivery;
        if let Some(before) = self.history.prompt(prompt.id)
            && before.fate != Fate::Queued
        {
            return Ok(Reply::Prompt { queued: false, duplicate: true, seq: before.seq, steered_into: None });
        }
        if let Some(ending) = &self.ending
            && !self.turns.knows(prompt.id)
        {
            return Err(ending.refusal().into());
        }
        let id = prompt.id;
        let how = (when_busy, self.can_steer());
        self.affordable(id, self.turns.steers(how) == Ok(true))?;
        let mut events = Vec::new();
        let taken = self.equip(&mut prompt, retry, incoming).await?;
        if retry && !self.turns.knows(id) {
            let superseded = self.turns.supersede();
            events.extend(
                superseded.map(|prompt| Event::PromptDropped(PromptDropped { prompt, cause: Cause::Person })),
            );
        }
        let queued_event = PromptQueued {
            prompt: id,
            content: prompt.content.clone(),
            via: via.clone(),
            consent: prompt.consent,
            timeout_seconds: prompt.timeout_seconds,
            retry_of: prompt.retry_of,
        };
        let missing = self.missing_keys();
        let accepted = match missing.as_slice() {
            [] => self.turns.accept(prompt, how, Timestamp::now()),
            _ => self.turns.shelve(prompt),
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(refusal) => {
                give_back(taken).await;
                return Err(refused(refusal).into());
            }
        };
        let (start, released, queued) = match accepted {
            Accepted::Duplicate { seq, queued, steered_into } => {
                return Ok(Reply::Prompt { queued, duplicate: true, seq, steered_into });
            }
            Accepted::Steered { into } => {
                return self.steered(into, queued_event, then).await;
            }
            Accepted::New { start, released, queued } => (start, released, queued),
        };
        if released {
            events.push(Event::QueueReleased(QueueReleased { via }));
        }
        let before = u64::try_from(events.len()).unwrap_or_default();
        events.push(Event::PromptQueued(queued_event));
        self.announce_turn(start, &mut events);
        events.extend(self.need_keys(&missing));
        let seq = self.commit(events).await? + before;
        self.turns.numbered(id, seq);
        if start.is_some() {
            *then = Then::Begin;
        }
        Ok(Reply::Prompt { queued, duplicate: false, seq, steered_into: None })
    }

    /// Whether the session's agent takes prompts in the turn that runs.
    fn can_steer(&self) -> Steering {
        let preset = self.shared.settings.agents.get(&self.spec.agent);
        match self.slot {
            _ if !preset.is_some_and(|preset| preset.driver.steers()) => Steering::Never,
            Slot::Ready(..) if self.prompted => Steering::Now,
            Slot::Ready(..) | Slot::Empty | Slot::Starting(_) | Slot::Stopping(_) => Steering::Later,
        }
    }

    /// Journals a prompt that goes into the running turn.
    async fn steered(
        &mut self,
        into: PromptId,
        prompt: PromptQueued,
        then: &mut Then,
    ) -> Result<Reply, Fault> {
        let PromptQueued { prompt, content, via, consent, .. } = prompt;
        let event = PromptSteered { prompt, turn: into, content: content.clone(), via, consent };
        let seq = self.commit(vec![Event::PromptSteered(event)]).await?;
        self.turns.numbered(prompt, seq);
        // The prompt was checked, and the agent that runs is the one that it was checked for.
        let fitted =
            self.fitted(&content).map_err(|unfit| ApiError::new(Code::Internal, unfit.to_string()))?;
        self.fitted.extend(fitted.notes);
        *then = Then::Steer(prompt, fitted.content);
        Ok(Reply::Prompt { queued: false, duplicate: false, seq, steered_into: Some(into) })
    }

    /// Gives a new prompt what it needs to run: the parts of the turn that it repeats, and its attachments; the new files.
    async fn equip(
        &self,
        prompt: &mut Prompt,
        retry: bool,
        incoming: Option<IncomingId>,
    ) -> Result<Vec<std::path::PathBuf>, ApiError> {
        if self.turns.knows(prompt.id) {
            return Ok(Vec::new());
        }
        if retry {
            self.again(prompt)?;
        }
        self.check_fit(&prompt.content)?;
        self.take_in(&prompt.content, incoming).await
    }

    /// The events with which a turn begins.
    fn announce_turn(&mut self, start: Option<PromptId>, events: &mut Vec<Event>) {
        if let Some(prompt) = start {
            self.used.turns += 1;
            self.cut_off = None;
            let just_queued =
                matches!(events.last(), Some(Event::PromptQueued(queued)) if queued.prompt == prompt);
            let waited = self.turns.running().filter(|_| !just_queued);
            let content = waited.map(|prompt| prompt.content.clone());
            events.push(Event::TurnStarted(TurnStarted { prompt, content }));
            let state = match self.slot {
                Slot::Ready(..) => SessionState::Running,
                Slot::Empty | Slot::Starting(_) | Slot::Stopping(_) => SessionState::Starting,
            };
            events.extend(self.enter(state, None));
        }
    }

    /// Gives the running prompt to the agent; starts the agent if there is none. The turn's start is journalled.
    pub(super) fn begin_turn(&mut self) {
        if self.turns.running().is_none() {
            return;
        }
        self.deadlines.turn_begins(self.turn_time());
        self.seen = Seen::default();
        self.updates.turn_begins();
        self.grants.turn_begins();
        self.meter.turn_begins();
        if self.unaffordable() {
            return;
        }
        let Some(prompt) = self.turns.running() else { return };
        let fitted = match &self.slot {
            Slot::Ready(..) => self.fitted(&prompt.content),
            Slot::Empty => return self.start_agent(),
            Slot::Starting(_) | Slot::Stopping(_) => return,
        };
        let fitted = match fitted {
            Ok(fitted) => fitted,
            Err(unfit) => return self.unfit = Some(unfit),
        };
        self.awake.prompted();
        let recap = self.recap.take().map(|text| ContentBlock::Text { text });
        self.tell(ToAgent::Prompt(recap.into_iter().chain(fitted.content).collect()));
        self.fitted = fitted.notes;
        self.prompted = true;
        self.listen();
    }

    /// Ends the running turn: synced, then told; then the next one, or a pause.
    pub(super) async fn end_turn(&mut self, end: End, after: After) -> Result<(), Broken> {
        let Some(ended) = self.turns.end() else { return Ok(()) };
        let end = self.with_limit(end);
        let usage = self.meter.turn(self.answer_tokens.take());
        self.used.end(end.outcome, &usage);
        let resolution = match end.outcome {
            TurnOutcome::Cancelled | TurnOutcome::Limit => Resolution::Cancelled,
            _ => Resolution::Withdrawn,
        };
        let cause = end.cause.unwrap_or(Cause::AgentCrashed);
        let mut events = self.withdraw(resolution, cause);
        events.extend(self.branch_changed().await);
        events.push(Event::TurnEnded(TurnEnded {
            prompt: ended.prompt.id,
            steered: ended.steered,
            outcome: end.outcome,
            cause: end.cause,
            stop_reason: end.stop_reason,
            detail: end.detail.clone(),
            exit_code: end.exit_code,
            usage: usage.clone(),
        }));
        (self.prompted, self.steering) = (false, 0);
        self.listen();
        self.deadlines.turn_ended();
        self.last_turn = Some(TurnSummary {
            prompt: ended.prompt.id,
            outcome: end.outcome,
            cause: end.cause,
            detail: end.detail,
            usage,
            ended_at: Timestamp::now(),
        });
        self.cut_off = (end.outcome == TurnOutcome::Interrupted).then_some(ended.prompt);
        let next = self.follow(after, cause, &mut events);
        self.commit(events).await?;
        self.release_asked();
        (self.served, self.unsaved) = (true, true);
        if next {
            self.begin_turn();
        }
        Ok(())
    }

    /// What follows a turn, as events; whether another turn starts.
    fn follow(&mut self, after: After, cause: Cause, events: &mut Vec<Event>) -> bool {
        if self.ending.is_some() {
            return false;
        }
        let (state, why) = match after {
            After::Next => (SessionState::Idle, None),
            After::Hold(state, why) => {
                let goes_on = state == SessionState::Interrupted && self.resume() == Resume::Always;
                let held = if goes_on { None } else { self.turns.hold() };
                events.extend(held.map(|prompts| Event::QueueHeld(QueueHeld { cause, prompts })));
                (state, why)
            }
        };
        let next = self.turns.next(Timestamp::now()).map(|prompt| prompt.id);
        match next {
            Some(_) => self.announce_turn(next, events),
            None => events.extend(self.enter(state, why)),
        }
        next.is_some()
    }

    /// Cancels the running turn, or drops a waiting prompt.
    pub(super) async fn cancel(&mut self, prompt: Option<PromptId>, cause: Cause) -> Result<Reply, Fault> {
        if self.ending.is_some() {
            return Ok(self.done());
        }
        match self.turns.cancel(prompt, cause) {
            Cancelled::Nothing => {}
            Cancelled::Unknown => {
                if prompt.is_none_or(|prompt| self.history.prompt(prompt).is_none()) {
                    return Err(ApiError::new(Code::PromptNotFound, "no such prompt in this session").into());
                }
            }
            Cancelled::Dropped(prompt) => {
                let mut events = vec![Event::PromptDropped(PromptDropped { prompt, cause })];
                events.extend(self.needs_nothing());
                self.commit(events).await?;
            }
            Cancelled::Turn if self.prompted => {
                let events = self.withdraw(Resolution::Cancelled, cause);
                if !events.is_empty() {
                    let running = self.enter(SessionState::Running, None);
                    self.commit(events.into_iter().chain(running).collect()).await?;
                }
                self.tell(ToAgent::Cancel);
                self.release_asked();
                self.deadlines.cancel = Some(Instant::now() + self.shared.settings.session.cancel_grace);
            }
            Cancelled::Turn => {
                if matches!(self.slot, Slot::Starting(_)) {
                    self.stopped_for = cause;
                    self.stop_agent(Stop::Kill);
                }
                self.unstartable = None;
                self.end_turn(End::ours(stopped(cause), cause, None), After::Next).await?;
            }
        }
        Ok(self.done())
    }

    /// Lets a held queue go on.
    pub(super) async fn release_queue(&mut self, via: String) -> Result<Reply, Fault> {
        if let Some(ending) = &self.ending {
            return Err(ending.refusal().into());
        }
        if self.turns.held() {
            let missing = self.missing_keys();
            if !missing.is_empty() {
                let message = format!("{}: prompt from a shell that has them", needs(&missing));
                return Err(ApiError::new(Code::CredentialsMissing, message).into());
            }
        }
        if self.turns.release() {
            let start = self.turns.next(Timestamp::now()).map(|prompt| prompt.id);
            let mut events = vec![Event::QueueReleased(QueueReleased { via })];
            self.announce_turn(start, &mut events);
            self.commit(events).await?;
            if start.is_some() {
                self.begin_turn();
            }
        }
        Ok(self.done())
    }
}

fn refused(refusal: Refusal) -> ApiError {
    let code = match refusal {
        Refusal::Busy => Code::SessionBusy,
        Refusal::CannotSteer => Code::NotSupported,
        Refusal::QueueFull | Refusal::SteeredEnough => Code::QueueFull,
    };
    ApiError::new(code, refusal.to_string())
}
