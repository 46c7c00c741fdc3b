//! Prompts and runs.

use serde::{Deserialize, Serialize};

use crate::environment::CapturedEnvironment;
use crate::ids::{PromptId, SessionId};
use crate::session::{Consent, ContentBlock, TurnSummary, WhenBusy};

use super::sessions::CreateSession;
use super::sessions::SessionInfo;

/// `POST /sessions/{id}/prompts`: 202.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    /// The client's id for it; a second delivery is acknowledged, not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PromptId>,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// What to do while a turn runs; the configured default where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_busy: Option<WhenBusy>,
    /// Whose consent comes with it; `own_command` is honoured over the Unix socket only, from outside any session.
    #[serde(default)]
    pub consent: Consent,
    /// Seconds until its turn is cancelled. A prompt that is steered has no turn of its own, and no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The client's variables for the session's agent, of those that `GET /agents` lists; kept in memory only. Taken
    /// over the Unix socket and from outside any session, else passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<std::collections::BTreeMap<String, String>>))]
    pub environment: Option<CapturedEnvironment>,
    /// Run the turn that was cut off last again, as a new turn; `content` is empty then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry_interrupted: bool,
}

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptAccepted {
    /// The session.
    pub session: SessionId,
    /// The prompt.
    pub prompt: PromptId,
    /// Whether it waits behind another.
    pub queued: bool,
    /// Whether this id had been accepted before.
    pub duplicate: bool,
    /// The seq of its `prompt_queued` or `prompt_steered` event: follow with `?after=seq - 1`.
    pub seq: u64,
    /// The prompt of the running turn into which it was steered; it ends with that turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered_into: Option<PromptId>,
}

/// `POST /runs`: create or continue a session and prompt it, in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The session.
    pub session: CreateSession,
    /// The prompt.
    pub prompt: PromptRequest,
}

/// The answer to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunAccepted {
    /// The session.
    pub session: SessionInfo,
    /// Whether it was created by this run.
    pub created: bool,
    /// The prompt.
    pub prompt: PromptAccepted,
    /// How its turn ended, where the request waited for that and it did in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnSummary>,
    /// What the agent said in that turn (its last 256 KiB), beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The query of `POST /runs`. With `Accept: text/event-stream` the answer is event `run` (data: [`RunAccepted`]), then
/// the events of the turn as `GET /sessions/{id}/events` streams them, up to its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// Wait for the end of the turn, at most so many seconds (1 to 3,600): 200 with `turn`, or 202 if it still runs
    /// then. The run goes on when the client does not wait any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(minimum = 1, maximum = 3_600))]
    pub wait: Option<u32>,
}
