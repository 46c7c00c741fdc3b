//! The options of a session that go into [`SessionOptions`], for `run` and `bg`.

use clap::Args;
use skep_common::session::SessionOptions;

use crate::error::CliError;

/// What a new session may be given beyond agent, directory and mode.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Session options")]
pub(crate) struct SessionOptionArgs {}

impl SessionOptionArgs {
    /// As the API wants them.
    pub(crate) fn options(&self) -> Result<SessionOptions, CliError> {
        Ok(SessionOptions::default())
    }
}
