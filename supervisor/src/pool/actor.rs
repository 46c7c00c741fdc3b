//! The actor that owns the set of workers: adds and removes drivers, hands orders to them, reloads, shuts down.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skep_common::api::{AddWorker, WorkerInfo};
use skep_common::code::{ApiError, Code};
use skep_common::ids::WorkerId;
use skep_common::session::Cause;
use skep_config::Settings;
use skep_sys::capture::LogWriter;
use skep_sys::subreaper::{become_subreaper, reap_orphans};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::handle::{PoolHandle, shutting_down};
use super::plan::Plan;
use super::{PoolEvent, PoolOptions, leftovers};
use crate::clock::Clock;
use crate::driver::{Ask, Driver, LogLimits, ORDERS, Order, Shared};
use crate::limiter::Limiter;
use crate::saver::Saver;
use crate::spec::{Common, Origin, Spec};
use crate::worker_file::{Added, WorkerFile, read_all};

/// Requests that may wait for the actor.
const REQUESTS: usize = 64;

/// How long the end of the pool waits for the disk that the logs are on.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A request to the pool.
#[derive(Debug)]
pub(super) enum Request {
    Add { worker: AddWorker, reply: oneshot::Sender<Result<WorkerInfo, ApiError>> },
    Worker { worker: WorkerId, ask: Ask, reply: oneshot::Sender<Result<(), ApiError>> },
    Reload { settings: Box<Settings>, reply: oneshot::Sender<Vec<WorkerId>> },
    Shutdown { cause: Cause, reply: oneshot::Sender<()> },
}

/// A worker of the pool.
#[derive(Debug)]
struct Seat {
    orders: mpsc::Sender<Order>,
    kind: String,
    origin: Origin,
    added: Added,
}

/// The actor.
#[derive(Debug)]
struct Actor {
    plan: Plan,
    shared: Arc<Shared>,
    seats: BTreeMap<WorkerId, Seat>,
    drivers: JoinSet<WorkerId>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Serving,
    /// Everything ends; these wait for it.
    Stopping(Vec<oneshot::Sender<()>>),
}

enum Input {
    Request(Option<Request>),
    Ended(Result<WorkerId, JoinError>),
    ChildEnded,
}

/// Starts the actor.
pub(super) fn start(options: PoolOptions, events: mpsc::Sender<PoolEvent>) -> io::Result<PoolHandle> {
    let (requests, receiver) = mpsc::channel(REQUESTS);
    let PoolOptions { settings, paths, exe, epoch, launch, dir, environment, tracker } = options;
    for directory in [paths.workers(), paths.logs()] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let saver = Saver::new(Arc::new(paths.clone()), tracker.clone());
    let shared = Arc::new(Shared {
        common: Common {
            exe,
            state_dir: paths.state_dir().to_owned(),
            epoch,
            debug: launch.debug || settings.logs.debug,
            environment,
        },
        clock: Clock::start(),
        limiter: Mutex::new(Limiter::new(settings.restart.spawns_per_second)),
        directory: Arc::default(),
        saver: saver.clone(),
        logs: LogWriter::start()?,
        log_limits: LogLimits { max_bytes: settings.logs.max_bytes.as_u64(), files: settings.logs.files },
        events,
        tracker: tracker.clone(),
        subreaper: adopt_orphans(),
        paths,
    });
    let directory = Arc::clone(&shared.directory);
    let actor = Actor {
        plan: Plan::new(settings, launch, dir),
        shared,
        seats: BTreeMap::new(),
        drivers: JoinSet::new(),
        phase: Phase::Serving,
    };
    tracker.spawn(actor.run(receiver));
    Ok(PoolHandle { requests, directory, saver })
}

/// Whether orphans come to this process from now on.
fn adopt_orphans() -> bool {
    match become_subreaper() {
        Ok(()) => cfg!(target_os = "linux"),
        Err(error) => {
            tracing::warn!(%error, "orphans of workers are not handed to the daemon; they are searched for instead");
            false
        }
    }
}

