//! A session's records as pieces of text. Pure: where the pieces go is `printer`'s business.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use skep_common::event::{Event, PermissionRequested, PermissionResolved, Record};
use skep_common::ids::PermissionId;
use skep_common::session::{ContentBlock, DecidedBy, SessionState, TurnOutcome};

use super::words;

/// Something to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A prompt that somebody gave.
    Prompt(String),
    /// What the agent says or its command prints: a part of a stream, to be shown exactly.
    Output(String),
    /// What the agent thinks: a part of a stream.
    Thought(String),
    /// What the agent does: one line.
    Action(String),
    /// What happened: one line.
    Line(Tone, String),
}

/// How a line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// By the way.
    Quiet,
    /// It went well.
    Good,
    /// Look here.
    Warn,
    /// It went wrong.
    Bad,
}

/// Turns records into pieces; remembers the prompt, and how much of each tool call's output was told.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    told: HashMap<String, String>,
    prompt: String,
    asked: Vec<(PermissionId, String)>,
}

/// The parts of an ACP update that are shown; whatever an agent adds is not looked at.
#[derive(Debug, Deserialize)]
struct Update<'a> {
    #[serde(rename = "sessionUpdate", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, rename = "toolCallId", borrow)]
    tool_call: Option<Cow<'a, str>>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, borrow)]
    entries: Option<&'a RawValue>,
    #[serde(default, rename = "_meta")]
    meta: Option<Meta>,
}

/// The extensions by which agents send a tool's output piece by piece: the built-in shell agent's, and the field's.
#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    skep: Option<SkepMeta>,
    #[serde(default)]
    terminal_output: Option<TerminalOutput>,
    #[serde(default)]
    terminal_output_delta: Option<TerminalOutput>,
}

#[derive(Debug, Deserialize)]
struct SkepMeta {
    /// `piece`: the content is to be appended. `whole`: it repeats what the pieces said.
    #[serde(default)]
    output: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TerminalOutput {
    #[serde(default)]
    data: String,
}

#[derive(Debug, Deserialize)]
struct TextBlock {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ToolContent {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    content: Option<TextBlock>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PlanEntry {
    #[serde(default)]
    content: String,
    #[serde(default)]
    status: String,
}

impl Narrator {
    /// What a record has to say.
    pub(crate) fn describe(&mut self, record: &Record) -> Vec<Piece> {
        match &record.event {
            Event::Update(update) => self.update(update),
            Event::PromptQueued(prompt) => {
                self.prompt = prompt_text(&prompt.content);
                vec![Piece::Prompt(self.prompt.clone())]
            }
            Event::PromptDropped(dropped) => {
                quiet(format!("a queued prompt was dropped: {}", words::cause(dropped.cause)))
            }
            Event::QueueHeld(held) => warn(format!(
                "{} queued prompt(s) wait: {}; the next prompt or `skep release` lets them go on",
                held.prompts,
                words::cause(held.cause)
            )),
            Event::QueueReleased(released) => quiet(format!("queue released by {}", released.via)),
            Event::PermissionRequested(request) => {
                // Told when it turns out to be a person's: a mode or a rule may answer it at once.
                self.asked.push((request.permission, permission(request)));
                Vec::new()
            }
            Event::State(changed) if changed.state == SessionState::NeedsYou => {
                self.asked.drain(..).flat_map(|(_, wish)| warn(wish)).collect()
            }
            Event::PermissionResolved(resolved) => self.resolved(resolved),
            Event::TurnEnded(end) => {
                self.told.clear();
                vec![Piece::Line(tone(end.outcome), words::turn_ended(end))]
            }
            Event::AgentExited(exit) => {
                quiet(format!("the agent ended: {} ({})", exit.status, words::cause(exit.cause)))
            }
            Event::Note(note) => {
                vec![Piece::Line(
                    if note.level == "info" { Tone::Quiet } else { Tone::Warn },
                    note.text.clone(),
                )]
            }
            Event::SessionClosed(closed) => quiet(format!("session closed: {}", words::cause(closed.cause))),
            Event::SessionOpened(_)
            | Event::WriterOpened(_)
            | Event::TurnStarted(_)
            | Event::AgentStarted(_)
            | Event::State(_)
            | Event::Unknown { .. } => Vec::new(),
        }
    }

