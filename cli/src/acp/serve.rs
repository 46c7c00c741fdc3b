//! Reads what the editor writes and hands it to whom it concerns.
//!
//! Standard output carries the protocol and nothing else. The end of standard input means that the editor is gone:
//! what it had said before still reaches the daemon, and what runs goes on there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::ids::SessionId;
use skep_worker::acp::message::{self, Id, Message, RpcError};
use skep_worker::acp::peer::{Batch, Closed, Reader, writer};
use skep_worker::acp::stdio;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::editor::Editor;
use super::open::Opened;
use super::relay::History;
use super::session::{COMMANDS, Command, Session};
use super::{Choice, content, list, open, wire};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;

/// The longest message of an editor: a prompt of this size is more than the daemon takes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How many sessions one connection may have.
const SESSIONS: usize = 256;

/// How many requests other than prompts may be worked on at the same time.
const REQUESTS: usize = 32;

/// What the editor said last is given this time to reach the daemon.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// JSON-RPC: not JSON, or too long to be read.
const PARSE_ERROR: i64 = -32700;
/// JSON-RPC: not a request, or not now.
const INVALID_REQUEST: i64 = -32600;

/// Serves the editor on the standard descriptors.
pub(crate) async fn serve(ctx: &Context, choice: Choice) -> Outcome {
    let broken =
        |error: std::io::Error| CliError::failed(format!("cannot use standard input and output: {error}"));
    let mut input = Reader::with_limit(stdio::input().map_err(broken)?, MAX_MESSAGE);
    let (output, writing) = writer(stdio::output().map_err(broken)?);
    let server = Server::new(Editor::new(ctx, choice, output));
    let writers = tokio_util::task::TaskTracker::new();
    let writing = writers.spawn(writing);
    let served = tokio::select! {
        served = server.read(&mut input) => served,
        // An editor that reads no more is gone.
        _ = writing => Ok(()),
    };
    server.finish().await;
    writers.close();
    // What was answered last is still to be written, if anybody reads it.
    drop(timeout(LAST_WORDS, writers.wait()).await);
    served.map_err(broken)?;
    Ok(Exit::Completed)
}

#[derive(Debug, Clone)]
struct Server {
    editor: Arc<Editor>,
    sessions: Arc<Mutex<Sessions>>,
    requests: Arc<tokio::sync::Semaphore>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<SessionId, mpsc::Sender<Command>>,
    closing: bool,
    initialized: bool,
}

/// What a request comes to.
enum Reply {
    Now(Result<Value, RpcError>),
    /// A session answers, or a task.
    Later,
}

impl Server {
    fn new(editor: Editor) -> Self {
        Self {
            editor: Arc::new(editor),
            sessions: Arc::default(),
            requests: Arc::new(tokio::sync::Semaphore::new(REQUESTS)),
        }
    }

