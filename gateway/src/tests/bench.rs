//! A served engine in a temporary home, a worker that journals, and a plain HTTP client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::code::{ApiError, Code};
use skep_common::event::{
    Event, PermissionRequested, PromptQueued, SessionClosed, SessionOpened, TurnEnded, TurnStarted,
};
use skep_common::ids::{PermissionId, PromptId, SessionId, WorkerId};
use skep_common::protocol::{Action, Reply, Report};
use skep_common::session::{Cause, ContentBlock, SessionState, TurnOutcome};
use skep_config::{Environment, Paths};
use skep_journal::{Durability, JournalThread, Journals, Lease, Opener, Writer};
use skep_supervisor::engine::{DaemonFacts, Engine, EngineOptions};
use skep_supervisor::testing::{FakeEnds, FakePool, Sent, snapshot};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use skep_hooks::{Hooks, HooksOptions};

use crate::{Doors, GatewayOptions, Limits, serve};

/// The deadline of everything that a test waits for.
pub(super) const SOON: Duration = Duration::from_secs(30);

pub(super) const TOKEN: &str = "0123456789abcdef";

/// A gateway, its engine and its worker.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) pool: Arc<FakePool>,
    pub(super) home: tempfile::TempDir,
    pub(super) stop: CancellationToken,
    ended: CancellationToken,
    tracker: TaskTracker,
}

impl Bench {
    pub(super) async fn start() -> Self {
        Self::configured("").await
    }

    pub(super) async fn configured(toml: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = skep_config::parse(toml, "test").unwrap();
        let limits = Limits::from(&settings.api);
        let api = settings.api.clone();
        let environment =
            Environment::of([("SKEP_HOME", home.path().to_str().unwrap()), ("PATH", "/usr/bin:/bin")]);
        let paths = Paths::resolve(&environment, None).unwrap();
        let paths_of_doors = paths.clone();
        let (pool, FakeEnds { events, sent }) = FakePool::start();
        let tracker = TaskTracker::new();
        let engine = Engine::start(EngineOptions {
            workers: pool.clone(),
            events,
            settings,
            reload: Arc::new(|| Err(String::from("config.toml:1:1: no"))),
            paths: paths.clone(),
            environment,
            facts: DaemonFacts {
                process: skep_sys::process::current(),
                endpoint: String::from("unix:/test"),
                started_at: jiff::Timestamp::now(),
                version: String::from("test"),
                dir: home.path().to_owned(),
                epoch: 1,
            },
            tracker: tracker.clone(),
        })
        .await;
        pool.up("w1", "remote-control", 8);
        let ended = CancellationToken::new();
        let worker = Worker::new(pool.clone(), paths).run(sent);
        tracker.spawn(ended.clone().run_until_cancelled_owned(worker));
        let listener = UnixListener::bind(home.path().join("s")).unwrap();
        let stop = CancellationToken::new();
        let doors = Doors::new(&api, &paths_of_doors);
        let hooks = Hooks::start(HooksOptions {
            engine: engine.clone(),
            environment: Environment::default(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        let audit = skep_sys::capture::LogSpec::new(paths_of_doors.audit_log());
        let options =
            GatewayOptions { token: TOKEN.to_owned(), limits, doors, bound: Vec::new(), hooks, audit };
        let serving = serve(engine.clone(), listener, options, stop.clone());
        tracker.spawn(async move { serving.await.unwrap() });
        Self { engine, pool, home, stop, ended, tracker }
    }

    pub(super) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.home.path().join("s")).await.unwrap()
    }

    pub(super) fn cwd(&self) -> String {
        self.home.path().to_str().unwrap().to_owned()
    }

    /// Sends a request with the token, on a connection of its own.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut all = vec![("authorization", format!("Bearer {TOKEN}"))];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.send_raw(method, path, body, &all).await
    }

