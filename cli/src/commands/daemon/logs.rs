//! `skep daemon logs`: the daemon's own log; with a session, that session's.

use clap::Args;

use crate::arguments::SessionRef;
use crate::commands::logs::{self, LogsArgs};
use crate::context::Context;
use crate::error::Outcome;
use crate::log_stream::{self, LogArgs};

/// Show the daemon's log, or a session's.
#[derive(Debug, Clone, Args)]
pub(crate) struct DaemonLogsArgs {
    /// The session: name, id, or the beginning of either. The daemon itself where none is given.
    #[arg(value_name = "SESSION")]
    session: Option<SessionRef>,
    #[command(flatten)]
    log: LogArgs,
}

/// Shows the log.
pub(crate) async fn run(ctx: &Context, args: DaemonLogsArgs) -> Outcome {
    match args.session {
        Some(session) => logs::run(ctx, &LogsArgs::new(session, args.log)).await,
        None => log_stream::plain(ctx, &ctx.client(), &format!("/daemon/logs?{}", args.log.query())).await,
    }
}
