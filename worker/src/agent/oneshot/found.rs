//! What the lines of an agent mean, and the same as updates of the journal, in ACP's words. Pure.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::acp::message::clip;

/// How long one piece of text may be, in bytes; a longer one becomes several updates.
const PIECE: usize = 256 * 1024;

/// How much of a tool's input or output is kept, in characters.
const KEPT: usize = 64 * 1024;

/// How long an id may be, in characters.
const ID: usize = 200;

/// How long a title may be, in characters.
const TITLE: usize = 500;

/// One thing that a line says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) enum Found {
    /// The agent's own id for the session.
    Session(String),
    /// A part of the answer.
    Text(String),
    /// A part of its thoughts.
    Thought(String),
    /// It uses a tool.
    Call(Call),
    /// The tool is done.
    Done(Done),
    /// Tokens and cost.
    Usage(Usage),
    /// A warning for people.
    Remark(String),
    /// The turn failed.
    Failed(String),
    /// A failure before was tried again and overcome.
    Recovered,
    /// The turn was ended by a limit.
    Limit(String),
}

/// The use of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Call {
    pub(in crate::agent) id: String,
    /// The tool's name.
    pub(in crate::agent) name: String,
    pub(in crate::agent) input: Value,
}

/// The end of a tool's use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Done {
    pub(in crate::agent) id: String,
    pub(in crate::agent) failed: bool,
    pub(in crate::agent) output: String,
}

/// What a turn has cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::agent) struct Usage {
    pub(in crate::agent) input: u64,
    pub(in crate::agent) output: u64,
    /// The context window; zero where the agent does not say.
    pub(in crate::agent) size: u64,
    /// In US dollars.
    pub(in crate::agent) cost: Option<f64>,
    /// It is of one request to the model, and adds up.
    pub(in crate::agent) step: bool,
}

/// A text as updates.
pub(in crate::agent) fn text(kind: &str, mut text: &str) -> Vec<Box<RawValue>> {
    let mut updates = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE.min(text.len())));
        updates.extend(raw(&json!({"sessionUpdate": kind, "content": {"type": "text", "text": piece}})));
        text = rest;
    }
    updates
}

/// The use of a tool as an update.
pub(in crate::agent) fn call(call: &Call) -> Option<Box<RawValue>> {
    let size = call.input.to_string();
    let input = if size.len() > KEPT { Value::String(clip(&size, KEPT)) } else { call.input.clone() };
    raw(&json!({
        "sessionUpdate": "tool_call",
        "toolCallId": clip(&call.id, ID),
        "title": title(call),
        "kind": kind(&call.name),
        "status": "in_progress",
        "rawInput": input,
    }))
}

/// The use of a tool that waits for permission, as a request for that has it. Its input is whole: rules and people decide
/// on all of it.
pub(in crate::agent) fn pending(call: &Call) -> Option<Box<RawValue>> {
    raw(&json!({
        "toolCallId": clip(&call.id, ID),
        "title": title(call),
        "kind": kind(&call.name),
        "status": "pending",
        "rawInput": call.input,
    }))
}

/// Its end as an update.
pub(in crate::agent) fn done(done: &Done) -> Option<Box<RawValue>> {
    let text = clip(&done.output, KEPT);
    let content = match text.is_empty() {
        true => json!([]),
        false => json!([{"type": "content", "content": {"type": "text", "text": text}}]),
    };
    raw(&json!({
        "sessionUpdate": "tool_call_update",
        "toolCallId": clip(&done.id, ID),
        "status": if done.failed { "failed" } else { "completed" },
        "content": content,
    }))
}

/// Tokens and cost as an update.
pub(in crate::agent) fn usage(usage: &Usage) -> Option<Box<RawValue>> {
    let mut update = json!({
        "sessionUpdate": "usage_update",
        "used": usage.input.saturating_add(usage.output),
        "size": usage.size,
        "_meta": {"skep": {"input_tokens": usage.input, "output_tokens": usage.output, "step": usage.step}},
    });
    if let Some(cost) = usage.cost {
        update["cost"] = json!({"amount": cost, "currency": "USD"});
    }
    raw(&update)
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}

fn title(call: &Call) -> String {
    let said = ["command", "file_path", "filePath", "path", "pattern", "query", "url", "description"]
        .iter()
        .find_map(|key| call.input[*key].as_str())
        .filter(|said| !said.is_empty());
    let name = if call.name.is_empty() { "tool" } else { &call.name };
    match said {
        Some(said) if kind(&call.name) == "execute" => clip(said, TITLE),
        Some(said) => clip(&format!("{name} {said}"), TITLE),
        None => clip(name, TITLE),
    }
}

