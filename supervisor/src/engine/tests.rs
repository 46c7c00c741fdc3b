//! The engine with a pool whose workers are played by the tests, under paused time.

use std::sync::Arc;
use std::time::Duration;

use skep_common::api::{CreateSession, PromptRequest, SessionInfo, WorkerState};
use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionId;
use skep_common::protocol::{Action, Reply, Report};
use skep_common::session::{Cause, Consent, ContentBlock, Head, SessionKind, SessionState};
use skep_config::{Environment, Paths, Settings};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::*;
use crate::testing::{FakeEnds, FakePool, Sent, snapshot};

mod delegation;
mod life;
mod memory;
mod places;
mod storage;

/// An engine, its fake pool and its home.
struct Bench {
    engine: Engine,
    pool: Arc<FakePool>,
    sent: mpsc::Receiver<Sent>,
    home: tempfile::TempDir,
    tracker: TaskTracker,
}

/// Generous: paused time makes it free, and a failing test ends.
const SOON: Duration = Duration::from_secs(600);

impl Bench {
    async fn start(toml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), toml).await
    }

    async fn start_in(home: tempfile::TempDir, toml: &str) -> Self {
        let settings: Settings = skep_config::parse(toml, "test").unwrap();
        let environment =
            Environment::of([("SKEP_HOME", home.path().to_str().unwrap()), ("PATH", "/bin:/usr/bin")]);
        let paths = Paths::resolve(&environment, None).unwrap();
        let (pool, FakeEnds { events, sent }) = FakePool::start();
        let tracker = TaskTracker::new();
        let reload_from = (paths.clone(), environment.clone());
        let engine = Engine::start(EngineOptions {
            workers: pool.clone(),
            events,
            settings,
            reload: Arc::new(move || {
                let (paths, environment) = &reload_from;
                skep_config::load(paths, environment, &skep_config::Overrides::default())
                    .map_err(|error| error.to_string())
            }),
            paths,
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
        Self { engine, pool, sent, home, tracker }
    }

    fn request(&self) -> CreateSession {
        CreateSession {
            id: None,
            name: None,
            agent: None,
            cwd: self.home.path().to_str().unwrap().to_owned(),
            permission_mode: None,
            kind: SessionKind::Daemon,
            ephemeral: false,
            options: skep_common::session::SessionOptions::default(),
            continue_open: false,
            opener: None,
            sandbox: false,
            spawn_mode: None,
        }
    }

    fn named(&self, name: &str) -> CreateSession {
        CreateSession { name: Some(name.parse().unwrap()), ..self.request() }
    }

    fn create(&self, request: CreateSession) -> tokio::task::JoinHandle<Result<Created, ApiError>> {
        let engine = self.engine.clone();
        self.tracker.spawn(async move { engine.create(request).await })
    }

    fn prompt(
        &self,
        id: SessionId,
    ) -> tokio::task::JoinHandle<Result<skep_common::api::PromptAccepted, ApiError>> {
        let engine = self.engine.clone();
        self.tracker.spawn(async move { submit(&engine, id, text("hi")).await })
    }

    /// The next request to a worker.
    async fn sent(&mut self) -> Sent {
        timeout(SOON, self.sent.recv()).await.expect("a request is sent").expect("the engine runs")
    }

    /// Plays the worker that opens the next session.
    async fn open_next(&mut self) -> SessionId {
        let sent = self.sent().await;
        let Action::OpenSession { spec, .. } = &sent.action else { panic!("not an opening: {sent:?}") };
        let id = spec.id;
        self.pool.report(&sent.worker, Report::Session(snapshot(id, SessionState::Idle, 3)));
        self.pool.ack(&sent, Reply::Done { head: Head::default() });
        id
    }

    /// A session that a worker holds.
    async fn open(&mut self, request: CreateSession) -> SessionInfo {
        let creating = self.create(request);
        self.open_next().await;
        creating.await.unwrap().unwrap().info
    }

    /// Waits until a session is in a state.
    async fn until(&self, id: SessionId, state: SessionState) -> SessionInfo {
        let mut changes = self.engine.changes();
        let look = async {
            loop {
                changes.borrow_and_update();
                let info = self.engine.session(&id.to_string()).await.unwrap();
                if info.state == state {
                    return info;
                }
                changes.changed().await.unwrap();
            }
        };
        timeout(SOON, look).await.unwrap_or_else(|_| panic!("session {id} never became {state:?}"))
    }

    async fn end(self) {
        timeout(SOON, self.engine.shutdown(Cause::DaemonStopped)).await.unwrap();
        self.tracker.close();
        timeout(SOON, self.tracker.wait()).await.expect("no task is left");
    }
}

fn text(text: &str) -> PromptRequest {
    PromptRequest {
        id: None,
        content: vec![ContentBlock::Text { text: text.to_owned() }],
        when_busy: None,
        consent: Consent::None,
        timeout_seconds: None,
        environment: None,
        retry_interrupted: false,
    }
}

async fn submit(
    engine: &Engine,
    session: SessionId,
    request: PromptRequest,
) -> Result<skep_common::api::PromptAccepted, ApiError> {
    engine.submit(session, engine.receive(request).await?, &caller()).await
}

fn caller() -> Caller {
    Caller { via: String::from("test") }
}

fn code<T: fmt::Debug>(result: Result<T, ApiError>) -> Code {
    result.unwrap_err().code
}

fn accepted() -> Reply {
    Reply::Prompt { queued: false, duplicate: false, seq: 4, steered_into: None }
}

#[tokio::test(start_paused = true)]
async fn p23_an_invalid_configuration_changes_nothing_and_is_reported() {
    let bench = Bench::start("").await;
    let file = bench.home.path().join("config.toml");
    std::fs::write(&file, "session.max_open = 'many'").unwrap();
    assert_eq!(code(bench.engine.reload().await), Code::ConfigInvalid);
    assert_eq!(bench.pool.reloads(), 0);
    assert_eq!(bench.engine.settings().session.max_open, 50);
    let status = bench.engine.daemon_status().await.unwrap();
    assert!(status.config_error.unwrap().contains("config.toml:1:"), "line and column are named");
    std::fs::write(&file, "session.max_open = 7\ndaemon.socket = '/elsewhere'").unwrap();
    let reloaded = bench.engine.reload().await.unwrap();
    assert_eq!(reloaded.needs_restart, ["daemon.socket"]);
    assert_eq!(bench.engine.settings().session.max_open, 7);
    assert_eq!(bench.engine.daemon_status().await.unwrap().config_error, None);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_stop_is_heard_and_the_first_one_counts() {
    let bench = Bench::start("").await;
    bench.engine.request_stop(StopKind::Restart);
    bench.engine.request_stop(StopKind::Stop);
    assert_eq!(bench.engine.stop_requested().await, StopKind::Restart);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn g8_two_engines_know_nothing_of_each_other() {
    let mut one = Bench::start("").await;
    let two = Bench::start("").await;
    one.pool.up("w1", "remote-control", 4);
    one.open(one.named("x")).await;
    assert_eq!(two.engine.sessions(true).await.unwrap(), []);
    one.end().await;
    two.end().await;
}
