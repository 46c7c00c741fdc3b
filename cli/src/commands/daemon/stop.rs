//! `skep daemon stop`: comes back when the process is gone (Q7).
//!
//! The API is asked first. A process that does not answer is signalled only if it is the very one that wrote the state
//! file: pid, start time and boot (Q4).

use std::time::Duration;

use clap::Args;
use skep_common::ids::Process;
use skep_sys::signal::{self, Signal};

use super::state::{self, State};
use crate::client::ClientError;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;

/// The workers' grace and some: after this the daemon itself is killed only if it hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Stop the daemon: every turn is interrupted, every worker ends, then the process. Stopped already is fine.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArgs {}

/// How a stop went.
pub(super) enum Stopped {
    /// It ran, and is gone.
    Gone(u32),
    /// It had died before; what it left was cleaned up.
    WasStale(String),
    /// None ran.
    NotRunning,
}

/// Stops the daemon.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let (word, pid, text) = match stop(ctx).await? {
        Stopped::Gone(pid) => ("stopped", Some(pid), format!("stopped: pid {pid}")),
        Stopped::WasStale(remains) => {
            ("stale", None, format!("not running ({remains}; its state file was cleaned up)"))
        }
        Stopped::NotRunning => ("not_running", None, String::from("not running")),
    };
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"status": word, "pid": pid}))?;
    } else {
        ctx.screen.line(text)?;
    }
    Ok(Exit::Completed)
}

/// Stops whatever runs here, and waits until its process is gone.
pub(super) async fn stop(ctx: &Context) -> Result<Stopped, CliError> {
    match state::look(ctx).await? {
        State::Stopped => Ok(Stopped::NotRunning),
        State::Stale(remains) => Ok(Stopped::WasStale(remains)),
        State::Running(health) if health.status == "stopping" => {
            // A second wish kills at once; the API takes the first one only.
            terminate(&health.process)?;
            wait(&health.process).await
        }
        State::Running(health) => {
            let asked = ctx.client().post_done("/daemon/stop", &serde_json::json!({})).await;
            match asked {
                // One that ends before its answer arrives has done what it was asked.
                Ok(()) | Err(ClientError::Lost { .. } | ClientError::NotRunning { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            wait(&health.process).await
        }
        State::Silent(file, _) => {
            terminate(&file.process)?;
            wait(&file.process).await
        }
    }
}

fn terminate(process: &Process) -> Result<(), CliError> {
    match signal::send(process, Signal::SIGTERM) {
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::failed(format!("cannot stop the daemon (pid {}): {error}", process.pid))),
    }
}

async fn wait(process: &Process) -> Result<Stopped, CliError> {
    let failed = |why: String| CliError::failed(format!("the daemon (pid {}) {why}", process.pid));
    match tokio::time::timeout(PATIENCE, skep_sys::process::ended(process)).await {
        Ok(Ok(())) => Ok(Stopped::Gone(process.pid)),
        Ok(Err(error)) => Err(failed(format!("cannot be waited for: {error}"))),
        Err(_) => Err(failed(format!("has not ended after {} s", PATIENCE.as_secs()))
            .hint("`skep daemon stop` once more ends it at once")),
    }
}
