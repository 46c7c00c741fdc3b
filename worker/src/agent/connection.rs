//! One session's side of its agent's process: what it asks, and what it hears, in order.
//!
//! The process belongs to its [`Host`]; a seat ends it through [`super::stop`]. Dropping the last seat kills it as a
//! backstop.

use serde::Serialize;
use serde_json::value::RawValue;
use skep_sys::spawn::ExitCause;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::host::{Ended, Host};
use super::leftover::Before;
use super::switchboard::SeatId;
use super::wire::{self, Abilities};
use crate::acp::message::{AUTH_REQUIRED, Id, Message, RpcError};
use crate::acp::peer::{Batch, Closed};

/// A session's seat at its agent.
#[derive(Debug)]
pub(super) struct Connection {
    host: Host,
    seat: SeatId,
    inbox: mpsc::Receiver<Batch>,
    pub(super) abilities: Abilities,
    /// The process was signed in by the preset's method.
    pub(super) signed_in: bool,
    /// The agent's own id for the session; empty until it has one.
    pub(super) session: String,
    /// What the agent said of the session's settings before it was ready: the last update of each kind.
    early: Vec<(String, Box<RawValue>)>,
    /// The prompt that waits for its answer.
    pub(super) prompt: Option<u64>,
    /// The request that sets something, and until when its answer is waited for.
    pub(super) setting: Option<(u64, Instant)>,
    /// The tree at the turn's beginning, where that matters.
    pub(super) before: Before,
    /// The turn was cancelled.
    pub(super) cancelled: bool,
    /// When.
    pub(super) cancelled_at: Option<Instant>,
    /// The last request.
    last_call: u64,
    /// The last request whose answer was waited for.
    step: &'static str,
}

/// The agent does not take what it is told: it is gone, or it does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent does not read its input")]
pub(super) struct Deaf;

impl From<Closed> for Deaf {
    fn from(Closed: Closed) -> Self {
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.host.leave(self.seat);
    }
}

impl Connection {
    /// A seat that the host has given.
    pub(super) fn new(host: Host, seat: SeatId, inbox: mpsc::Receiver<Batch>) -> Self {
        Self {
            host,
            seat,
            inbox,
            abilities: Abilities::default(),
            signed_in: false,
            session: String::new(),
            early: Vec::new(),
            prompt: None,
            setting: None,
            before: Before::default(),
            cancelled: false,
            cancelled_at: None,
            last_call: 0,
            step: "initialize",
        }
    }

    /// The seat's number.
    pub(super) fn seat(&self) -> SeatId {
        self.seat
    }

