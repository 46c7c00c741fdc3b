//! What must be known from one line of `claude` to the next: the prompt that runs, the permissions that were asked for,
//! the message that is being streamed. Pure; the driver writes the lines that are returned.

use std::collections::HashMap;

use serde_json::Value;
use skep_common::ids::PromptId;
use skep_common::session::{ContentBlock, PermissionOption};
use skep_config::Output;

use super::steers::{Answer, Meaning, Steers};
use super::wire;
use crate::acp::message::{Id, clip};
use crate::agent::acp::{Said, ToAgent};
use crate::agent::oneshot::claude;
use crate::agent::oneshot::found::{self, Call, Found};
use crate::agent::oneshot::plan::is_session;
use crate::agent::oneshot::reading::{Heard, Reading};
use crate::agent::wire::{PermissionAsk, tool_call};
use crate::turn::outcome::Stop;

/// How many permissions may be asked for at a time; what is asked beyond that is denied.
const ASKS: usize = 256;

/// How long an id of the agent's may be.
const ID: usize = 200;

/// Our answer to a request: once, always, not.
const ALLOW: &str = "allow";
const ALWAYS: &str = "always";
const REJECT: &str = "reject";

/// What follows from a line.
#[derive(Debug)]
pub(super) enum Out {
    /// For the session.
    Say(Said),
    /// The agent's own id for the session, as it is now.
    Session(String),
    /// For the agent.
    Write(Vec<u8>),
    /// It has read our request of this id.
    Ready(String),
}

/// What was asked.
#[derive(Debug)]
struct Asked {
    request: String,
    input: Value,
    /// The agent's own rules that it would go by after an answer for good.
    rules: Vec<Value>,
}

/// A conversation with `claude`.
#[derive(Debug)]
pub(super) struct Conversation {
    reading: Reading,
    asked: HashMap<u64, Asked>,
    asks: u64,
    requests: u64,
    prompted: bool,
    cancelled: bool,
    steers: Steers,
    /// The message of which parts were told already.
    streamed: Option<String>,
}

impl Conversation {
    /// With an agent that goes on with `session`, if it does.
    pub(super) fn new(session: Option<String>) -> Self {
        Self {
            reading: Reading::new(Output::Claude, session).of_many_turns(),
            asked: HashMap::new(),
            asks: 0,
            requests: 0,
            prompted: false,
            cancelled: false,
            steers: Steers::default(),
            streamed: None,
        }
    }

    /// The lines for what the session wants.
    pub(super) fn obey(&mut self, command: ToAgent) -> Vec<Vec<u8>> {
        match command {
            ToAgent::Prompt(content) => vec![self.prompt(&content)],
            ToAgent::Steer(prompt, content) => vec![self.steer(prompt, &content)],
            ToAgent::Cancel => self.cancel(),
            ToAgent::Permission { id, option } => self.decided(&id, option.as_deref()).into_iter().collect(),
            // It has forgotten its question already.
            ToAgent::TakenBack(id) => {
                let _asked = id.number().and_then(|id| self.asked.remove(&id));
                Vec::new()
            }
            // It uses nothing of skep's, and offers nothing that could be set.
            ToAgent::Use { .. } | ToAgent::Set(_) => Vec::new(),
        }
    }

    fn prompt(&mut self, content: &[ContentBlock]) -> Vec<u8> {
        (self.prompted, self.cancelled) = (true, false);
        // A turn that skep had given up may have left its end behind.
        self.reading.turn_begins();
        self.steers.turn_begins();
        wire::user(&PromptId::random().to_string(), content)
    }

    /// Into the turn that runs. If the agent has just ended that, this begins another, which skep takes for the same.
    fn steer(&mut self, prompt: PromptId, content: &[ContentBlock]) -> Vec<u8> {
        let uuid = prompt.to_string();
        if std::mem::replace(&mut self.prompted, true) {
            self.steers.add(uuid.clone());
        } else {
            self.cancelled = false;
        }
        wire::user(&uuid, content)
    }

