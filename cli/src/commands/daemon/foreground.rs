//! While the daemon serves: signals, the service manager, and the way to its end.
//!
//! ```text
//!  serving ──SIGTERM, SIGINT, API──▶ stopping (engine, then gateway) ──▶ ended: socket and daemon.json removed
//!     │                                 └── a second signal kills at once
//!     └──SIGHUP──▶ reload, or stop where a terminal hung up
//! ```

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use skep_common::api::DaemonFile;
use skep_common::session::Cause;
use skep_gateway::Doors;
use skep_supervisor::engine::{Engine, StopKind};
use skep_supervisor::instance::DaemonLock;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::CliError;

/// Tasks that have not ended so long after everything else are left behind.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// What the daemon does when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing.
    Stop,
    /// It starts again.
    Restart,
}

/// The daemon's signals, as bytes on pipes.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: UnixStream,
    interrupt: UnixStream,
    hangup: UnixStream,
    /// A hang-up of this process's terminal is meant for it; without one SIGHUP means a reload.
    terminal: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop(&'static str),
    Reload,
}

impl Signals {
    /// Takes the signals over from their defaults.
    pub(super) fn new() -> Result<Self, CliError> {
        let take = |signal| {
            let take = || -> io::Result<UnixStream> {
                let (reader, writer) = StdStream::pair()?;
                pipe::register(signal, writer)?;
                reader.set_nonblocking(true)?;
                UnixStream::from_std(reader)
            };
            take().map_err(|error| CliError::failed(format!("cannot handle signals: {error}")))
        };
        let terminal = std::fs::File::open("/dev/tty").is_ok();
        Ok(Self { terminate: take(SIGTERM)?, interrupt: take(SIGINT)?, hangup: take(SIGHUP)?, terminal })
    }

    /// The next signal. Cancel-safe.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.read_u8() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.read_u8() => Asked::Stop("SIGINT"),
            _ = self.hangup.read_u8() => {
                if self.terminal { Asked::Stop("the terminal hung up") } else { Asked::Reload }
            }
        }
    }
}

/// The daemon while it serves.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) engine: Engine,
    pub(super) gateway: JoinHandle<io::Result<()>>,
    pub(super) lock: DaemonLock,
    /// What `daemon.json` says; a new listener changes it.
    pub(super) file: DaemonFile,
    pub(super) doors: Doors,
    pub(super) urls: watch::Receiver<Vec<String>>,
    pub(super) epoch: u64,
    pub(super) endpoint: String,
}

enum Next {
    Signal(Asked),
    Wish(StopKind),
    Watchdog,
    Listening,
}

impl Serving {
    /// Serves until somebody wants an end; comes back when nothing runs any more.
    pub(super) async fn until_end(
        mut self,
        mut signals: Signals,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Ending {
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving at {}", self.endpoint))]);
        let wish = self.wait_for_wish(&mut signals).await;
        tell(&[NotifyState::Stopping]);
        self.stop(&mut signals).await;
        stop.cancel();
        match (&mut self.gateway).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the gateway did not serve: {error}"),
            Err(error) => tracing::error!("the gateway ended badly: {error}"),
        }
        tracker.close();
        if tokio::time::timeout(LAST_TASKS, tracker.wait()).await.is_err() {
            tracing::warn!("{} tasks had not ended", tracker.len());
        }
        // The socket before the file, both under the lock: who finds neither knows that nobody serves.
        drop(std::fs::remove_file(&self.file.socket));
        if let Err(error) = self.lock.remove_daemon_file() {
            tracing::warn!("the state file could not be removed: {error}");
        }
        tracing::info!("the daemon has ended");
        match wish {
            StopKind::Stop => Ending::Stop,
            StopKind::Restart => Ending::Restart,
        }
    }

    async fn wait_for_wish(&mut self, signals: &mut Signals) -> StopKind {
        let mut watchdog = watchdog();
        loop {
            let next = tokio::select! {
                asked = signals.next() => Next::Signal(asked),
                wish = self.engine.stop_requested() => Next::Wish(wish),
                () = tick(&mut watchdog) => Next::Watchdog,
                true = changed(&mut self.urls) => Next::Listening,
            };
            match next {
                Next::Wish(wish) => {
                    tracing::info!("stopping: somebody asked for it through the API");
                    return wish;
                }
                Next::Signal(Asked::Stop(signal)) => {
                    tracing::info!("stopping: {signal}");
                    return StopKind::Stop;
                }
                Next::Signal(Asked::Reload) => self.reload().await,
                Next::Watchdog => tell(&[NotifyState::Watchdog]),
                Next::Listening => self.tell_where(),
            }
        }
    }

    /// Writes down where the daemon listens now, for clients that look for it.
    fn tell_where(&mut self) {
        self.file.urls.clone_from(&self.urls.borrow_and_update());
        self.file.tls = self.doors.tls_info();
        if let Err(error) = self.lock.write_daemon_file(&self.file) {
            tracing::error!("the state file does not say where the daemon listens: {error}");
        }
    }

    async fn reload(&self) {
        // systemd wants to know when the reload began.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
        // The engine has logged what came of it.
        drop(self.engine.reload().await);
        if let Err(error) = self.doors.refresh_certificate().await {
            tracing::error!("the former certificate stays in use: cannot {error}");
        }
        tell(&[NotifyState::Ready]);
    }

    /// Ends sessions and workers; another signal, or another wish over the API, kills at once.
    async fn stop(&self, signals: &mut Signals) {
        let ending = self.engine.shutdown(Cause::DaemonStopped);
        tokio::pin!(ending);
        loop {
            tokio::select! {
                () = &mut ending => return,
                asked = signals.next() => {
                    if let Asked::Stop(signal) = asked {
                        tracing::warn!("stopping at once: {signal}");
                        self.engine.shutdown(Cause::Killed).await;
                    }
                }
            }
        }
    }
}

/// Tells the service manager. Without one nobody listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager was not told: {error}");
    }
}

/// Half the time within which the service manager wants to hear from us, if it does.
fn watchdog() -> Option<tokio::time::Interval> {
    let within = sd_notify::watchdog_enabled()?;
    Some(tokio::time::interval((within / 2).max(Duration::from_millis(1))))
}

/// Whether the value is a new one; false when there will be no other.
async fn changed(urls: &mut watch::Receiver<Vec<String>>) -> bool {
    urls.changed().await.is_ok()
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
