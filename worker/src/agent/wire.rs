//! What the driver reads out of ACP messages, and what it says. Pure, tolerant: only what is needed is looked at, a
//! field of the wrong type counts as missing, the rest stays raw.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::sanitise::one_line;
use skep_common::session::content::Takes;
use skep_common::session::{ContentBlock, PermissionOption};

use super::client::uses::Offers;
use crate::acp::message::{clip, read};
use crate::acp::repair::repair_surrogates;
use crate::consent::Ask;
use crate::meter;
use crate::turn::outcome::Stop;

mod paths;

/// The protocol version that skep speaks.
pub(crate) const PROTOCOL: u64 = 1;

/// How long a title may become, in characters.
const TITLE: usize = 2000;

/// How many options of a request are looked at.
const OPTIONS: usize = 32;

/// How many ways to sign in are looked at.
const AUTH_METHODS: usize = 16;

/// What the agent can do, as it said at `initialize`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) protocol: u64,
    pub(crate) title: Option<String>,
    pub(crate) load: bool,
    pub(crate) resume: bool,
    pub(crate) close: bool,
    pub(crate) list: bool,
    /// What a prompt may hold.
    pub(crate) takes: Takes,
    pub(crate) mcp_http: bool,
    pub(crate) mcp_sse: bool,
    pub(crate) auth: Vec<AuthMethod>,
}

/// A way to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthMethod {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) how: AuthHow,
}

/// What a way to sign in takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthHow {
    /// A key that the agent finds by itself: nobody has to do anything.
    Key,
    /// Something that only the agent knows, a browser for example.
    Agent,
    /// The agent's program with these arguments, in a terminal.
    Terminal(Vec<String>),
}

impl AuthMethod {
    fn of(value: &Value) -> Option<Self> {
        let id = value["id"].as_str()?.to_owned();
        let name = value["name"].as_str().unwrap_or(&id);
        let words = |value: &Value| value.as_str().map(|word| one_line(&clip(word, 200)).into_owned());
        let how = if value["type"] == "terminal" {
            let args = value["args"].as_array().into_iter().flatten().take(16);
            AuthHow::Terminal(args.filter_map(words).collect())
        } else if value["_meta"]["api-key"].is_object() || value["type"] == "env_var" {
            AuthHow::Key
        } else {
            AuthHow::Agent
        };
        Some(Self { name: one_line(&clip(name, 100)).into_owned(), id, how })
    }
}

impl Abilities {
    pub(crate) fn of(result: &RawValue) -> Self {
        let value: Value = read(result).unwrap_or_default();
        let info = &value["agentInfo"];
        let name = info["title"].as_str().filter(|title| !title.is_empty()).or_else(|| info["name"].as_str());
        let title = name.map(|name| match info["version"].as_str() {
            Some(version) => clip(&format!("{name} {version}"), 100),
            None => clip(name, 100),
        });
        let abilities = &value["agentCapabilities"];
        let session = &abilities["sessionCapabilities"];
        let takes = |what: &str| abilities["promptCapabilities"][what].as_bool().unwrap_or(false);
        Self {
            protocol: value["protocolVersion"].as_u64().unwrap_or(0),
            title,
            load: abilities["loadSession"].as_bool().unwrap_or(false),
            resume: session["resume"].is_object(),
            close: session["close"].is_object(),
            list: session["list"].is_object(),
            takes: Takes {
                images: takes("image"),
                audio: takes("audio"),
                resources: takes("embeddedContext"),
                words: false,
            },
            mcp_http: abilities["mcpCapabilities"]["http"].as_bool().unwrap_or(false),
            mcp_sse: abilities["mcpCapabilities"]["sse"].as_bool().unwrap_or(false),
            auth: value["authMethods"]
                .as_array()
                .into_iter()
                .flatten()
                .take(AUTH_METHODS)
                .filter_map(AuthMethod::of)
                .collect(),
        }
    }
}

/// Parameters of `initialize`, with what the agent is offered.
pub(crate) fn initialize(offers: Offers) -> Value {
    serde_json::json!({
        "protocolVersion": PROTOCOL,
        "clientCapabilities": {
            "fs": {"readTextFile": offers.files, "writeTextFile": offers.files},
            "terminal": offers.terminals,
        },
        "clientInfo": {"name": "skep", "title": "skep", "version": env!("CARGO_PKG_VERSION")},
    })
}

