//! The messages of ACP that the agent reads and writes. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::Past;

/// The protocol version that the agent speaks.
const PROTOCOL: u32 = 1;

/// Parameters that only name a session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfSession {
    pub(super) session_id: String,
}

/// Parameters of `session/new`.
#[derive(Debug, Deserialize)]
pub(super) struct NewSession {
    pub(super) cwd: String,
}

/// Parameters of `session/set_mode`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetMode {
    pub(super) session_id: String,
    pub(super) mode_id: String,
}

/// Parameters of `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompt {
    pub(super) session_id: String,
    pub(super) prompt: Vec<Block>,
}

/// A content block of a prompt.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    #[serde(other)]
    Other,
}

/// Parameters of `$/cancel_request`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelRequest {
    pub(super) request_id: Box<serde_json::value::RawValue>,
}

/// The answer to `session/request_permission`.
#[derive(Debug, Deserialize)]
pub(super) struct PermissionAnswer {
    pub(super) outcome: PermissionOutcome,
}

/// What was decided.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum PermissionOutcome {
    Selected {
        #[serde(rename = "optionId")]
        option_id: String,
    },
    #[serde(other)]
    Other,
}

/// Whether commands wait for a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Ask,
    Bypass,
}

impl Mode {
    pub(super) fn of(id: &str) -> Option<Self> {
        match id {
            "ask" => Some(Self::Ask),
            "bypass" => Some(Self::Bypass),
            _ => None,
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Bypass => "bypass",
        }
    }
}

/// The options of a permission request. Answers come back by these ids.
pub(super) const ALLOW_ONCE: &str = "allow_once";
pub(super) const ALLOW_ALWAYS: &str = "allow_always";

/// The result of `initialize`.
pub(super) fn initialized() -> Value {
    json!({
        "protocolVersion": PROTOCOL,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": false, "audio": false, "embeddedContext": false},
            "mcpCapabilities": {"http": false, "sse": false},
            "sessionCapabilities": {"close": {}},
        },
        "agentInfo": {"name": "skep-shell", "title": "skep shell", "version": env!("CARGO_PKG_VERSION")},
        "authMethods": [],
    })
}

/// A session's modes, as `session/new` and `session/load` answer them.
pub(super) fn modes(current: Mode) -> Value {
    json!({
        "currentModeId": current.id(),
        "availableModes": [
            {"id": "ask", "name": "Ask", "description": "Ask before each command"},
            {"id": "bypass", "name": "Bypass", "description": "Run every command without asking"},
        ],
    })
}

/// A `session/update` notification's parameters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update<'a, U> {
    pub(super) session_id: &'a str,
    pub(super) update: U,
}

/// The announcement of a command.
pub(super) fn announced(call: &str, command: &str, cwd: &str) -> Value {
    json!({
        "sessionUpdate": "tool_call",
        "toolCallId": call,
        "title": command,
        "kind": "execute",
        "status": "pending",
        "rawInput": {"command": command, "cwd": cwd},
    })
}

/// The parameters of `session/request_permission`.
pub(super) fn ask(session: &str, call: &str, command: &str, cwd: &str) -> Value {
    json!({
        "sessionId": session,
        "toolCall": {
            "toolCallId": call,
            "title": command,
            "kind": "execute",
            "status": "pending",
            "rawInput": {"command": command, "cwd": cwd},
        },
        "options": [
            {"optionId": ALLOW_ONCE, "name": "Run it", "kind": "allow_once"},
            {"optionId": ALLOW_ALWAYS, "name": "Run it, now and always in this session", "kind": "allow_always"},
            {"optionId": "reject_once", "name": "Do not run it", "kind": "reject_once"},
        ],
    })
}

/// The command runs.
pub(super) fn started(call: &str) -> Value {
    json!({"sessionUpdate": "tool_call_update", "toolCallId": call, "status": "in_progress"})
}

/// A piece of the command's output. ACP's `content` replaces what stood there, so `_meta` says that this is a piece to
/// be appended; the last update repeats the whole for clients that replace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    session_update: &'static str,
    tool_call_id: &'a str,
    content: [Content<'a>; 1],
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Debug, Serialize)]
struct Content<'a> {
    r#type: &'static str,
    content: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct Meta {
    skep: SkepMeta,
}

#[derive(Debug, Serialize)]
struct SkepMeta {
    output: &'static str,
}

/// A piece of the output of a command.
pub(super) fn piece<'a>(call: &'a str, text: &'a str) -> Piece<'a> {
    Piece {
        session_update: "tool_call_update",
        tool_call_id: call,
        content: [Content { r#type: "content", content: Text { r#type: "text", text } }],
        meta: Meta { skep: SkepMeta { output: "piece" } },
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit status; 128 + the signal's number if one ended it, as shells say it.
    pub(super) exit_code: i32,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

/// The end of a command. `whole` is its output once more, where it came in more than one piece.
pub(super) fn ended(call: &str, ended: Ended, whole: Option<&str>) -> Value {
    let status = if ended.exit_code == 0 { "completed" } else { "failed" };
    let mut update = json!({
        "sessionUpdate": "tool_call_update",
        "toolCallId": call,
        "status": status,
        "rawOutput": {"exit_code": ended.exit_code, "signal": ended.signal},
    });
    if let Some(whole) = whole {
        update["content"] = json!([{"type": "content", "content": {"type": "text", "text": whole}}]);
        update["_meta"] = json!({"skep": {"output": "whole"}});
    }
    update
}

/// A command did not run, or not to its end.
pub(super) fn failed(call: &str) -> Value {
    json!({"sessionUpdate": "tool_call_update", "toolCallId": call, "status": "failed"})
}

/// The answer to a prompt whose command ended.
pub(super) fn answer(ended: Ended) -> Value {
    let name = ended.signal.and_then(|number| skep_sys::spawn::Signal::try_from(number).ok());
    json!({
        "stopReason": "end_turn",
        "_meta": {"skep": {
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "signal_name": name.map(skep_sys::spawn::Signal::as_str),
        }},
    })
}

/// The answer to a prompt whose command did not run or was cancelled.
pub(super) fn stopped(reason: &str) -> Value {
    json!({"stopReason": reason})
}

/// A command of the history, as the updates that it once was.
pub(super) fn replayed(past: &Past) -> [Value; 2] {
    let status = if past.exit_code == Some(0) { "completed" } else { "failed" };
    [
        json!({
            "sessionUpdate": "user_message_chunk",
            "content": {"type": "text", "text": past.command},
        }),
        json!({
            "sessionUpdate": "tool_call",
            "toolCallId": format!("call-{}", uuid::Uuid::new_v4()),
            "title": past.command,
            "kind": "execute",
            "status": status,
            "rawInput": {"command": past.command},
            "content": [{"type": "content", "content": {"type": "text", "text": past.summary}}],
            "rawOutput": {"exit_code": past.exit_code},
        }),
    ]
}
