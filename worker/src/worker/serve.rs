//! The worker's loop: hello, requests to sessions, the end.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use skep_common::code::{ApiError, Code};
use skep_common::environment::CapturedEnvironment;
use skep_common::ids::{RequestId, SessionId};
use skep_common::protocol::{
    Action, Command, ControllerHello, HEARTBEAT, PROTOCOL_VERSION, Reply, WorkerHello, WorkerSettings,
};
use skep_common::session::{Cause, SessionSpec};
use skep_config::Settings;
use skep_sys::{subreaper, tree};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::WorkerArgs;
use super::command::{Commands, session_of};
use super::exit::{self, DONE, PERMANENT};
use super::identity::Identity;
use crate::agent::acp::Stop;
use crate::agent::hosts::Hosts;
use crate::disk::Disk;
use crate::report::Reports;
use crate::session::{Halt, Handle, Shared, not_held};

/// How long sessions may take to end gently; below the supervisor's own grace of 30 s.
const GRACE: Duration = Duration::from_secs(25);

/// How long killed sessions may take to write their last records.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// How long the last reports may take to leave.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// Serves one supervisor; the exit code.
pub(super) async fn serve(args: WorkerArgs, identity: &Identity) -> io::Result<u8> {
    let stdin = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let stdout = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut commands = Commands::new(stdin);
    let mut terminate = signal(SignalKind::terminate())?;
    let children = signal(SignalKind::child())?;
    let hello = tokio::select! {
        biased;
        command = commands.next() => command,
        _ = terminate.recv() => None,
    };
    let hello = match hello {
        None => return Ok(DONE),
        Some(Command::Hello(hello)) => hello,
        Some(_) => return Ok(refuse(&args, "the first command was no hello")),
    };
    if hello.protocol.abs_diff(PROTOCOL_VERSION) > 1 {
        return Ok(refuse(&args, &format!("the supervisor speaks protocol {}", hello.protocol)));
    }
    let settings = match skep_config::parse(&hello.settings.config, "the supervisor's settings") {
        Ok(settings) => settings,
        Err(error) => return Ok(refuse(&args, &format!("the settings are invalid: {error}"))),
    };
    let mut worker = Worker::new(args, identity, settings, hello.settings.clone())?;
    worker.open_reports(stdout);
    worker.welcome(hello);
    let why = worker.run(commands, terminate, children).await;
    worker.leave(why).await;
    Ok(DONE)
}

fn refuse(args: &WorkerArgs, why: &str) -> u8 {
    tracing::error!("the worker cannot serve this supervisor: {why}");
    exit::write(&args.state_dir, &args.id, PERMANENT, why);
    PERMANENT
}

struct Worker<'a> {
    args: WorkerArgs,
    identity: &'a Identity,
    settings: WorkerSettings,
    epoch: u64,
    shared: Shared,
    sessions: HashMap<SessionId, Handle>,
    halt: watch::Sender<Option<Halt>>,
    /// What runs beside the sessions: reports and heartbeats.
    service: TaskTracker,
    service_stop: CancellationToken,
    /// The reports' pipe is closed.
    deaf: CancellationToken,
}

/// What the loop waits for.
enum Event {
    Command(Option<Box<Command>>),
    Deaf,
    Terminate,
    Children,
    Deadline,
    Empty,
}

impl<'a> Worker<'a> {
    fn new(
        args: WorkerArgs,
        identity: &'a Identity,
        settings: Settings,
        told: WorkerSettings,
    ) -> io::Result<Self> {
        let shared = Shared {
            worker: args.id.clone(),
            state_dir: args.state_dir.clone(),
            exe: std::env::current_exe()?,
            debug: args.debug,
            settings: Arc::new(settings),
            reports: Reports::default(),
            disk: Disk::default(),
            tracker: TaskTracker::new(),
            hosts: Hosts::default(),
        };
        shared.hosts.shelf.configure(Arc::clone(&shared.settings));
        Ok(Self {
            args,
            identity,
            settings: told,
            epoch: 0,
            shared,
            sessions: HashMap::new(),
            halt: watch::channel(None).0,
            service: TaskTracker::new(),
            service_stop: CancellationToken::new(),
            deaf: CancellationToken::new(),
        })
    }