    /// The last request whose answer was waited for.
    pub(super) fn step(&self) -> &'static str {
        self.step
    }

    /// Looks at what runs before a turn, where that is how its leftovers are found.
    pub(super) async fn turn_begins(&mut self, leaves_tools: bool) {
        if leaves_tools || self.host.board(|board| board.is_shared()) {
            self.before = Before::look(self.host.tree()).await;
        }
        self.host.board(|board| board.turn_begins(self.seat));
    }

    /// The turn is over.
    pub(super) fn turn_ends(&mut self) {
        self.prompt = None;
        self.host.board(|board| board.turn_ends(self.seat));
    }

    /// Kills what the last turn left running, as far as it is told apart from others' turns; how many processes.
    pub(super) async fn end_leftovers(&self) -> usize {
        if !self.host.board(|board| board.is_apart(self.seat)) {
            return 0;
        }
        self.before.end_newer(self.host.tree()).await
    }

    /// The process.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Learns the agent's own id for the session; false if another session has it.
    pub(super) fn name(&mut self, session: &str) -> bool {
        session.clone_into(&mut self.session);
        self.host.name(self.seat, session)
    }

    /// Sends a request without waiting for room or answer; its id.
    pub(super) fn request(&mut self, method: &str, params: &impl Serialize) -> Result<u64, Deaf> {
        self.last_call = self.host.request(self.seat, method, params)?;
        Ok(self.last_call)
    }

    /// Tells the agent to end the turn.
    pub(super) fn cancel(&mut self) -> Result<(), Deaf> {
        (self.cancelled, self.cancelled_at) = (true, Some(Instant::now()));
        self.host.notify("session/cancel", &serde_json::json!({"sessionId": self.session}))
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), Deaf> {
        self.host.notify(method, params)
    }

    /// Answers a request of the agent's.
    pub(super) fn respond(&self, id: &Id, result: Result<&impl Serialize, &RpcError>) -> Result<(), Deaf> {
        self.host.respond(id, result)
    }

    /// Answers a request for something that skep does not offer.
    pub(super) fn decline(&self, id: &Id, method: &str) -> Result<(), Deaf> {
        self.host.decline(id, method)
    }

    /// Sends a request and waits for its answer; what the agent tells meanwhile is history, and dropped.
    pub(super) async fn call(
        &mut self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<Box<RawValue>, CallError> {
        self.step = method;
        let call = self.request(method, params)?;
        loop {
            let batch = self.read().await?;
            let mut answer = None;
            for message in batch.messages {
                match message {
                    Message::Response { id, result } if answer.is_none() && id.number() == Some(call) => {
                        answer = Some(result.map_err(CallError::Refused));
                    }
                    other => drop(self.overhear(other)?),
                }
            }
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    /// Waits for the answer to the prompt of a turn that is to end; whether it came.
    pub(super) async fn outlast(&mut self) -> bool {
        while let Some(prompt) = self.prompt {
            let Ok(batch) = self.read().await else { return false };
            for message in batch.messages {
                match message {
                    Message::Response { id, .. } if id.number() == Some(prompt) => self.turn_ends(),
                    other => drop(self.overhear(other)),
                }
            }
        }
        true
    }

    /// A message that comes while no prompt runs: the session's settings are kept, requests refused. Whether it was
    /// history.
    pub(super) fn overhear(&mut self, message: Message) -> Result<bool, Deaf> {
        match message {
            Message::Request { id, method, .. } if method == "session/request_permission" => {
                self.respond(&id, Ok(&wire::permission_answer(None)))?;
            }
            Message::Request { id, method, .. } => self.decline(&id, &method)?,
            Message::Notification { method, params: Some(params) } if method == "session/update" => {
                let Some(kind) = wire::setting(&params) else { return Ok(true) };
                self.early.retain(|(known, _)| *known != kind);
                self.early.push((kind, params));
            }
            Message::Notification { .. } | Message::Response { .. } => {}
        }
        Ok(false)
    }

    /// The last update of this kind that was overheard, with its parameters.
    pub(super) fn early(&self, kind: &str) -> Option<&RawValue> {
        self.early.iter().find(|(known, _)| known == kind).map(|(_, params)| &**params)
    }

    /// Forgets updates of this kind: what they say is about to change.
    pub(super) fn forget(&mut self, kind: &str) {
        self.early.retain(|(known, _)| known != kind);
    }

    /// Tells the agent that the last request's answer is not wanted any more.
    pub(super) fn give_up_call(&self) -> Result<(), Deaf> {
        self.give_up(self.last_call)
    }

    /// The same of the request that sets something.
    pub(super) fn give_up_setting(&mut self) -> Result<(), Deaf> {
        self.setting.take().map_or(Ok(()), |(call, _)| self.give_up(call))
    }

    fn give_up(&self, call: u64) -> Result<(), Deaf> {
        self.notify("$/cancel_request", &serde_json::json!({"requestId": call}))
    }

    /// The settings that the agent told before it was ready, once.
    pub(super) fn take_early(&mut self) -> Vec<Box<RawValue>> {
        let early = std::mem::take(&mut self.early);
        early.iter().filter_map(|(_, params)| wire::update(params, &self.session)).collect()
    }

    /// What the next read brought for this session, or why nothing comes any more. Cancel-safe.
    pub(super) async fn read(&mut self) -> Result<Batch, CallError> {
        match self.inbox.recv().await {
            Some(batch) => Ok(batch),
            None => Err(self.host.has_ended().map_or(CallError::Unheard, Ended::error)),
        }
    }
}

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("it answered: {0}")]
    Refused(RpcError),
    #[error("it ended: {0}")]
    Ended(ExitCause),
    #[error("it closed its output and went on running")]
    Silent,
    #[error("its process was killed, since another session that it served did not end in it")]
    Sacrificed,
    #[error("the session did not take what it said in time")]
    Unheard,
    #[error(transparent)]
    Deaf(#[from] Deaf),
}

impl CallError {
    /// Whether the agent wants somebody to sign in first.
    pub(super) fn wants_auth(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == AUTH_REQUIRED)
    }
}
