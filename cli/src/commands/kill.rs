//! `skep kill`: closes a session by force.

use clap::Args;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::Outcome;

/// Kill a session: its agent and everything that it started die at once; its history is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    /// The session: name, id, or the beginning of its id.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
}

/// Kills.
pub(crate) async fn run(ctx: &Context, args: &KillArgs) -> Outcome {
    super::close::end(ctx, &args.session, true).await
}
