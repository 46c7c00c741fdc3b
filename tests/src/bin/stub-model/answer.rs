//! What the model answers to a conversation. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Directive, Tool};

/// Words of a slow answer; numbered, because agents take repeated text for a loop.
const SLOW: u32 = 200;

/// How much of a tool's result is repeated.
const RESULT: usize = 400;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Pieces of text, with a pause before each.
    Text { pieces: Vec<String>, pause: Duration },
    /// A call of a tool.
    Call { tool: String, arguments: Value },
    /// The headers, then nothing.
    Silent,
    /// A beginning, then the connection's end.
    Half,
    /// An HTTP status.
    Fail(u16),
}

impl Answer {
    /// The answer to a conversation.
    pub(crate) fn to(conversation: &Conversation) -> Self {
        let text = |text: String| Self::Text { pieces: vec![text], pause: Duration::ZERO };
        if let Some(schema) = &conversation.schema {
            return text(smallest(schema).to_string());
        }
        let said = |what: &str| text(format!("{what} {}", conversation.memory()));
        let Some(Directive { verb, argument }) = conversation.directive() else { return said("no script") };
        match verb {
            "say" => said(argument),
            "run" | "escape" => match (conversation.result(), shell(&conversation.tools)) {
                (Some(result), _) => {
                    said(&format!("the tool gave: {}", result.chars().take(RESULT).collect::<String>()))
                }
                (None, Some(tool)) => Self::Call {
                    tool: tool.name.clone(),
                    arguments: arguments(tool, argument, verb == "escape"),
                },
                (None, None) => said("no shell tool"),
            },
            "slow" => {
                let words = (0..SLOW).map(|n| format!("word-{n} "));
                Self::Text {
                    pieces: words.chain([conversation.memory()]).collect(),
                    pause: Duration::from_secs(argument.parse().unwrap_or(0)) / SLOW,
                }
            }
            "silent" => Self::Silent,
            "half" => Self::Half,
            "fail" => Self::Fail(argument.parse().unwrap_or(500)),
            _ => said("noted"),
        }
    }
}

/// The agent's tool that runs commands: named like one, with an argument for the command.
fn shell(tools: &[Tool]) -> Option<&Tool> {
    let named = |name: &str| ["bash", "shell", "exec"].iter().any(|part| name.to_lowercase().contains(part));
    tools.iter().find(|tool| named(&tool.name) && command_name(tool).is_some())
}

fn command_name(tool: &Tool) -> Option<&'static str> {
    ["command", "cmd"].into_iter().find(|name| tool.schema["properties"][*name].is_object())
}

/// Arguments that fit the tool's schema.
fn arguments(tool: &Tool, command: &str, escape: bool) -> Value {
    let properties = &tool.schema["properties"];
    let required = tool.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut arguments: Map<String, Value> =
        required.map(|name| (name.to_owned(), smallest(&properties[name]))).collect();
    if let Some(name) = command_name(tool) {
        let words = properties[name]["type"] == "array";
        let command = if words { json!(["sh", "-c", command]) } else { json!(command) };
        arguments.insert(name.to_owned(), command);
    }
    if properties["description"].is_object() {
        arguments.insert("description".to_owned(), json!("runs what the script says"));
    }
    if escape && properties["sandbox_permissions"].is_object() {
        arguments.insert("sandbox_permissions".to_owned(), json!("require_escalated"));
        arguments.insert("justification".to_owned(), json!("the script says so"));
    }
    Value::Object(arguments)
}

/// The smallest value that fits a JSON schema.
fn smallest(schema: &Value) -> Value {
    if let Some(choice) = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].get(0)) {
        return smallest(choice);
    }
    if let Some(value) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return value.clone();
    }
    let kind = if schema["type"].is_array() { &schema["type"][0] } else { &schema["type"] };
    match kind.as_str().unwrap_or("object").to_lowercase().as_str() {
        "string" => json!("stub"),
        "array" => json!([]),
        "boolean" => json!(false),
        "integer" | "number" => json!(0),
        "null" => Value::Null,
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), smallest(schema))).collect::<Map<_, _>>().into()
        }
    }
}