    pub(super) async fn send_raw(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: &[(&str, String)],
    ) -> Response<Incoming> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        self.tracker.spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "skep");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        timeout(SOON, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    /// A request below `/api/v1` with a JSON answer.
    pub(super) async fn call(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        json_of(self.send(method, &format!("/api/v1{path}"), &body, &[]).await).await
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, &Value::Null).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, &body).await
    }

    /// A session that the worker holds.
    pub(super) async fn session(&self, name: &str) -> SessionId {
        let (status, body) = self.post("/sessions", json!({"name": name, "cwd": self.cwd()})).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().parse().unwrap()
    }

    pub(super) async fn prompt(&self, session: &str, text: &str) -> (StatusCode, Value) {
        let content = json!([{"type": "text", "text": text}]);
        self.post(&format!("/sessions/{session}/prompts"), json!({"content": content})).await
    }

    /// Follows a session's events.
    pub(super) async fn follow(&self, session: &str, query: &str, last: Option<u64>) -> Sse {
        let last = last.map(|seq| seq.to_string());
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.as_ref().map(|seq| ("last-event-id", seq.as_str())));
        let path = format!("/api/v1/sessions/{session}/events{query}");
        let response = self.send(Method::GET, &path, b"", &headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Sse::of(response)
    }

    /// Waits until a session's journal has reached `seq`.
    pub(super) async fn until_seq(&self, id: SessionId, seq: u64) {
        let mut head = self.engine.head(id).await.unwrap();
        timeout(SOON, head.wait_for(|head| head.seq >= seq)).await.unwrap().unwrap();
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        // A real pool's workers are gone, and their leases free, when it says so.
        self.ended.cancel();
        timeout(SOON, self.engine.shutdown(Cause::DaemonStopped)).await.unwrap();
        self.tracker.close();
        timeout(SOON, self.tracker.wait()).await.expect("no task is left");
    }
}

pub(super) async fn json_of(response: Response<Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    let body = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, value)
}

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<u64>,
    pub(super) event: String,
    pub(super) data: String,
}

/// A stream of messages.
pub(super) struct Sse {
    body: Incoming,
    partial: Vec<u8>,
}

impl Sse {
    pub(super) fn of(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), partial: Vec::new() }
    }

    /// The next message or comment; none at the end.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.partial.windows(2).position(|pair| pair == b"\n\n") {
                let text = String::from_utf8(self.partial.drain(..end + 2).collect()).expect("UTF-8");
                let field =
                    |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                return Some(Message {
                    id: field("id: ").parse().ok(),
                    event: field("event: ").to_owned(),
                    data: field("data: ").to_owned(),
                });
            }
            let frame = timeout(SOON, self.body.frame()).await.expect("the stream goes on in time")?;
            let data = frame.ok()?.into_data().unwrap_or_default();
            self.partial.extend_from_slice(&data);
        }
    }

    /// The numbered events up to and with the first of `kind`.
    pub(super) async fn until(&mut self, kind: &str) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("the stream ended before `{kind}`"));
            if let Some(id) = message.id {
                seen.push((id, message.event.clone()));
            }
            if message.event == kind {
                return seen;
            }
        }
    }
}

/// A worker in this process: it journals like a real one and understands a few prompts. `hang` runs until it is
/// cancelled, `ask` waits for a permission, a number makes so many updates.
struct Worker {
    pool: Arc<FakePool>,
    paths: Paths,
    journals: Journals,
    _thread: JournalThread,
    held: HashMap<SessionId, Held>,
}

struct Held {
    writer: Writer,
    running: Option<PromptId>,
}

impl Worker {
    fn new(pool: Arc<FakePool>, paths: Paths) -> Self {
        let (thread, journals) = JournalThread::start().unwrap();
        Self { pool, paths, journals, _thread: thread, held: HashMap::new() }
    }

    async fn run(mut self, mut sent: mpsc::Receiver<Sent>) {
        while let Some(request) = sent.recv().await {
            let reply = match &request.action {
                Action::OpenSession { spec, .. } => self.open(&request.worker, spec.clone()).await,
                Action::Prompt { session, prompt, content, environment, .. } => {
                    let given = environment.as_ref().map(|given| given.names().collect::<Vec<_>>().join(" "));
                    let via = given.unwrap_or_else(|| String::from("test"));
                    self.prompt(&request.worker, *session, *prompt, content, via).await
                }
                Action::Cancel { session, .. } => self.cancel(&request.worker, *session).await,
                Action::Close { session, .. } => self.close(&request.worker, *session).await,
                Action::Answer { .. }
                | Action::ReleaseQueue { .. }
                | Action::Change { .. }
                | Action::Release { .. }
                | Action::Unknown => {
                    Reply::Error { error: ApiError::new(Code::PermissionNotFound, "no such request") }
                }
            };
            self.pool.ack(&request, reply);
        }
    }

    async fn open(&mut self, worker: &WorkerId, spec: skep_common::session::SessionSpec) -> Reply {
        let id = spec.id;
        let dir = self.paths.session(&id);
        std::fs::create_dir_all(&dir).unwrap();
        let lease = Lease::acquire(&dir).unwrap();
        let opener = Opener { session: id, worker: Some(worker.clone()), version: String::from("test") };
        let opened = self.journals.create(lease, opener, SessionOpened { spec }).await.unwrap();
        let mut head = opened.writer.head();
        let (pool, to) = (self.pool.clone(), worker.clone());
        let bell = async move {
            loop {
                let now = *head.borrow_and_update();
                pool.report(&to, Report::Head { session: id, head: now });
                if head.changed().await.is_err() {
                    break;
                }
            }
        };
        drop(TaskTracker::new().spawn(bell));
        let head = *opened.writer.head().borrow();
        self.held.insert(id, Held { writer: opened.writer, running: None });
        self.report(worker, id, SessionState::Idle);
        Reply::Done { head }
    }