    async fn read<R: tokio::io::AsyncRead + Unpin>(&self, input: &mut Reader<R>) -> std::io::Result<()> {
        while let Some(batch) = input.read().await? {
            if self.batch(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of every session, once what the editor said has reached the daemon.
    async fn finish(self) {
        {
            let mut sessions = self.lock();
            sessions.closing = true;
            sessions.open.clear();
        }
        self.editor.calls.clear();
        self.editor.tasks.close();
        if timeout(LAST_WORDS, self.editor.tasks.wait()).await.is_err() {
            tracing::warn!("some of what the editor said last has not reached the daemon");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn batch(&self, batch: Batch) -> Result<(), Closed> {
        for message in batch.messages {
            match message {
                Message::Request { id, method, params } => {
                    if let Reply::Now(answer) = self.request(&id, &method, params.as_deref()) {
                        self.editor.answer(&id, answer).await?;
                    }
                }
                Message::Notification { method, params } => self.told(&method, params.as_deref()).await,
                Message::Response { id, result } => {
                    if !self.editor.calls.resolve(&id, result) {
                        tracing::debug!("the editor answered a request that nobody waits for");
                    }
                }
            }
        }
        for _ in 0..batch.noise {
            self.complain(INVALID_REQUEST, "not a JSON-RPC message").await?;
        }
        for length in batch.dropped {
            self.complain(
                PARSE_ERROR,
                &format!("a message of {length} bytes is too long; {MAX_MESSAGE} are taken"),
            )
            .await?;
        }
        Ok(())
    }

    /// An error for a message whose id is not known.
    async fn complain(&self, code: i64, why: &str) -> Result<(), Closed> {
        let error =
            serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": why}});
        self.editor.send(format!("{error}\n").into_bytes()).await
    }

    fn request(&self, id: &Id, method: &str, params: Option<&RawValue>) -> Reply {
        if method == "initialize" {
            return Reply::Now(self.initialize(params));
        }
        if !self.lock().initialized {
            return Reply::Now(Err(RpcError::new(INVALID_REQUEST, "`initialize` comes first")));
        }
        let accepted = match method {
            "session/new" => self.create(id, params),
            "session/load" => self.load(id, params, History::Told),
            "session/resume" => self.load(id, params, History::Kept),
            "session/list" => self.list(id, params),
            "session/delete" => self.delete(id, params),
            "session/prompt" => self.prompt(id, params),
            "session/set_mode" => self.set_mode(id, params),
            "authenticate" => {
                Err(RpcError::new(message::INVALID_PARAMS, "there is no such method of authentication"))
            }
            _ => Err(RpcError::new(message::METHOD_NOT_FOUND, format!("no such method: {}", clip(method)))),
        };
        match accepted {
            Ok(()) => Reply::Later,
            Err(error) => Reply::Now(Err(error)),
        }
    }

    fn initialize(&self, params: Option<&RawValue>) -> Result<Value, RpcError> {
        let client: wire::Initialize = wire::params(params)?;
        self.editor.introduce(&client);
        self.lock().initialized = true;
        Ok(wire::initialized())
    }

    /// Works on a request beside the others.
    fn spawn<F>(&self, id: &Id, work: F) -> Result<(), RpcError>
    where
        F: Future<Output = Result<Option<Value>, RpcError>> + Send + 'static,
    {
        let busy = |_| RpcError::new(message::INTERNAL_ERROR, "too many requests at the same time");
        let place = Arc::clone(&self.requests).try_acquire_owned().map_err(busy)?;
        let (editor, id) = (Arc::clone(&self.editor), id.clone());
        self.editor.tasks.spawn(async move {
            let answer = match work.await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            drop(place);
            if editor.answer(&id, answer).await.is_err() {
                tracing::debug!("the editor is gone before it heard an answer");
            }
        });
        Ok(())
    }

    fn create(&self, id: &Id, params: Option<&RawValue>) -> Result<(), RpcError> {
        let setup: wire::Setup = wire::params(params)?;
        let server = self.clone();
        self.spawn(id, async move {
            let opened = open::create(&server.editor, &setup).await?;
            server.add(opened)
        })
    }

    fn load(&self, id: &Id, params: Option<&RawValue>, history: History) -> Result<(), RpcError> {
        let wanted: wire::OfSession = wire::params(params)?;
        let (server, request) = (self.clone(), id.clone());
        self.spawn(id, async move {
            let opened = open::load(&server.editor, &wanted.session_id, history, request).await?;
            server.add(opened)
        })
    }

    fn list(&self, id: &Id, params: Option<&RawValue>) -> Result<(), RpcError> {
        let wanted: wire::ListSessions = match params {
            Some(_) => wire::params(params)?,
            None => wire::ListSessions::default(),
        };
        let editor = Arc::clone(&self.editor);
        self.spawn(id, async move { list::list(&editor, &wanted).await.map(Some) })
    }

    fn delete(&self, id: &Id, params: Option<&RawValue>) -> Result<(), RpcError> {
        let wanted: wire::OfSession = wire::params(params)?;
        let server = self.clone();
        self.spawn(id, async move {
            let answer = open::delete(&server.editor, &wanted.session_id).await?;
            if let Ok(session) = open::id(&wanted.session_id) {
                server.lock().open.remove(&session);
            }
            Ok(Some(answer))
        })
    }

    /// Gives a session its actor. One that the connection had under this id lets go of it.
    fn add(&self, opened: Opened) -> Result<Option<Value>, RpcError> {
        let Opened { id, begin, client, answer } = opened;
        let mut sessions = self.lock();
        if sessions.closing {
            return Ok(None);
        }
        if sessions.open.len() >= SESSIONS && !sessions.open.contains_key(&id) {
            let why =
                format!("this connection has {SESSIONS} sessions open; restart the agent in the editor");
            return Err(RpcError::new(message::INTERNAL_ERROR, why));
        }
        let (commands, queue) = mpsc::channel(COMMANDS);
        let session = Session::new(Arc::clone(&self.editor), id, begin, client);
        sessions.open.insert(id, commands);
        drop(sessions);
        self.editor.tasks.spawn(session.run(queue));
        Ok(answer)
    }

    fn prompt(&self, id: &Id, params: Option<&RawValue>) -> Result<(), RpcError> {
        let prompt: wire::Prompt = wire::params(params)?;
        let content = content::from_editor(&prompt.prompt)?;
        self.command(&prompt.session_id, Command::Prompt { id: id.clone(), content })
    }

    fn set_mode(&self, id: &Id, params: Option<&RawValue>) -> Result<(), RpcError> {
        let wanted: wire::SetMode = wire::params(params)?;
        let unknown =
            || RpcError::new(message::INVALID_PARAMS, format!("no such mode: {}", clip(&wanted.mode_id)));
        let mode = wire::mode(&wanted.mode_id).ok_or_else(unknown)?;
        self.command(&wanted.session_id, Command::Mode { id: id.clone(), mode })
    }

    fn command(&self, session: &str, command: Command) -> Result<(), RpcError> {
        let sent = self.handle(session)?.try_send(command);
        sent.map_err(|_| {
            RpcError::new(message::INTERNAL_ERROR, "too many requests to this session at the same time")
        })
    }

    fn handle(&self, session: &str) -> Result<mpsc::Sender<Command>, RpcError> {
        let handle = self.lock().open.get(&open::id(session)?).cloned();
        handle.ok_or_else(|| {
            RpcError::new(message::NOT_FOUND, "this connection has no such session; load it first")
        })
    }

    async fn told(&self, method: &str, params: Option<&RawValue>) {
        match method {
            "session/cancel" => {
                let handle =
                    wire::params::<wire::OfSession>(params).and_then(|of| self.handle(&of.session_id));
                match handle {
                    // A cancel is never dropped: it waits for its place behind the prompts that it is about.
                    Ok(handle) => drop(handle.send(Command::Cancel).await),
                    Err(error) => tracing::warn!(%error, "a cancel of the editor's concerns no session"),
                }
            }
            "$/cancel_request" => {
                let Some(id) = params.and_then(message::cancelled_request) else { return };
                let all: Vec<_> = self.lock().open.values().cloned().collect();
                for handle in all {
                    drop(handle.send(Command::CancelRequest(id.clone())).await);
                }
            }
            _ => tracing::debug!(method = %clip(method), "the editor tells what skep does not know"),
        }
    }
}

fn clip(text: &str) -> String {
    skep_common::sanitise::one_line(&message::clip(text, 100)).into_owned()
}
