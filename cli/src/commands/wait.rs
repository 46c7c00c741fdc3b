//! `skep wait`: blocks until a session is done or needs a person.

use std::time::Duration;

use clap::{Args, ValueEnum};
use skep_common::api::SessionInfo;
use skep_common::session::SessionState;
use skep_common::words;

use crate::arguments::{SessionRef, seconds};
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::outcome::exit_for_last;
use crate::render::table::label;

/// Block until a session is done, or needs you.
///
/// Ends with the last turn's status; with 6 if the session needs you, unless that was waited for.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
    /// Wait for this only; the first of the two where none is given.
    #[arg(long = "for", value_name = "WHAT", value_enum)]
    wanted: Option<Wanted>,
    /// Give up after this time: `90`, `90s`, `5m`, `1h30m`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// No turn runs and none is queued.
    Done,
    /// A permission request waits.
    NeedsYou,
}

/// Waits.
pub(crate) async fn run(ctx: &Context, args: &WaitArgs) -> Outcome {
    let client = ctx.client();
    // The whole of it has the limit: a daemon that has trouble may be slow to say even where the session stands.
    let waiting = async {
        let session = client.session(&args.session).await?;
        until(&client, session, args.wanted).await
    };
    let (session, exit) = match args.timeout {
        None => waiting.await?,
        Some(seconds) => match tokio::time::timeout(Duration::from_secs(seconds), waiting).await {
            Ok(ended) => ended?,
            Err(_) => {
                let message = format!("session {} is not there after {seconds} s", args.session);
                return Err(CliError::new(Exit::TimedOut, message));
            }
        },
    };
    if ctx.screen.json() {
        ctx.screen.value(&session)?;
    } else {
        ctx.screen.line(describe(&session))?;
    }
    Ok(exit)
}

/// Follows the session's states until it is where it is waited for. They begin with the one that it is in, so nothing
/// is missed; a lost stream is opened again.
async fn until(
    client: &Client,
    session: SessionInfo,
    wanted: Option<Wanted>,
) -> Result<(SessionInfo, Exit), CliError> {
    if let Some(exit) = judge(&session, wanted) {
        return Ok((session, exit));
    }
    loop {
        let mut states = client.states(session.id).await?;
        while let Some(now) = states.next().await? {
            if let Some(exit) = judge(&now, wanted) {
                return Ok((now, exit));
            }
        }
    }
}

/// The exit status, if the wait is over. Pure.
fn judge(session: &SessionInfo, wanted: Option<Wanted>) -> Option<Exit> {
    let needs_you = session.state == SessionState::NeedsYou || !session.waiting.is_empty();
    let done = session.turn.is_none()
        && (session.queued.is_empty() || session.queue_held)
        && !matches!(
            session.state,
            SessionState::Queued | SessionState::Starting | SessionState::Running | SessionState::NeedsYou
        );
    match wanted {
        None if needs_you => Some(Exit::NeedsPerson),
        Some(Wanted::NeedsYou) if needs_you => Some(Exit::Completed),
        Some(Wanted::NeedsYou) if done => Some(Exit::Failed),
        None | Some(Wanted::Done) if done => Some(match session.state {
            SessionState::Failed => Exit::Failed,
            _ => exit_for_last(session.last_turn.as_ref()),
        }),
        _ => None,
    }
}

fn describe(session: &SessionInfo) -> String {
    let last = session
        .last_turn
        .as_ref()
        .map(|turn| format!(", last turn {}", words::turn(turn.outcome, turn.cause, turn.detail.as_deref())));
    format!("session {}: {}{}", label(session), words::state(session.state), last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(state: &str, outcome: Option<&str>) -> SessionInfo {
        let id = "1a2b3c4d-0000-4000-8000-000000000000";
        let at = "2026-11-20T11:00:00Z";
        let last =
            outcome.map(|outcome| serde_json::json!({"prompt": id, "outcome": outcome, "ended_at": at}));
        serde_json::from_value(serde_json::json!({
            "id": id, "agent": "shell", "cwd": "/", "kind": "bg", "state": state, "permission_mode": "ask",
            "queued": [], "queue_held": false, "waiting": [], "last_turn": last,
            "head": {"seq": 4, "segment": 1, "bytes": 9, "epoch": 1}, "created_at": at, "updated_at": at,
        }))
        .unwrap()
    }

    #[test]
    fn a_wait_ends_with_what_was_waited_for() {
        let (done, needs) = (Some(Wanted::Done), Some(Wanted::NeedsYou));
        let table = [
            ("running", None, None, None),
            ("running", None, needs, None),
            ("needs_you", None, None, Some(6)),
            ("needs_you", None, done, None),
            ("needs_you", None, needs, Some(0)),
            ("idle", Some("completed"), None, Some(0)),
            ("idle", Some("completed"), needs, Some(1)),
            ("idle", Some("failed"), done, Some(1)),
            ("closed", Some("cancelled"), done, Some(130)),
            ("interrupted", Some("interrupted"), None, Some(1)),
            ("failed", None, None, Some(1)),
            ("idle", None, None, Some(0)),
            ("queued", None, done, None),
        ];
        for (state, outcome, wanted, status) in table {
            let judged = judge(&session(state, outcome), wanted).map(Exit::status);
            assert_eq!(judged, status, "{state} {outcome:?} {wanted:?}");
        }
    }
}
