//! `skep ps`: the sessions.

use clap::Args;
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table;

/// List the sessions, newest change first.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PsArgs {
    /// Closed sessions too.
    #[arg(short, long)]
    all: bool,
}

/// Lists the sessions.
pub(crate) async fn run(ctx: &Context, args: &PsArgs) -> Outcome {
    let list = ctx.client().sessions(args.all).await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        ctx.screen.line(table::sessions(&list.sessions, Timestamp::now(), ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}
