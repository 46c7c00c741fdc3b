//! Whether a daemon runs, has stopped, or died and left its state file behind (S7, G20).

use skep_common::api::{DaemonFile, Health};
use skep_supervisor::instance::{DaemonFound, clean_stale, find_daemon};

use crate::client::ClientError;
use crate::context::Context;
use crate::error::CliError;

/// How the daemon is.
#[derive(Debug)]
pub(super) enum State {
    /// It answers.
    Running(Health),
    /// Its process lives, but does not answer.
    Silent(Box<DaemonFile>, ClientError),
    /// It died without cleaning up, which is done now. What is known of it, for a person.
    Stale(String),
    /// None runs.
    Stopped,
}

/// Looks, and cleans up what a dead daemon left behind.
pub(super) async fn look(ctx: &Context) -> Result<State, CliError> {
    let error = match ctx.client().health().await {
        Ok(health) => return Ok(State::Running(health)),
        // One whose health cannot be read may be of another version: its state file still says who it is.
        Err(
            error @ (ClientError::NotRunning { .. }
            | ClientError::Lost { .. }
            | ClientError::Refused(_)
            | ClientError::Unintelligible { .. }),
        ) => error,
        Err(error) => return Err(error.into()),
    };
    let remains = match find_daemon(&ctx.paths) {
        DaemonFound::None => return Ok(State::Stopped),
        DaemonFound::Running(file) => return Ok(State::Silent(Box::new(file), error)),
        DaemonFound::Stale(file) => format!("pid {} died", file.process.pid),
        DaemonFound::Invalid(invalid) => invalid.to_string(),
    };
    match clean_stale(&ctx.paths) {
        Ok(true) => Ok(State::Stale(remains)),
        // One is coming up, or just went.
        Ok(false) => Ok(State::Stopped),
        Err(error) => Err(CliError::failed(format!("cannot remove the stale state file: {error}"))),
    }
}
