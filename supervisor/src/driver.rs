//! One task per worker: it owns the worker's state, process and pipes, and performs what the lifecycle machine says.
//!
//! `run` waits for one thing at a time and hands it to `handle`; everything that changes the state goes through
//! [`crate::lifecycle::step`], and every effect through `perform`. The driver never waits for the worker: commands are
//! written as far as the pipe takes them, reports are read as they come, and what the pool's consumer does not take is
//! coalesced. While the outbox is full nothing is read, which in the end stops a worker that floods.
//!
//! Nothing here decides about restarts.

mod effects;
mod ending;
mod intake;
mod outbox;
mod process;
mod reports;
mod sweep;
mod view;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};

use skep_common::backoff::Jitter;
use skep_common::code::{ApiError, Code};
use skep_common::ids::WorkerId;
use skep_common::protocol::Command;
use skep_common::session::Cause;
use skep_config::Paths;
use skep_sys::capture::{Capture, LogSpec, LogWriter};
use skep_sys::exit::ExitCause;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::clock::Clock;
use crate::lifecycle::{self, Ctx, Event, Illegal, Moment, Phase, State};
use crate::limiter::Limiter;
use crate::pool::{Directory, PoolEvent};
use crate::saver::Saver;
use crate::spec::{Common, Origin, Spec};
use crate::worker_file::{Added, RunFile, WorkerFile};

use outbox::Outbox;
use process::Live;
use sweep::{Sweeping, Swept};

/// Orders that may wait for a driver.
pub(crate) const ORDERS: usize = 16;

/// What all drivers of a pool share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) common: Common,
    pub(crate) paths: Paths,
    pub(crate) clock: Clock,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) saver: Saver,
    pub(crate) logs: LogWriter,
    pub(crate) log_limits: LogLimits,
    pub(crate) events: mpsc::Sender<PoolEvent>,
    pub(crate) tracker: TaskTracker,
    /// Whether orphans come to this process; then an empty list of them proves that a tree is gone.
    pub(crate) subreaper: bool,
}

/// How large workers' logs become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) max_bytes: u64,
    pub(crate) files: u32,
}

/// What somebody asks of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Restart(Cause),
    Park,
    Unpark,
    /// For good, by a person.
    Stop(Cause),
    /// For good and at once, by a person.
    Kill(Cause),
    /// For good, because the configuration has no place for it any more.
    Retire(Cause),
    /// Until the next daemon.
    Finish(Cause),
}

/// A message to a driver.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something asked for; the answer comes when it has happened.
    Ask(Ask, oneshot::Sender<Result<(), ApiError>>),
    /// New settings; with `true` they need a new process. The answer is whether that was begun.
    Apply(Box<Spec>, bool, oneshot::Sender<bool>),
}

/// What is left when the worker has come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The driver, waiting.
    Stay,
    /// The file, for the next daemon.
    Finish,
    /// Nothing.
    Remove,
}

/// Whether the run file says that there may be a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Absent,
    Written,
}

/// What a person last decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Stop,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Driver {
    spec: Spec,
    added: Option<Added>,
    shared: Arc<Shared>,
    /// Where stderr goes: one log for all processes of the worker.
    log: Capture,
    run: RunFile,
    intent: Intent,
    state: State,
    timer: Option<Moment>,
    /// When the spawn that the limiter put off is due.
    spawn_at: Option<Moment>,
    live: Option<Live>,
    sweeping: Option<Sweeping>,
    outbox: Outbox,
    follow: VecDeque<Event>,
    waiters: Vec<oneshot::Sender<Result<(), ApiError>>>,
    wish: Wish,
    ending: Ending,
    spawns: u64,
    restarts: u64,
    last_exit: Option<String>,
    last_stderr: String,
    /// The end of the last process, until the pool's consumer is told.
    down: Option<(String, Cause)>,
    kept: view::Kept,
}

/// What a driver waits for.
enum Input {
    Order(Option<Order>),
    Exited(ExitCause),
    Readable,
    Writable,
    Command(Option<Box<Command>>),
    Swept(Swept),
    Timer,
    SpawnDue,
    /// Whether somebody still listens.
    Room(bool),
}