/// Parameters of `session/prompt`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptParams<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) prompt: &'a [ContentBlock],
}

/// The `sessionId` of a result of `session/new`.
pub(crate) fn session_id(result: &RawValue) -> Option<String> {
    let value: Value = read(result).ok()?;
    value["sessionId"].as_str().map(ToOwned::to_owned)
}

/// Whether a result of `session/list` has this session; none if it has further pages and not this one.
pub(crate) fn lists(result: &RawValue, session: &str) -> Option<bool> {
    let value: Value = read(result).ok()?;
    if value["sessions"].as_array()?.iter().any(|listed| listed["sessionId"] == session) {
        return Some(true);
    }
    value["nextCursor"].is_null().then_some(false)
}

/// A session update: whose it is, and the update as the agent wrote it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateParams<'a> {
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    #[serde(borrow)]
    update: &'a RawValue,
}

/// The update in the parameters of `session/update`, if it is for `session`.
pub(crate) fn update(params: &RawValue, session: &str) -> Option<Box<RawValue>> {
    let params: UpdateParams<'_> = serde_json::from_str(params.get()).ok()?;
    (params.session_id == session).then(|| params.update.to_owned())
}

/// The kinds of updates that say how a session is set, whole, however often. Everything else is what happens in it.
pub(super) const SETTINGS: [&str; 5] = [
    "available_commands_update",
    "config_option_update",
    "current_mode_update",
    "session_info_update",
    "usage_update",
];

/// What kind of setting the parameters of `session/update` tell; none if they tell what happened.
pub(crate) fn setting(params: &RawValue) -> Option<String> {
    let params: UpdateParams<'_> = serde_json::from_str(params.get()).ok()?;
    let kind = kind(params.update)?;
    SETTINGS.contains(&kind.as_ref()).then(|| kind.into_owned())
}

/// An update's kind.
pub(super) fn kind(update: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        session_update: Cow<'a, str>,
    }
    serde_json::from_str::<View<'_>>(update.get()).ok().map(|view| view.session_update)
}

/// Whether an update shows that the agent said or did something.
pub(crate) fn is_work(update: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        session_update: Cow<'a, str>,
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    let Ok(view) = serde_json::from_str::<View<'_>>(update.get()) else { return false };
    match view.session_update.as_ref() {
        "tool_call" | "tool_call_update" => true,
        "agent_message_chunk" => {
            let content: Value = view.content.and_then(|content| read(content).ok()).unwrap_or_default();
            match content["text"].as_str() {
                Some(text) => !text.trim().is_empty(),
                None => !content.is_null(),
            }
        }
        _ => false,
    }
}

/// Whether codex says that its own session failed, or that it works (again); it says so beside its updates and answers
/// and ends the turn as if all were well.
pub(super) fn codex_failed(said: &Value) -> Option<bool> {
    let status = &said["_meta"]["codex"]["threadStatus"];
    match status["type"].as_str().or_else(|| status.as_str())? {
        "systemError" => Some(true),
        "active" => Some(false),
        _ => None,
    }
}

/// What an agent answered to a prompt.
pub(crate) fn stop(result: &RawValue) -> Stop {
    let value: Value = read(result).unwrap_or_default();
    let small = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    let hint = &value["_meta"]["skep"];
    Stop {
        reason: clip(value["stopReason"].as_str().unwrap_or(""), 100),
        exit_code: small(&hint["exit_code"]),
        signal: small(&hint["signal"]),
        tokens: meter::of_answer(&value),
        broken: codex_failed(&value) == Some(true),
    }
}

/// What is known of a tool call: from its announcement, its updates, a permission request, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    kind: Option<String>,
    title: Option<String>,
    command: Option<String>,
    /// The files that it names, as it names them; none where it names too many.
    pub(crate) paths: Option<Vec<String>>,
}

impl ToolCall {
    fn of(call: &Value) -> Self {
        let text = |key: &str| call[key].as_str().filter(|text| !text.is_empty());
        Self {
            id: clip(text("toolCallId").unwrap_or_default(), TITLE),
            kind: text("kind").map(|kind| clip(kind, 40)),
            title: text("title").map(|title| clip(title, TITLE)),
            command: command(&call["rawInput"]["command"]),
            paths: paths::named(call),
        }
    }

