//! A journal's records as plain text: the session's conversation for people, `grep` and logs (C5). Pure.
//!
//! Prompts are quoted with `> `, the agent's text and its tools' output stand as they came, everything else is one line
//! in square brackets. With [`Controls::Strip`] the text holds no control character but newline and tab.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Event, Record};
use crate::session::{Cause, ContentBlock, DecidedBy, Resolution, TurnOutcome};

/// What happens to control characters in what agents and clients wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controls {
    /// They stay: the bytes are exact.
    Keep,
    /// They go, except newline and tab: the text is safe for a terminal.
    Strip,
}

/// Turns records into text, one after another.
#[derive(Debug)]
pub struct Transcript {
    controls: Controls,
    at_line_start: bool,
    told: HashMap<String, String>,
}

/// The parts of an ACP update that are told; whatever else an agent sends is not looked at.
#[derive(Deserialize)]
struct Update<'a> {
    #[serde(rename = "sessionUpdate", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, rename = "toolCallId", borrow)]
    tool_call: Option<Cow<'a, str>>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, rename = "_meta", borrow)]
    meta: Option<&'a RawValue>,
}

/// The extensions by which agents send a tool's output piece by piece.
#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    terminal_output: Option<Piece>,
    #[serde(default)]
    terminal_output_delta: Option<Piece>,
    #[serde(default)]
    skep: Option<Skep>,
}

/// The built-in shell agent's: whether `content` is the next `piece` of the output, or the `whole` of it once more, for
/// clients that replace what they have.
#[derive(Deserialize)]
struct Skep {
    #[serde(default)]
    output: Option<String>,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct ToolContent {
    #[serde(default)]
    content: Option<Block>,
    #[serde(default)]
    path: Option<String>,
}

impl Transcript {
    /// A transcript that begins at the start of a line.
    #[must_use]
    pub fn new(controls: Controls) -> Self {
        Self { controls, at_line_start: true, told: HashMap::new() }
    }

    /// Appends what a record has to say to `out`.
    pub fn push(&mut self, record: &Record, out: &mut String) {
        match &record.event {
            Event::Update(update) => self.update(update, out),
            Event::PromptQueued(prompt) => self.quote(&prompt_text(&prompt.content), out),
            Event::PromptDropped(dropped) => {
                self.line(&format!("a queued prompt was dropped: {}", cause(dropped.cause)), out);
            }
            Event::QueueHeld(held) => {
                let line =
                    format!("{} queued prompts wait for a person: {}", held.prompts, cause(held.cause));
                self.line(&line, out);
            }
            Event::QueueReleased(released) => self.line(&format!("queue released by {}", released.via), out),
            Event::PermissionRequested(asked) => {
                self.line(&format!("permission requested: {} ({})", asked.title, asked.tool_kind), out);
            }
            Event::PermissionResolved(resolved) => {
                let by = decided_by(&resolved.by);
                self.line(&format!("permission {} by {by}", resolution(resolved.resolution)), out);
            }
            Event::TurnEnded(ended) => {
                self.told.clear();
                let why = ended.cause.map(|why| format!(": {}", cause(why))).unwrap_or_default();
                let detail = ended.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                self.line(&format!("turn {}{why}{detail}", outcome(ended.outcome)), out);
            }
            Event::AgentExited(exited) => self.line(&format!("agent ended: {}", exited.status), out),
            Event::Note(note) => self.line(&format!("{}: {}", note.level, note.text), out),
            Event::SessionClosed(closed) => {
                self.line(&format!("session closed: {}", cause(closed.cause)), out);
            }
            Event::SessionOpened(_)
            | Event::WriterOpened(_)
            | Event::TurnStarted(_)
            | Event::AgentStarted(_)
            | Event::State(_)
            | Event::Unknown { .. } => {}
        }
    }

    /// Appends a mark in place of a record that cannot be read.
    pub fn push_corrupt(&mut self, seq: u64, out: &mut String) {
        self.line(&format!("event {seq} cannot be read"), out);
    }

