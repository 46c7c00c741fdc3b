//! What a dying agent says last. An agent of several processes (a launcher and the one that works) can outlive the
//! death of one of them for a moment, and then answers that the turn was cancelled. Nobody cancelled it: its agent
//! died, and the session must hear that instead.

use std::time::Duration;

use skep_sys::spawn::ExitCause;
use tokio::time::timeout;

use super::acp::Said;
use super::connection::Connection;

/// How long after an unasked `cancelled` an agent's end belongs to it. A living agent that cancels by itself, as codex
/// does when a permission is denied, has its turn ended so much later.
const BELONGS: Duration = Duration::from_millis(200);

/// Drops an answer that says `cancelled` though nobody asked for it, if the agent has ended or ends at once; how it
/// ended.
pub(super) async fn retract(connection: &mut Connection, said: &mut Vec<Said>) -> Option<ExitCause> {
    if connection.cancelled || !said.iter().any(is_cancelled) {
        return None;
    }
    let ended = timeout(BELONGS, connection.host().exited()).await.ok()?;
    said.retain(|said| !is_cancelled(said));
    Some(ended)
}

fn is_cancelled(said: &Said) -> bool {
    matches!(said, Said::Answered(Ok(stop)) if stop.reason == "cancelled")
}
