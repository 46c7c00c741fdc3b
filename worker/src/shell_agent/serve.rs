//! The message loop: reads what the client says, owns the sessions, starts their turns.
//!
//! Turns run beside it, one per session, in a task tracker. It ends when the client closes its end, the writer fails, or
//! `stop` is cancelled; then every process of every session is killed before it returns.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_sys::tree;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::script::MAX_COMMAND;
use super::session::{Session, Turn};
use super::state::{State, Store, Variables};
use super::turn;
use super::wire::{self, Block, CancelRequest, Mode, NewSession, OfSession, SetMode, Update};
use crate::acp::message::{self, Id, Message, RpcError};
use crate::acp::peer::{Batch, Calls, Closed, Reader, Writer, writer};

/// Sessions in one process.
const MAX_SESSIONS: usize = 1_000;

/// JSON-RPC: not JSON.
const PARSE_ERROR: i64 = -32700;
/// JSON-RPC: not a request that can be taken now.
const INVALID_REQUEST: i64 = -32600;

/// How long turns may take to end, and how long the last lines may take to be read, when the agent ends.
const LAST_WAIT: Duration = Duration::from_secs(12);
const LAST_LINES: Duration = Duration::from_millis(200);

/// What the agent has from its process.
#[derive(Debug)]
pub(super) struct Setup {
    /// The shell.
    pub(super) shell: PathBuf,
    /// The snapshot helper and its first arguments.
    pub(super) helper: Vec<OsString>,
    /// Where sessions are kept.
    pub(super) store: Store,
    /// The environment that commands get.
    pub(super) variables: Variables,
}

/// What turns share with the loop.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) writer: Writer,
    pub(super) calls: Calls,
    pub(super) setup: Setup,
    /// Cancelled when the agent ends.
    pub(super) stop: CancellationToken,
    /// The turns, and what outlives them.
    pub(super) turns: TaskTracker,
}

impl Host {
    /// Sends a session update. A client that does not read cannot hold up the agent's end.
    pub(super) async fn update(&self, session: &str, update: impl Serialize) -> Result<(), Closed> {
        let params = Update { session_id: session, update };
        let sent = self.stop.run_until_cancelled(self.writer.notify("session/update", &params)).await;
        sent.unwrap_or(Err(Closed))
    }

    /// Answers a request, likewise.
    pub(super) async fn respond(&self, id: &Id, result: Result<&Value, &RpcError>) -> Result<(), Closed> {
        self.stop.run_until_cancelled(self.writer.respond(id, result)).await.unwrap_or(Err(Closed))
    }
}

/// Serves one client until it is gone or `stop` is cancelled.
pub(super) async fn serve<R, W>(input: R, output: W, setup: Setup, stop: CancellationToken)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (writer, writing) = writer(output);
    let lines = TaskTracker::new();
    let gone = stop.clone();
    lines.spawn(async move {
        drop(writing.await);
        gone.cancel();
    });
    let turns = TaskTracker::new();
    let host = Arc::new(Host { writer, calls: Calls::default(), setup, stop: stop.clone(), turns });
    let mut agent = Agent { host, sessions: HashMap::new() };
    let mut reader = Reader::new(input);
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            batch = reader.read() => batch,
        };
        let Ok(Some(batch)) = batch else { break };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            handled = agent.handle(batch) => if handled.is_err() { break },
        }
    }
    agent.end().await;
    lines.close();
    drop(tokio::time::timeout(LAST_LINES, lines.wait()).await);
}

struct Agent {
    host: Arc<Host>,
    sessions: HashMap<String, Arc<Session>>,
}

/// A method's answer: its result, or that a turn will answer.
type Answer = Result<Option<Value>, RpcError>;

