//! How an agent ends (agents.md 6.2): asked to close, then end of file, then SIGTERM, then SIGKILL; or at once. Success
//! is only ever said when its whole tree is gone.
//!
//! A session that leaves a process which serves others as well takes only what is its own with it: its turn is cancelled,
//! its session closed, and what its turn left running is killed, where that can be told apart. An agent that does not
//! end the turn in time is killed for all of them; the others come back by load.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use skep_sys::spawn::ExitCause;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;

/// How long `session/close` may take.
const CLOSE: Duration = Duration::from_millis(500);

/// How long the agent may take to end a cancelled turn of a session that leaves a shared process.
const TURN: Duration = Duration::from_secs(2);

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

    /// Resolves when the agent is to stop, or nobody holds its handle any more.
    pub(super) async fn told(stop: &mut watch::Receiver<Self>) {
        drop(stop.wait_for(|how| *how != Self::No).await);
    }
}

/// How a session's part of an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// With its process.
    Ended(ExitCause),
    /// The process goes on for others.
    Left,
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(cause) => cause.fmt(f),
            Self::Left => f.write_str("left a process that serves other sessions"),
        }
    }
}

/// Ends a session's part because it is told to: with the process, if that serves nobody else.
pub(super) async fn end(connection: &mut Connection, how: watch::Receiver<Stop>) -> Farewell {
    let seat = connection.seat();
    let host = connection.host().clone();
    if host.board(|board| board.close_if_alone(seat)) {
        let kill = *how.borrow() == Stop::Kill;
        return Farewell::Ended(if kill {
            kill_process(connection).await
        } else {
            ladder(connection, how).await
        });
    }
    // When all that it serves are to be killed, there is nobody to spare it for.
    let quit = async {
        let mut how = how;
        drop(how.wait_for(|how| *how == Stop::Kill).await);
        if host.board(|board| board.quit(seat)) {
            host.stop(Stop::Kill);
        }
        std::future::pending::<()>().await;
    };
    let left = async { if obeys(connection).await { leave(connection).await } else { None } };
    let left = tokio::select! {
        biased;
        left = left => left,
        cause = host.ended() => Some(Farewell::Ended(cause)),
        () = quit => None,
    };
    if let Some(left) = left {
        return left;
    }
    host.sacrifice();
    Farewell::Ended(host.ended().await)
}

/// Ends a session's part because it cannot go on. What the process still does for others is not disturbed, unless it
/// listens to nobody.
pub(super) async fn give_up(connection: &mut Connection) -> Farewell {
    let host = connection.host().clone();
    let (seat, began) = (connection.seat(), host.begun().initialized());
    let over = host.has_exited() || host.is_deaf() || host.has_ended().is_some();
    if over || !began || host.board(|board| board.close_if_alone(seat)) {
        return Farewell::Ended(kill_process(connection).await);
    }
    // Nobody waits for what it answers.
    let _told = connection.cancel();
    host.leave(seat);
    Farewell::Left
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
    kill_process(connection).await
}

/// Kills the whole tree, and says how the agent itself ended.
pub(super) async fn kill_process(connection: &Connection) -> ExitCause {
    let host = connection.host();
    host.stop(Stop::Kill);
    host.ended().await
}

/// Ends the turn that still runs; whether the agent did, in time.
async fn obeys(connection: &mut Connection) -> bool {
    if connection.prompt.is_none() {
        return true;
    }
    if !connection.cancelled && connection.cancel().is_err() {
        return false;
    }
    let until = connection.cancelled_at.unwrap_or_else(Instant::now) + TURN;
    timeout_at(until, connection.outlast()).await.unwrap_or(false)
}

/// Gives up the seat: the agent's session is closed, where it can be, and what its last turn left running is killed.
/// None if the process has to end instead.
async fn leave(connection: &mut Connection) -> Option<Farewell> {
    close(connection).await;
    connection.end_leftovers().await;
    let (host, seat) = (connection.host().clone(), connection.seat());
    if host.board(|board| board.close_if_alone(seat)) {
        // The others have left meanwhile.
        host.stop(Stop::Gently);
        return Some(Farewell::Ended(host.ended().await));
    }
    host.leave(seat);
    Some(Farewell::Left)
}

/// `session/close`, where the agent has it.
async fn close(connection: &mut Connection) {
    if connection.abilities.close && !connection.session.is_empty() {
        let params = json!({"sessionId": connection.session});
        // Whether or not it answers, the next rung comes.
        let _answer = timeout(CLOSE, connection.call("session/close", &params)).await;
    }
}
