//! Starts the daemon if none runs, and waits until it really serves.
//!
//! Launchers take turns: each holds `start.lock` from its look for a daemon until one serves. So of 100 that come at
//! once one starts it, and 99 find it (promise 18). The daemon's own lock decides in the end, whoever starts it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use skep_common::api::Health;
use skep_common::environment::{DECLARED, is_listed};
use skep_config::env;
use skep_supervisor::instance::{DaemonFound, find_daemon};
use skep_sys::daemonize::{Startup, await_startup};
use skep_sys::process::ended;
use skep_sys::spawn::{SpawnSpec, Stdio3, spawn};

use crate::client::{Client, ClientError};
use crate::context::Context;
use crate::error::CliError;
use crate::first_password;

/// What a daemon inherits.
type Variables = Vec<(OsString, OsString)>;

/// Variables that a daemon which nobody asked for gets beside those that every agent gets: what its notifications and
/// its own program need.
const OWN: [&str; 7] = [
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
    "NO_COLOR",
];

/// A daemon that breaks a connection is given this time to be dead.
const DIES_WITHIN: Duration = Duration::from_secs(2);

/// A daemon that is stopping is given this time before a new one is started in its place.
const GONE_WITHIN: Duration = Duration::from_secs(45);

/// A client of the daemon, which is started if none runs.
pub(crate) async fn client(ctx: &Context) -> Result<Client, CliError> {
    started_with(ctx, &[], &[], slight(ctx)).await.map(|(client, _)| client)
}

/// The same for a front end that whoever started it may end with all that descends from it, as some editors do: the
/// daemon is started by a process of its own that ends at once, and so descends from nobody here.
pub(crate) async fn client_apart(ctx: &Context) -> Result<Client, CliError> {
    if let Some((client, _)) = find(ctx).await? {
        return Ok(client);
    }
    let failed =
        |why: &dyn std::fmt::Display| CliError::unreachable(format!("cannot start the daemon: {why}"));
    let mut args: Vec<OsString> = Vec::new();
    if ctx.explicit_socket {
        args.extend([OsString::from("--socket"), ctx.paths.socket().as_os_str().to_owned()]);
    }
    args.extend(["daemon", "start"].map(OsString::from));
    let launcher = spawn(SpawnSpec {
        program: executable()?,
        args,
        cwd: std::env::current_dir().map_err(|error| failed(&error))?,
        env: slight(ctx),
        stdin: Stdio3::Null,
        stdout: Stdio3::Null,
        stderr: Stdio3::Inherit,
        new_group: false,
    });
    let launcher = launcher.map_err(|error| failed(&error))?;
    // It says itself why, should it not start.
    let _cause = launcher.exited().await;
    let found = find(ctx).await?.map(|(client, _)| client);
    found.ok_or_else(|| failed(&"it does not serve").hint("`skep daemon start` says why"))
}

/// The daemon that serves: the one that runs, or one that a person starts with these options, which name these hosts,
/// and this environment.
pub(crate) async fn start(
    ctx: &Context,
    options: &[OsString],
    hosts: &[String],
) -> Result<(Client, Health), CliError> {
    started_with(ctx, options, hosts, environment(ctx)).await
}

async fn started_with(
    ctx: &Context,
    options: &[OsString],
    hosts: &[String],
    environment: Variables,
) -> Result<(Client, Health), CliError> {
    if let Some(found) = find(ctx).await? {
        return Ok(found);
    }
    skep_sys::socket::private_directory(ctx.paths.state_dir())
        .map_err(|error| CliError::failed(format!("cannot use the state directory: {error}")))?;
    let _turn = take_turn(ctx)?;
    if let Some(found) = find(ctx).await? {
        return Ok(found);
    }
    first_password::make_if_needed(ctx, hosts)?;
    if let Err(error) = launch(ctx, options, environment) {
        // Somebody else, a service manager perhaps, may have been quicker.
        return find(ctx).await?.ok_or(error);
    }
    find(ctx).await?.ok_or_else(|| {
        CliError::unreachable("the daemon started and ended again").hint("`skep daemon logs` says more")
    })
}