impl Agent {
    async fn handle(&mut self, batch: Batch) -> Result<(), Closed> {
        for _ in 0..batch.noise {
            self.complain(PARSE_ERROR, "this line is no JSON-RPC message").await?;
        }
        for length in batch.dropped {
            let text = format!("a line of {length} bytes is over the limit and was dropped");
            self.complain(INVALID_REQUEST, &text).await?;
        }
        for message in batch.messages {
            match message {
                Message::Request { id, method, params } => {
                    let answer = self.request(&id, &method, params.as_deref()).await?;
                    match answer {
                        Ok(Some(result)) => self.host.respond(&id, Ok(&result)).await?,
                        Ok(None) => {}
                        Err(error) => self.host.respond(&id, Err(&error)).await?,
                    }
                }
                Message::Notification { method, params } => self.notification(&method, params.as_deref()),
                Message::Response { id, result } => {
                    // An answer that nobody waits for (a cancelled turn's) is dropped.
                    self.host.calls.resolve(&id, result);
                }
            }
        }
        Ok(())
    }

    /// An error that belongs to no request.
    async fn complain(&self, code: i64, text: &str) -> Result<(), Closed> {
        let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": text}});
        self.host.writer.send(format!("{error}\n").into_bytes()).await
    }

    async fn request(&mut self, id: &Id, method: &str, params: Option<&RawValue>) -> Result<Answer, Closed> {
        Ok(match method {
            "initialize" => Ok(Some(wire::initialized())),
            "authenticate" => Ok(Some(json!({}))),
            "session/new" => self.new_session(params),
            "session/load" => return self.load(params).await,
            "session/set_mode" => self.set_mode(params),
            "session/prompt" => self.prompt(id, params),
            "session/close" => self.close(params).await,
            method => {
                let shown = message::clip(method, 100);
                Err(RpcError::new(message::METHOD_NOT_FOUND, format!("there is no method `{shown}` here")))
            }
        })
    }

    fn notification(&self, method: &str, params: Option<&RawValue>) {
        match method {
            "session/cancel" => {
                if let Ok(session) = read::<OfSession>(params).and_then(|of| self.session(&of.session_id)) {
                    session.cancel();
                }
            }
            "$/cancel_request" => {
                let Ok(cancel) = read::<CancelRequest>(params) else { return };
                let asked = serde_json::to_string(&cancel.request_id).unwrap_or_default();
                for session in self.sessions.values() {
                    let turn = session.lock().turn.clone();
                    if turn
                        .is_some_and(|turn| serde_json::to_string(&turn.request).is_ok_and(|id| id == asked))
                    {
                        session.cancel();
                    }
                }
            }
            // Unknown notifications are ignored, as JSON-RPC wants it.
            _ => {}
        }
    }

    fn new_session(&mut self, params: Option<&RawValue>) -> Answer {
        let params: NewSession = read(params)?;
        let cwd = Path::new(&params.cwd);
        if !cwd.is_absolute() || !cwd.is_dir() {
            return Err(invalid("`cwd` must be an absolute path of an existing directory"));
        }
        self.room()?;
        let uuid = Uuid::new_v4();
        let state = State::new(cwd);
        self.host.setup.store.write(uuid, &state).map_err(|error| {
            RpcError::new(message::INTERNAL_ERROR, format!("the session cannot be written down: {error}"))
        })?;
        let session = Arc::new(Session::new(uuid, state));
        let result = json!({"sessionId": session.id, "modes": wire::modes(Mode::Ask)});
        self.sessions.insert(session.id.clone(), session);
        Ok(Some(result))
    }

