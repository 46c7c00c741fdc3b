//! `skep daemon run`: this process becomes the daemon. In the foreground, or detached for `daemon start`.
//!
//! ```text
//!  settle → detach? → settings → lock → epoch → log → token → bind → engine → daemon.json → ready → serve
//!           └──────── a failure up to here is told to the launcher, or to the terminal ────────┘
//! ```
//!
//! Everything up to the log happens before there is a thread. `foreground` holds what happens while it serves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use skep_common::api::DaemonFile;
use skep_config::{Overrides, Paths, Settings};
use skep_gateway::{Doors, GatewayOptions, Limits};
use skep_hooks::{Hooks, HooksOptions};
use skep_supervisor::daemon;
use skep_supervisor::engine::DaemonFacts;
use skep_supervisor::instance::{DaemonLock, LockError, Token};
use skep_supervisor::launch::LaunchOptions;
use skep_sys::capture::LogSpec;
use skep_sys::daemonize::{self, Readiness};
use skep_sys::limits;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::foreground::{Ending, Serving, Signals};
use super::{DaemonArgs, DaemonCommand, DaemonOptions};
use crate::autostart::executable;
use crate::cli::Command;
use crate::client::Target;
use crate::commands::version::VERSION;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::first_password;
use crate::start::directory;
use crate::telemetry::{self, DaemonLog};

/// Run the daemon in the foreground, for a service manager or for debugging.
///
/// SIGTERM and Ctrl-C stop it, a second one kills at once; SIGHUP reloads the configuration, or stops it where it has a
/// terminal.
#[derive(Debug, Clone, Args)]
pub(crate) struct DaemonRunArgs {
    #[command(flatten)]
    options: DaemonOptions,
    /// Leave the terminal, and tell the launcher through standard output when it serves.
    #[arg(long, hide = true)]
    detached: bool,
}

/// The options, if the command is to become the daemon.
pub(crate) fn foreground(command: &Command) -> Option<DaemonRunArgs> {
    match command {
        Command::Daemon(DaemonArgs { command: Some(DaemonCommand::Run(args)) }) => Some(args.clone()),
        Command::Daemon(DaemonArgs { command: Some(DaemonCommand::Start(start)) }) if start.foreground => {
            Some(DaemonRunArgs { options: start.options.clone(), detached: false })
        }
        _ => None,
    }
}

/// What is known before there is a thread.
struct Prepared {
    settings: Settings,
    paths: Paths,
    overrides: Overrides,
    launch: LaunchOptions,
    dir: PathBuf,
    exe: PathBuf,
    lock: DaemonLock,
    epoch: u64,
    args: Vec<String>,
}

/// Becomes the daemon; comes back when it has ended.
pub(crate) fn run(ctx: &Context, args: &DaemonRunArgs) -> Outcome {
    let failed = |error: std::io::Error| CliError::failed(format!("cannot settle this process: {error}"));
    args.options.check()?;
    daemonize::settle().and_then(|()| limits::settle(None)).map_err(failed)?;
    let here = directory(None);
    let readiness = if args.detached { daemonize::detach().map_err(failed)? } else { Readiness::unheard() };
    let prepared = match prepare(ctx, &args.options, here) {
        Ok(prepared) => prepared,
        Err(error) => return Err(refuse(readiness, error)),
    };
    if !args.detached {
        // A detached one has no terminal; its launcher has seen to it.
        first_password::make_if_needed(ctx, &args.options.hosts)?;
    }
    let log = DaemonLog {
        paths: &prepared.paths,
        dir: &prepared.dir,
        settings: &prepared.settings.logs,
        foreground: !args.detached,
    };
    let _telemetry = telemetry::for_daemon(&log);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Err(refuse(readiness, CliError::failed(format!("cannot start: {error}")))),
    };
    let ending = runtime.block_on(serve(ctx, prepared, readiness));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ending? {
        Ending::Stop => Ok(Exit::Completed),
        Ending::Restart => Err(again()),
    }
}

/// Tells the launcher why nothing serves, and the terminal where there is one.
fn refuse(readiness: Readiness, error: CliError) -> CliError {
    let text = std::iter::once(&error.message).chain(&error.hints).cloned().collect::<Vec<_>>().join("\n");
    readiness.failed(&text);
    error
}

fn prepare(
    ctx: &Context,
    options: &DaemonOptions,
    here: Result<String, CliError>,
) -> Result<Prepared, CliError> {
    let mut overrides = options.overrides(ctx)?;
    let mut settings =
        skep_config::load(&ctx.paths, &ctx.environment, &overrides).map_err(crate::settings::invalid)?;
    let dir = match overrides.dir.clone().or_else(|| settings.daemon.dir.clone()) {
        Some(dir) => dir,
        None => PathBuf::from(here?),
    };
    // A reload must not take the directory for a change.
    overrides.dir = Some(dir.clone());
    settings.daemon.dir = Some(dir.clone());
    let paths = if ctx.explicit_socket { ctx.paths.clone() } else { ctx.paths.for_settings(&settings) };
    skep_sys::socket::private_directory(paths.state_dir())
        .map_err(|error| CliError::failed(format!("cannot use the state directory: {error}")))?;
    let lock = acquire(&paths).map_err(|error| match error {
        LockError::Held { .. } => {
            CliError::new(Exit::Busy, error.to_string()).hint("`skep daemon status` shows it")
        }
        LockError::Io { ref source, .. } => CliError::failed(format!("{error}: {source}")),
    })?;
    let epoch = lock
        .next_epoch()
        .map_err(|error| CliError::failed(format!("cannot write {}: {error}", paths.epoch().display())))?;
    let mut args: Vec<String> =
        options.words()?.into_iter().filter_map(|word| word.into_string().ok()).collect();
    args.retain(|word| !word.starts_with("--dir="));
    args.push(format!("--dir={}", dir.display()));
    Ok(Prepared {
        launch: options.launch(ctx)?,
        settings,
        paths,
        overrides,
        dir,
        exe: executable()?,
        lock,
        epoch,
        args,
    })
}

