//! The worker process: commands from stdin, reports to stdout, one actor per session.
//!
//! ```text
//!   setsid, subreaper, registry file ─▶ hello ─▶ serve ─┬─ shutdown, SIGTERM ─▶ gentle ─┐
//!                                                       └─ stdin closed ─▶ kill ────────┴─▶ exit.json, exit
//! ```
//!
//! One thread runs everything but the disk: the journal, captured output and small files have threads of their own, so
//! that no disk can hold up a heartbeat. This module owns the map of sessions and the epoch; it never looks into a
//! session.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use skep_common::ids::WorkerId;
use skep_sys::limits::{self, Limits};
use tokio::runtime::Builder;

mod command;
mod exit;
mod identity;
mod serve;

/// How long the runtime waits for threads that hang in the disk.
const THREADS: std::time::Duration = std::time::Duration::from_millis(100);

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerArgs {
    /// Its id.
    pub id: WorkerId,
    /// The state directory.
    pub state_dir: PathBuf,
    /// The limits that agents are started with; none: those of this process.
    pub limits: Option<Limits>,
    /// Keep raw frames in `debug.log`.
    pub debug: bool,
}

/// Runs the whole worker process, until its supervisor is gone or wants it to end.
#[must_use]
pub fn run(args: WorkerArgs) -> ExitCode {
    // Leading a session already is no error.
    let _session = nix::unistd::setsid();
    let code = start(args).unwrap_or_else(|error| {
        tracing::error!(%error, "the worker could not start");
        exit::FAILED
    });
    ExitCode::from(code)
}

fn start(args: WorkerArgs) -> io::Result<u8> {
    skep_sys::signal::ignore_sigpipe()?;
    limits::settle(args.limits)?;
    skep_sys::subreaper::become_subreaper()?;
    let identity = identity::Identity::register(&args)?;
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(8).build()?;
    let code = runtime.block_on(serve::serve(args, &identity));
    runtime.shutdown_timeout(THREADS);
    identity.unregister();
    code
}
