//! The settings, read only by the commands that need them.

use skep_config::{ConfigError, Overrides, Settings};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// The settings as a client sees them: no flags of a daemon.
pub(crate) fn load(ctx: &Context) -> Result<Settings, CliError> {
    skep_config::load(&ctx.paths, &ctx.environment, &Overrides::default()).map_err(invalid)
}

/// The error for settings that cannot be used: the first problem, and the others as hints.
pub(crate) fn invalid(error: ConfigError) -> CliError {
    let text = error.to_string();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or("the configuration is invalid");
    let mut shown = CliError::new(Exit::Usage, format!("cannot use the configuration: {first}"));
    shown.code = Some(skep_common::code::Code::ConfigInvalid);
    lines.fold(shown, CliError::hint)
}