    fn resolved(&mut self, resolved: &PermissionResolved) -> Vec<Piece> {
        let asked = self.asked.iter().position(|(id, _)| *id == resolved.permission);
        let wish = asked.map(|at| self.asked.remove(at).1);
        match (wish, &resolved.by) {
            // Whoever typed the command knows it.
            (_, DecidedBy::OwnCommand) => Vec::new(),
            (Some(wish), _) => quiet(format!("{wish}: {}", words::resolved(resolved))),
            (None, _) => quiet(words::resolved(resolved)),
        }
    }

    fn update(&mut self, raw: &RawValue) -> Vec<Piece> {
        let Ok(update) = serde_json::from_str::<Update<'_>>(raw.get()) else {
            return warn(String::from("an update of the agent cannot be shown"));
        };
        match update.kind.as_ref() {
            "agent_message_chunk" => text_of(update.content).map(Piece::Output).into_iter().collect(),
            "agent_thought_chunk" => text_of(update.content).map(Piece::Thought).into_iter().collect(),
            "tool_call" => {
                // The shell agent's only call is the prompt itself, which was told.
                let title = update.title.clone().filter(|title| *title != self.prompt);
                let mut pieces: Vec<Piece> = title.map(Piece::Action).into_iter().collect();
                pieces.extend(self.tool_output(&update));
                pieces
            }
            "tool_call_update" => self.tool_output(&update),
            "plan" => plan(update.entries),
            _ => Vec::new(),
        }
    }

