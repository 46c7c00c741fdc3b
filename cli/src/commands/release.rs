//! `skep release`: lets queued prompts go on that were held after an interruption.

use clap::Args;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::label;

/// Let a session's held prompts go on.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReleaseArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
}

/// Releases the queue.
pub(crate) async fn run(ctx: &Context, args: &ReleaseArgs) -> Outcome {
    let client = ctx.client();
    let session = client.session(&args.session).await?;
    client.post_done(&format!("/sessions/{}/queue/release", session.id), &serde_json::json!({})).await?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"session": session.id, "released": session.queued.len()}))?;
    } else {
        ctx.screen.line(format!(
            "released {} prompt(s) of session {}",
            session.queued.len(),
            label(&session)
        ))?;
    }
    Ok(Exit::Completed)
}
