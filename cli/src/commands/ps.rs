//! `skep ps`: the sessions.

use clap::Args;
use jiff::Timestamp;
use skep_common::session::SessionState;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::{self, Columns, label};

/// List the sessions, newest change first.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PsArgs {
    /// Closed sessions too.
    #[arg(short, long)]
    all: bool,
    /// What they have used, too.
    #[arg(short, long)]
    long: bool,
}

/// Lists the sessions.
pub(crate) async fn run(ctx: &Context, args: &PsArgs) -> Outcome {
    let list = ctx.client().sessions(args.all).await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        let columns = if args.long { Columns::Long } else { Columns::Short };
        ctx.screen.line(table::sessions(&list.sessions, columns, Timestamp::now(), ctx.screen.out))?;
        let cut_off = list.sessions.iter().find(|session| session.state == SessionState::Interrupted);
        if let Some(session) = cut_off.filter(|_| ctx.screen.err.terminal) {
            let name = label(session);
            ctx.screen
                .say(format!("run a turn again that was cut off: skep prompt {name} --retry-interrupted"));
        }
    }
    Ok(Exit::Completed)
}
