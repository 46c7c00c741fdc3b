//! An answer as each API writes it: as a stream of server-sent events, or whole.

use std::io::Result;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::conversation::Api;
use crate::http;

/// Writes one answer to one connection.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: TcpStream,
    api: Api,
    streams: bool,
    number: u64,
    events: u64,
}

/// What an answer consists of in the end.
enum Whole<'a> {
    Text(String),
    Call { tool: &'a str, arguments: &'a Value },
}

impl Writer {
    pub(crate) fn new(stream: TcpStream, api: &Api, streams: bool, number: u64) -> Self {
        Self { stream, api: api.clone(), streams, number, events: 0 }
    }

    pub(crate) fn write(&mut self, answer: &Answer) -> Result<()> {
        let whole = match answer {
            Answer::Text { pieces, pause } => {
                if self.streams {
                    self.begin(None)?;
                    for piece in pieces {
                        std::thread::sleep(*pause);
                        self.piece(piece)?;
                    }
                }
                Whole::Text(pieces.concat())
            }
            Answer::Call { tool, arguments } => {
                let whole = Whole::Call { tool, arguments };
                if self.streams {
                    self.begin(Some(&whole))?;
                }
                whole
            }
            Answer::Half => {
                self.begin(None)?;
                return self.piece("a beginning ");
            }
            Answer::Silent => {
                self.begin(None)?;
                // Until whoever asked hangs up.
                return std::io::copy(&mut self.stream, &mut std::io::sink()).map(drop);
            }
            Answer::Fail(_) => return Ok(()),
        };
        if self.streams {
            self.end(&whole)?;
            http::end_events(&mut self.stream)
        } else {
            let body = self.whole(&whole);
            http::json(&mut self.stream, 200, &body)
        }
    }

    fn id(&self, kind: &str) -> String {
        format!("{kind}_{}", self.number)
    }

    fn event(&mut self, data: &Value) -> Result<()> {
        // Two of the APIs name their events; the data says the name too.
        let kind = match self.api {
            Api::Messages | Api::Responses => data["type"].as_str(),
            Api::Chat | Api::Gemini { .. } => None,
        };
        http::event(&mut self.stream, kind, &data.to_string())
    }

    /// The beginning, up to the first piece of text; a call whole.
    fn begin(&mut self, call: Option<&Whole<'_>>) -> Result<()> {
        http::begin_events(&mut self.stream)?;
        match self.api {
            Api::Chat => {
                self.event(&self.chunk(&json!({"role": "assistant", "content": ""}), &Value::Null))?;
                match call {
                    Some(whole) => {
                        let calls = json!({"tool_calls": [self.chat_call(whole)]});
                        self.event(&self.chunk(&calls, &Value::Null))
                    }
                    None => Ok(()),
                }
            }
            Api::Messages => self.begin_message(call),
            Api::Responses => self.begin_response(call),
            Api::Gemini { .. } => Ok(()),
        }
    }

    /// A piece of text.
    fn piece(&mut self, text: &str) -> Result<()> {
        let data = match self.api {
            Api::Chat => self.chunk(&json!({"content": text}), &Value::Null),
            Api::Messages => json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": text}}),
            Api::Responses => {
                let item = self.id("msg");
                self.numbered(
                    json!({"type": "response.output_text.delta", "item_id": item, "output_index": 0,
                    "content_index": 0, "delta": text}),
                )
            }
            Api::Gemini { .. } => self.candidate(&json!([{"text": text}]), &Value::Null),
        };
        self.event(&data)
    }