/// Waits until the workers' last words are in their logs, but not for a disk that hangs.
async fn write_out(logs: &LogWriter) {
    let logs = logs.clone();
    let written = tokio::task::spawn_blocking(move || logs.stop(LAST_WORDS)).await;
    if !written.unwrap_or(false) {
        tracing::warn!("the last lines of the workers' logs were not written within {LAST_WORDS:?}");
    }
}

impl Actor {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut child_ended = match signal(SignalKind::child()) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::error!(%error, "failed to watch for SIGCHLD; adopted orphans stay unreaped");
                None
            }
        };
        self.begin().await;
        loop {
            if let Phase::Stopping(waiting) = &mut self.phase
                && self.drivers.is_empty()
            {
                write_out(&self.shared.logs).await;
                for reply in waiting.drain(..) {
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                }
                break;
            }
            match self.next_input(&mut requests, child_ended.as_mut()).await {
                Input::Request(Some(request)) => self.request(request).await,
                Input::Request(None) => self.stop(Cause::DaemonStopped, None),
                Input::Ended(ended) => self.ended(ended),
                Input::ChildEnded => {
                    reap_orphans(&|_| false);
                }
            }
        }
    }

    async fn next_input(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        child_ended: Option<&mut Signal>,
    ) -> Input {
        let child_ended = async {
            match child_ended {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let open = !requests.is_closed() || !requests.is_empty();
        tokio::select! {
            request = requests.recv(), if open => Input::Request(request),
            Some(ended) = self.drivers.join_next() => Input::Ended(ended),
            _ = child_ended => Input::ChildEnded,
        }
    }

    /// Ends what a former supervisor left, then starts the workers.
    async fn begin(&mut self) {
        let mut kept = match read_all(&self.shared.paths) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "failed to read the workers' state files; every worker starts afresh");
                Vec::new()
            }
        };
        let stuck = leftovers::end(&self.shared.paths, &kept).await;
        for spec in self.plan.configured() {
            let at = kept.iter().position(|left| left.id == spec.id);
            let file = at.and_then(|at| kept.swap_remove(at).file);
            self.seat(spec, None, file, &stuck);
        }
        for left in kept {
            let Some(file) = left.file else { continue };
            match self.plan.kept(&file) {
                Some(spec) => self.seat(spec, file.added.clone(), Some(file), &stuck),
                None => self.shared.saver.remove(&left.id),
            }
        }
    }

    /// Gives a worker a driver.
    fn seat(
        &mut self,
        spec: Spec,
        added: Option<Added>,
        file: Option<WorkerFile>,
        stuck: &BTreeSet<WorkerId>,
    ) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let id = spec.id.clone();
        let seat = Seat {
            orders,
            kind: spec.kind.clone(),
            origin: spec.origin,
            added: added.clone().unwrap_or_default(),
        };
        let mut driver = Driver::new(spec, added, file, Arc::clone(&self.shared));
        if stuck.contains(&id) {
            driver.hold_back("a process of its former run cannot be ended".to_owned());
        }
        driver.show();
        self.drivers.spawn(self.shared.tracker.track_future(driver.run(receiver)));
        self.seats.insert(id, seat);
    }

    async fn request(&mut self, request: Request) {
        let stopping = matches!(self.phase, Phase::Stopping(_));
        // Whoever asked may have gone, here and below.
        match request {
            Request::Add { reply, .. } if stopping => drop(reply.send(Err(shutting_down()))),
            Request::Add { worker, reply } => drop(reply.send(self.add(worker))),
            Request::Worker { reply, .. } if stopping => drop(reply.send(Err(shutting_down()))),
            Request::Worker { worker, ask, reply } => self.order(&worker, ask, reply),
            Request::Reload { reply, .. } if stopping => drop(reply.send(Vec::new())),
            Request::Reload { settings, reply } => drop(reply.send(self.reload(*settings).await)),
            Request::Shutdown { cause, reply } => self.stop(cause, Some(reply)),
        }
    }

    fn add(&mut self, worker: AddWorker) -> Result<WorkerInfo, ApiError> {
        let taken = self.seats.keys().cloned().collect();
        let (spec, added) = self.plan.added(worker, &taken)?;
        let of_kind = self.seats.values().filter(|seat| seat.kind == spec.kind).count();
        if of_kind >= self.plan.max_workers(&spec.kind) {
            let message = format!("there are {of_kind} `{}` workers, the most that are allowed", spec.kind);
            return Err(ApiError::new(Code::PoolFull, message));
        }
        let id = spec.id.clone();
        self.seat(spec, Some(added), None, &BTreeSet::new());
        self.shared.directory.get(&id).ok_or_else(|| ApiError::new(Code::Internal, "the new worker vanished"))
    }

    fn order(&mut self, worker: &WorkerId, ask: Ask, reply: oneshot::Sender<Result<(), ApiError>>) {
        let refusal = |order: Order, code, message: String| {
            if let Order::Ask(_, reply) = order {
                drop(reply.send(Err(ApiError::new(code, message))));
            }
        };
        let order = Order::Ask(ask, reply);
        let Some(seat) = self.seats.get(worker) else {
            return refusal(order, Code::WorkerNotFound, format!("there is no worker `{worker}`"));
        };
        match seat.orders.try_send(order) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(order)) => {
                refusal(order, Code::WorkerState, format!("worker `{worker}` has too much to do already"));
            }
            Err(mpsc::error::TrySendError::Closed(order)) => {
                refusal(order, Code::WorkerNotFound, format!("worker `{worker}` is gone"));
            }
        }
    }

    async fn reload(&mut self, settings: Settings) -> Vec<WorkerId> {
        let changes = self.plan.settings().changes(&settings);
        self.plan = self.plan.with(settings);
        self.shared
            .limiter
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .set(self.plan.settings().restart.spawns_per_second);
        let mut wanted: BTreeMap<WorkerId, Spec> =
            self.plan.configured().into_iter().map(|spec| (spec.id.clone(), spec)).collect();
        let mut restarted = Vec::new();
        for (id, seat) in &self.seats {
            let spec = match (seat.origin, wanted.remove(id)) {
                (Origin::Configured, spec) => spec,
                (Origin::Added, _) => self.plan.spec(id.clone(), &seat.kind, Origin::Added, &seat.added),
            };
            let Some(spec) = spec else {
                let retire = Order::Ask(Ask::Retire(Cause::WorkerStopped), oneshot::channel().0);
                // A closed queue belongs to a worker that is gone already.
                drop(seat.orders.send(retire).await);
                continue;
            };
            let needs_process = changes.iter().any(|change| change.restarts(&seat.kind));
            let (reply, answer) = oneshot::channel();
            let order = Order::Apply(Box::new(spec), needs_process, reply);
            // A driver takes its orders without waiting for its worker, so this is soon over.
            if seat.orders.send(order).await.is_ok() && answer.await.unwrap_or(false) {
                restarted.push(id.clone());
            }
        }
        for spec in wanted.into_values() {
            self.seat(spec, None, None, &BTreeSet::new());
        }
        restarted
    }

    fn stop(&mut self, cause: Cause, reply: Option<oneshot::Sender<()>>) {
        match &mut self.phase {
            Phase::Stopping(waiting) => waiting.extend(reply),
            Phase::Serving => self.phase = Phase::Stopping(reply.into_iter().collect()),
        }
        for seat in self.seats.values() {
            let finish = Order::Ask(Ask::Finish(cause), oneshot::channel().0);
            // What is before it in a full queue may be anything; a closed one belongs to a worker that is gone.
            if let Err(mpsc::error::TrySendError::Full(finish)) = seat.orders.try_send(finish) {
                let orders = seat.orders.clone();
                self.shared.tracker.spawn(async move { drop(orders.send(finish).await) });
            }
        }
    }

    fn ended(&mut self, ended: Result<WorkerId, JoinError>) {
        match ended {
            Ok(id) => drop(self.seats.remove(&id)),
            Err(error) => {
                tracing::error!(%error, "a worker's driver failed");
                let gone: Vec<WorkerId> = self
                    .seats
                    .iter()
                    .filter(|(_, seat)| seat.orders.is_closed())
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in gone {
                    self.seats.remove(&id);
                    self.shared.directory.remove(&id);
                }
            }
        }
    }
}