    /// What the agent has not begun with is withdrawn first: it would begin with it after the interrupt.
    fn cancel(&mut self) -> Vec<Vec<u8>> {
        self.cancelled = true;
        let mut lines = Vec::new();
        for uuid in self.steers.withdraw() {
            self.requests += 1;
            lines.push(wire::withdraw(&format!("withdraw-{}", self.requests), uuid));
        }
        lines.push(self.interrupt());
        lines
    }

    fn interrupt(&mut self) -> Vec<u8> {
        self.requests += 1;
        wire::interrupt(&format!("interrupt-{}", self.requests))
    }

    fn decided(&mut self, id: &Id, option: Option<&str>) -> Option<Vec<u8>> {
        let asked = self.asked.remove(&id.number()?)?;
        Some(match option {
            Some(ALLOW) => wire::allow(&asked.request, &asked.input, &[]),
            Some(ALWAYS) => wire::allow(&asked.request, &asked.input, &asked.rules),
            _ => wire::deny(&asked.request),
        })
    }

    /// What a line says, and what follows from it; none if it is of no known kind.
    pub(super) fn hear(&mut self, line: &Value) -> Option<Vec<Out>> {
        match line["type"].as_str()? {
            "control_request" => Some(vec![self.asks(line)]),
            "control_response" => Some(answered(line).into_iter().collect()),
            "control_cancel_request" => Some(self.takes_back(line).into_iter().collect()),
            "stream_event" => Some(self.streams(line)),
            // What we said ourselves, told again.
            "user" if line["isReplay"] == true => Some(Vec::new()),
            "result" => Some(self.result(line)),
            "command_lifecycle" => Some(self.reports(line)),
            "keep_alive" | "tool_progress" | "rate_limit_event" | "auth_status" => Some(Vec::new()),
            _ => {
                let mut found = claude::read(line)?;
                if self.streamed.is_some() && line["message"]["id"].as_str() == self.streamed.as_deref() {
                    found.retain(|found| !matches!(found, Found::Text(_) | Found::Thought(_)));
                }
                Some(self.told(found))
            }
        }
    }

    fn told(&mut self, found: Vec<Found>) -> Vec<Out> {
        let heard = self.reading.take(found).into_iter();
        heard
            .map(|heard| match heard {
                Heard::Session(id) => Out::Session(id),
                Heard::Update(update) => Out::Say(Said::Update(update)),
                Heard::Note(text) => Out::Say(Said::Note(text)),
            })
            .collect()
    }

    /// A part of a message that comes whole later. What a sub-agent says is told only then.
    fn streams(&mut self, line: &Value) -> Vec<Out> {
        let event = &line["event"];
        if !line["parent_tool_use_id"].is_null() {
            return Vec::new();
        }
        match event["type"].as_str() {
            Some("message_start") => {
                let id = event["message"]["id"].as_str().filter(|id| id.len() <= ID);
                self.streamed = id.map(ToOwned::to_owned);
                Vec::new()
            }
            // Without the message's id nobody could tell later that it was told.
            Some("content_block_delta") if self.streamed.is_some() => {
                let delta = &event["delta"];
                let found = match delta["type"].as_str() {
                    Some("text_delta") => found::words(&delta["text"]).map(Found::Text),
                    Some("thinking_delta") => found::words(&delta["thinking"]).map(Found::Thought),
                    _ => None,
                };
                self.told(found.into_iter().collect())
            }
            _ => Vec::new(),
        }
    }

    /// The end of a turn of the agent's: that of skep's, unless a steered prompt begins another.
    fn result(&mut self, line: &Value) -> Vec<Out> {
        let mut out = self.told(claude::read(line).unwrap_or_default());
        let (failure, limit) = (self.reading.failure.take(), self.reading.limit.take());
        self.streamed = None;
        if self.prompted {
            let answer = answer(line, failure, limit, self.cancelled);
            out.extend(self.steers.result(answer).map(|answer| self.answered(answer)));
        }
        out
    }

    fn answered(&mut self, answer: Answer) -> Out {
        (self.prompted, self.cancelled) = (false, false);
        Out::Say(Said::Answered(answer))
    }

