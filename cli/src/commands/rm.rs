//! `skep rm`: deletes a session's history.

use clap::Args;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::label;

/// Delete a session's history. An open session is killed and deleted only with `-f`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// The session: name, id, or the beginning of its id.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
    /// Even if it is open: kill it first.
    #[arg(short, long)]
    force: bool,
}

/// Deletes.
pub(crate) async fn run(ctx: &Context, args: &RmArgs) -> Outcome {
    let client = ctx.client();
    let session = client.session_to_end(&args.session).await?;
    client.delete(&format!("/sessions/{}?force={}", session.id, args.force)).await?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"session": session.id, "deleted": true}))?;
    } else {
        ctx.screen.line(format!("deleted: session {}", label(&session)))?;
    }
    Ok(Exit::Completed)
}