    /// The same with what was known before, where this says nothing. What this says is believed first, its command
    /// rather than an older title.
    pub(crate) fn after(self, before: &Self) -> Self {
        let title = self.title.or_else(|| self.command.clone());
        Self {
            id: self.id,
            kind: self.kind.or_else(|| before.kind.clone()),
            title: title.or_else(|| before.title.clone()),
            command: self.command.or_else(|| before.command.clone()),
            paths: paths::together(self.paths, before.paths.as_ref()),
        }
    }

    /// What is asked when permission is asked for it.
    pub(crate) fn ask(&self) -> Ask {
        let title = self.title.clone().or_else(|| self.command.as_ref().map(|command| clip(command, TITLE)));
        Ask {
            cut: title.as_ref().is_some_and(|title| title.chars().count() >= TITLE),
            paths: Some(Vec::new()),
            tool_kind: self.kind.clone().unwrap_or_else(|| String::from("other")),
            title: title.unwrap_or_else(|| String::from("use a tool")),
            command: self.command.clone(),
        }
    }
}

/// The tool call that an update announces or changes; its output, which can be large, is not looked at.
pub(super) fn tool_call(update: &RawValue) -> Option<ToolCall> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        tool_call_id: &'a RawValue,
        #[serde(borrow, default)]
        kind: Option<&'a RawValue>,
        #[serde(borrow, default)]
        title: Option<&'a RawValue>,
        #[serde(borrow, default)]
        raw_input: Option<&'a RawValue>,
        #[serde(borrow, default)]
        locations: Option<&'a RawValue>,
    }
    let view: View<'_> = serde_json::from_str(update.get()).ok()?;
    let value = |raw: Option<&RawValue>| raw.and_then(|raw| read::<Value>(raw).ok()).unwrap_or_default();
    Some(ToolCall::of(&serde_json::json!({
        "toolCallId": value(Some(view.tool_call_id)),
        "kind": value(view.kind),
        "title": value(view.title),
        "rawInput": value(view.raw_input),
        "locations": value(view.locations),
    })))
}

/// A permission request, read.
#[derive(Debug, Clone)]
pub(crate) struct PermissionAsk {
    pub(crate) call: ToolCall,
    pub(crate) options: Vec<PermissionOption>,
    pub(crate) tool_call: Box<RawValue>,
}

/// The parameters of `session/request_permission`, if they are for `session`.
pub(crate) fn permission(params: &RawValue, session: &str) -> Option<PermissionAsk> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View {
        session_id: String,
        tool_call: Box<RawValue>,
        #[serde(default)]
        options: Vec<Value>,
    }
    let view: View = read(params).ok()?;
    if view.session_id != session {
        return None;
    }
    let call: Value = read(&view.tool_call).ok()?;
    let tool_call = match repair_surrogates(view.tool_call.get()) {
        Cow::Borrowed(_) => view.tool_call,
        Cow::Owned(mended) => RawValue::from_string(mended).ok()?,
    };
    Some(PermissionAsk { call: ToolCall::of(&call), options: options(&view.options), tool_call })
}

/// A command is a string, or an array of words.
fn command(raw: &Value) -> Option<String> {
    match raw {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            Some(shell_words::join(words?))
        }
        _ => None,
    }
}

fn options(options: &[Value]) -> Vec<PermissionOption> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let option = |value: &Value| {
        let id = text(&value["optionId"])?;
        let name = clip(&text(&value["name"]).unwrap_or_else(|| id.clone()), 200);
        Some(PermissionOption { id, name, kind: clip(&text(&value["kind"]).unwrap_or_default(), 40) })
    };
    options.iter().take(OPTIONS).filter_map(option).collect()
}

/// The answer to a permission request: the chosen option, or cancelled.
pub(crate) fn permission_answer(option: Option<&str>) -> Value {
    match option {
        Some(option) => serde_json::json!({"outcome": {"outcome": "selected", "optionId": option}}),
        None => serde_json::json!({"outcome": {"outcome": "cancelled"}}),
    }
}

#[cfg(test)]
mod tests;
