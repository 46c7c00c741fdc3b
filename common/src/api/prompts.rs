//! Prompts and runs.

use serde::{Deserialize, Serialize};

use crate::ids::{PromptId, SessionId};
use crate::session::{Consent, ContentBlock, WhenBusy};

use super::sessions::CreateSession;
use super::sessions::SessionInfo;

/// `POST /sessions/{id}/prompts`: 202.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Seconds until its turn is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptAccepted {
    /// The session.
    pub session: SessionId,
    /// The prompt.
    pub prompt: PromptId,
    /// Whether it waits behind another.
    pub queued: bool,
    /// Whether this id had been accepted before.
    pub duplicate: bool,
    /// The seq of its `prompt_queued` event: follow with `?after=seq - 1`.
    pub seq: u64,
}

/// `POST /runs`: create or continue a session and prompt it, in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The session.
    pub session: CreateSession,
    /// The prompt.
    pub prompt: PromptRequest,
}

/// The answer to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunAccepted {
    /// The session.
    pub session: SessionInfo,
    /// Whether it was created by this run.
    pub created: bool,
    /// The prompt.
    pub prompt: PromptAccepted,
}