impl Driver {
    /// A worker as its file left it, or a new one.
    pub(crate) fn new(
        spec: Spec,
        added: Option<Added>,
        file: Option<WorkerFile>,
        shared: Arc<Shared>,
    ) -> Self {
        let limits = shared.log_limits;
        let path = shared.paths.worker_log(&spec.id);
        let log =
            Capture::new(&shared.logs, LogSpec { path, max_bytes: limits.max_bytes, files: limits.files });
        let run = RunFile { mark: Uuid::new_v4().to_string(), epoch: shared.common.epoch };
        let mut driver = Self {
            spec,
            added,
            shared,
            log,
            run,
            intent: Intent::Absent,
            state: State::new(),
            timer: None,
            spawn_at: None,
            live: None,
            sweeping: None,
            outbox: Outbox::default(),
            follow: VecDeque::new(),
            waiters: Vec::new(),
            wish: Wish::Run,
            ending: Ending::Stay,
            spawns: 0,
            restarts: 0,
            last_exit: None,
            last_stderr: String::new(),
            down: None,
            kept: view::Kept::default(),
        };
        if let Some(file) = file {
            driver.restore(file);
        }
        driver
    }

    /// Lives until the worker ends for good or the pool does.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> WorkerId {
        self.publish();
        self.begin();
        while self.ending == Ending::Stay || !self.state.at_rest() {
            let input = self.next_input(&mut orders).await;
            self.handle(input);
        }
        self.end(orders).await
    }

    async fn next_input(&mut self, orders: &mut mpsc::Receiver<Order>) -> Input {
        let clock = self.shared.clock;
        let (reading, sending) = (!self.outbox.is_full(), !self.outbox.is_empty());
        let (timer, spawn_at) = (self.timer, self.spawn_at);
        let due = |at: Option<Moment>| async move {
            match at {
                Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
                None => pending().await,
            }
        };
        let room = async {
            let Ok(permit) = self.shared.events.reserve().await else { return false };
            if let Some(event) = self.outbox.pop() {
                permit.send(event);
            }
            true
        };
        tokio::select! {
            order = orders.recv() => Input::Order(order),
            input = process::input(self.live.as_mut(), reading) => input,
            swept = sweep::finished(self.sweeping.as_mut()) => Input::Swept(swept),
            () = due(timer) => Input::Timer,
            () = due(spawn_at) => Input::SpawnDue,
            listening = room, if sending => Input::Room(listening),
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Order(Some(order)) => self.obey(order),
            Input::Order(None) => self.ask(Ask::Finish(Cause::DaemonStopped), None),
            Input::Exited(cause) => self.exited(cause),
            Input::Readable => drop(self.read()),
            Input::Writable => self.write_on(),
            Input::Command(Some(command)) => self.command(&command),
            Input::Command(None) => self.no_more_commands(),
            Input::Swept(swept) => self.swept(swept),
            Input::Timer => self.timer_came(),
            Input::SpawnDue => {
                self.spawn_at = None;
                self.spawn();
            }
            Input::Room(true) => {}
            // Nobody listens any more; nothing needs to be kept for them.
            Input::Room(false) => self.outbox = Outbox::default(),
        }
        self.follow_up();
    }

    /// The first step of a worker that a file did not bring to rest.
    fn begin(&mut self) {
        if self.state.phase == Phase::Idle {
            self.happened(Event::Start);
            self.follow_up();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask(ask, reply) => self.ask(ask, Some(reply)),
            Order::Apply(spec, restart, reply) => {
                self.spec = *spec;
                let running = restart && self.ending == Ending::Stay && self.state.run().is_some();
                if running {
                    self.happened(Event::Restart(Cause::WorkerStopped));
                }
                // Whoever asked may have gone.
                let _ = reply.send(running);
                self.publish();
            }
        }
    }

    fn ask(&mut self, ask: Ask, reply: Option<oneshot::Sender<Result<(), ApiError>>>) {
        let ending = matches!(ask, Ask::Stop(_) | Ask::Kill(_) | Ask::Retire(_) | Ask::Finish(_));
        if self.ending != Ending::Stay && !ending {
            let error =
                ApiError::new(Code::WorkerState, format!("worker `{}` is being removed", self.spec.id));
            return answer(reply, Err(error));
        }
        let before = self.wish;
        let removed = self.spec.origin == Origin::Added;
        let event = match ask {
            Ask::Restart(cause) => self.wishing(Wish::Run, Event::Restart(cause)),
            Ask::Unpark => self.wishing(Wish::Run, Event::Unpark),
            Ask::Park => Event::Park("parked by a person".to_owned()),
            Ask::Stop(cause) => self.ended_by_person(removed, Event::Stop(cause)),
            Ask::Kill(cause) => self.ended_by_person(removed, Event::Kill(cause)),
            Ask::Retire(cause) => self.ended_by_person(true, Event::Stop(cause)),
            Ask::Finish(cause) => {
                if self.ending == Ending::Stay {
                    self.ending = Ending::Finish;
                }
                Event::Stop(cause)
            }
        };
        match self.step(&event) {
            Ok(()) => {
                self.waiters.extend(reply);
                self.publish();
            }
            Err(illegal) => {
                self.wish = before;
                let message = format!("worker `{}` is {}: {}", self.spec.id, illegal.phase, remedy(&event));
                answer(reply, Err(ApiError::new(Code::WorkerState, message)));
            }
        }
    }

    fn wishing(&mut self, wish: Wish, event: Event) -> Event {
        self.wish = wish;
        event
    }

    fn ended_by_person(&mut self, remove: bool, event: Event) -> Event {
        if remove {
            self.ending = Ending::Remove;
        }
        self.wishing(Wish::Stop, event)
    }

    /// A fact for the machine. One that does not fit is a fault of ours, logged and without consequence.
    fn happened(&mut self, event: Event) {
        if let Err(illegal) = self.step(&event) {
            tracing::error!(worker.name = %self.spec.id, "worker `{}`: {illegal}", self.spec.id);
        }
    }

    /// The events that performing effects brought about.
    fn follow_up(&mut self) {
        while let Some(event) = self.follow.pop_front() {
            self.happened(event);
        }
    }

    fn step(&mut self, event: &Event) -> Result<(), Illegal> {
        let jitter = Jitter::from_unit(fastrand::f64());
        let ctx = Ctx { now: self.shared.clock.now(), jitter, policy: &self.spec.policy };
        let (state, effects) = lifecycle::step(&self.state, event, &ctx)?;
        tracing::debug!(worker.name = %self.spec.id, ?event, phase = ?state.phase, ?effects, "worker stepped");
        self.state = state;
        for effect in effects {
            self.perform(effect);
        }
        Ok(())
    }

    fn timer_came(&mut self) {
        self.timer = None;
        if matches!(self.state.phase, Phase::Starting(_) | Phase::Running { .. }) {
            // What it said before the deadline counts; and while nothing is read, silence is not its fault (promise 9).
            self.read_pending();
            self.follow_up();
            if self.outbox.is_full() {
                self.happened(Event::Heartbeat);
            }
        }
        if self.timer.is_none() {
            self.happened(Event::TimerFired);
        }
    }

    /// Tells the pool's consumer.
    fn tell(&mut self, event: PoolEvent) {
        if !self.outbox.is_empty() {
            return self.outbox.push(event);
        }
        match self.shared.events.try_send(event) {
            // Nobody listens any more.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(event)) => self.outbox.push(event),
        }
    }
}

fn answer(reply: Option<oneshot::Sender<Result<(), ApiError>>>, result: Result<(), ApiError>) {
    if let Some(reply) = reply {
        // Whoever asked may have gone.
        drop(reply.send(result));
    }
}

fn remedy(event: &Event) -> &'static str {
    match event {
        Event::Unpark => "it can be restarted",
        _ => "it can be unparked",
    }
}
