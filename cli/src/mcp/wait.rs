//! Waiting for the end of a turn, or until a session comes to rest: bounded, and over at once when its client goes away.

use std::time::Duration;

use serde_json::Value;
use skep_common::api::{PromptAccepted, SessionInfo};
use skep_common::event::{Event, TurnEnded};
use skep_common::ids::{PromptId, SessionId};
use skep_common::session::SessionState;
use skep_common::words;
use tokio::time::timeout;

use crate::client::Client;
use crate::client::follow::{Follower, From, Item};
use crate::context::Context;
use crate::error::CliError;

/// Within this time a turn's end shows in its session's state.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Of what the agent says in a turn, the end is kept, in bytes.
const WORDS: usize = 16 * 1024;

/// Hears what happens while a tool waits.
pub(super) trait Listener {
    /// The session has changed.
    fn changed(&self, state: SessionState) -> impl Future<Output = ()> + Send;
}

/// What a wait came to.
#[derive(Debug)]
pub(super) enum Waited {
    /// The turn ended: how, and the end of what the agent said in it.
    Ended(Value, String),
    /// The session has come to rest.
    Rests,
    /// A person must answer or decide.
    NeedsPerson,
    /// It was too long.
    StillRuns,
}

impl Waited {
    /// Its word in a tool's answer.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Ended(..) => "turn_ended",
            Self::Rests => "at_rest",
            Self::NeedsPerson => "needs_person",
            Self::StillRuns => "still_running",
        }
    }
}

/// Waits for the end of a prompt's turn.
pub(super) async fn for_turn(
    ctx: &Context,
    client: &Client,
    accepted: &PromptAccepted,
    limit: Duration,
    listener: &impl Listener,
) -> Result<Waited, CliError> {
    let after = From::After(accepted.seq.saturating_sub(1));
    let follower = Follower::new(ctx, client.clone(), accepted.session, after);
    let waiting = async {
        tokio::select! {
            ended = turn_end(follower, accepted.prompt) => ended,
            needs = person(client, accepted.session, listener) => needs,
        }
    };
    timeout(limit, waiting).await.unwrap_or(Ok(Waited::StillRuns))
}

async fn turn_end(mut follower: Follower, prompt: PromptId) -> Result<Waited, CliError> {
    let mut words = Words::default();
    while let Some(item) = follower.next().await? {
        let Item::Record(record, _) = item else { continue };
        match record.event {
            Event::TurnStarted(started) => words.runs = started.prompt == prompt,
            Event::Update(update) => words.hear(update.get()),
            Event::TurnEnded(ended) if ended.prompt == prompt => {
                return Ok(Waited::Ended(end(&ended), words.text));
            }
            Event::PromptDropped(dropped) if dropped.prompt == prompt => {
                let why = format!("the prompt did not run: {}", words::cause(dropped.cause));
                return Err(CliError::failed(why));
            }
            _ => {}
        }
    }
    Err(CliError::failed("the session was closed before the turn's end"))
}

fn end(ended: &TurnEnded) -> Value {
    let words = words::turn(ended.outcome, ended.cause, ended.detail.as_deref());
    serde_json::json!({"outcome": ended.outcome, "cause": ended.cause, "words": words})
}

/// What the agent says in the turn that is waited for.
#[derive(Debug, Default)]
struct Words {
    runs: bool,
    text: String,
}

impl Words {
    fn hear(&mut self, update: &str) {
        let Some(update) = Some(update).filter(|_| self.runs) else { return };
        let Ok(update) = serde_json::from_str::<Value>(update) else { return };
        if update["sessionUpdate"] == "agent_message_chunk" {
            self.text.push_str(update["content"]["text"].as_str().unwrap_or_default());
        }
        if self.text.len() > WORDS {
            let mut cut = self.text.len() - WORDS;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.drain(..cut);
        }
    }
}

/// The session once it is shown that this turn has ended: its events are there a moment before its state.
pub(super) async fn shown(
    client: &Client,
    session: SessionId,
    prompt: PromptId,
    listener: &impl Listener,
) -> Result<(), CliError> {
    let is_shown = |info: &SessionInfo| {
        let others = info.turn.as_ref().is_some_and(|turn| turn.prompt != prompt);
        let ended = info.last_turn.as_ref().is_some_and(|turn| turn.prompt == prompt);
        (others || ended).then_some(Waited::Rests)
    };
    // What is shown late is no failure: the answer says how the turn ended.
    match timeout(SHOWN_WITHIN, until(client, session, listener, is_shown)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Comes back when the session needs a person.
async fn person(client: &Client, session: SessionId, listener: &impl Listener) -> Result<Waited, CliError> {
    until(client, session, listener, |info| needs_person(info).then_some(Waited::NeedsPerson)).await
}

/// Waits until no turn runs in the session and none is queued, or a person must do something.
pub(super) async fn for_rest(
    client: &Client,
    session: SessionId,
    limit: Duration,
    listener: &impl Listener,
) -> Result<Waited, CliError> {
    let waiting = until(client, session, listener, rests);
    timeout(limit, waiting).await.unwrap_or(Ok(Waited::StillRuns))
}

/// Follows the session's states, which begin with the one that it is in; a lost stream is opened again.
async fn until(
    client: &Client,
    session: SessionId,
    listener: &impl Listener,
    judge: impl Fn(&SessionInfo) -> Option<Waited>,
) -> Result<Waited, CliError> {
    loop {
        let mut states = client.states(session).await?;
        while let Some(now) = states.next().await? {
            if let Some(waited) = judge(&now) {
                return Ok(waited);
            }
            listener.changed(now.state).await;
        }
        // The last state of one that is closed or deleted is no part of the stream.
        let now: SessionInfo = client.get(&format!("/sessions/{session}")).await?;
        if let Some(waited) = judge(&now) {
            return Ok(waited);
        }
    }
}

fn needs_person(info: &SessionInfo) -> bool {
    info.state == SessionState::NeedsYou || !info.waiting.is_empty()
}

/// Whether the session goes on without anybody. Pure.
fn rests(info: &SessionInfo) -> Option<Waited> {
    let works = matches!(info.state, SessionState::Queued | SessionState::Starting | SessionState::Running);
    let queued = !info.queued.is_empty() && !info.queue_held;
    if needs_person(info) {
        Some(Waited::NeedsPerson)
    } else if info.turn.is_none() && !queued && !works {
        Some(Waited::Rests)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_the_turn_are_kept_and_of_them_the_end() {
        let says = |text: &str| {
            serde_json::json!({
                "sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text},
            })
            .to_string()
        };
        let mut words = Words::default();
        words.hear(&says("before"));
        words.runs = true;
        words.hear("not json");
        words.hear(r#"{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"hm"}}"#);
        words.hear(&says("all"));
        assert_eq!(words.text, "all");
        words.hear(&says(&"ä".repeat(WORDS)));
        assert!(words.text.len() <= WORDS && words.text.ends_with('ä'));
    }
}
