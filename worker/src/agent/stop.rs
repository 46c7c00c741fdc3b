//! How an agent ends (agents.md 6.2): asked to close, then end of file, then SIGTERM, then SIGKILL; or at once. Success
//! is only ever said when its whole tree is gone.

use std::time::Duration;

use serde_json::json;
use skep_sys::spawn::ExitCause;
use skep_sys::tree;
use tokio::sync::watch;
use tokio::time::timeout;

use super::DRAIN;
use super::connection::Connection;
use super::launch::Launch;

/// How long `session/close` may take.
const CLOSE: Duration = Duration::from_millis(500);

/// How an agent is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// By the ladder.
    Gently,
    /// At once.
    Kill,
}

/// Walks down the ladder; a [`Stop::Kill`] on the way cuts it short.
pub(super) async fn ladder(
    connection: &mut Connection,
    launch: &Launch,
    mut how: watch::Receiver<Stop>,
) -> ExitCause {
    let gently = async {
        close(connection).await;
        connection.writer = None;
        if wait(connection, launch.eof_grace).await.is_none() {
            let trees = std::slice::from_ref(&connection.tree);
            tree::terminate(trees, launch.stop_grace).await;
        }
    };
    tokio::select! {
        biased;
        _ = how.wait_for(|how| *how == Stop::Kill) => {}
        () = gently => {}
    }
    sweep(connection).await
}

/// Kills whatever is left of the tree, and says how the agent itself ended.
pub(super) async fn sweep(connection: &mut Connection) -> ExitCause {
    connection.writer = None;
    tree::kill(std::slice::from_ref(&connection.tree)).await;
    let cause = timeout(DRAIN, connection.child.exited()).await;
    cause.unwrap_or(ExitCause::Unknown)
}

/// `session/close`, where the agent has it.
async fn close(connection: &mut Connection) {
    if connection.abilities.close && !connection.session.is_empty() {
        let params = json!({"sessionId": connection.session});
        // Whether or not it answers, the next rung comes.
        let _answer = timeout(CLOSE, connection.call("session/close", &params)).await;
    }
}

/// Waits for the agent's exit; reads and drops what it still says, so that it is not stuck writing.
async fn wait(connection: &mut Connection, grace: Duration) -> Option<ExitCause> {
    let ended = async {
        loop {
            tokio::select! {
                biased;
                cause = connection.child.exited() => return cause,
                read = connection.reader.read() => if !matches!(read, Ok(Some(_))) {
                    return connection.child.exited().await;
                },
            }
        }
    };
    timeout(grace, ended).await.ok()
}
