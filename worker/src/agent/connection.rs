//! A running agent process and the JSON-RPC connection over its pipes.
//!
//! Owns the child: whoever has a connection ends it through [`super::stop`], which kills the whole tree before the
//! child is reaped. Dropping it kills the group as a backstop.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use skep_sys::capture::{Capture, PumpEnd, pump};
use skep_sys::shim;
use skep_sys::spawn::{Child, ExitCause, SpawnError, SpawnSpec, Stdio3, spawn};
use skep_sys::tree::Tree;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::DRAIN;
use super::launch::Launch;
use super::leftover::Before;
use super::wire::{self, Abilities};
use crate::acp::message::{self, AUTH_REQUIRED, Id, METHOD_NOT_FOUND, Message, RpcError};
use crate::acp::peer::{Batch, Closed, Reader, Writer, writer};

/// An agent process and its pipes.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) child: Child,
    pub(super) tree: Tree,
    pub(super) reader: Reader<pipe::Receiver>,
    pub(super) writer: Option<Writer>,
    pub(super) abilities: Abilities,
    /// The agent's own id for the session; empty until it has one.
    pub(super) session: String,
    /// Ends when stderr is drained.
    pub(super) stderr: JoinHandle<PumpEnd>,
    /// What the agent said of the session's settings before it was ready: the last update of each kind.
    early: Vec<(String, Box<RawValue>)>,
    /// The prompt that waits for its answer.
    pub(super) prompt: Option<u64>,
    /// The tree at the turn's beginning, where that matters.
    pub(super) before: Before,
    /// The turn was cancelled.
    pub(super) cancelled: bool,
    frames: Option<Capture>,
    calls: u64,
    _write_loop: DropGuard,
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

impl Connection {
    /// Starts the agent through our own binary's shim, so that it has a session of its own.
    pub(super) fn spawn(launch: &Launch, exe: &Path, tracker: &TaskTracker) -> Result<Self, SpawnError> {
        let (program, args) = shim::command(exe, launch.argv.clone());
        let mut child = spawn(SpawnSpec {
            program,
            args,
            cwd: launch.cwd.clone(),
            env: launch.env.clone(),
            stdin: Stdio3::Pipe,
            stdout: Stdio3::Pipe,
            stderr: Stdio3::Pipe,
            new_group: false,
        })?;
        let missing = || SpawnError::Os {
            program: exe.to_owned(),
            source: io::Error::other("a pipe to the agent is missing"),
        };
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stop = CancellationToken::new();
        let over = stop.clone().cancelled_owned();
        let stderr = tracker.spawn(pump(stderr, launch.stderr.clone(), over, DRAIN));
        let (writer, write_loop) = writer(stdin);
        let stopped = stop.clone();
        tracker.spawn(async move { stopped.run_until_cancelled(write_loop).await });
        let mut reader = Reader::new(stdout);
        if let Some(frames) = launch.frames.clone() {
            reader = reader.with_tap(Box::new(move |line| frames.push(&framed(b"< ", line))));
        }
        Ok(Self {
            tree: Tree { root: child.process.clone(), mark: Some(launch.mark.clone()) },
            child,
            reader,
            writer: Some(writer),
            abilities: Abilities::default(),
            session: String::new(),
            stderr,
            frames: launch.frames.clone(),
            prompt: None,
            before: Before::default(),
            cancelled: false,
            early: Vec::new(),
            calls: 0,
            _write_loop: stop.drop_guard(),
        })
    }

    /// Sends a request without waiting for room or answer; its id.
    pub(super) fn request(&mut self, method: &str, params: &impl Serialize) -> Result<u64, Deaf> {
        self.calls += 1;
        let line = message::request(self.calls, method, params).map_err(|_| Deaf)?;
        self.send(line)?;
        Ok(self.calls)
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), Deaf> {
        self.send(message::notification(method, params).map_err(|_| Deaf)?)
    }

    /// Answers a request of the agent's.
    pub(super) fn respond(&self, id: &Id, result: Result<&impl Serialize, &RpcError>) -> Result<(), Deaf> {
        self.send(message::response(id, result).map_err(|_| Deaf)?)
    }

    /// Answers a request for something that skep does not offer.
    pub(super) fn decline(&self, id: &Id, method: &str) -> Result<(), Deaf> {
        let error =
            RpcError::new(METHOD_NOT_FOUND, format!("skep does not offer `{}`", message::clip(method, 80)));
        self.respond(id, Err::<&(), _>(&error))
    }

    fn send(&self, line: Vec<u8>) -> Result<(), Deaf> {
        if let Some(frames) = &self.frames {
            frames.push(&framed(b"> ", line.strip_suffix(b"\n").unwrap_or(&line)));
        }
        Ok(self.writer.as_ref().ok_or(Deaf)?.try_send(line)?)
    }

    /// Sends a request and waits for its answer; what the agent tells meanwhile is history, and dropped.
    pub(super) async fn call(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<Box<RawValue>, CallError> {
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
        self.notify("$/cancel_request", &serde_json::json!({"requestId": self.calls}))
    }

    /// The settings that the agent told before it was ready, once.
    pub(super) fn take_early(&mut self) -> Vec<Box<RawValue>> {
        let early = std::mem::take(&mut self.early);
        early.iter().filter_map(|(_, params)| wire::update(params, &self.session)).collect()
    }

    /// Reads once, or sees the agent end. Cancel-safe.
    pub(super) async fn read(&mut self) -> Result<Batch, CallError> {
        tokio::select! {
            biased;
            batch = self.reader.read() => match batch {
                Ok(Some(batch)) => Ok(batch),
                Ok(None) | Err(_) => Err(match timeout(DRAIN, self.child.exited()).await {
                    Ok(cause) => CallError::Ended(cause),
                    Err(_) => CallError::Silent,
                }),
            },
            cause = self.child.exited() => Err(CallError::Ended(cause)),
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
    #[error(transparent)]
    Deaf(#[from] Deaf),
}

impl CallError {
    /// Whether the agent wants somebody to sign in first.
    pub(super) fn wants_auth(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == AUTH_REQUIRED)
    }
}

fn framed(direction: &[u8], line: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(line.len() + 3);
    framed.extend_from_slice(direction);
    framed.extend_from_slice(line);
    framed.push(b'\n');
    framed
}