    /// What comes after the last piece.
    fn end(&mut self, whole: &Whole<'_>) -> Result<()> {
        let calls = matches!(whole, Whole::Call { .. });
        match self.api {
            Api::Chat => {
                self.event(&self.chunk(&json!({}), &json!(if calls { "tool_calls" } else { "stop" })))?;
                let mut usage = self.chunk(&json!({}), &Value::Null);
                usage["choices"] = json!([]);
                usage["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
                self.event(&usage)?;
                http::event(&mut self.stream, None, "[DONE]")
            }
            Api::Messages => {
                self.event(&json!({"type": "content_block_stop", "index": 0}))?;
                let reason = if calls { "tool_use" } else { "end_turn" };
                self.event(&json!({"type": "message_delta", "usage": {"output_tokens": 5},
                    "delta": {"stop_reason": reason, "stop_sequence": null}}))?;
                self.event(&json!({"type": "message_stop"}))
            }
            Api::Responses => {
                let item = self.item(whole);
                let done = self
                    .numbered(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
                self.event(&done)?;
                let response = self.response("completed", &json!([item]));
                let done = self.numbered(json!({"type": "response.completed", "response": response}));
                self.event(&done)
            }
            Api::Gemini { .. } => {
                let parts = gemini_parts(whole);
                let parts = if calls { parts } else { json!([{"text": ""}]) };
                self.event(&self.candidate(&parts, &json!("STOP")))
            }
        }
    }

    /// The answer as one body.
    fn whole(&self, whole: &Whole<'_>) -> Value {
        let calls = matches!(whole, Whole::Call { .. });
        match self.api {
            Api::Chat => {
                let message = match whole {
                    Whole::Text(text) => json!({"role": "assistant", "content": text}),
                    Whole::Call { .. } => {
                        json!({"role": "assistant", "content": null, "tool_calls": [self.chat_call(whole)]})
                    }
                };
                json!({"id": self.id("chatcmpl"), "object": "chat.completion", "created": 1, "model": "stub-model",
                    "choices": [{"index": 0, "message": message,
                        "finish_reason": if calls { "tool_calls" } else { "stop" }}],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
            }
            Api::Messages => {
                let mut message = self.message();
                message["content"] = json!([self.block(whole)]);
                message["stop_reason"] = json!(if calls { "tool_use" } else { "end_turn" });
                message
            }
            Api::Responses => self.response("completed", &json!([self.item(whole)])),
            Api::Gemini { .. } => self.candidate(&gemini_parts(whole), &json!("STOP")),
        }
    }

    fn chunk(&self, delta: &Value, finish: &Value) -> Value {
        json!({"id": self.id("chatcmpl"), "object": "chat.completion.chunk", "created": 1, "model": "stub-model",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    }

    fn chat_call(&self, whole: &Whole<'_>) -> Value {
        let Whole::Call { tool, arguments } = whole else { return Value::Null };
        json!({"index": 0, "id": self.id("call"), "type": "function",
            "function": {"name": tool, "arguments": arguments.to_string()}})
    }

    fn message(&self) -> Value {
        json!({"id": self.id("msg"), "type": "message", "role": "assistant", "model": "stub-model", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 10, "output_tokens": 1,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}})
    }

    fn block(&self, whole: &Whole<'_>) -> Value {
        match whole {
            Whole::Text(text) => json!({"type": "text", "text": text}),
            Whole::Call { tool, arguments } => {
                json!({"type": "tool_use", "id": self.id("toolu"), "name": tool, "input": arguments})
            }
        }
    }

    fn begin_message(&mut self, call: Option<&Whole<'_>>) -> Result<()> {
        let message = self.message();
        self.event(&json!({"type": "message_start", "message": message}))?;
        let mut block = self.block(call.unwrap_or(&Whole::Text(String::new())));
        let input = block.get("input").map(ToString::to_string);
        if input.is_some() {
            block["input"] = json!({});
        }
        self.event(&json!({"type": "content_block_start", "index": 0, "content_block": block}))?;
        let Some(input) = input else { return Ok(()) };
        self.event(&json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": input}}))
    }

    fn begin_response(&mut self, call: Option<&Whole<'_>>) -> Result<()> {
        let response = self.response("in_progress", &json!([]));
        let created = self.numbered(json!({"type": "response.created", "response": response}));
        self.event(&created)?;
        let mut item = self.item(call.unwrap_or(&Whole::Text(String::new())));
        item["status"] = json!("in_progress");
        let added =
            self.numbered(json!({"type": "response.output_item.added", "output_index": 0, "item": item}));
        self.event(&added)
    }

    fn response(&self, status: &str, output: &Value) -> Value {
        json!({"id": self.id("resp"), "object": "response", "created_at": 1, "model": "stub-model", "status": status,
            "output": output, "error": null, "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}})
    }

    fn item(&self, whole: &Whole<'_>) -> Value {
        match whole {
            Whole::Text(text) => json!({"type": "message", "id": self.id("msg"), "role": "assistant",
                "status": "completed", "content": [{"type": "output_text", "text": text, "annotations": []}]}),
            Whole::Call { tool, arguments } => json!({"type": "function_call", "id": self.id("fc"),
                "call_id": self.id("call"), "name": tool, "arguments": arguments.to_string(),
                "status": "completed"}),
        }
    }

    fn numbered(&mut self, mut event: Value) -> Value {
        event["sequence_number"] = json!(self.events);
        self.events += 1;
        event
    }

    fn candidate(&self, parts: &Value, finish: &Value) -> Value {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
        if !finish.is_null() {
            candidate["finishReason"] = finish.clone();
        }
        json!({"candidates": [candidate], "modelVersion": "stub-model", "responseId": self.id("resp"),
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}})
    }
}

fn gemini_parts(whole: &Whole<'_>) -> Value {
    match whole {
        Whole::Text(text) => json!([{"text": text}]),
        Whole::Call { tool, arguments } => json!([{"functionCall": {"name": tool, "args": arguments}}]),
    }
}
