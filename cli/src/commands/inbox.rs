//! `skep inbox`: everything that waits for a person.

use clap::Args;
use jiff::Timestamp;
use skep_common::api::PermissionList;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table;

/// List everything that waits for you, oldest first.
#[derive(Debug, Clone, Args)]
pub(crate) struct InboxArgs {}

/// Lists what waits.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let list: PermissionList = ctx.client().get("/permissions").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
        return Ok(Exit::Completed);
    }
    ctx.screen.line(table::inbox(&list.permissions, Timestamp::now(), ctx.screen.out))?;
    if !list.permissions.is_empty() && ctx.screen.err.terminal {
        ctx.screen.say("answer with `skep allow REQUEST` or `skep deny REQUEST`");
    }
    Ok(Exit::Completed)
}