    async fn load(&mut self, params: Option<&RawValue>) -> Result<Answer, Closed> {
        let session = match self.restore(params) {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        let (past, mode) = {
            let inner = session.lock();
            (inner.state.history().cloned().collect::<Vec<_>>(), inner.mode)
        };
        for update in past.iter().flat_map(wire::replayed) {
            self.host.update(&session.id, update).await?;
        }
        Ok(Ok(Some(json!({"modes": wire::modes(mode)}))))
    }

    fn restore(&mut self, params: Option<&RawValue>) -> Result<Arc<Session>, RpcError> {
        let params: OfSession = read(params)?;
        if let Ok(session) = self.session(&params.session_id) {
            let busy = session.lock().turn.is_some();
            return if busy { Err(invalid_request("a prompt runs in this session")) } else { Ok(session) };
        }
        self.room()?;
        let not_found = || RpcError::new(message::NOT_FOUND, "there is no such session");
        // The id names a file: nothing but a UUID becomes one.
        let uuid: Uuid = params.session_id.parse().map_err(|_| not_found())?;
        let state = self.host.setup.store.read(uuid).map_err(|error| {
            tracing::warn!(session.id = %uuid, error = %error, "a session cannot be read");
            RpcError::new(message::INTERNAL_ERROR, "the session's file is broken")
        })?;
        let session = Arc::new(Session::new(uuid, state.ok_or_else(not_found)?));
        self.sessions.insert(session.id.clone(), Arc::clone(&session));
        Ok(session)
    }

    fn set_mode(&self, params: Option<&RawValue>) -> Answer {
        let params: SetMode = read(params)?;
        let session = self.session(&params.session_id)?;
        let mode = Mode::of(&params.mode_id).ok_or_else(|| invalid("`modeId` must be `ask` or `bypass`"))?;
        session.lock().mode = mode;
        Ok(Some(json!({})))
    }

    fn prompt(&self, id: &Id, params: Option<&RawValue>) -> Answer {
        let params: wire::Prompt = read(params)?;
        let session = self.session(&params.session_id)?;
        let command = command(params.prompt)?;
        let turn = Turn { request: id.clone(), cancel: CancellationToken::new() };
        if !session.begin(turn.clone()) {
            return Err(invalid_request("a prompt runs in this session already"));
        }
        self.host.turns.spawn(turn::run(Arc::clone(&self.host), session, turn, command));
        Ok(None)
    }

    async fn close(&mut self, params: Option<&RawValue>) -> Answer {
        let params: OfSession = read(params)?;
        let session = self.session(&params.session_id)?;
        session.cancel();
        tree::kill(&session.take_left()).await;
        self.sessions.remove(&session.id);
        Ok(Some(json!({})))
    }

    /// Ends every turn, and kills whatever they and their predecessors left.
    async fn end(self) {
        self.host.stop.cancel();
        self.host.calls.clear();
        self.host.turns.close();
        drop(tokio::time::timeout(LAST_WAIT, self.host.turns.wait()).await);
        let left: Vec<_> = self.sessions.values().flat_map(|session| session.take_left()).collect();
        if !left.is_empty() {
            tree::kill(&left).await;
        }
    }

    fn session(&self, id: &str) -> Result<Arc<Session>, RpcError> {
        let found = self.sessions.get(id).map(Arc::clone);
        found.ok_or_else(|| RpcError::new(message::NOT_FOUND, "there is no such session"))
    }

    fn room(&self) -> Result<(), RpcError> {
        if self.sessions.len() < MAX_SESSIONS {
            return Ok(());
        }
        Err(invalid_request("there are too many sessions; close one"))
    }
}

fn read<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, RpcError> {
    let params = params.ok_or_else(|| invalid("parameters are missing"))?;
    message::read(params).map_err(|error| invalid(error.to_string()))
}

fn invalid(text: impl Into<String>) -> RpcError {
    RpcError::new(message::INVALID_PARAMS, text)
}

fn invalid_request(text: &str) -> RpcError {
    RpcError::new(INVALID_REQUEST, text)
}

/// The command line that a prompt is.
fn command(blocks: Vec<Block>) -> Result<String, RpcError> {
    let texts: Option<Vec<String>> = blocks
        .into_iter()
        .map(|block| match block {
            Block::Text { text } => Some(text),
            Block::Other => None,
        })
        .collect();
    let command = texts.ok_or_else(|| invalid("this agent takes text only"))?.join("\n");
    if command.trim().is_empty() {
        return Err(invalid("the prompt is empty"));
    }
    if command.contains('\0') {
        return Err(invalid("a command cannot contain a NUL"));
    }
    if command.len() > MAX_COMMAND {
        return Err(invalid("the command is longer than 120 KiB; put it into a file and run that"));
    }
    Ok(command)
}
