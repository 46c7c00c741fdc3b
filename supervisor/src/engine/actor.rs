//! The engine's task: the only owner of [`Core`]. Takes calls, pool events and what its own tasks report, one after
//! another, and performs the effects. It awaits nothing but the next event.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use skep_common::api::{AddWorker, SessionInfo, SessionList, WaitingPermission, WorkerInfo};
use skep_common::code::{ApiError, Code};
use skep_common::ids::{SessionId, WorkerId};
use skep_common::protocol::{Command, Reply};
use skep_common::session::{Cause, Head, SessionFile, SessionState};
use skep_config::{ByteSize, Paths, Settings};
use skep_journal::{Kept, Limits};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::core::{Act, Core, Effect, Policy, ReplyTo, Unrecovered, answer};
use super::create::{CheckedCreate, Created};
use super::disk;
use super::memory::{self, Measured};
use super::metrics::Counts;
use super::notify::Notifier;
use super::port::{WorkerAction, Workers};
use crate::pool::PoolEvent;
use crate::session_page::Wanted;
use crate::sessions::Changes;

/// How often closed sessions are looked through.
const RETENTION: Duration = Duration::from_secs(86_400);

/// How long a worker that was started on demand may hold no session.
const IDLE_WORKER: Duration = Duration::from_secs(300);

/// Journals that are repaired at the same time.
const RECOVERIES: usize = 2;

/// Reports of the engine's own tasks that may wait.
const REPORTS: usize = 256;

/// What a handle asks.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time; each is answered at once")]
pub(crate) enum Call {
    Create(CheckedCreate, ReplyTo<Created>),
    Act(SessionId, Act, ReplyTo<Reply>),
    Remove(SessionId, bool, ReplyTo<()>),
    Find(String, ReplyTo<SessionInfo>),
    List(bool, ReplyTo<Vec<SessionInfo>>),
    Agents(ReplyTo<Vec<(u32, SessionId)>>),
    Counts(ReplyTo<Counts>),
    Page(Wanted, ReplyTo<SessionList>),
    Summary(ReplyTo<Summary>),
    Permissions(ReplyTo<Vec<WaitingPermission>>),
    Head(SessionId, ReplyTo<watch::Receiver<Head>>),
    Changes(u64, ReplyTo<Changes>),
    Reloaded(Arc<Settings>),
    Shutdown(Cause),
}

/// The open sessions, and how many closed ones are kept.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) open: Vec<SessionInfo>,
    pub(crate) closed: usize,
}

/// What one of the engine's tasks reports.
#[derive(Debug)]
enum Done {
    Recovered(SessionId, Result<Box<SessionFile>, Unrecovered>),
    Deleted(SessionId, Result<(), ApiError>),
    Grown(String, Box<Result<WorkerInfo, ApiError>>),
    Spec(WorkerId, Box<SessionFile>),
    Expired(Vec<SessionId>),
    Measured(Measured),
    PoolGone,
}

/// The next thing that happens.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
enum Event {
    Call(Option<Call>),
    Pool(Option<PoolEvent>),
    Done(Done),
    Retention,
    Retire,
    Measure,
}

/// What the actor works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) paths: Paths,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) notifier: Notifier,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tracker: TaskTracker,
    /// Counts the changes of workers, for who watches them.
    pub(crate) worker_changes: watch::Sender<u64>,
}

/// The engine's task.
#[derive(Debug)]
pub(crate) struct Actor {
    core: Core,
    parts: Parts,
    calls: mpsc::Receiver<Call>,
    pool: mpsc::Receiver<PoolEvent>,
    pool_open: bool,
    done: mpsc::Receiver<Done>,
    report: mpsc::Sender<Done>,
    recoveries: Arc<Semaphore>,
    ending: Option<Ending>,
}

/// A shutdown that is under way.
#[derive(Debug)]
struct Ending {
    cause: Cause,
    pool_gone: bool,
}

impl Actor {
    pub(crate) fn new(
        core: Core,
        parts: Parts,
        calls: mpsc::Receiver<Call>,
        pool: mpsc::Receiver<PoolEvent>,
    ) -> Self {
        let (report, done) = mpsc::channel(REPORTS);
        let recoveries = Arc::new(Semaphore::new(RECOVERIES));
        Self { core, parts, calls, pool, pool_open: true, done, report, recoveries, ending: None }
    }

