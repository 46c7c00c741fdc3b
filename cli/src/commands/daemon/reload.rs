//! `skep daemon reload`: the configuration read anew.

use clap::Args;
use skep_common::api::Reloaded;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// Read the configuration again. An invalid one changes nothing; only workers whose settings changed are restarted.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReloadArgs {}

/// Reloads.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let reloaded: Reloaded = ctx.client().post("/daemon/reload", &serde_json::json!({})).await?;
    if ctx.screen.json() {
        ctx.screen.value(&reloaded)?;
        return Ok(Exit::Completed);
    }
    let restarted: Vec<String> = reloaded.restarted.iter().map(ToString::to_string).collect();
    let restarted = if restarted.is_empty() { String::from("none") } else { restarted.join(", ") };
    ctx.screen.line(format!("reloaded; workers restarted: {restarted}"))?;
    if !reloaded.needs_restart.is_empty() {
        ctx.screen.line(format!("takes effect at the next start: {}", reloaded.needs_restart.join(", ")))?;
    }
    Ok(Exit::Completed)
}
