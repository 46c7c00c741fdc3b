//! A model on loopback for agents that are run without a network: it does what the prompt says, and speaks the
//! streaming APIs that agents use.
//!
//! | request | API |
//! |---|---|
//! | `POST …/chat/completions` | OpenAI chat completions |
//! | `POST …/responses` | OpenAI responses |
//! | `POST …/messages` | Anthropic messages |
//! | `POST …/models/MODEL:streamGenerateContent`, `:generateContent` | Gemini |
//!
//! A prompt's script is a directive in double brackets. Text without one, such as what agents add themselves, is
//! not a prompt; the last directive of a conversation is what the model answers to.
//!
//! | directive | what the model does |
//! |---|---|
//! | `[[say TEXT]]` | says the text |
//! | `[[mark WORD]]` | nothing at once: every answer ends with the marks that the conversation holds |
//! | `[[run COMMAND]]` | calls the agent's shell tool; once that is done, says what it gave |
//! | `[[read PATH]]`, `[[write PATH <- TEXT]]` | the same with the agent's tool for that |
//! | `[[escape COMMAND]]` | the same, asking to leave the agent's own sandbox, where its tool knows that |
//! | `[[slow SECONDS]]` | streams numbered words over that time |
//! | `[[silent]]` | begins an answer and never goes on |
//! | `[[half]]` | begins an answer and breaks the connection |
//! | `[[fail STATUS]]` | answers with that HTTP status |
//!
//! Each answer ends with `{prompts: N; marks: A, B}`: how many directives and which marks the request's history had; and
//! `pictures: TYPE LENGTH, …` if it had any.
//!
//! `stub-model PORT` listens on 127.0.0.1 (0: any port), prints `listening on PORT`, then a line for each request.

mod answer;
mod conversation;
mod http;
mod sse;

use std::io::{BufReader, Result, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use answer::Answer;
use conversation::{Api, Conversation};
use http::Request;

/// How many requests were answered; part of every id that the model makes up.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    say(&format!("listening on {}", listener.local_addr()?.port()));
    for stream in listener.incoming() {
        let stream = stream?;
        // An agent that hangs up, on cancel or death, ends the answer and nothing else.
        std::thread::spawn(move || serve(stream).ok());
    }
    Ok(())
}

/// One request; the connection is closed after it.
fn serve(mut stream: TcpStream) -> Result<()> {
    let request = Request::read(&mut BufReader::new(stream.try_clone()?))?;
    let number = REQUESTS.fetch_add(1, Ordering::SeqCst);
    let Some(api) = Api::of(&request) else {
        say(&format!("{} {}", request.method, request.path));
        return aside(&mut stream, &request);
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let conversation = Conversation::read(&api, &body);
    let answer = Answer::to(&conversation);
    let model = body["model"].as_str().unwrap_or_default();
    let directive = conversation.directive();
    say(&format!("{} {api:?} {directive:?} -> {answer:?} by {model}", request.path));
    if let Answer::Fail(status) = answer {
        let error = json!({"code": status, "type": "invalid_request_error", "message": "the script says so"});
        return http::json(&mut stream, status, &json!({"type": "error", "error": error}));
    }
    let mut writer = sse::Writer::new(stream, &api, conversation.streams, number);
    writer.write(&answer)
}

/// What is asked beside answers: lists of models, sizes of prompts.
fn aside(stream: &mut TcpStream, request: &Request) -> Result<()> {
    let tokens = request.body.len() / 4;
    let model = json!({"id": "stub-model", "object": "model", "type": "model", "created": 1, "owned_by": "stub",
        "display_name": "stub-model", "created_at": "2026-01-01T00:00:00Z"});
    let gemini = json!({"name": "models/stub-model", "supportedGenerationMethods": ["generateContent"]});
    let (status, body) = match request.path.as_str() {
        path if path.ends_with("/count_tokens") => (200, json!({"input_tokens": tokens})),
        path if path.ends_with(":countTokens") => (200, json!({"totalTokens": tokens})),
        path if path.ends_with("/models") => {
            (200, json!({"object": "list", "data": [model], "models": [gemini], "has_more": false}))
        }
        "/" => (200, json!({})),
        _ => (404, json!({"error": {"type": "not_found_error", "message": "no such path"}})),
    };
    http::json(stream, status, &body)
}

/// A line for whoever started the model; one who does not listen stops nothing.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