    /// Runs until a shutdown is complete, or every handle and the pool are gone.
    pub(crate) async fn run(mut self) {
        let mut retention = tokio::time::interval(RETENTION);
        retention.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let retire_at = self.core.retire_idle(Instant::now(), IDLE_WORKER);
            let measure_at = self.core.measure_at(Instant::now());
            self.perform_effects();
            if self.has_ended() {
                break;
            }
            let event = tokio::select! {
                call = self.calls.recv() => Event::Call(call),
                event = self.pool.recv(), if self.pool_open => Event::Pool(event),
                Some(done) = self.done.recv() => Event::Done(done),
                _ = retention.tick() => Event::Retention,
                () = sleep_until(retire_at) => Event::Retire,
                () = sleep_until(measure_at) => Event::Measure,
            };
            let now = Timestamp::now();
            match event {
                Event::Call(Some(call)) => self.on_call(call, now),
                Event::Call(None) => break,
                Event::Pool(Some(event)) => self.on_pool(event, now),
                Event::Pool(None) => self.pool_open = false,
                Event::Done(done) => self.on_done(done, now),
                Event::Retention => self.start_retention(now),
                // Looked at before every event.
                Event::Retire => {}
                Event::Measure => self.measure(),
            }
        }
    }

    /// Whether everything that a shutdown waits for is done.
    fn has_ended(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.pool_gone)
            && self.pool.is_empty()
            && self.core.is_quiet()
    }

    fn on_call(&mut self, call: Call, now: Timestamp) {
        match call {
            Call::Create(request, reply) => self.core.create(request, reply, now),
            Call::Act(id, act, reply) => self.core.act(id, act, reply, false, now),
            Call::Remove(id, force, reply) => self.core.remove(id, force, reply, now),
            Call::Find(wanted, reply) => {
                let found = self.core.index.resolve(&wanted);
                let info = found.and_then(|id| {
                    let entry = self.core.index.get(id);
                    entry.map(crate::sessions::Entry::info).ok_or_else(|| crate::sessions::not_found(&wanted))
                });
                answer(reply, info);
            }
            Call::List(all, reply) => answer(reply, Ok(self.core.index.list(all))),
            Call::Agents(reply) => {
                let agents = self.core.index.agents().0.iter().map(|(id, agent)| (agent.pid, *id));
                answer(reply, Ok(agents.collect()));
            }
            Call::Counts(reply) => answer(reply, Ok(Counts::of(&self.core.index))),
            Call::Page(wanted, reply) => answer(reply, Ok(wanted.page(&self.core.index))),
            Call::Summary(reply) => {
                let summary = Summary { open: self.core.index.list(false), closed: self.core.index.closed() };
                answer(reply, Ok(summary));
            }
            Call::Permissions(reply) => answer(reply, Ok(self.core.index.waiting_permissions())),
            Call::Head(id, reply) => answer(reply, self.core.watch_head(id)),
            Call::Changes(since, reply) => answer(reply, Ok(self.core.index.changed_since(since))),
            Call::Reloaded(settings) => {
                self.core.set_policy(policy(&settings));
                self.parts.settings = settings;
            }
            Call::Shutdown(cause) => self.shutdown(cause),
        }
    }

    fn on_pool(&mut self, event: PoolEvent, now: Timestamp) {
        if matches!(event, PoolEvent::Changed(_) | PoolEvent::Removed(_)) {
            self.parts.worker_changes.send_modify(|count| *count += 1);
        }
        match event {
            PoolEvent::Up { worker, hello } => self.core.on_up(&worker, hello),
            PoolEvent::Report { worker, report } => self.core.on_report(&worker, report, now),
            PoolEvent::Down { worker, cause, kind } => {
                tracing::debug!(worker.id = %worker, "worker `{worker}` is down: {cause}");
                self.core.on_down(&worker, kind);
            }
            PoolEvent::Changed(info) => self.core.on_worker(&info),
            PoolEvent::Removed(worker) => self.core.on_removed(&worker),
        }
    }

    fn on_done(&mut self, done: Done, now: Timestamp) {
        match done {
            Done::Recovered(id, result) => self.core.recovered(id, result, now),
            Done::Deleted(id, result) => self.core.deleted(id, result, now),
            Done::Grown(kind, grown) => self.core.on_grown(&kind, *grown, now),
            Done::Spec(worker, file) => self.core.spec_loaded(&worker, *file),
            Done::Expired(ids) => {
                for id in ids {
                    let (reply, _) = oneshot::channel();
                    self.core.remove(id, false, reply, now);
                }
            }
            Done::Measured(measured) => self.core.measured(&measured, Instant::now()),
            Done::PoolGone => {
                while let Ok(event) = self.pool.try_recv() {
                    self.on_pool(event, now);
                }
                if let Some(ending) = &mut self.ending {
                    ending.pool_gone = true;
                    let cause = ending.cause;
                    self.core.recover_leftovers(cause);
                }
            }
        }
    }

    /// Stops the intake and the pool. A second call makes the pool kill at once.
    fn shutdown(&mut self, cause: Cause) {
        if self.ending.is_none() {
            self.ending = Some(Ending { cause, pool_gone: false });
            self.core.stop_intake();
        }
        let (workers, report) = (Arc::clone(&self.parts.workers), self.report.clone());
        self.parts.tracker.spawn(async move {
            workers.shutdown(cause).await;
            drop(report.send(Done::PoolGone).await);
        });
    }

    fn perform_effects(&mut self) {
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        let (workers, report) = (Arc::clone(&self.parts.workers), self.report.clone());
        match effect {
            Effect::Send { worker, id, action } => {
                if let Err(error) = workers.send(&worker, Command::Request { id, action }) {
                    tracing::warn!(worker.id = %worker, "worker `{worker}` takes no request: {error}");
                    self.core.undelivered(id, Timestamp::now());
                }
            }
            Effect::Recover { session, cause } => self.recover(session, cause),
            Effect::CloseStored { session, cause } => self.close(session, cause),
            Effect::Delete { session } => self.delete(session),
            Effect::Discard { session } => {
                let dir = self.parts.paths.session(&session);
                drop(self.parts.tracker.spawn_blocking(move || {
                    if let Err(error) = disk::delete(&dir) {
                        tracing::warn!(session.id = %session, "a failed start left files behind: {error}");
                    }
                }));
            }
            Effect::Recall { session, act, reply } => {
                let dir = self.parts.paths.session(&session);
                drop(self.parts.tracker.spawn_blocking(move || answer(reply, disk::recall(&dir, &act))));
            }
            Effect::Retire(worker) => {
                self.parts.tracker.spawn(async move {
                    if let Err(error) = workers.act(&worker, WorkerAction::Retire).await {
                        tracing::warn!(worker.id = %worker, "idle worker `{worker}` was not stopped: {error}");
                    }
                });
            }
            Effect::Persist(file) => {
                let dir = self.parts.paths.session(&file.spec.id);
                drop(self.parts.tracker.spawn_blocking(move || disk::persist(&dir, &file)));
            }
            Effect::Grow(kind) => {
                self.parts.tracker.spawn(async move {
                    let wanted = AddWorker { kind: Some(kind.clone()), ..AddWorker::default() };
                    let grown = workers.add(wanted).await;
                    drop(report.send(Done::Grown(kind, Box::new(grown))).await);
                });
            }
            Effect::LoadSpec { snapshot, worker } => {
                let dir = self.parts.paths.session(&snapshot.id);
                drop(self.parts.tracker.spawn_blocking(move || {
                    if let Some(spec) = disk::load(&dir) {
                        let file = Box::new(SessionFile { spec, snapshot: Some(*snapshot) });
                        drop(report.blocking_send(Done::Spec(worker, file)));
                    }
                }));
            }
            Effect::SpareMemory(worker) => {
                if let Err(error) = workers.send(&worker, Command::SpareMemory) {
                    tracing::warn!(worker.id = %worker, "worker `{worker}` keeps its agents ready: {error}");
                }
            }
            Effect::Refresh => self.core.on_workers(&workers.list()),
            Effect::Notify(notice) => self.parts.notifier.tell(notice),
        }
    }

    fn measure(&mut self) {
        let workers = self.parts.workers.list();
        let wanted =
            self.core.begin_look(workers.into_iter().filter_map(|w| Some((w.id, w.process?))).collect());
        let report = self.report.clone();
        self.parts.tracker.spawn(async move {
            let measured = tokio::task::spawn_blocking(move || memory::measure(wanted)).await;
            let measured = measured.unwrap_or_else(|error| {
                tracing::error!(%error, "a look at what agents use ended early");
                Measured::default()
            });
            drop(report.send(Done::Measured(measured)).await);
        });
    }

    fn recover(&self, session: SessionId, cause: Cause) {
        let Some(spec) = self.core.index.get(session).map(|entry| entry.spec().clone()) else { return };
        let (dir, report) = (self.parts.paths.session(&session), self.report.clone());
        let permits = Arc::clone(&self.recoveries);
        self.parts.tracker.spawn(async move {
            let permit = permits.acquire_owned().await;
            let repaired = tokio::task::spawn_blocking(move || disk::recover(&dir, &spec, cause)).await;
            drop(permit);
            let result =
                repaired.unwrap_or_else(|_| Err(Unrecovered::Failed(String::from("its recovery crashed"))));
            drop(report.send(Done::Recovered(session, result)).await);
        });
    }

    fn close(&self, session: SessionId, cause: Cause) {
        let Some(spec) = self.core.index.get(session).map(|entry| entry.spec().clone()) else { return };
        let (dir, report) = (self.parts.paths.session(&session), self.report.clone());
        self.parts.tracker.spawn(async move {
            let result = disk::close(dir, spec, cause).await;
            drop(report.send(Done::Recovered(session, result)).await);
        });
    }

    fn delete(&self, session: SessionId) {
        let (dir, report) = (self.parts.paths.session(&session), self.report.clone());
        self.parts.tracker.spawn(async move {
            let deleted = tokio::task::spawn_blocking(move || disk::delete(&dir)).await;
            let result = match deleted {
                Ok(Ok(Kept::Removed)) => Ok(()),
                Ok(Ok(Kept::InUse)) => {
                    Err(ApiError::new(Code::SessionLeased, "another process holds the session's journal"))
                }
                Ok(Err(error)) => {
                    tracing::error!(session.id = %session, "session {session} cannot be removed: {error}");
                    Err(ApiError::new(Code::StorageFailed, "the session's files cannot be removed"))
                }
                Err(_) => Err(ApiError::new(Code::Internal, "the removal crashed")),
            };
            drop(report.send(Done::Deleted(session, result)).await);
        });
    }

    fn start_retention(&self, now: Timestamp) {
        let closed: Vec<(SessionId, Timestamp)> = self
            .core
            .index
            .iter()
            .filter(|entry| entry.is_closed() && entry.snapshot().state == SessionState::Closed)
            .map(|entry| (entry.spec().id, entry.snapshot().updated_at))
            .collect();
        if closed.is_empty() || self.ending.is_some() {
            return;
        }
        let settings = &self.parts.settings.session;
        let limits =
            Limits { max_age: settings.keep_closed, max_total_bytes: settings.keep_closed_bytes.as_u64() };
        let (paths, report) = (self.parts.paths.clone(), self.report.clone());
        drop(self.parts.tracker.spawn_blocking(move || {
            let expired = disk::expired(&paths, &closed, limits, now);
            drop(report.blocking_send(Done::Expired(expired)));
        }));
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The core's limits, from the settings.
pub(crate) fn policy(settings: &Settings) -> Policy {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Policy {
        max_sessions: size(settings.session.max_open),
        max_waiting: size(settings.pool.max_waiting),
        max_requests: size(settings.session.max_queued).max(1),
        resume: settings.session.resume,
        room: super::delegation::Room {
            children: size(settings.delegation.max_children),
            tree: size(settings.delegation.max_tree),
        },
        kinds: settings
            .pool
            .kinds()
            .map(|(kind, settings)| {
                let limit = super::slots::KindLimit {
                    max_workers: size(settings.max_workers),
                    capacity: size(settings.capacity),
                };
                (kind.to_owned(), limit)
            })
            .into(),
        memory_budget: settings.session.memory_budget.map(ByteSize::as_u64),
    }
}
