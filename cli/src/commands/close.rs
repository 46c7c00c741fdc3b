//! `skep close`: ends a session for good; its history is kept.

use clap::Args;
use skep_common::api::CloseRequest;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::label;

/// Close a session: its agent is asked to end, its history is kept, its name is free again.
#[derive(Debug, Clone, Args)]
pub(crate) struct CloseArgs {
    /// The session: name, id, or the beginning of its id.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
}

/// Closes.
pub(crate) async fn run(ctx: &Context, args: &CloseArgs) -> Outcome {
    end(ctx, &args.session, false).await
}

/// Closes a session, by force or not.
pub(super) async fn end(ctx: &Context, session: &SessionRef, force: bool) -> Outcome {
    let client = ctx.client();
    let session = client.session_to_end(session).await?;
    let word = if force { "killed" } else { "closed" };
    if session.state.is_closed() {
        return report(ctx, &session, "already closed", false);
    }
    client.post_done(&format!("/sessions/{}/close", session.id), &CloseRequest { force }).await?;
    report(ctx, &session, word, true)
}

fn report(ctx: &Context, session: &skep_common::api::SessionInfo, word: &str, changed: bool) -> Outcome {
    if ctx.screen.json() {
        let name = session.name.as_ref();
        ctx.screen.value(&serde_json::json!({"session": session.id, "name": name, "changed": changed}))?;
    } else {
        ctx.screen.line(format!("{word}: session {}", label(session)))?;
    }
    Ok(Exit::Completed)
}
