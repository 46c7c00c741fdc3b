//! `skep cancel`: ends the turn that runs; the session stays.

use clap::Args;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::label;

/// Cancel the turn that runs in a session. No turn is no error.
#[derive(Debug, Clone, Args)]
pub(crate) struct CancelArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
}

/// Cancels.
pub(crate) async fn run(ctx: &Context, args: &CancelArgs) -> Outcome {
    let client = ctx.client();
    let session = client.session(&args.session).await?;
    client.cancel(session.id, None).await?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"session": session.id, "had_turn": session.turn.is_some()}))?;
    } else if session.turn.is_some() {
        ctx.screen.line(format!("cancelled: session {}", label(&session)))?;
    } else {
        ctx.screen.line(format!("no turn runs in session {}", label(&session)))?;
    }
    Ok(Exit::Completed)
}
