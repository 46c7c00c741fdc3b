//! How a session ends: closed for good, or let go of. The turn first, then the agent, then the journal, then the lease.

use std::time::Duration;

use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, PromptDropped, QueueHeld, SessionClosed};
use skep_common::ids::RequestId;
use skep_common::protocol::Reply;
use skep_common::session::{Cause, Resolution, SessionState, TurnOutcome};
use skep_common::words;
use tokio::time::{Instant, timeout};

use super::journal::Broken;
use super::open::remember;
use super::prompts::After;
use super::{Halt, Session, Slot, not_held};
use crate::agent::acp::{Stop, ToAgent};
use crate::turn::outcome::End;

/// How long an agent may take to answer the cancel of a session that ends (agents.md 6.2).
const TURN: Duration = Duration::from_secs(2);

/// How long a failing journal may take to be closed.
const CLOSE: Duration = Duration::from_secs(2);

/// What a session is ending as.
#[derive(Debug)]
pub(super) struct Ending {
    kind: Kind,
    cause: Cause,
    asked: Vec<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Release,
    Close,
}

impl Ending {
    pub(super) fn close(cause: Cause) -> Self {
        Self { kind: Kind::Close, cause, asked: Vec::new() }
    }

    pub(super) fn release(cause: Cause) -> Self {
        Self { kind: Kind::Release, cause, asked: Vec::new() }
    }

    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    /// What a prompt is told meanwhile.
    pub(super) fn refusal(&self) -> ApiError {
        match self.kind {
            Kind::Close => ApiError::new(Code::SessionClosed, "the session is closed"),
            // The engine brings it to a worker again.
            Kind::Release if is_hibernation(self.cause) => not_held(),
            Kind::Release => {
                ApiError::new(Code::ShuttingDown, "the worker is letting go of the session; try again")
            }
        }
    }
}

impl Session {
    /// The worker goes down.
    pub(super) async fn halted(&mut self, halt: Halt) -> Result<(), Broken> {
        match halt {
            Halt::Gently(cause) => self.end(Ending::release(cause), None).await,
            Halt::Kill(cause) => {
                self.end(Ending::release(cause), None).await?;
                self.kill().await
            }
        }
    }

    /// Begins to end, or joins an ending that has begun (a close wins over a release, a kill over both).
    pub(super) async fn end(&mut self, ending: Ending, request: Option<RequestId>) -> Result<(), Broken> {
        let kill = ending.cause == Cause::Killed;
        let first = self.ending.is_none();
        let now = self.ending.get_or_insert(Ending { asked: Vec::new(), ..ending });
        if ending.kind > now.kind || kill {
            (now.kind, now.cause) = (ending.kind.max(now.kind), ending.cause);
        }
        now.asked.extend(request);
        if kill {
            return self.kill().await;
        }
        if !first {
            return Ok(());
        }
        self.stopped_for = ending.cause;
        self.deadlines.cancel = None;
        if self.prompted && !self.turns.cancelling() {
            let events = self.withdraw(Resolution::Cancelled, ending.cause);
            if !events.is_empty() {
                self.commit(events).await?;
            }
            self.tell(ToAgent::Cancel);
            self.release_asked();
        }
        if self.prompted {
            self.deadlines.end = Some(Instant::now() + TURN);
            return Ok(());
        }
        self.interrupt().await?;
        self.stop_agent(Stop::Gently);
        Ok(())
    }

    /// The agent has not ended its turn in time.
    pub(super) async fn end_grace_over(&mut self) -> Result<(), Broken> {
        self.interrupt().await?;
        self.stop_agent(Stop::Gently);
        Ok(())
    }

    /// No grace: the agent's tree first, then the turn.
    async fn kill(&mut self) -> Result<(), Broken> {
        self.deadlines.end = None;
        self.stop_agent(Stop::Kill);
        self.interrupt().await
    }

    async fn interrupt(&mut self) -> Result<(), Broken> {
        let cause = self.ending.as_ref().map_or(Cause::Unknown, Ending::cause);
        self.unstartable = None;
        self.end_turn(End::ours(TurnOutcome::Interrupted, cause, None), After::Next).await
    }

