//! Wiring: the pool, the engine, and what the start of the daemon asked for. The composition root inside this crate;
//! lock, socket and HTTP are the caller's.

use std::path::PathBuf;
use std::sync::Arc;

use skep_common::code::ApiError;
use skep_config::{Environment, Overrides, Paths, Settings};
use tokio_util::task::TaskTracker;

use crate::engine::{DaemonFacts, Engine, EngineOptions, Reload};
use crate::launch::LaunchOptions;
use crate::pool::{Pool, PoolOptions};

/// What a daemon is started with.
#[derive(Debug)]
pub struct DaemonOptions {
    /// The merged configuration.
    pub settings: Settings,
    /// Where files are.
    pub paths: Paths,
    /// The environment at the start.
    pub environment: Environment,
    /// What flags said; they win again at a reload.
    pub overrides: Overrides,
    /// What the flags said of workers.
    pub launch: LaunchOptions,
    /// The program that workers are started from: skep itself.
    pub exe: PathBuf,
    /// What the daemon says about itself; its `dir` is the directory of workers and of the session named at the start.
    pub facts: DaemonFacts,
    /// Where tasks are spawned. Wait for it after [`Engine::shutdown`].
    pub tracker: TaskTracker,
}

/// The daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is not allowed.
    #[error("{0}")]
    Options(#[from] ApiError),
    /// The pool has no place for its files, or no thread for its logs.
    #[error("the worker pool cannot be started")]
    Pool(#[from] std::io::Error),
}

/// Starts pool and engine. Returns when the stored sessions are known; recovery and the workers' start go on meanwhile.
///
/// # Errors
///
/// When the launch options ask for what does not exist, or the pool cannot start.
pub async fn start(options: DaemonOptions) -> Result<Engine, StartError> {
    let DaemonOptions { settings, paths, environment, overrides, launch, exe, facts, tracker } = options;
    launch.check()?;
    let (pool, events) = Pool::start(PoolOptions {
        settings: settings.clone(),
        paths: paths.clone(),
        exe,
        epoch: facts.epoch,
        // The session named at the start is the engine's to open: a worker would open another of that name with each
        // of its processes.
        launch: LaunchOptions { name: None, ..launch.clone() },
        dir: facts.dir.clone(),
        environment: environment.clone(),
        tracker: tracker.clone(),
    })?;
    let reload = reload_from(&paths, &environment, overrides);
    let engine = Engine::start(EngineOptions {
        workers: Arc::new(pool),
        events,
        settings,
        reload,
        paths,
        environment,
        facts,
        tracker: tracker.clone(),
    })
    .await;
    if let Some(name) = launch.name {
        let opener = engine.clone();
        tracker.spawn(async move { opener.open_named(name).await });
    }
    Ok(engine)
}

fn reload_from(paths: &Paths, environment: &Environment, overrides: Overrides) -> Reload {
    let (paths, environment) = (paths.clone(), environment.clone());
    Arc::new(move || skep_config::load(&paths, &environment, &overrides).map_err(|error| error.to_string()))
}
