//! The messages of ACP that skep reads and writes as an editor's agent. Pure.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::event::PermissionRequested;
use skep_common::session::PermissionMode;
use skep_worker::acp::message::{self, RpcError};

/// The protocol version that skep speaks, whatever the editor asks for: an editor that does not speak it says so.
const PROTOCOL: u32 = 1;

/// Parameters of `initialize`, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Initialize {
    #[serde(default)]
    client_capabilities: Value,
}

impl Initialize {
    /// Whether the editor shows notices beside the conversation.
    pub(super) fn notices(&self) -> bool {
        self.client_capabilities["session"]["notices"].is_object()
    }
}

/// Parameters of `session/new`, `session/load` and `session/resume`, as far as they are the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setup {
    /// The editor's directory for it.
    pub(super) cwd: String,
    #[serde(default)]
    mcp_servers: Option<Vec<Value>>,
}

impl Setup {
    /// The MCP servers that the editor wants the agent to have, as it describes them.
    pub(super) fn servers(&self) -> &[Value] {
        self.mcp_servers.as_deref().unwrap_or_default()
    }
}

/// Parameters that name a session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfSession {
    /// Its id, as the editor wrote it.
    pub(super) session_id: String,
}

/// Parameters of `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompt {
    /// The session's id.
    pub(super) session_id: String,
    /// ACP's content blocks, not looked at.
    pub(super) prompt: Vec<Value>,
}

/// Parameters of `session/set_mode`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetMode {
    /// The session's id.
    pub(super) session_id: String,
    /// The mode's id.
    pub(super) mode_id: String,
}

/// Parameters of `session/list`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListSessions {
    /// Only those of this directory.
    #[serde(default)]
    pub(super) cwd: Option<String>,
    /// The `nextCursor` of the page before.
    #[serde(default)]
    pub(super) cursor: Option<String>,
}

/// What the editor answers to a request for permission.
#[derive(Debug, Deserialize)]
pub(super) struct PermissionAnswer {
    /// What was decided.
    pub(super) outcome: PermissionOutcome,
}

/// What was decided.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum PermissionOutcome {
    /// One of the options.
    Selected {
        /// Its id.
        #[serde(rename = "optionId")]
        option_id: String,
    },
    /// Nothing: the editor gave it up.
    #[serde(other)]
    Other,
}

/// Reads parameters.
pub(super) fn params<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, RpcError> {
    let invalid = |why: String| RpcError::new(message::INVALID_PARAMS, format!("invalid parameters: {why}"));
    let params = params.ok_or_else(|| invalid(String::from("there are none")))?;
    message::read(params).map_err(|error| invalid(error.to_string()))
}

/// The result of `initialize`.
pub(super) fn initialized() -> Value {
    json!({
        "protocolVersion": PROTOCOL,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": true, "audio": true, "embeddedContext": true},
            "mcpCapabilities": {"http": false, "sse": false},
            "sessionCapabilities": {"list": {}, "resume": {}, "delete": {}},
        },
        "agentInfo": {"name": "skep", "title": "skep", "version": env!("CARGO_PKG_VERSION")},
        "authMethods": [],
    })
}

/// Every permission mode, with its name and what it does.
const MODES: [(PermissionMode, &str, &str, &str); 5] = [
    (PermissionMode::Ask, "ask", "Ask", "Every request waits for you"),
    (
        PermissionMode::AcceptEdits,
        "accept-edits",
        "Accept edits",
        "File edits are allowed, the rest waits for you",
    ),
    (PermissionMode::Plan, "plan", "Plan", "Reading is allowed, everything else denied"),
    (PermissionMode::Deny, "deny", "Deny", "Everything is denied"),
    (PermissionMode::Bypass, "bypass", "Bypass", "Everything is allowed"),
];

/// The mode of this id.
pub(super) fn mode(id: &str) -> Option<PermissionMode> {
    MODES.into_iter().find(|(_, known, ..)| *known == id).map(|(mode, ..)| mode)
}

/// The id of a mode.
fn mode_id(mode: PermissionMode) -> &'static str {
    let [first, ..] = MODES;
    MODES.into_iter().find(|(known, ..)| *known == mode).unwrap_or(first).1
}

/// A session's modes: all of them before its first prompt; later the one that it was created with.
pub(super) fn modes(current: PermissionMode, choice: bool) -> Value {
    let offered = MODES.into_iter().filter(|(mode, ..)| choice || *mode == current);
    let offered: Vec<Value> = offered
        .map(|(_, id, name, description)| json!({"id": id, "name": name, "description": description}))
        .collect();
    json!({"currentModeId": mode_id(current), "availableModes": offered})
}

/// A `session/update` notification's parameters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update<'a, U> {
    /// The session.
    pub(super) session_id: &'a str,
    /// What happened.
    pub(super) update: U,
}

