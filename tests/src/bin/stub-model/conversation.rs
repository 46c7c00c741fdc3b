//! What all APIs boil down to: what was said, what tools gave, which tools there are. Pure; fields that are not there
//! count as empty.

use serde_json::Value;

use crate::http::Request;

/// How a request was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Responses,
    Messages,
    Gemini { streams: bool },
}

impl Api {
    /// The API of a request for an answer.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let path = request.path.trim_end_matches('/');
        let ends = |end: &str| request.method == "POST" && path.ends_with(end);
        if ends("/chat/completions") {
            Some(Self::Chat)
        } else if ends("/responses") {
            Some(Self::Responses)
        } else if ends("/messages") {
            Some(Self::Messages)
        } else if ends(":generateContent") || ends(":streamGenerateContent") {
            Some(Self::Gemini { streams: ends(":streamGenerateContent") })
        } else {
            None
        }
    }
}

/// One thing in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Text with the user's role.
    User(String),
    /// What a tool gave.
    Tool(String),
}

/// A tool that the agent offers.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// The JSON schema of its arguments.
    pub(crate) schema: Value,
}

/// A request for an answer.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) entries: Vec<Entry>,
    /// What pictures it holds: type and length of the base64 of each.
    pub(crate) pictures: Vec<String>,
    pub(crate) tools: Vec<Tool>,
    /// The answer must be JSON of this schema.
    pub(crate) schema: Option<Value>,
    pub(crate) streams: bool,
}

/// A directive and its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    pub(crate) verb: &'a str,
    pub(crate) argument: &'a str,
}

impl Conversation {
    pub(crate) fn read(api: &Api, body: &Value) -> Self {
        let mut conversation = Self { streams: body["stream"].as_bool().unwrap_or(false), ..Self::default() };
        pictures(body, &mut conversation.pictures);
        match api {
            Api::Chat => conversation.chat(body),
            Api::Responses => conversation.responses(body),
            Api::Messages => conversation.messages(body),
            Api::Gemini { streams } => {
                conversation.streams = *streams;
                conversation.gemini(body);
            }
        }
        conversation
    }

    fn chat(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            self.offer(&tool["function"], "parameters");
        }
        let format = &body["response_format"];
        if format["type"] != "text" && !format.is_null() {
            self.schema = Some(format["json_schema"]["schema"].clone());
        }
        for message in items(&body["messages"]) {
            match message["role"].as_str() {
                Some("user") => self.entries.push(Entry::User(text(&message["content"]))),
                Some("tool") => self.entries.push(Entry::Tool(text(&message["content"]))),
                _ => {}
            }
        }
    }

    fn responses(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            self.offer(tool, "parameters");
        }
        let format = &body["text"]["format"];
        if format["type"] == "json_schema" {
            self.schema = Some(format["schema"].clone());
        }
        if body["input"].is_string() {
            self.entries.push(Entry::User(text(&body["input"])));
        }
        for item in items(&body["input"]) {
            match item["type"].as_str().unwrap_or("message") {
                "message" if item["role"] == "user" => {
                    self.entries.push(Entry::User(text(&item["content"])));
                }
                kind if kind.ends_with("_call_output") => {
                    self.entries.push(Entry::Tool(text(&item["output"])));
                }
                _ => {}
            }
        }
    }

    fn messages(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            self.offer(tool, "input_schema");
        }
        let format = [&body["output_format"], &body["output_config"]["format"]];
        self.schema = format
            .iter()
            .find(|format| format["type"] == "json_schema")
            .map(|format| format["schema"].clone());
        // Claude Code tells as the system what its user says while it works.
        let of_users = |message: &&Value| message["role"] == "user" || message["role"] == "system";
        for message in items(&body["messages"]).filter(of_users) {
            if message["content"].is_string() {
                self.entries.push(Entry::User(text(&message["content"])));
            }
            for block in items(&message["content"]) {
                match block["type"].as_str() {
                    Some("text") => self.entries.push(Entry::User(text(&block["text"]))),
                    Some("tool_result") => self.entries.push(Entry::Tool(text(&block["content"]))),
                    _ => {}
                }
            }
        }
    }

    fn gemini(&mut self, body: &Value) {
        for function in items(&body["tools"]).flat_map(|tool| items(&tool["functionDeclarations"])) {
            let schema = if function["parametersJsonSchema"].is_null() {
                "parameters"
            } else {
                "parametersJsonSchema"
            };
            self.offer(function, schema);
        }
        let config = &body["generationConfig"];
        if config["responseMimeType"].as_str().is_some_and(|kind| kind.contains("json")) {
            let schemas = [&config["responseJsonSchema"], &config["responseSchema"]];
            self.schema =
                Some(schemas.into_iter().find(|schema| !schema.is_null()).cloned().unwrap_or_default());
        }
        for content in items(&body["contents"]).filter(|content| content["role"] != "model") {
            for part in items(&content["parts"]) {
                let result = &part["functionResponse"]["response"];
                if !result.is_null() {
                    self.entries.push(Entry::Tool(result.to_string()));
                } else if part["text"].is_string() {
                    self.entries.push(Entry::User(text(&part["text"])));
                }
            }
        }
    }

    fn offer(&mut self, tool: &Value, schema: &str) {
        if let Some(name) = tool["name"].as_str() {
            self.tools.push(Tool { name: name.to_owned(), schema: tool[schema].clone() });
        }
    }

    /// Every directive, with the place of its entry.
    fn directives(&self) -> impl Iterator<Item = (usize, Directive<'_>)> {
        self.entries.iter().enumerate().flat_map(|(at, entry)| {
            let text = if let Entry::User(text) = entry { text.as_str() } else { "" };
            directives(text).map(move |directive| (at, directive))
        })
    }

    /// What is to be answered.
    pub(crate) fn directive(&self) -> Option<Directive<'_>> {
        self.directives().last().map(|(_, directive)| directive)
    }

    /// What a tool gave since the last directive.
    pub(crate) fn result(&self) -> Option<&str> {
        let asked = self.directives().last().map_or(0, |(at, _)| at);
        self.entries[asked..].iter().rev().find_map(|entry| match entry {
            Entry::Tool(text) => Some(text.as_str()),
            Entry::User(_) => None,
        })
    }

    /// What the history held, as each answer says it at its end.
    pub(crate) fn memory(&self) -> String {
        let prompts = self.directives().filter(|(_, directive)| directive.verb != "mark").count();
        let mut marks: Vec<&str> = Vec::new();
        for (_, directive) in self.directives().filter(|(_, directive)| directive.verb == "mark") {
            if !marks.contains(&directive.argument) {
                marks.push(directive.argument);
            }
        }
        let pictures = match self.pictures.as_slice() {
            [] => String::new(),
            pictures => format!("; pictures: {}", pictures.join(", ")),
        };
        format!("{{prompts: {prompts}; marks: {}{pictures}}}", marks.join(", "))
    }
}