    fn report(&self, worker: &WorkerId, id: SessionId, state: SessionState) {
        let head = self.held.get(&id).map(|held| *held.writer.head().borrow()).unwrap_or_default();
        let now = skep_common::session::SessionSnapshot { head, ..snapshot(id, state, 0) };
        self.pool.report(worker, Report::Session(now));
    }

    async fn prompt(
        &mut self,
        worker: &WorkerId,
        session: SessionId,
        prompt: PromptId,
        content: &[ContentBlock],
        via: String,
    ) -> Reply {
        let held = self.held.get_mut(&session).unwrap();
        if held.running.is_some() {
            return Reply::Error { error: ApiError::new(Code::SessionBusy, "a turn runs") };
        }
        let queued = PromptQueued {
            prompt,
            content: content.to_vec(),
            via,
            consent: skep_common::session::Consent::None,
            timeout_seconds: None,
            retry_of: None,
        };
        let events =
            vec![Event::PromptQueued(queued), Event::TurnStarted(TurnStarted { prompt, content: None })];
        let ticket = held.writer.append(events, Durability::Synced).await.unwrap();
        let seq = ticket.seqs().start;
        ticket.committed().await.unwrap();
        match skep_common::session::content::prompt_words(content).as_str() {
            "hang" => {
                held.running = Some(prompt);
                self.report(worker, session, SessionState::Running);
            }
            "ask" => {
                held.running = Some(prompt);
                let asked = PermissionRequested {
                    permission: PermissionId::random(),
                    prompt,
                    tool_kind: String::from("execute"),
                    title: String::from("ls"),
                    options: Vec::new(),
                    tool_call: RawValue::from_string(String::from("{}")).unwrap(),
                };
                held.writer
                    .append(vec![Event::PermissionRequested(asked)], Durability::Synced)
                    .await
                    .unwrap()
                    .committed()
                    .await
                    .unwrap();
                self.report(worker, session, SessionState::NeedsYou);
            }
            number => {
                let updates: u64 = number.parse().unwrap_or(1);
                for at in 0..updates {
                    let text = format!(
                        r#"{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"line {at} é\n"}}}}"#
                    );
                    let update = Event::Update(RawValue::from_string(text.replace('\n', "\\n")).unwrap());
                    drop(held.writer.append(vec![update], Durability::Buffered).await.unwrap());
                }
                held.writer
                    .append(vec![ended(prompt, TurnOutcome::Completed)], Durability::Synced)
                    .await
                    .unwrap()
                    .committed()
                    .await
                    .unwrap();
                self.report(worker, session, SessionState::Idle);
            }
        }
        Reply::Prompt { queued: false, duplicate: false, seq, steered_into: None }
    }

    async fn cancel(&mut self, worker: &WorkerId, session: SessionId) -> Reply {
        let held = self.held.get_mut(&session).unwrap();
        if let Some(prompt) = held.running.take() {
            let ended = vec![ended(prompt, TurnOutcome::Cancelled)];
            held.writer.append(ended, Durability::Synced).await.unwrap().committed().await.unwrap();
            self.report(worker, session, SessionState::Idle);
        }
        Reply::Done { head: skep_common::session::Head::default() }
    }

    async fn close(&mut self, worker: &WorkerId, session: SessionId) -> Reply {
        let held = self.held.remove(&session).unwrap();
        let closed = vec![Event::SessionClosed(SessionClosed { cause: Cause::Person })];
        held.writer.append(closed, Durability::Synced).await.unwrap().committed().await.unwrap();
        let head = held.writer.close().await.unwrap();
        let now =
            skep_common::session::SessionSnapshot { head, ..snapshot(session, SessionState::Closed, 0) };
        self.pool.report(worker, Report::Released(now));
        Reply::Done { head }
    }
}

fn ended(prompt: PromptId, outcome: TurnOutcome) -> Event {
    Event::TurnEnded(TurnEnded {
        prompt,
        steered: Vec::new(),
        outcome,
        cause: None,
        stop_reason: None,
        detail: None,
        exit_code: None,
        usage: skep_common::usage::Usage::default(),
    })
}