    /// Starts the report writer and the heartbeat.
    fn open_reports(&self, stdout: pipe::Sender) {
        let (reports, deaf) = (self.shared.reports.clone(), self.deaf.clone());
        self.service.spawn(async move {
            if let Err(error) = reports.write(stdout).await {
                tracing::warn!(%error, "the supervisor reads no reports");
                deaf.cancel();
            }
        });
        let (reports, disk) = (self.shared.reports.clone(), self.shared.disk.clone());
        let beat = async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                reports.heartbeat(disk.oldest_wait_ms());
            }
        };
        let stop = self.service_stop.clone();
        self.service.spawn(async move { stop.run_until_cancelled(beat).await });
    }

    /// Obeys a controller, or tells it that it is outdated.
    fn welcome(&mut self, hello: ControllerHello) {
        if hello.epoch < self.epoch {
            return self.shared.reports.fenced(self.epoch);
        }
        self.epoch = hello.epoch;
        if hello.settings.config != self.settings.config {
            match skep_config::parse(&hello.settings.config, "the supervisor's settings") {
                Ok(settings) => {
                    self.shared.settings = Arc::new(settings);
                    self.shared.hosts.shelf.configure(Arc::clone(&self.shared.settings));
                }
                Err(error) => tracing::error!(%error, "kept the old settings: the new ones are invalid"),
            }
        }
        self.identity.learn(&hello.settings);
        self.settings = hello.settings;
        self.shared.reports.hello(WorkerHello {
            // Both sides speak the version before their own, so the lower one is spoken.
            protocol: PROTOCOL_VERSION.min(hello.protocol),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch,
            id: self.args.id.clone(),
            process: self.identity.process.clone(),
            sessions: self.sessions.values().map(|session| session.latest.borrow().clone()).collect(),
        });
    }

    async fn run<R: tokio::io::AsyncRead + Unpin>(
        &mut self,
        mut commands: Commands<R>,
        mut terminate: Signal,
        mut children: Signal,
    ) -> Cause {
        let mut ends: Option<(Cause, Instant)> = None;
        let (mut listening, mut terminated) = (true, false);
        loop {
            let event = tokio::select! {
                biased;
                () = self.deaf.cancelled(), if listening => Event::Deaf,
                () = self.shared.tracker.wait(), if ends.is_some() => Event::Empty,
                // A shutdown says why; the SIGTERM that comes with it does not.
                command = read(&self.shared.reports, &mut commands), if listening => {
                    Event::Command(command.map(Box::new))
                }
                _ = terminate.recv() => Event::Terminate,
                _ = children.recv() => Event::Children,
                () = due(ends), if ends.is_some() => Event::Deadline,
            };
            match event {
                Event::Command(Some(command)) => match *command {
                    Command::Hello(hello) => self.welcome(hello),
                    Command::Request { id, action } => self.request(id, action, ends.is_some()),
                    Command::Shutdown { cause } => ends = ends.or_else(|| Some(self.stop(cause))),
                    Command::SpareMemory => self.shared.hosts.let_go(),
                    Command::Unknown => tracing::warn!("a command of a newer supervisor"),
                },
                Event::Terminate if terminated => ends = Some(self.kill(ends, Cause::WorkerStopped)),
                Event::Terminate => {
                    terminated = true;
                    ends = ends.or_else(|| Some(self.stop(Cause::WorkerStopped)));
                }
                Event::Command(None) | Event::Deaf => {
                    listening = false;
                    ends = Some(self.kill(ends, Cause::SupervisorGone));
                }
                Event::Children => self.reap(),
                Event::Deadline => {
                    let Some((cause, _)) = ends else { continue };
                    if matches!(*self.halt.borrow(), Some(Halt::Kill(_))) {
                        tracing::error!("sessions did not end in time");
                        return cause;
                    }
                    ends = Some(self.kill(ends, cause));
                }
                Event::Empty => return ends.map_or(Cause::Unknown, |(cause, _)| cause),
            }
        }
    }

    /// Ends gently. A second SIGTERM kills; a shutdown and the SIGTERM that comes with it are one request.
    fn stop(&self, cause: Cause) -> (Cause, Instant) {
        self.halt.send_replace(Some(Halt::Gently(cause)));
        self.shared.hosts.shelf.close(Stop::Gently);
        self.shared.tracker.close();
        (cause, Instant::now() + GRACE)
    }

    fn kill(&self, ends: Option<(Cause, Instant)>, cause: Cause) -> (Cause, Instant) {
        let cause = ends.map_or(cause, |(cause, _)| cause);
        self.halt.send_replace(Some(Halt::Kill(cause)));
        self.shared.hosts.shelf.close(Stop::Kill);
        self.shared.tracker.close();
        (cause, Instant::now() + KILL_GRACE)
    }

    fn request(&mut self, id: RequestId, action: Action, ending: bool) {
        if let Err(error) = self.dispatch(id, action, ending) {
            self.shared.reports.ack(id, Reply::Error { error });
        }
    }

    fn dispatch(&mut self, id: RequestId, action: Action, ending: bool) -> Result<(), ApiError> {
        let session = session_of(&action).ok_or_else(|| {
            ApiError::new(Code::NotSupported, "this worker does not know that action; it is of a newer skep")
        })?;
        self.sessions.retain(|_, session| !session.done.is_cancelled());
        match (self.sessions.get(&session), action) {
            (Some(open), Action::OpenSession { spec, environment }) if open.is_over() => {
                let after = Some(open.done.clone());
                self.admit(ending)?;
                self.start((spec, environment), Some(id), after);
                Ok(())
            }
            (Some(open), action) => open.request(id, action),
            (None, Action::OpenSession { spec, environment }) => {
                self.admit(ending)?;
                self.start((spec, environment), Some(id), None);
                Ok(())
            }
            (None, _) => Err(not_held()),
        }
    }

    fn admit(&self, ending: bool) -> Result<(), ApiError> {
        let open = self.sessions.values().filter(|session| !session.is_over()).count();
        if ending {
            return Err(ApiError::new(Code::ShuttingDown, "the worker is stopping"));
        }
        if open >= usize::try_from(self.settings.capacity).unwrap_or(usize::MAX) {
            return Err(ApiError::new(Code::PoolFull, "the worker has no place for another session"));
        }
        Ok(())
    }

    fn start(
        &mut self,
        opened: (SessionSpec, Option<CapturedEnvironment>),
        request: Option<RequestId>,
        after: Option<CancellationToken>,
    ) {
        let session = opened.0.id;
        let handle = Handle::open(self.shared.clone(), opened, request, self.halt.subscribe(), after);
        self.sessions.insert(session, handle);
    }

    /// Reaps orphans that this worker adopted as their subreaper (promise 13).
    fn reap(&self) {
        for (pid, cause) in subreaper::reap_orphans(&|_| false) {
            tracing::debug!(pid, %cause, "reaped an orphan");
        }
    }

    /// Says that this exit is wanted, lets the last reports and records out, and stops what is left.
    async fn leave(self, cause: Cause) {
        let (state_dir, id) = (self.args.state_dir.clone(), self.args.id.clone());
        let reports = self.shared.reports.clone();
        self.service_stop.cancel();
        // No session is left, so whatever this worker adopted as a subreaper is a session's leftover (N4).
        if timeout(KILL_GRACE, tree::kill_orphans(&|_| false)).await.is_err() {
            tracing::error!("orphans of former sessions could not be killed");
        }
        let disk = self.shared.disk.clone();
        drop(self.shared);
        if disk.started().is_none() {
            // A worker that held no session has nothing to lose to a slow disk.
            exit::write(&state_dir, &id, DONE, &exit::why(cause));
        } else {
            let written = tokio::task::spawn_blocking(move || {
                exit::write(&state_dir, &id, DONE, &exit::why(cause));
                disk.stop();
            });
            if timeout(KILL_GRACE, written).await.is_err() {
                tracing::error!("the disk does not take the last records");
            }
        }
        reports.close();
        self.service.close();
        if timeout(LAST_REPORTS, self.service.wait()).await.is_err() {
            tracing::debug!("the supervisor did not read the last reports");
        }
    }
}

/// The next command, once there is room for its answer.
async fn read<R: tokio::io::AsyncRead + Unpin>(
    reports: &Reports,
    commands: &mut Commands<R>,
) -> Option<Command> {
    reports.room().await;
    commands.next().await
}

async fn due(ends: Option<(Cause, Instant)>) {
    match ends {
        Some((_, at)) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
