//! How an agent ends (agents.md 6.2): asked to close, then end of file, then SIGTERM, then SIGKILL; or at once. Success
//! is only ever said when its whole tree is gone.

use std::time::Duration;

use serde_json::json;
use skep_sys::spawn::ExitCause;
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::Connection;

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

impl Stop {
    /// Raises it to `how`; whether that is more than before.
    pub(super) fn raise(&mut self, how: Self) -> bool {
        let more = how > *self;
        *self = how.max(*self);
        more
    }
}

/// Walks down the ladder; a [`Stop::Kill`] on the way cuts it short.
pub(super) async fn ladder(connection: &mut Connection, mut how: watch::Receiver<Stop>) -> ExitCause {
    let host = connection.host().clone();
    let gently = async {
        close(connection).await;
        host.stop(Stop::Gently);
        host.ended().await
    };
    tokio::select! {
        biased;
        _ = how.wait_for(|how| *how == Stop::Kill) => {}
        cause = gently => return cause,
    }
    kill(connection).await
}

/// Kills the whole tree, and says how the agent itself ended.
pub(super) async fn kill(connection: &Connection) -> ExitCause {
    let host = connection.host();
    host.stop(Stop::Kill);
    host.ended().await
}

/// `session/close`, where the agent has it.
async fn close(connection: &mut Connection) {
    if connection.abilities.close && !connection.session.is_empty() {
        let params = json!({"sessionId": connection.session});
        // Whether or not it answers, the next rung comes.
        let _answer = timeout(CLOSE, connection.call("session/close", &params)).await;
    }
}