    /// Turn and agent are gone: journals the end and gives up the lease.
    pub(super) async fn finish(&mut self) -> Result<(), Broken> {
        let Some(ending) = self.ending.take() else { return Ok(()) };
        let interrupted = self.last_turn.as_ref().is_some_and(|turn| {
            self.served && turn.outcome == TurnOutcome::Interrupted && turn.cause == Some(ending.cause)
        });
        let mut events = Vec::new();
        match ending.kind {
            Kind::Close => {
                let dropped = self.turns.drop_queue().into_iter();
                events.extend(
                    dropped.map(|prompt| Event::PromptDropped(PromptDropped { prompt, cause: ending.cause })),
                );
                events.push(Event::SessionClosed(SessionClosed { cause: ending.cause }));
                events.extend(self.enter(SessionState::Closed, Some(words::cause(ending.cause).to_owned())));
            }
            Kind::Release => {
                let held = self.turns.hold();
                let cause = ending.cause;
                events.extend(held.map(|prompts| Event::QueueHeld(QueueHeld { cause, prompts })));
                if interrupted {
                    events
                        .extend(self.enter(SessionState::Interrupted, Some(words::cause(cause).to_owned())));
                } else if !self.needs_keys()
                    && !matches!(self.state, SessionState::Interrupted | SessionState::Failed)
                {
                    let why = (cause == Cause::Memory).then(|| words::cause(cause).to_owned());
                    events.extend(self.enter(SessionState::Hibernated, why));
                }
            }
        }
        let asked = ending.asked;
        let committed = self.commit(events).await;
        let error = committed.as_ref().err().map(Broken::for_client);
        self.let_go(asked, error).await;
        Ok(())
    }

    /// The journal refuses: lets go of what can be let go of.
    pub(super) async fn let_go_broken(&mut self, broken: &Broken) {
        let asked = self.ending.take().map(|ending| ending.asked).unwrap_or_default();
        let error = broken.for_client();
        // The journal does not take the event; snapshot and session.json say it.
        let _event = self.enter(SessionState::Failed, Some(error.message.clone()));
        self.let_go(asked, Some(error)).await;
    }

    /// Gives up the lease and says so. The last report about this session.
    async fn let_go(&mut self, asked: Vec<RequestId>, error: Option<ApiError>) {
        self.inbox.close();
        self.give_up_change(error.as_ref());
        let mut snapshot = self.snapshot();
        snapshot.worker = None;
        self.published.send_replace(snapshot.clone());
        self.over = true;
        self.save(matches!(self.state, SessionState::Closed)).await;
        if let Some((stop, task)) = self.bell.take() {
            stop.cancel();
            drop(task.await);
        }
        if let Some(writer) = self.writer.take() {
            match timeout(CLOSE, writer.close()).await {
                Ok(Ok(head)) => {
                    snapshot.head = head;
                    if self.state != SessionState::Closed {
                        remember(&self.dir, &self.updates, head.seq).await;
                    }
                }
                Ok(Err(error)) => {
                    tracing::error!(session.id = %self.spec.id, %error, "failed to close a journal");
                }
                Err(_) => tracing::error!(session.id = %self.spec.id, "the journal does not close"),
            }
        }
        let head = snapshot.head;
        for id in asked {
            let reply = match &error {
                None => Reply::Done { head },
                Some(error) => Reply::Error { error: error.clone() },
            };
            self.shared.reports.ack(id, reply);
        }
        let hibernated = error.is_none() && is_hibernation(self.stopped_for);
        while let Ok((id, _)) = self.inbox.try_recv() {
            let error = match self.state {
                SessionState::Closed => ApiError::new(Code::SessionClosed, "the session is closed"),
                _ if hibernated => not_held(),
                _ => ApiError::new(Code::WorkerGone, "the worker has let go of the session; try again"),
            };
            self.shared.reports.ack(id, Reply::Error { error });
        }
        self.slot = Slot::Empty;
        self.shared.reports.released(snapshot);
    }
}

/// Whether a session that is let go of for this cause is there for the next prompt: whoever asks meanwhile is not refused.
fn is_hibernation(cause: Cause) -> bool {
    matches!(cause, Cause::Idle | Cause::Memory)
}
