//! The options of a session that go into [`SessionOptions`], for `run` and `bg`.

use clap::Args;
use skep_common::session::{Limits, SessionOptions};
use skep_common::usage::Amount;

use crate::arguments::{Busy, seconds};
use crate::error::CliError;
use crate::rule_args::RuleArgs;

/// What a new session may be given beyond agent, directory and mode.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Session options")]
pub(crate) struct SessionOptionArgs {
    /// How many prompts the session may run.
    #[arg(long, value_name = "N")]
    max_turns: Option<u64>,
    /// How many tokens the session may use, as far as its agent tells them.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// What the session may cost, such as `2.50`, in the currency in which its agent tells it.
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<Amount>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Deny a permission request that nobody answers in this time: `90`, `5m`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    permission_timeout: Option<u64>,
    /// What the session's prompts get while a turn runs, where they do not say.
    #[arg(long, value_name = "WHAT", value_enum)]
    busy_default: Option<Busy>,
}

impl SessionOptionArgs {
    /// As the API wants them.
    pub(crate) fn options(&self) -> Result<SessionOptions, CliError> {
        let limits =
            Limits { max_turns: self.max_turns, max_tokens: self.max_tokens, max_cost: self.max_cost };
        Ok(SessionOptions {
            when_busy: self.busy_default.map(Into::into),
            limits,
            rules: Some(self.rules.0.clone()).filter(|rules| !rules.is_empty()),
            permission_timeout_seconds: self.permission_timeout,
        })
    }
}
