//! `skep agents`: the agents that skep knows, and which of them are here.

use clap::Args;
use skep_common::api::AgentList;

use crate::autostart;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table;

/// List the agents, which of them were found here, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentsArgs {}

/// Lists the agents.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let client = autostart::client(ctx).await?;
    let list: AgentList = client.get("/agents").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        ctx.screen.line(table::agents(&list.agents, ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}