    /// The part of a tool call's output that was not told before: agents send it in pieces or as a whole, again.
    fn tool_output(&mut self, update: &Update<'_>) -> Vec<Piece> {
        let piece = update
            .meta
            .as_ref()
            .and_then(|meta| meta.terminal_output.as_ref().or(meta.terminal_output_delta.as_ref()));
        if let Some(piece) = piece {
            return vec![Piece::Output(piece.data.clone())];
        }
        let Some(content) =
            update.content.and_then(|raw| serde_json::from_str::<Vec<ToolContent>>(raw.get()).ok())
        else {
            return Vec::new();
        };
        let mut text = String::new();
        for part in &content {
            if let Some(block) = part.content.as_ref().and_then(|block| block.text.as_deref()) {
                text.push_str(block);
            } else if part.kind == "diff" {
                text.extend(["changed ", part.path.as_deref().unwrap_or("a file"), "\n"]);
            }
        }
        let how = update.meta.as_ref().and_then(|meta| meta.skep.as_ref()?.output.as_deref());
        match how {
            Some("whole") => return Vec::new(),
            Some("piece") => return vec![Piece::Output(text)],
            _ => {}
        }
        let id = update.tool_call.as_deref().unwrap_or_default();
        let told = self.told.entry(id.to_owned()).or_default();
        let fresh = text.strip_prefix(told.as_str()).unwrap_or(&text).to_owned();
        *told = text;
        if fresh.is_empty() { Vec::new() } else { vec![Piece::Output(fresh)] }
    }
}

/// A prompt's text.
pub(crate) fn prompt_text(content: &[ContentBlock]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .map(|block| match block {
            ContentBlock::Text { text } => text.as_str(),
        })
        .collect();
    texts.join("\n")
}

/// What a permission request asks.
fn permission(request: &PermissionRequested) -> String {
    format!("wants to {}: {}", super::verb(&request.tool_kind), request.title)
}

fn text_of(content: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<TextBlock>(content?.get()).ok()?.text
}

fn plan(entries: Option<&RawValue>) -> Vec<Piece> {
    let Some(entries) = entries.and_then(|raw| serde_json::from_str::<Vec<PlanEntry>>(raw.get()).ok()) else {
        return Vec::new();
    };
    let mark = |status: &str| match status {
        "completed" => 'x',
        "in_progress" => '>',
        _ => ' ',
    };
    entries
        .iter()
        .map(|entry| Piece::Action(format!("[{}] {}", mark(&entry.status), entry.content)))
        .collect()
}

const fn tone(outcome: TurnOutcome) -> Tone {
    match outcome {
        TurnOutcome::Completed => Tone::Good,
        TurnOutcome::Cancelled => Tone::Warn,
        TurnOutcome::Suspect
        | TurnOutcome::Refused
        | TurnOutcome::Failed
        | TurnOutcome::Interrupted
        | TurnOutcome::Limit
        | TurnOutcome::Unknown => Tone::Bad,
    }
}

fn quiet(text: String) -> Vec<Piece> {
    vec![Piece::Line(Tone::Quiet, text)]
}

fn warn(text: String) -> Vec<Piece> {
    vec![Piece::Line(Tone::Warn, text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(narrator: &mut Narrator, kind: &str, data: &str) -> Vec<Piece> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let record =
            Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event: Event::decode(kind, &data).unwrap() };
        narrator.describe(&record)
    }

    #[test]
    fn output_sent_as_a_whole_again_is_told_once() {
        let mut narrator = Narrator::default();
        let update = |text: &str| {
            format!(
                r#"{{"sessionUpdate":"tool_call_update","toolCallId":"t1","content":[{{"type":"content","content":{{"type":"text","text":"{text}"}}}}]}}"#
            )
        };
        let mut said = Vec::new();
        for text in ["one\\n", "one\\ntwo\\n", "one\\ntwo\\n"] {
            said.extend(describe(&mut narrator, "update", &update(text)));
        }
        assert_eq!(said, [Piece::Output("one\n".into()), Piece::Output("two\n".into())]);
    }

    #[test]
    fn the_shell_agents_pieces_are_appended_and_their_repetition_is_not_told() {
        let mut narrator = Narrator::default();
        let update = |how: &str, text: &str| {
            format!(
                r#"{{"sessionUpdate":"tool_call_update","toolCallId":"t1","content":[{{"type":"content","content":{{"type":"text","text":"{text}"}}}}],"_meta":{{"skep":{{"output":"{how}"}}}}}}"#
            )
        };
        let mut said = Vec::new();
        for (how, text) in [("piece", "a"), ("piece", "a"), ("whole", "aa")] {
            said.extend(describe(&mut narrator, "update", &update(how, text)));
        }
        assert_eq!(said, [Piece::Output("a".into()), Piece::Output("a".into())]);
    }

    #[test]
    fn output_sent_in_pieces_is_told_as_it_comes() {
        let mut narrator = Narrator::default();
        let update = r#"{"sessionUpdate":"tool_call_update","toolCallId":"t1","_meta":{"terminal_output":{"terminal_id":"t","data":"x"}}}"#;
        for _ in 0..2 {
            assert_eq!(describe(&mut narrator, "update", update), [Piece::Output("x".into())]);
        }
    }

    #[test]
    fn what_is_not_known_is_not_shown_and_breaks_nothing() {
        let mut narrator = Narrator::default();
        for update in
            [r#"{"sessionUpdate":"novelty"}"#, r#"{"sessionUpdate":"agent_message_chunk","content":7}"#]
        {
            assert_eq!(describe(&mut narrator, "update", update), []);
        }
        assert_eq!(describe(&mut narrator, "telepathy", "{}"), []);
    }

    #[test]
    fn a_request_is_told_when_it_waits_for_a_person_or_with_its_answer() {
        const ID: &str = "00000000-0000-4000-8000-000000000001";
        let request = format!(
            r#"{{"permission":"{ID}","prompt":"{ID}","tool_kind":"execute","title":"make","options":[],"tool_call":{{}}}}"#
        );
        let resolved = |by: &str| format!(r#"{{"permission":"{ID}","resolution":"allowed","by":{by}}}"#);
        let mut narrator = Narrator::default();
        let mut tell = |by: &str, waits: bool| {
            let mut said = describe(&mut narrator, "permission_requested", &request);
            if waits {
                said.extend(describe(&mut narrator, "state", r#"{"state":"needs_you"}"#));
            }
            said.extend(describe(&mut narrator, "permission_resolved", &resolved(by)));
            said
        };
        let line = |tone, text: &str| Piece::Line(tone, text.into());
        assert_eq!(tell(r#"{"type":"own_command"}"#, false), []);
        assert_eq!(
            tell(r#"{"type":"mode","mode":"bypass"}"#, false),
            [line(Tone::Quiet, "wants to run: make: allowed (by mode bypass)")]
        );
        let client = format!(r#"{{"type":"client","via":"cli","answer":"{ID}"}}"#);
        assert_eq!(
            tell(&client, true),
            [line(Tone::Warn, "wants to run: make"), line(Tone::Quiet, "allowed (by cli)")]
        );
    }

    #[test]
    fn an_end_names_its_cause() {
        let mut narrator = Narrator::default();
        let end = r#"{"prompt":"00000000-0000-4000-8000-000000000001","outcome":"interrupted","cause":"worker_crashed"}"#;
        assert_eq!(
            describe(&mut narrator, "turn_ended", end),
            [Piece::Line(Tone::Bad, "interrupted: the worker crashed".into())]
        );
    }
}