/// The daemon that serves, if one does. One that is stopping is waited for.
async fn find(ctx: &Context) -> Result<Option<(Client, Health)>, CliError> {
    let client = ctx.client();
    match client.health().await {
        Ok(health) if health.status == "stopping" => {
            wait_until_gone(&health).await?;
            Ok(None)
        }
        Ok(health) => Ok(Some((client, health))),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error @ ClientError::Lost { .. }) => match find_daemon(&ctx.paths) {
            // It may have been killed a moment ago.
            DaemonFound::Running(file) => match tokio::time::timeout(DIES_WITHIN, ended(&file.process)).await
            {
                Ok(Ok(())) => Ok(None),
                Ok(Err(_)) | Err(_) => Err(error.into()),
            },
            // Whoever listens there is no daemon of this directory; the new one will say so.
            DaemonFound::None | DaemonFound::Stale(_) | DaemonFound::Invalid(_) => Ok(None),
        },
        Err(error) => Err(error.into()),
    }
}

async fn wait_until_gone(health: &Health) -> Result<(), CliError> {
    match tokio::time::timeout(GONE_WITHIN, ended(&health.process)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            Err(CliError::unreachable(format!("cannot wait for the daemon that is stopping: {error}")))
        }
        Err(_) => Err(CliError::unreachable("the daemon is stopping and does not come to an end")
            .hint("`skep daemon stop` once more kills what holds it up")),
    }
}

/// Waits for this launcher's turn. The lock goes with the process, however it ends.
fn take_turn(ctx: &Context) -> Result<Flock<File>, CliError> {
    let path = ctx.paths.state_dir().join("start.lock");
    let refuse = |error: io::Error| CliError::failed(format!("cannot lock {}: {error}", path.display()));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(refuse)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| refuse(errno.into()))
}

/// Starts `skep daemon run --detached` and waits until it serves or says why not.
fn launch(ctx: &Context, options: &[OsString], environment: Variables) -> Result<(), CliError> {
    let failed =
        |what: &str, why: &dyn std::fmt::Display| CliError::unreachable(format!("cannot {what}: {why}"));
    let (reader, writer) = io::pipe().map_err(|error| failed("start the daemon", &error))?;
    let spec = SpawnSpec {
        program: executable()?,
        args: arguments(ctx, options),
        cwd: std::env::current_dir().map_err(|error| failed("find the current directory", &error))?,
        env: environment,
        stdin: Stdio3::Null,
        stdout: Stdio3::Fd(writer.into()),
        stderr: Stdio3::Inherit,
        new_group: false,
    };
    let child = spawn(spec).map_err(|error| failed("start the daemon", &error))?;
    // It outlives this launcher from here on: nobody here reaps it or kills it.
    child.release();
    match await_startup(reader) {
        Ok(Some(Startup::Ready(_))) => Ok(()),
        Ok(Some(Startup::Failed(why))) => {
            let mut lines = why.lines();
            let first = lines.next().unwrap_or("it did not say why");
            let error = CliError::unreachable(format!("the daemon did not start: {first}"));
            Err(lines.fold(error, CliError::hint))
        }
        Ok(None) => Err(CliError::unreachable("the daemon ended while it started")),
        Err(error) => Err(failed("hear from the daemon", &error)),
    }
}

/// This very binary.
pub(crate) fn executable() -> Result<PathBuf, CliError> {
    std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find skep's own program: {error}")))
}

fn arguments(ctx: &Context, options: &[OsString]) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["daemon", "run", "--detached"].map(OsString::from).into();
    if ctx.explicit_socket {
        args.push(OsString::from("--socket"));
        args.push(ctx.paths.socket().as_os_str().to_owned());
    }
    if ctx.debug {
        args.push(OsString::from("--debug"));
    }
    args.extend(options.iter().cloned());
    args
}

/// What the daemon inherits: everything but the marks of a session, should this run inside one.
fn environment(ctx: &Context) -> Variables {
    let marks = [
        env::SKEP_SESSION,
        env::SKEP_SESSION_NAME,
        env::SKEP_SESSION_KIND,
        env::SKEP_LOG_PATH,
        env::SKEP_WORKER,
        env::SKEP_SHELL_STATE,
        env::NOTIFY_SOCKET,
    ];
    ctx.environment
        .iter()
        .filter(|(name, _)| !marks.iter().any(|mark| name == mark))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What a daemon inherits that was started for a client's sake: no key of that client, who gives its keys to its own
/// session. A daemon outlives the shell that happened to start it.
fn slight(ctx: &Context) -> Variables {
    let is_own = |name: &str| name.starts_with("SKEP_") || is_listed(name, DECLARED.into_iter().chain(OWN));
    environment(ctx).into_iter().filter(|(name, _)| name.to_str().is_some_and(is_own)).collect()
}
