//! The engine: the one handle that every front end calls (G11). Sessions on workers, and what clients do with them.
//!
//! An actor (`actor`) owns all state (`core`, pure); [`Engine`] is its cloneable handle. Nothing is global: two
//! engines in one process do not know of each other (G8). Events of sessions do not pass through here: a journal's
//! growth rings a bell ([`Engine::head`]), and readers read the file.
//!
//! ```text
//!  front ends ── Engine ──▶ ┌───────┐ ──commands──▶ pool ──▶ workers
//!                           │ actor │ ◀─PoolEvents──┘
//!  followers ◀── Head ───── └───┬───┘ ──▶ blocking threads: scan, recover, close, delete
//!                               └───────▶ notify.command
//! ```

pub mod facts;
pub mod port;
pub mod slots;

mod act;
mod actor;
mod budget;
mod comeback;
mod core;
mod create;
mod delegation;
mod directory;
mod disk;
mod environment;
mod incoming;
mod memory;
mod metrics;
mod notify;
mod reports;
mod seats;
mod sessions_api;
mod workers_api;

use std::fmt;
use std::sync::Arc;

use skep_common::api::{DaemonStatus, Health, Reloaded};
use skep_common::code::{ApiError, Code};
use skep_common::session::Cause;
use skep_config::{Applies, Environment, Paths, Settings};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::actor::{Actor, Call, Parts, policy};
use self::core::{Core, ReplyTo, shutting_down};
use self::notify::Notifier;
use crate::pool::PoolEvent;
use crate::sessions::Index;

pub use self::create::Created;
pub use self::facts::{DaemonFacts, StopKind};
pub use self::incoming::Received;
pub use self::port::{WorkerAction, Workers};

/// Calls that may wait for the actor; beyond that, callers wait.
const CALLS: usize = 256;

/// Reads the configuration anew.
pub type Reload = Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// What an engine is made of.
pub struct EngineOptions {
    /// The pool of workers.
    pub workers: Arc<dyn Workers>,
    /// What it reports.
    pub events: mpsc::Receiver<PoolEvent>,
    /// The settings.
    pub settings: Settings,
    /// How to read them again.
    pub reload: Reload,
    /// Where files are.
    pub paths: Paths,
    /// The environment that the daemon was started in.
    pub environment: Environment,
    /// What the daemon says about itself.
    pub facts: DaemonFacts,
    /// Where tasks are spawned.
    pub tracker: TaskTracker,
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Who asks: for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Front end and user, such as `cli uid=1000`.
    pub via: String,
}

/// The one handle that every front end calls.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    calls: mpsc::Sender<Call>,
    workers: Arc<dyn Workers>,
    settings: watch::Sender<Arc<Settings>>,
    notify: watch::Sender<skep_config::notify::NotifySettings>,
    config_error: watch::Sender<Option<String>>,
    generation: watch::Receiver<u64>,
    workers_changed: watch::Receiver<u64>,
    stop: watch::Sender<Option<StopKind>>,
    stopping: CancellationToken,
    reload: Reload,
    reloading: tokio::sync::Mutex<()>,
    paths: Paths,
    environment: Environment,
    facts: DaemonFacts,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("facts", &self.shared.facts).finish_non_exhaustive()
    }
}

impl Engine {
    /// Reads the stored sessions and starts the engine. What was left unfinished is recovered meanwhile. A session wakes
    /// with its next prompt; by itself only after a death, and if its user wanted that (`resume = always`).
    pub async fn start(options: EngineOptions) -> Self {
        let EngineOptions { workers, events, settings, reload, paths, environment, facts, tracker } = options;
        let mut core = Core::new(Index::default(), policy(&settings));
        let scanned = paths.clone();
        let found = tokio::task::spawn_blocking(move || {
            incoming::sweep(scanned.state_dir());
            disk::scan(&scanned)
        })
        .await
        .unwrap_or_default();
        for session in found {
            let snapshot = disk::snapshot_of(&session.file);
            core.restore(session.file.spec, snapshot, session.unfinished.then_some(Cause::Unknown));
        }
        core.on_workers(&workers.list());
        core.bring_all_back(jiff::Timestamp::now());
        let generation = core.index.generation();
        let (notify, notify_settings) = watch::channel(settings.notify.clone());
        let stopping = CancellationToken::new();
        let (notifier, notifying) = Notifier::new(notify_settings, environment.clone(), stopping.clone());
        tracker.spawn(notifying);
        let settings = Arc::new(settings);
        let (calls, receiver) = mpsc::channel(CALLS);
        let (worker_changes, workers_changed) = watch::channel(0);
        let parts = Parts {
            worker_changes,
            paths: paths.clone(),
            workers: Arc::clone(&workers),
            notifier,
            settings: Arc::clone(&settings),
            tracker: tracker.clone(),
        };
        tracker.spawn(Actor::new(core, parts, receiver, events).run());
        let shared = Shared {
            calls,
            workers,
            settings: watch::Sender::new(settings),
            notify,
            config_error: watch::Sender::new(None),
            generation,
            workers_changed,
            stop: watch::Sender::new(None),
            stopping,
            reload,
            reloading: tokio::sync::Mutex::new(()),
            paths,
            environment,
            facts,
        };
        Self { shared: Arc::new(shared) }
    }

