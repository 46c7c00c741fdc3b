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
            "run" | "escape" | "read" | "write" => {
                match (conversation.result(), tool(verb, &conversation.tools)) {
                    (Some(result), _) => {
                        said(&format!("the tool gave: {}", result.chars().take(RESULT).collect::<String>()))
                    }
                    (None, Some(tool)) => {
                        Self::Call { tool: tool.name.clone(), arguments: arguments(tool, verb, argument) }
                    }
                    (None, None) => said(&format!("no tool to {verb}")),
                }
            }
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

/// The agent's tool that does this: named like it, with an argument for what it is about.
fn tool<'a>(verb: &str, tools: &'a [Tool]) -> Option<&'a Tool> {
    let words: &[&str] = match verb {
        "read" | "write" => &[verb],
        _ => &["bash", "shell", "exec"],
    };
    let fits = |tool: &Tool| match verb {
        "read" | "write" => path_name(tool).is_some(),
        _ => command_name(tool).is_some(),
    };
    let named = |name: &str| words.iter().any(|part| name.to_lowercase().contains(part));
    tools.iter().find(|tool| named(&tool.name) && fits(tool))
}

fn path_name(tool: &Tool) -> Option<&'static str> {
    ["file_path", "filePath", "absolute_path", "path"]
        .into_iter()
        .find(|name| tool.schema["properties"][*name].is_object())
}

fn command_name(tool: &Tool) -> Option<&'static str> {
    ["command", "cmd"].into_iter().find(|name| tool.schema["properties"][*name].is_object())
}

/// Arguments that fit the tool's schema.
fn arguments(tool: &Tool, verb: &str, argument: &str) -> Value {
    let properties = &tool.schema["properties"];
    let required = tool.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut arguments: Map<String, Value> =
        required.map(|name| (name.to_owned(), smallest(&properties[name]))).collect();
    if matches!(verb, "read" | "write") {
        let (path, content) = argument.split_once(" <- ").unwrap_or((argument, ""));
        let named = path_name(tool).map(|name| (name, path));
        for (name, value) in named.into_iter().chain((verb == "write").then_some(("content", content))) {
            arguments.insert(name.to_owned(), json!(value));
        }
        return Value::Object(arguments);
    }
    if let Some(name) = command_name(tool) {
        let command = argument;
        let words = properties[name]["type"] == "array";
        let command = if words { json!(["sh", "-c", command]) } else { json!(command) };
        arguments.insert(name.to_owned(), command);
    }
    if properties["description"].is_object() {
        arguments.insert("description".to_owned(), json!("runs what the script says"));
    }
    if verb == "escape" && properties["sandbox_permissions"].is_object() {
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
