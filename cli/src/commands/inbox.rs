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
    let client = ctx.client();
    let list: PermissionList = client.get("/permissions").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
        return Ok(Exit::Completed);
    }
    let sessions = client.sessions(false).await?.sessions;
    let (now, out) = (Timestamp::now(), ctx.screen.out);
    let needy = table::needy(&sessions, now, out);
    if !list.permissions.is_empty() || needy.is_none() {
        ctx.screen.line(table::inbox(&list.permissions, now, out))?;
    }
    if let Some(needy) = needy {
        ctx.screen.line(needy)?;
        if ctx.screen.err.terminal {
            ctx.screen.say("prompt from a shell that has the keys: `skep prompt SESSION …`");
        }
    }
    if !list.permissions.is_empty() && ctx.screen.err.terminal {
        ctx.screen.say("answer with `skep allow REQUEST` or `skep deny REQUEST`");
    }
    Ok(Exit::Completed)
}