    /// What becomes of a prompt.
    fn reports(&mut self, line: &Value) -> Vec<Out> {
        let word = |name: &str| line[name].as_str().filter(|word| word.len() <= ID);
        let (Some(uuid), Some(state)) = (word("command_uuid"), word("state")) else { return Vec::new() };
        let mut out = match self.steers.report(uuid, state) {
            Meaning::Nothing => Vec::new(),
            Meaning::RunsOn => vec![Out::Write(self.interrupt())],
            Meaning::Unheard(why) => {
                let text =
                    format!("the agent has not taken up a prompt that was steered: {}", clip(&why, 80));
                vec![Out::Say(Said::Note(text))]
            }
        };
        out.extend(self.steers.due().map(|answer| self.answered(answer)));
        out
    }

    /// The agent asks for something: for permission, or for what skep does not offer.
    fn asks(&mut self, line: &Value) -> Out {
        let request = clip(line["request_id"].as_str().unwrap_or_default(), ID);
        let ask = &line["request"];
        if ask["subtype"] != "can_use_tool" {
            let what = clip(ask["subtype"].as_str().unwrap_or("that"), 80);
            return Out::Write(wire::decline(&request, &what));
        }
        if self.asked.len() >= ASKS {
            return Out::Write(wire::deny(&request));
        }
        let input = ask["input"].clone();
        let rules = rules(&ask["permission_suggestions"]);
        let Some(permission) = permission(ask, &input, !rules.is_empty()) else {
            return Out::Write(wire::deny(&request));
        };
        self.asks += 1;
        self.asked.insert(self.asks, Asked { request, input, rules });
        Out::Say(Said::Permission { id: Id::from(self.asks), request: permission })
    }

    fn takes_back(&self, line: &Value) -> Option<Out> {
        let request = line["request_id"].as_str()?;
        let (id, _) = self.asked.iter().find(|(_, asked)| asked.request == request)?;
        Some(Out::Say(Said::TakesBack(Id::from(*id))))
    }
}

fn answered(line: &Value) -> Option<Out> {
    line["response"]["request_id"].as_str().map(|id| Out::Ready(id.to_owned()))
}

/// How a turn ended, in ACP's words.
fn answer(line: &Value, failure: Option<String>, limit: Option<String>, cancelled: bool) -> Answer {
    let stop = |reason: &str| Ok(Stop { reason: reason.to_owned(), ..Stop::default() });
    if cancelled && line["terminal_reason"].as_str().is_none_or(|reason| reason.starts_with("aborted")) {
        return stop("cancelled");
    }
    if limit.is_some() {
        return stop("max_turn_requests");
    }
    match failure {
        Some(why) => Err(why),
        None => match line["stop_reason"].as_str() {
            Some(reason @ ("max_tokens" | "refusal")) => stop(reason),
            _ => stop("end_turn"),
        },
    }
}

/// The rules that an answer for good would add. What would change the agent's mode is none: that is skep's to set.
fn rules(suggestions: &Value) -> Vec<Value> {
    let suggestions = suggestions.as_array().into_iter().flatten();
    let adds = |rule: &&Value| {
        matches!(rule["type"].as_str(), Some("addRules" | "addDirectories")) && rule["behavior"] != "deny"
    };
    let rules: Vec<Value> = suggestions.filter(adds).take(16).cloned().collect();
    // Directories alone would not stop it from asking.
    if rules.iter().any(|rule| rule["type"] == "addRules") { rules } else { Vec::new() }
}

fn permission(ask: &Value, input: &Value, always: bool) -> Option<PermissionAsk> {
    let call = Call {
        id: clip(ask["tool_use_id"].as_str().unwrap_or_default(), ID),
        name: clip(ask["tool_name"].as_str().unwrap_or_default(), ID),
        input: input.clone(),
    };
    let tool = found::pending(&call)?;
    let option = |id: &str, name: &str, kind: &str| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let mut options = vec![option(ALLOW, "Yes", "allow_once"), option(REJECT, "No", "reject_once")];
    if always {
        options.insert(1, option(ALWAYS, "Yes, and do not ask again for the like", "allow_always"));
    }
    Some(PermissionAsk { call: tool_call(&tool)?, options, tool_call: tool })
}

/// Whether this can be given to `--resume`.
pub(super) fn can_resume(session: &str) -> bool {
    is_session(session)
}

#[cfg(test)]
mod tests;