    fn update(&mut self, raw: &RawValue, out: &mut String) {
        let Ok(update) = serde_json::from_str::<Update<'_>>(raw.get()) else { return };
        match update.kind.as_ref() {
            "agent_message_chunk" => {
                if let Some(text) = text_of(update.content) {
                    self.text(&text, out);
                }
            }
            "tool_call" => {
                if let Some(title) = &update.title {
                    self.line(&format!("tool: {title}"), out);
                }
                self.tool_output(&update, out);
            }
            "tool_call_update" => self.tool_output(&update, out),
            _ => {}
        }
    }

    /// What a tool put out since the last update: agents send it piece by piece, or as a whole again and again.
    fn tool_output(&mut self, update: &Update<'_>, out: &mut String) {
        let meta = update.meta.and_then(|raw| serde_json::from_str::<Meta>(raw.get()).ok());
        let (piece, skep) = match meta {
            Some(meta) => (meta.terminal_output.or(meta.terminal_output_delta), meta.skep),
            None => (None, None),
        };
        if let Some(piece) = piece {
            return self.text(&piece.data, out);
        }
        let how = skep.and_then(|skep| skep.output);
        if how.as_deref() == Some("whole") {
            return;
        }
        let Some(parts) =
            update.content.and_then(|raw| serde_json::from_str::<Vec<ToolContent>>(raw.get()).ok())
        else {
            return;
        };
        let mut whole = String::new();
        for part in parts {
            if let Some(text) = part.content.and_then(|block| block.text) {
                whole.push_str(&text);
            } else if let Some(path) = part.path {
                whole.push_str("changed ");
                whole.push_str(&path);
                whole.push('\n');
            }
        }
        if how.as_deref() == Some("piece") {
            return self.text(&whole, out);
        }
        let id = update.tool_call.as_deref().unwrap_or_default().to_owned();
        let told = self.told.insert(id, whole.clone()).unwrap_or_default();
        self.text(whole.strip_prefix(told.as_str()).unwrap_or(&whole), out);
    }

    fn quote(&mut self, text: &str, out: &mut String) {
        self.begin_line(out);
        for line in text.lines() {
            out.push_str("> ");
            self.push_safe(line, out);
            out.push('\n');
        }
        self.at_line_start = true;
    }

    fn line(&mut self, text: &str, out: &mut String) {
        self.begin_line(out);
        out.push('[');
        // A line is one line, whatever a title holds.
        let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        out.push_str(&flat);
        out.push_str("]\n");
    }

    fn text(&mut self, text: &str, out: &mut String) {
        let before = out.len();
        self.push_safe(text, out);
        if out.len() > before {
            self.at_line_start = out.ends_with('\n');
        }
    }

    fn begin_line(&mut self, out: &mut String) {
        if !self.at_line_start {
            out.push('\n');
            self.at_line_start = true;
        }
    }

    fn push_safe(&self, text: &str, out: &mut String) {
        match self.controls {
            Controls::Keep => out.push_str(text),
            Controls::Strip => {
                out.extend(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')));
            }
        }
    }
}

/// A prompt's text.
#[must_use]
pub fn prompt_text(content: &[ContentBlock]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .map(|block| match block {
            ContentBlock::Text { text } => text.as_str(),
        })
        .collect();
    texts.join("\n")
}

fn text_of(content: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Block>(content?.get()).ok()?.text
}

const fn outcome(outcome: TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Completed => "completed",
        TurnOutcome::Suspect => "ended without doing anything",
        TurnOutcome::Cancelled => "cancelled",
        TurnOutcome::Refused => "refused",
        TurnOutcome::Failed => "failed",
        TurnOutcome::Interrupted => "interrupted",
        TurnOutcome::Limit => "stopped at a limit",
        TurnOutcome::Unknown => "ended",
    }
}

const fn resolution(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Allowed => "allowed",
        Resolution::Denied => "denied",
        Resolution::Cancelled => "cancelled",
        Resolution::Withdrawn => "withdrawn",
        Resolution::DeliveryUnknown => "answered, and whether the agent heard is unknown,",
    }
}

fn decided_by(by: &DecidedBy) -> Cow<'_, str> {
    match by {
        DecidedBy::Client { via, .. } => Cow::Borrowed(via),
        DecidedBy::Mode { .. } => Cow::Borrowed("the permission mode"),
        DecidedBy::Rule { rule } => Cow::Owned(format!("rule {rule}")),
        DecidedBy::OwnCommand => Cow::Borrowed("the person who typed the command"),
        DecidedBy::System { cause: why } => Cow::Owned(format!("skep ({})", cause(*why))),
    }
}

