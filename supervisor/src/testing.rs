//! A pool without processes, for tests: the test is every worker.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use skep_common::api::{AddWorker, WorkerInfo, WorkerState};
use skep_common::code::{ApiError, Code};
use skep_common::ids::{Process, RequestId, SessionId, WorkerId};
use skep_common::protocol::{Action, Command, PROTOCOL_VERSION, Reply, Report, WorkerHello};
use skep_common::session::{Cause, Head, SessionSnapshot, SessionState};
use skep_config::Settings;
use tokio::sync::mpsc;

use crate::engine::port::Answer;
use crate::engine::{WorkerAction, Workers};
use crate::pool::{PoolEvent, SendError};

/// Requests and events that a test may leave unread.
const UNREAD: usize = 4096;

/// A request that the engine sent to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// To whom.
    pub worker: WorkerId,
    /// Its id.
    pub id: RequestId,
    /// What to do.
    pub action: Action,
}

/// A pool whose workers are played by the test.
#[derive(Debug)]
pub struct FakePool {
    state: Mutex<State>,
    events: mpsc::Sender<PoolEvent>,
    sent: mpsc::Sender<Sent>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<WorkerInfo>,
    refuse_growth: bool,
    acted: Vec<(WorkerId, WorkerAction)>,
    shutdowns: Vec<Cause>,
    reloads: usize,
}

/// What a test holds of a fake pool.
#[derive(Debug)]
pub struct FakeEnds {
    /// For the engine.
    pub events: mpsc::Receiver<PoolEvent>,
    /// What the engine sends to workers.
    pub sent: mpsc::Receiver<Sent>,
}

/// How a worker looks to the pool.
#[must_use]
pub fn worker_info(id: &WorkerId, kind: &str, capacity: u32, state: WorkerState) -> WorkerInfo {
    WorkerInfo {
        id: id.clone(),
        kind: kind.to_owned(),
        state,
        why: None,
        process: None,
        started_at: None,
        restart_at: None,
        restarts: 0,
        rapid_failures: 0,
        backoff_level: 0,
        last_exit: None,
        last_stderr: None,
        capacity,
        sessions: Vec::new(),
        dir: String::from("/"),
        usage: None,
        journal_stalled_ms: 0,
        version: None,
    }
}

/// A session as an idle worker sees it.
#[must_use]
pub fn snapshot(id: SessionId, state: SessionState, seq: u64) -> SessionSnapshot {
    let head = Head { seq, segment: 1, bytes: seq * 100, epoch: 1 };
    SessionSnapshot { head, ..SessionSnapshot::blank(id, state, Timestamp::now()) }
}

impl FakePool {
    /// A pool without workers.
    #[must_use]
    pub fn start() -> (Arc<Self>, FakeEnds) {
        let (events, event_end) = mpsc::channel(UNREAD);
        let (sent, sent_end) = mpsc::channel(UNREAD);
        let pool = Self { state: Mutex::default(), events, sent };
        (Arc::new(pool), FakeEnds { events: event_end, sent: sent_end })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: PoolEvent) {
        match self.events.try_send(event) {
            // After its end the engine hears nothing any more.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => panic!("a test leaves fewer events unread"),
        }
    }

    /// A worker appears and says hello.
    pub fn up(&self, id: &str, kind: &str, capacity: u32) -> WorkerId {
        let id: WorkerId = id.parse().expect("a test gives a valid id");
        self.show(&id, kind, capacity, WorkerState::Running);
        self.hello(&id);
        id
    }

    /// A worker says hello.
    pub fn hello(&self, id: &WorkerId) {
        let hello = WorkerHello {
            protocol: PROTOCOL_VERSION,
            version: String::from("test"),
            epoch: 1,
            id: id.clone(),
            process: Process { pid: 0, start_time: 0, boot_id: String::new() },
            sessions: Vec::new(),
        };
        self.event(PoolEvent::Up { worker: id.clone(), hello });
    }

    /// The pool shows a worker in a state.
    pub fn show(&self, id: &WorkerId, kind: &str, capacity: u32, state: WorkerState) {
        let info = worker_info(id, kind, capacity, state);
        let mut pool = self.state();
        pool.workers.retain(|worker| worker.id != *id);
        pool.workers.push(info.clone());
        drop(pool);
        self.event(PoolEvent::Changed(info));
    }

    /// A worker and its tree are gone; it will come back.
    pub fn down(&self, worker: &WorkerId, kind: Cause) {
        self.event(PoolEvent::Down {
            worker: worker.clone(),
            cause: String::from("signal 9 (SIGKILL)"),
            kind,
        });
    }

    /// A worker reports.
    pub fn report(&self, worker: &WorkerId, report: Report) {
        self.event(PoolEvent::Report { worker: worker.clone(), report });
    }

    /// A worker acknowledges a request.
    pub fn ack(&self, sent: &Sent, reply: Reply) {
        self.report(&sent.worker, Report::Ack { id: sent.id, reply });
    }

    /// From now on no worker can be added.
    pub fn refuse_growth(&self) {
        self.state().refuse_growth = true;
    }

    /// What persons and the engine did to workers.
    #[must_use]
    pub fn acted(&self) -> Vec<(WorkerId, WorkerAction)> {
        self.state().acted.clone()
    }

    /// The shutdowns that were asked for.
    #[must_use]
    pub fn shutdowns(&self) -> Vec<Cause> {
        self.state().shutdowns.clone()
    }

    /// How often settings were handed over.
    #[must_use]
    pub fn reloads(&self) -> usize {
        self.state().reloads
    }
}

impl Workers for FakePool {
    fn send(&self, worker: &WorkerId, command: Command) -> Result<(), SendError> {
        let known = self.state().workers.iter().any(|info| info.id == *worker);
        match command {
            Command::Request { id, action } if known => {
                let sent = Sent { worker: worker.clone(), id, action };
                self.sent.try_send(sent).map_err(|_| SendError::Busy)
            }
            _ => Err(SendError::Gone),
        }
    }

    fn list(&self) -> Vec<WorkerInfo> {
        self.state().workers.clone()
    }

    fn add(&self, worker: AddWorker) -> Answer<Result<WorkerInfo, ApiError>> {
        let mut state = self.state();
        if state.refuse_growth {
            return Box::pin(async { Err(ApiError::new(Code::PoolFull, "no more workers")) });
        }
        let kind = worker.kind.unwrap_or_else(|| String::from("remote-control"));
        let number = state.workers.iter().filter(|info| info.kind == kind).count() + 1;
        let id: WorkerId = format!("{kind}-{number}").parse().expect("kinds are valid names");
        let info = worker_info(&id, &kind, worker.capacity.unwrap_or(4), WorkerState::Starting);
        state.workers.push(info.clone());
        Box::pin(async move { Ok(info) })
    }

    fn act(&self, worker: &WorkerId, action: WorkerAction) -> Answer<Result<(), ApiError>> {
        self.state().acted.push((worker.clone(), action));
        Box::pin(async { Ok(()) })
    }

    fn reload(&self, _settings: Settings) -> Answer<Vec<WorkerId>> {
        self.state().reloads += 1;
        Box::pin(async { Vec::new() })
    }

    fn shutdown(&self, cause: Cause) -> Answer<()> {
        self.state().shutdowns.push(cause);
        Box::pin(async {})
    }
}