/// ACP's kind of a tool, by its name.
fn kind(name: &str) -> &'static str {
    match name.to_ascii_lowercase().as_str() {
        "bash" | "shell" | "run_shell_command" | "command_execution" => "execute",
        "edit" | "multiedit" | "write" | "notebookedit" | "replace" | "write_file" | "patch"
        | "apply_patch" | "file_change" => "edit",
        "read" | "read_file" | "read_many_files" => "read",
        "grep"
        | "glob"
        | "ls"
        | "list"
        | "find"
        | "grep_search"
        | "search_file_content"
        | "list_directory" => "search",
        "webfetch" | "web_fetch" | "websearch" | "web_search" | "google_web_search" => "fetch",
        "think" => "think",
        "exitplanmode" => "switch_mode",
        _ => "other",
    }
}

/// A member that is a text.
pub(in crate::agent) fn string(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

/// A member that is a text with something in it.
pub(in crate::agent) fn words(value: &Value) -> Option<String> {
    string(value).filter(|text| !text.is_empty())
}

/// The text of content: a text itself, or the texts of a list of blocks.
pub(in crate::agent) fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// What an error says to people: its own message, or the one inside of it where that is JSON too.
pub(in crate::agent) fn message(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(_) => {
            return [&value["data"]["message"], &value["message"], &value["name"]]
                .into_iter()
                .find_map(message);
        }
        _ => return None,
    };
    let inner: Option<Value> = serde_json::from_str(text).ok();
    let inner =
        inner.and_then(|inner| words(&inner["error"]["message"]).or_else(|| words(&inner["message"])));
    inner.or_else(|| Some(text.clone()).filter(|text| !text.is_empty())).map(|text| clip(&text, 2000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_client_protocol_schema::v1;

    fn is_in_the_schema(update: &RawValue) {
        let update: Result<v1::SessionUpdate, _> = serde_json::from_str(update.get());
        assert!(update.is_ok(), "{update:?}");
    }

    #[test]
    fn what_we_write_is_what_the_schema_says() {
        let input = json!({"command": "ls", "x": "y".repeat(KEPT)});
        for update in text("agent_message_chunk", "hi").iter().chain(&text("agent_thought_chunk", "hm")) {
            is_in_the_schema(update);
        }
        is_in_the_schema(&call(&Call { id: "1".into(), name: "bash".into(), input }).unwrap());
        is_in_the_schema(
            &call(&Call { id: String::new(), name: String::new(), input: Value::Null }).unwrap(),
        );
        is_in_the_schema(&done(&Done { id: "1".into(), failed: true, output: "no".into() }).unwrap());
        is_in_the_schema(&usage(&Usage { input: 1, cost: Some(0.5), ..Usage::default() }).unwrap());
    }

    #[test]
    fn g13_nothing_that_an_agent_writes_becomes_a_huge_event() {
        let long = "ä".repeat(PIECE);
        let pieces = text("agent_message_chunk", &long);
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.get().len() < PIECE + 200));
        assert!(text("agent_message_chunk", "").is_empty());
        let huge = Call { id: long.clone(), name: long.clone(), input: json!({"command": long}) };
        assert!(call(&huge).unwrap().get().len() < 4 * KEPT);
    }

    #[test]
    fn titles_and_kinds_say_what_a_tool_does() {
        let named = |name: &str, input: Value| Call { id: String::new(), name: name.to_owned(), input };
        for (name, input, shown, of_kind) in [
            ("Bash", json!({"command": "ls -l"}), "ls -l", "execute"),
            ("Edit", json!({"file_path": "/a"}), "Edit /a", "edit"),
            ("mcp__x", json!({}), "mcp__x", "other"),
            ("", json!(7), "tool", "other"),
            ("grep", json!({"pattern": ["no"]}), "grep", "search"),
        ] {
            assert_eq!((title(&named(name, input)).as_str(), kind(name)), (shown, of_kind));
        }
    }

    #[test]
    fn errors_are_told_in_their_innermost_words() {
        for (value, said) in [
            (json!("plain"), Some("plain")),
            (json!({"message": "{\"error\":{\"message\":\"deep\"}}"}), Some("deep")),
            (json!({"name": "APIError", "data": {"message": "inner"}}), Some("inner")),
            (json!({"name": "APIError"}), Some("APIError")),
            (json!({"message": 7}), None),
            (json!(""), None),
            (json!(null), None),
        ] {
            assert_eq!(message(&value).as_deref(), said, "{value}");
        }
    }
}
