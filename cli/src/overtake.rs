//! Tells that a turn is over to a watch whose reader is far behind: a terminal is slower than a flood of output.

use std::time::Duration;

use skep_common::event::TurnEnded;
use skep_common::ids::{PromptId, SessionId};
use skep_common::session::TurnSummary;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::client::{Client, ClientError};

/// A reader that keeps up sees the end within this time.
const LAG: Duration = Duration::from_millis(300);

/// Waits beside the stream of events for the end of a turn.
#[derive(Debug, Default)]
pub(crate) struct Overtaking {
    watch: Option<JoinHandle<Result<Option<TurnSummary>, ClientError>>>,
}

impl Overtaking {
    /// Begins to wait.
    pub(crate) fn begin(&mut self, client: Client, session: SessionId, prompt: PromptId) {
        self.watch = Some(TaskTracker::new().spawn(until_over(client, session, prompt)));
    }

    /// The end that the reader should have seen by now. Never resolves before [`Overtaking::begin`], nor where the feed
    /// of sessions cannot tell: the stream of events will. Cancel-safe.
    pub(crate) async fn end(&mut self) -> TurnEnded {
        if let Some(watch) = &mut self.watch {
            let over = watch.await;
            self.watch = None;
            if let Ok(Ok(Some(end))) = over {
                return ended(end);
            }
        }
        std::future::pending().await
    }
}

impl Drop for Overtaking {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

async fn until_over(
    client: Client,
    session: SessionId,
    prompt: PromptId,
) -> Result<Option<TurnSummary>, ClientError> {
    let mut states = client.states(session).await?;
    while let Some(now) = states.next().await? {
        if let Some(end) = now.last_turn.filter(|turn| turn.prompt == prompt) {
            tokio::time::sleep(LAG).await;
            return Ok(Some(end));
        }
    }
    Ok(None)
}

fn ended(turn: TurnSummary) -> TurnEnded {
    TurnEnded {
        prompt: turn.prompt,
        steered: Vec::new(),
        outcome: turn.outcome,
        cause: turn.cause,
        stop_reason: None,
        detail: turn.detail,
        exit_code: None,
        usage: turn.usage,
    }
}
