//! A command of one version and a daemon of another: they work together as far as they understand each other, and
//! where they do not, the person hears what to do.

use skep_common::code::Code;
use skep_common::sanitise::one_line;

use crate::commands::version::VERSION;
use crate::context::Context;
use crate::error::CliError;

/// The error, and what to do about it if the versions may be its cause.
pub(crate) async fn explain(ctx: &Context, error: CliError) -> CliError {
    if !error.code.is_some_and(may_be_a_newer_word) {
        return error;
    }
    match ctx.client().health().await {
        Ok(health) if health.version != VERSION => {
            let theirs = one_line(&health.version);
            error.hint(format!(
                "the daemon is skep {theirs}, this is skep {VERSION}: `skep daemon restart` starts this one"
            ))
        }
        Ok(_) | Err(_) => error,
    }
}

/// Whether the daemon may have said no because it does not know what it was asked.
const fn may_be_a_newer_word(code: Code) -> bool {
    matches!(
        code,
        Code::RouteNotFound
            | Code::MethodNotAllowed
            | Code::InvalidRequest
            | Code::InvalidValue
            | Code::NotSupported
            | Code::ProtocolMismatch
            | Code::Unknown
    )
}