const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Person => "by a person",
        Cause::Killed => "killed",
        Cause::AgentCrashed => "the agent crashed",
        Cause::WorkerCrashed => "the worker crashed",
        Cause::SupervisorGone => "the supervisor went away",
        Cause::DaemonStopped => "the daemon stopped",
        Cause::WorkerStopped => "the worker was stopped",
        Cause::Parked => "the worker is parked",
        Cause::TimedOut => "timed out",
        Cause::Idle => "idle for too long",
        Cause::Ephemeral => "with its only turn",
        Cause::Upgraded => "skep was upgraded",
        Cause::StorageFailed => "the disk refused",
        Cause::Unknown | Cause::Other => "nobody knows why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(controls: Controls, events: &[(&str, &str)]) -> String {
        let mut transcript = Transcript::new(controls);
        let mut out = String::new();
        for (kind, data) in events {
            let data = RawValue::from_string((*data).to_owned()).unwrap();
            let event = Event::decode(kind, &data).unwrap();
            transcript.push(&Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event }, &mut out);
        }
        out
    }

    const PROMPT: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn c5_a_conversation_reads_as_one() {
        let events = [
            ("prompt_queued", format!(r#"{{"prompt":"{PROMPT}","content":[{{"type":"text","text":"ls\nnow"}}],"via":"cli"}}"#)),
            ("update", r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"I look"}}"#.into()),
            ("update", r#"{"sessionUpdate":"tool_call","toolCallId":"1","title":"ls"}"#.into()),
            ("update", r#"{"sessionUpdate":"tool_call_update","toolCallId":"1","content":[{"type":"content","content":{"type":"text","text":"a\n"}}]}"#.into()),
            ("update", r#"{"sessionUpdate":"tool_call_update","toolCallId":"1","content":[{"type":"content","content":{"type":"text","text":"a\nb\n"}}]}"#.into()),
            ("update", r#"{"sessionUpdate":"tool_call_update","toolCallId":"1","_meta":{"terminal_output":{"data":"c"}}}"#.into()),
            ("turn_ended", format!(r#"{{"prompt":"{PROMPT}","outcome":"failed","detail":"exit status 3"}}"#)),
        ];
        let events: Vec<(&str, &str)> = events.iter().map(|(kind, data)| (*kind, data.as_str())).collect();
        assert_eq!(
            render(Controls::Keep, &events),
            "> ls\n> now\nI look\n[tool: ls]\na\nb\nc\n[turn failed (exit status 3)]\n"
        );
    }

    #[test]
    fn c5_output_in_pieces_is_told_once_even_if_pieces_are_equal() {
        let update = |how: &str, text: &str| {
            format!(
                r#"{{"sessionUpdate":"tool_call_update","toolCallId":"1","content":[{{"type":"content","content":{{"type":"text","text":"{text}"}}}}],"_meta":{{"skep":{{"output":"{how}"}}}}}}"#
            )
        };
        let updates = [update("piece", "y\\n"), update("piece", "y\\n"), update("whole", "y\\ny\\n")];
        let events: Vec<(&str, &str)> = updates.iter().map(|data| ("update", data.as_str())).collect();
        assert_eq!(render(Controls::Keep, &events), "y\ny\n");
    }

    #[test]
    fn g7_control_characters_are_stripped_on_request_and_never_break_a_line() {
        let chunk =
            r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"\u001b[31mred\r\n"}}"#;
        assert_eq!(render(Controls::Strip, &[("update", chunk)]), "[31mred\n");
        assert_eq!(render(Controls::Keep, &[("update", chunk)]), "\u{1b}[31mred\r\n");
        let note = r#"{"level":"warn","text":"a\nb\u001b"}"#;
        assert_eq!(render(Controls::Keep, &[("note", note)]), "[warn: a b ]\n");
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let events = [("telepathy", "{}"), ("update", r#"{"sessionUpdate":"novelty"}"#), ("update", "7")];
        assert_eq!(render(Controls::Keep, &events), "");
    }
}