/// A part of what a person said.
pub(super) fn user_said(content: &Value) -> Value {
    json!({"sessionUpdate": "user_message_chunk", "content": content})
}

/// A remark of skep's own: beside the conversation where the editor can show it there, else in it.
pub(super) fn remark(text: &str, notices: bool) -> Value {
    if notices {
        json!({"sessionUpdate": "notice", "severity": "warning", "title": text})
    } else {
        let text = format!("\n\n[skep: {text}]\n\n");
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})
    }
}

/// The parameters of `session/request_permission`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ask<'a> {
    session_id: &'a str,
    /// As the agent sent it.
    tool_call: &'a RawValue,
    options: Vec<AskOption<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AskOption<'a> {
    option_id: &'a str,
    name: &'a str,
    kind: &'a str,
}

/// A request for permission, as the editor is asked.
pub(super) fn ask<'a>(session_id: &'a str, request: &'a PermissionRequested) -> Ask<'a> {
    let options = request.options.iter();
    let options = options.map(|o| AskOption { option_id: &o.id, name: &o.name, kind: &o.kind }).collect();
    Ask { session_id, tool_call: &request.tool_call, options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_an_id_and_is_found_by_it() {
        for (mode, id, ..) in MODES {
            assert_eq!(super::mode(id), Some(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), id);
            assert_eq!(modes(mode, false)["availableModes"].as_array().unwrap().len(), 1);
            assert_eq!(modes(mode, true)["currentModeId"], id);
        }
        assert_eq!(mode("yolo"), None);
        assert_eq!(modes(PermissionMode::Ask, true)["availableModes"].as_array().unwrap().len(), MODES.len());
    }

    #[test]
    fn what_is_offered_is_as_the_protocols_own_schema_has_it() {
        use agent_client_protocol_schema::v1::{InitializeResponse, SessionModeState, SessionNotification};
        let said: InitializeResponse = serde_json::from_value(initialized()).unwrap();
        let offered = said.agent_capabilities;
        assert!(offered.load_session && offered.session_capabilities.list.is_some());
        assert!(
            offered.session_capabilities.resume.is_some() && offered.session_capabilities.delete.is_some()
        );
        assert!(offered.session_capabilities.close.is_none() && offered.prompt_capabilities.image);
        let _modes: SessionModeState = serde_json::from_value(modes(PermissionMode::Ask, true)).unwrap();
        for update in
            [remark("x", true), remark("x", false), user_said(&json!({"type": "text", "text": "x"}))]
        {
            let update = serde_json::to_value(Update { session_id: "s", update }).unwrap();
            let _update: SessionNotification = serde_json::from_value(update).unwrap();
        }
    }

    #[test]
    fn g13_parameters_that_make_no_sense_are_a_typed_error() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for bad in ["[]", "3", "{}", r#"{"sessionId":5}"#, r#"{"sessionId":"a","prompt":"x"}"#] {
            assert_eq!(params::<Prompt>(Some(&raw(bad))).unwrap_err().code, message::INVALID_PARAMS, "{bad}");
        }
        assert_eq!(params::<Prompt>(None).unwrap_err().code, message::INVALID_PARAMS);
        let setup: Setup = params(Some(&raw(r#"{"cwd":"/","mcpServers":[{"name":"a"},{}]}"#))).unwrap();
        assert_eq!(setup.servers().len(), 2);
        let none: Setup = params(Some(&raw(r#"{"cwd":"/","mcpServers":null}"#))).unwrap();
        assert!(none.servers().is_empty());
    }

    #[test]
    fn answers_to_permission_requests_are_a_choice_or_none() {
        let outcome = |text| serde_json::from_str::<PermissionAnswer>(text).map(|answer| answer.outcome).ok();
        let selected = PermissionOutcome::Selected { option_id: String::from("a") };
        assert_eq!(outcome(r#"{"outcome":{"outcome":"selected","optionId":"a"}}"#), Some(selected));
        assert_eq!(outcome(r#"{"outcome":{"outcome":"cancelled"}}"#), Some(PermissionOutcome::Other));
        assert_eq!(outcome(r#"{"outcome":{"outcome":"selected"}}"#), None);
    }

    #[test]
    fn a_remark_is_a_notice_only_where_the_editor_shows_notices() {
        let client = |text| serde_json::from_str::<Initialize>(text).unwrap().notices();
        assert!(client(r#"{"protocolVersion":1,"clientCapabilities":{"session":{"notices":{}}}}"#));
        for without in ["{}", r#"{"clientCapabilities":null}"#, r#"{"clientCapabilities":{"session":3}}"#] {
            assert!(!client(without), "{without}");
        }
        assert_eq!(remark("x", true)["sessionUpdate"], "notice");
        assert_eq!(remark("x", false)["sessionUpdate"], "agent_message_chunk");
    }
}