/// The directives in a text.
fn directives(text: &str) -> impl Iterator<Item = Directive<'_>> {
    text.split("[[").skip(1).filter_map(|rest| {
        let inner = rest.split_once("]]")?.0.trim();
        let (verb, argument) = inner.split_once(' ').unwrap_or((inner, ""));
        Some(Directive { verb, argument: argument.trim() })
    })
}

/// Every picture in a request, in whichever words its API has for them.
fn pictures(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(url) if url.starts_with("data:image/") => {
            if let Some((kind, data)) = url["data:".len()..].split_once(";base64,") {
                found.push(format!("{kind} {}", data.len()));
            }
        }
        Value::Object(object) => {
            let kind = [&value["media_type"], &value["mimeType"]].into_iter().find_map(Value::as_str);
            if let (Some(kind), Some(data)) = (kind, value["data"].as_str())
                && kind.starts_with("image/")
            {
                found.push(format!("{kind} {}", data.len()));
            }
            object.values().for_each(|inner| pictures(inner, found));
        }
        Value::Array(values) => values.iter().for_each(|inner| pictures(inner, found)),
        _ => {}
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text in a content: itself, or that of its blocks.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts =
                blocks.iter().map(|block| if block.is_string() { text(block) } else { text(&block["text"]) });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_apis_pictures_are_seen() {
        for (api, part) in [
            (Api::Chat, json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}})),
            (Api::Responses, json!({"type": "input_image", "image_url": "data:image/png;base64,aGk="})),
            (
                Api::Messages,
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}),
            ),
            (
                Api::Gemini { streams: false },
                json!({"inlineData": {"mimeType": "image/png", "data": "aGk="}}),
            ),
        ] {
            let conversation = Conversation::read(&api, &json!({"messages": [{"content": [part]}]}));
            assert_eq!(conversation.memory(), "{prompts: 0; marks: ; pictures: image/png 4}", "{api:?}");
        }
    }

    #[test]
    fn every_api_tells_the_same_conversation() {
        let (marked, run) = ("[[mark kiwi]] [[say hello]]", "context\n[[run ls]]");
        let chat = json!({"messages": [
            {"role": "user", "content": marked}, {"role": "assistant", "content": "[[fail 500]]"},
            {"role": "user", "content": [{"type": "text", "text": run}]}, {"role": "tool", "content": "files"},
        ]});
        let responses = json!({"input": [
            {"role": "user", "content": [{"type": "input_text", "text": marked}]},
            {"type": "message", "role": "user", "content": run},
            {"type": "function_call_output", "output": "files"},
        ]});
        let messages = json!({"messages": [
            {"role": "system", "content": marked}, {"role": "user", "content": [{"type": "text", "text": run}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "files"}]}]},
        ]});
        let gemini = json!({"contents": [
            {"role": "user", "parts": [{"text": marked}]}, {"role": "user", "parts": [{"text": run}]},
            {"role": "user", "parts": [{"functionResponse": {"response": "files"}}]},
        ]});
        for (api, body) in [
            (Api::Chat, chat),
            (Api::Responses, responses),
            (Api::Messages, messages),
            (Api::Gemini { streams: true }, gemini),
        ] {
            let conversation = Conversation::read(&api, &body);
            let directive = Some(Directive { verb: "run", argument: "ls" });
            assert_eq!(conversation.directive(), directive, "{api:?}");
            assert!(conversation.result().is_some_and(|result| result.contains("files")), "{api:?}");
            assert_eq!(conversation.memory(), "{prompts: 2; marks: kiwi}", "{api:?}");
        }
    }
}