/// Takes the daemon's lock. One that was killed a moment ago may still hold it: the lock goes when its process has been
/// taken apart, which nothing announces. There is no runtime yet that could wait for it.
fn acquire(paths: &Paths) -> Result<DaemonLock, LockError> {
    let begun = Instant::now();
    loop {
        match DaemonLock::acquire(paths) {
            Err(LockError::Held { .. }) if is_dying(paths, begun.elapsed()) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Whether the holder of the lock may be a process that is on its way out: it has had no time yet, or nobody listens.
fn is_dying(paths: &Paths, waited: Duration) -> bool {
    if waited < Duration::from_millis(50) {
        return true;
    }
    let socket = Target::find(paths, false);
    waited < Duration::from_secs(2) && skep_sys::socket::connect_unix(socket.socket()).is_err()
}

/// Serves until somebody wants an end.
async fn serve(ctx: &Context, prepared: Prepared, readiness: Readiness) -> Result<Ending, CliError> {
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let started = start(ctx, prepared, &tracker, &stop).await;
    let (serving, signals) = match started {
        Ok(started) => started,
        Err(error) => return Err(refuse(readiness, error)),
    };
    tracing::info!(daemon.epoch = serving.epoch, "the daemon serves at `{}`", serving.endpoint);
    readiness
        .ready(&serving.endpoint)
        .map_err(|error| CliError::failed(format!("cannot leave the launcher's terminal: {error}")))?;
    Ok(serving.until_end(signals, tracker, stop).await)
}

async fn start(
    ctx: &Context,
    prepared: Prepared,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(Serving, Signals), CliError> {
    let Prepared { settings, paths, overrides, launch, dir, exe, lock, epoch, args } = prepared;
    let signals = Signals::new()?;
    let token = Token::load_or_create(&lock).map_err(|error| CliError::failed(error.to_string()))?;
    let listener = bind(paths.socket())?;
    let limits = Limits::from(&settings.api);
    let doors = Doors::new(&settings.api, &paths);
    let bound = match settings.api.tcp() {
        Some((hosts, port)) => {
            let bound = doors.bind(&hosts, port).await;
            bound.map_err(|error| CliError::failed(format!("cannot {error}")))?
        }
        None => Vec::new(),
    };
    let facts = DaemonFacts {
        process: skep_sys::process::current(),
        endpoint: format!("unix:{}", paths.socket().display()),
        started_at: Timestamp::now(),
        version: String::from(VERSION),
        dir,
        epoch,
    };
    let file = DaemonFile {
        process: facts.process.clone(),
        socket: paths.socket().display().to_string(),
        urls: doors.urls().borrow().clone(),
        tls: doors.tls_info(),
        version: facts.version.clone(),
        epoch,
        started_at: facts.started_at,
        args,
    };
    let endpoint = file.urls.first().unwrap_or(&facts.endpoint).clone();
    let audit = LogSpec {
        path: paths.audit_log(),
        max_bytes: settings.logs.max_bytes.as_u64(),
        files: settings.logs.files,
    };
    let engine = daemon::start(daemon::DaemonOptions {
        settings,
        paths: paths.clone(),
        environment: ctx.environment.clone(),
        overrides,
        launch,
        exe,
        facts,
        tracker: tracker.clone(),
    })
    .await
    .map_err(|error| CliError::failed(error.to_string()))?;
    lock.write_daemon_file(&file).map_err(|error| {
        CliError::failed(format!("cannot write {}: {error}", paths.daemon_file().display()))
    })?;
    let urls = doors.urls();
    let hooks = Hooks::start(HooksOptions {
        engine: engine.clone(),
        environment: ctx.environment.clone(),
        tracker: tracker.clone(),
        stop: stop.clone(),
    });
    let token = token.as_str().to_owned();
    let options = GatewayOptions { token, limits, doors: doors.clone(), bound, hooks, audit };
    let gateway = tracker.spawn(skep_gateway::serve(engine.clone(), listener, options, stop.clone()));
    let serving = Serving { engine, gateway, lock, file, doors, urls, epoch, endpoint };
    Ok((serving, signals))
}

fn bind(socket: &Path) -> Result<UnixListener, CliError> {
    let listener = skep_sys::socket::bind_unix(socket).map_err(|error| {
        let source =
            std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        CliError::failed(format!("{error}{source}"))
    })?;
    UnixListener::from_std(listener)
        .map_err(|error| CliError::failed(format!("cannot listen at {}: {error}", socket.display())))
}

/// Becomes a new daemon in the same process, with the same words: a service manager sees no end. Comes back only with
/// the reason why it could not.
fn again() -> CliError {
    use std::os::unix::ffi::OsStringExt as _;
    let failed = |why: String| CliError::failed(format!("cannot start again: {why}"));
    let exe = match executable() {
        Ok(exe) => exe,
        Err(error) => return error,
    };
    let words = std::env::args_os().map(|word| std::ffi::CString::new(word.into_vec()));
    let path = std::ffi::CString::new(exe.into_os_string().into_vec());
    match (path, words.collect::<Result<Vec<_>, _>>()) {
        (Ok(path), Ok(words)) => match nix::unistd::execv(&path, &words) {
            Ok(never) => match never {},
            Err(errno) => failed(errno.to_string()),
        },
        _ => failed(String::from("an argument holds a NUL byte")),
    }
}