    async fn ask<T>(&self, call: impl FnOnce(ReplyTo<T>) -> Call) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.shared.calls.send(call(reply)).await.map_err(|_| shutting_down())?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.settings.borrow())
    }

    /// The settings, and every change of them.
    #[must_use]
    pub fn watch_settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.shared.settings.subscribe()
    }

    /// Where files are.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.shared.paths
    }

    fn status_word(&self, running: &str) -> String {
        if self.shared.stopping.is_cancelled() { String::from("stopping") } else { running.to_owned() }
    }

    /// Who serves here (Q4).
    #[must_use]
    pub fn health(&self) -> Health {
        let facts = &self.shared.facts;
        Health {
            status: self.status_word("ok"),
            process: facts.process.clone(),
            version: facts.version.clone(),
        }
    }

    /// The unified status (S1).
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn daemon_status(&self) -> Result<DaemonStatus, ApiError> {
        let summary = self.ask(Call::Summary).await?;
        let facts = &self.shared.facts;
        Ok(DaemonStatus {
            status: self.status_word("running"),
            pid: facts.process.pid,
            process: facts.process.clone(),
            endpoint: facts.endpoint.clone(),
            endpoints: vec![facts.endpoint.clone()],
            started_at: facts.started_at,
            version: facts.version.clone(),
            cwd: facts.dir.display().to_string(),
            epoch: facts.epoch,
            state_dir: self.shared.paths.state_dir().display().to_string(),
            worker_kinds: self.settings().pool.kinds().map(|(kind, _)| kind.to_owned()).into(),
            containment: skep_sys::tree::active_tier().to_owned(),
            workers: self.workers_with(&summary.open),
            sessions: summary.open,
            closed_sessions: u64::try_from(summary.closed).unwrap_or(u64::MAX),
            // Whoever tells of them knows.
            hooks: Vec::new(),
            config_error: self.shared.config_error.borrow().clone(),
            // What the front ends add.
            tls: None,
            audit_problem: None,
        })
    }

    /// Reads the configuration anew. An invalid one changes nothing and is reported here and in the status
    /// (promise 23).
    ///
    /// # Errors
    ///
    /// `config_invalid` with file, line and column.
    pub async fn reload(&self) -> Result<Reloaded, ApiError> {
        let _one_at_a_time = self.shared.reloading.lock().await;
        let read = Arc::clone(&self.shared.reload);
        let read = tokio::task::spawn_blocking(move || read()).await;
        let new = match read.unwrap_or_else(|_| Err(String::from("reading the configuration crashed"))) {
            Ok(new) => new,
            Err(why) => {
                tracing::warn!("the configuration is invalid and nothing was changed: {why}");
                self.shared.config_error.send_replace(Some(why.clone()));
                return Err(ApiError::new(Code::ConfigInvalid, why));
            }
        };
        let changes = self.settings().changes(&new);
        let restarted = self.shared.workers.reload(new.clone()).await;
        self.shared.notify.send_replace(new.notify.clone());
        let new = Arc::new(new);
        self.shared.settings.send_replace(Arc::clone(&new));
        self.shared.config_error.send_replace(None);
        self.shared.calls.send(Call::Reloaded(new)).await.map_err(|_| shutting_down())?;
        let needs_restart = changes
            .into_iter()
            .filter(|change| change.applies == Applies::NextStart)
            .map(|change| change.key)
            .collect();
        tracing::info!("the configuration was read anew; {} workers restarted", restarted.len());
        Ok(Reloaded { restarted, needs_restart })
    }

    /// Asks the daemon to end; [`Engine::stop_requested`] hears it. The first wish counts.
    pub fn request_stop(&self, kind: StopKind) {
        self.shared.stop.send_if_modified(|wish| {
            let first = wish.is_none();
            wish.get_or_insert(kind);
            first
        });
    }

    /// Comes back when somebody has asked the daemon to end.
    pub async fn stop_requested(&self) -> StopKind {
        let mut wish = self.shared.stop.subscribe();
        loop {
            if let Some(kind) = *wish.borrow_and_update() {
                return kind;
            }
            if wish.changed().await.is_err() {
                return StopKind::Stop;
            }
        }
    }

    /// Ends every session and worker, and comes back when nothing runs and every journal has its end (S8). A second
    /// call, while the first one waits, kills at once.
    pub async fn shutdown(&self, cause: Cause) {
        self.shared.stopping.cancel();
        if self.shared.calls.send(Call::Shutdown(cause)).await.is_ok() {
            self.shared.calls.closed().await;
        }
    }
}

#[cfg(test)]
mod tests;
