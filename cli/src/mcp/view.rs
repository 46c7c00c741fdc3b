//! What the tools answer: small, bounded, and with what to do next. Pure.

use rmcp::model::{CallToolResponse, CallToolResult};
use serde::Serialize;
use serde_json::{Value, json};
use skep_common::api::{AgentInfo, SessionInfo};
use skep_common::code::{ApiError, Code};
use skep_common::sanitise::one_line;
use skep_common::session::{SessionState, TurnSummary};
use skep_common::words;

use crate::error::CliError;
use crate::exit::Exit;

/// Characters of any text but a session's own record.
const MAX_TEXT: usize = 500;

/// Requests for permission that are told.
const MAX_WAITING: usize = 5;

/// A session, as tools answer it.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    agent: String,
    cwd: String,
    state: SessionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    permission_mode: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_turn: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for_person: Vec<String>,
    queued_prompts: usize,
    /// The newest event: what comes later is after it.
    cursor: u64,
}

impl Session {
    /// A session as it is.
    pub(super) fn of(info: &SessionInfo) -> Self {
        let asks = |waiting: &skep_common::session::PendingPermission| {
            clip(&format!("{}: {}", words::verb(&waiting.tool_kind), waiting.title))
        };
        Self {
            session: info.id.to_string(),
            name: info.name.as_ref().map(ToString::to_string),
            agent: info.agent.clone(),
            cwd: info.cwd.clone(),
            state: info.state,
            why: info.why.as_deref().map(clip),
            permission_mode: json!(info.permission_mode),
            opened_by: info.parent().map(|parent| parent.to_string()),
            last_turn: info.last_turn.as_ref().map(turn),
            waits_for_person: info.waiting.iter().take(MAX_WAITING).map(asks).collect(),
            queued_prompts: info.queued.len(),
            cursor: info.head.seq,
        }
    }
}

/// How a turn ended.
pub(super) fn turn(turn: &TurnSummary) -> Value {
    let words = words::turn(turn.outcome, turn.cause, turn.detail.as_deref());
    json!({"outcome": turn.outcome, "cause": turn.cause, "words": clip(&words)})
}

/// An agent, as `agents_list` answers it.
pub(super) fn agent(info: &AgentInfo) -> Value {
    json!({"agent": info.name, "title": clip(&info.title), "installed": info.found, "default": info.default})
}

/// A good answer. Its text is its JSON.
pub(super) fn answer(value: Value) -> CallToolResult {
    CallToolResult::structured(value)
}

/// A refusal: skep's stable code, what went wrong, and what to do.
pub(super) fn refusal(error: &CliError) -> CallToolResult {
    let code = error.code.map_or_else(
        || String::from(if error.exit() == Exit::Unreachable { "daemon_unreachable" } else { "failed" }),
        Code::as_str,
    );
    let advice: Vec<&str> = match error.code.and_then(advice) {
        Some(advice) => vec![advice],
        None => error.hints.iter().map(String::as_str).collect(),
    };
    CallToolResult::structured_error(json!({
        "error": {"code": code, "message": clip(&error.message), "what_to_do": advice},
    }))
}

/// The same answer; a refusal of arguments, which the protocol's library words itself, with its code.
pub(super) fn with_code(answer: CallToolResponse) -> CallToolResponse {
    match answer {
        CallToolResponse::Complete(told)
            if told.is_error == Some(true) && told.structured_content.is_none() =>
        {
            let texts = told.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.as_str());
            refusal(&invalid(texts.collect::<String>())).into()
        }
        answer => answer,
    }
}

/// What an agent, which has no terminal, can do about a refusal.
const fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::SessionNotFound => "session_list shows the sessions that you reach",
        Code::SessionAmbiguous => "give the whole id",
        Code::SessionExists => "choose another name, or prompt the session that has it",
        Code::SessionBusy => "wait with session_wait, or prompt with `queue`",
        Code::SessionClosed => "open a new session with session_start",
        Code::AgentNotFound => "agents_list shows the agents",
        Code::TooManyChildren | Code::TooManySessions => "close a session that is done with session_close",
        Code::TooDeep => "do the work in this session",
        Code::InsideSession | Code::Forbidden => "ask the person; a tool cannot allow it",
        Code::Unauthorized => "ask the person: the token of these tools was revoked, or is over",
        Code::CredentialsMissing => {
            "ask the person to prompt the session once, from a shell that has the keys"
        }
        Code::PoolFull | Code::QueueFull | Code::Overloaded | Code::WorkerGone => "try again later",
        _ => return None,
    })
}

/// A refusal of what the agent gave.
pub(super) fn invalid(message: impl Into<String>) -> CliError {
    ApiError::new(Code::InvalidValue, message).into()
}

fn clip(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(change: Value) -> SessionInfo {
        let id = "1a2b3c4d-0000-4000-8000-000000000000";
        let at = "2026-11-20T11:00:00Z";
        let mut value = json!({
            "id": id, "agent": "shell", "cwd": "/", "kind": "bg", "state": "idle", "permission_mode": "ask",
            "queued": [], "queue_held": false, "waiting": [], "created_at": at, "updated_at": at,
            "head": {"seq": 4, "segment": 1, "bytes": 9, "epoch": 1},
        });
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_session_is_told_in_bounds_whatever_its_agent_wrote() {
        let ask = json!({
            "id": "1a2b3c4d-0000-4000-8000-000000000001", "prompt": "1a2b3c4d-0000-4000-8000-000000000002",
            "tool_kind": "execute", "title": "x\u{1b}[2J".repeat(2_000), "options": [],
            "requested_at": "2026-11-20T11:00:00Z",
        });
        let info = info(json!({"state": "needs_you", "waiting": vec![ask; 40], "why": "y".repeat(9_000)}));
        let told = serde_json::to_string(&Session::of(&info)).unwrap();
        assert!(told.len() < 8_000 && !told.contains("\\u001b"), "{} {told}", told.len());
        assert!(told.contains(r#""cursor":4"#) && told.contains("needs_you"), "{told}");
    }

    #[test]
    fn a_refusal_has_its_stable_code_and_what_an_agent_can_do() {
        let full = CliError::from(ApiError::new(Code::TooManyChildren, "16 sessions are open"));
        let told = refusal(&full);
        assert_eq!(told.is_error, Some(true));
        let told = told.structured_content.unwrap();
        assert_eq!(told["error"]["code"], "too_many_children");
        assert!(told["error"]["what_to_do"][0].as_str().unwrap().contains("session_close"), "{told}");
        let gone = refusal(&CliError::unreachable("the daemon is not running")).structured_content.unwrap();
        assert_eq!(gone["error"]["code"], "daemon_unreachable");
    }
}
