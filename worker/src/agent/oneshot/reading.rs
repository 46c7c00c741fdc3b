//! A command's output, from bytes to updates. What is not understood is dropped and counted. Pure.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::framing::{Frame, LineSplitter};
use skep_common::usage::Amount;
use skep_config::Output;

use super::found::{self, Found, Usage};
use super::plan::is_session;
use super::{claude, codex, gemini, opencode, pi};
use crate::acp::message::clip;
use crate::acp::repair::repair_surrogates;

/// How long a line may be. A longer one is dropped.
const LINE: usize = 8 << 20;

/// How many tools are remembered as announced.
const TOOLS: usize = 10_000;

/// How much of a line or an error is shown to people, in characters.
const SHOWN: usize = 300;

/// What output brings to the session.
#[derive(Debug)]
pub(in crate::agent) enum Heard {
    /// The agent's own id for the session; it is a new one.
    Session(String),
    /// An update.
    Update(Box<RawValue>),
    /// A remark.
    Note(String),
}

/// The output of one run, as far as it was read.
#[derive(Debug)]
pub(in crate::agent) struct Reading {
    output: Output,
    lines: LineSplitter,
    /// The beginning of a character, in plain text.
    partial: Vec<u8>,
    session: Option<String>,
    announced: HashSet<String>,
    spent: Amount,
    /// What a process that serves many turns has said of its costs so far; none for one that serves one.
    so_far: Option<Amount>,
    /// What such a process has said of the turn.
    turn: Usage,
    dropped: u64,
    last_dropped: String,
    /// Why the turn failed, as the agent says.
    pub(in crate::agent) failure: Option<String>,
    /// The limit that ended the turn.
    pub(in crate::agent) limit: Option<String>,
}

impl Reading {
    /// Of a command that goes on with `session`, if it does.
    pub(in crate::agent) fn new(output: Output, session: Option<String>) -> Self {
        Self {
            output,
            lines: LineSplitter::new(LINE),
            partial: Vec::new(),
            session,
            announced: HashSet::new(),
            spent: Amount::default(),
            so_far: None,
            turn: Usage::default(),
            dropped: 0,
            last_dropped: String::new(),
            failure: None,
            limit: None,
        }
    }

    /// The same of a process that serves many turns, and tells its costs since it was started.
    pub(in crate::agent) fn of_many_turns(self) -> Self {
        Self { so_far: Some(Amount::default()), ..self }
    }

    /// The next turn of a process that serves many begins.
    pub(in crate::agent) fn turn_begins(&mut self) {
        (self.failure, self.limit, self.turn) = (None, None, Usage::default());
    }

    /// Takes what was read, cut anywhere.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Heard> {
        if self.output == Output::Text {
            self.partial.extend_from_slice(bytes);
            let whole = self.partial.len() - unfinished(&self.partial);
            let rest = self.partial.split_off(whole);
            let text = std::mem::replace(&mut self.partial, rest);
            return updates("agent_message_chunk", &String::from_utf8_lossy(&text));
        }
        let mut heard = Vec::new();
        let mut lines = std::mem::replace(&mut self.lines, LineSplitter::new(0));
        lines.push(bytes, |frame| match frame {
            Frame::Line(line) => self.line(line, &mut heard),
            Frame::TooLong(length) => self.drop_line(&format!("a line of {length} bytes")),
        });
        self.lines = lines;
        heard
    }

    /// The end of the output.
    pub(super) fn finish(&mut self) -> Vec<Heard> {
        let mut heard =
            updates("agent_message_chunk", &String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
        if let Some(last) = self.lines.finish() {
            self.line(&last, &mut heard);
        }
        if self.dropped > 0 {
            let (count, last) = (self.dropped, &self.last_dropped);
            let what = if count == 1 { "1 line" } else { &format!("{count} lines") };
            heard.push(Heard::Note(format!(
                "{what} of the command's output could not be understood; the last one: {last}"
            )));
        }
        heard
    }

    /// Takes what a line was understood to say.
    pub(in crate::agent) fn take(&mut self, found: Vec<Found>) -> Vec<Heard> {
        let mut heard = Vec::with_capacity(found.len());
        found.into_iter().for_each(|found| self.found(found, &mut heard));
        heard
    }

    fn line(&mut self, line: &[u8], heard: &mut Vec<Heard>) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let value = parse(line);
        let found = value.as_ref().and_then(|value| match self.output {
            Output::Claude | Output::Qwen => claude::read(value),
            Output::Codex => codex::read(value),
            Output::Gemini => gemini::read(value),
            Output::Opencode => opencode::read(value),
            Output::Pi => pi::read(value),
            _ => None,
        });
        match found {
            Some(found) => heard.extend(self.take(found)),
            None => self.drop_line(&String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)])),
        }
    }

    fn found(&mut self, found: Found, heard: &mut Vec<Heard>) {
        match found {
            Found::Session(id) => {
                if is_session(&id) && self.session.as_ref() != Some(&id) {
                    self.session = Some(id.clone());
                    heard.push(Heard::Session(id));
                }
            }
            Found::Text(text) => heard.extend(updates("agent_message_chunk", &text)),
            Found::Thought(text) => heard.extend(updates("agent_thought_chunk", &text)),
            Found::Call(call) => {
                if self.announced.len() >= TOOLS || self.announced.insert(clip(&call.id, SHOWN)) {
                    heard.extend(found::call(&call).map(Heard::Update));
                }
            }
            Found::Done(done) => heard.extend(found::done(&done).map(Heard::Update)),
            Found::Usage(usage) => heard.extend(self.usage(usage)),
            Found::Remark(text) => heard.push(Heard::Note(clip(&text, SHOWN))),
            Found::Failed(why) => self.failure = Some(clip(&why, 2000)),
            Found::Recovered => self.failure = None,
            Found::Limit(which) => self.limit = Some(which),
        }
    }

    fn usage(&mut self, mut usage: Usage) -> Option<Heard> {
        if usage.step
            && let Some(cost) = usage.cost
        {
            self.spent = self.spent.plus(Amount::told(cost).unwrap_or_default());
            usage.cost = Some(self.spent.as_number());
        }
        if let (Some(so_far), Some(now)) = (&mut self.so_far, usage.cost.and_then(Amount::told)) {
            usage.cost = Some(now.since(std::mem::replace(so_far, now)).as_number());
        }
        usage.cost = usage.cost.filter(|cost| cost.is_finite() && *cost > 0.0);
        if usage.input == 0 && usage.output == 0 && usage.cost.is_none() {
            return None;
        }
        if self.so_far.is_some() {
            usage = self.in_turn(usage);
        }
        found::usage(&usage).map(Heard::Update)
    }

    /// A turn that goes on after its first result has others, which add up.
    fn in_turn(&mut self, more: Usage) -> Usage {
        let told = |usage: &Usage| usage.cost.and_then(Amount::told);
        let cost = match (told(&self.turn), told(&more)) {
            (Some(before), Some(more)) => Some(before.plus(more)),
            (before, more) => before.or(more),
        };
        let (input, output) = (self.turn.input, self.turn.output);
        self.turn = Usage {
            input: input.saturating_add(more.input),
            output: output.saturating_add(more.output),
            cost: cost.map(Amount::as_number),
            ..more
        };
        self.turn
    }

    fn drop_line(&mut self, line: &str) {
        self.dropped += 1;
        self.last_dropped = clip(line.trim(), SHOWN);
    }
}

fn updates(kind: &str, text: &str) -> Vec<Heard> {
    found::text(kind, text).into_iter().map(Heard::Update).collect()
}

/// A line as JSON, with invalid UTF-8 and lone surrogates mended where they stand in the way.
pub(in crate::agent) fn parse(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok().or_else(|| {
        let text = String::from_utf8_lossy(line);
        serde_json::from_str(&repair_surrogates(&text)).ok()
    })
}

/// How many bytes at the end may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    (1..=tail.len())
        .rev()
        .find(|&count| {
            let end = &tail[tail.len() - count..];
            std::str::from_utf8(end)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [Output; 6] =
        [Output::Claude, Output::Codex, Output::Gemini, Output::Qwen, Output::Opencode, Output::Pi];

    fn told(heard: &[Heard]) -> String {
        let text = |heard: &Heard| match heard {
            Heard::Session(id) => format!("<{id}>"),
            Heard::Note(text) => format!("[{text}]"),
            Heard::Update(update) => {
                let value: Value = serde_json::from_str(update.get()).unwrap();
                let said = value["content"]["text"].as_str().map(ToOwned::to_owned);
                said.unwrap_or_else(|| format!("({})", value["sessionUpdate"].as_str().unwrap()))
            }
        };
        heard.iter().map(text).collect()
    }

    #[test]
    fn a_run_is_told_in_order() {
        let mut reading = Reading::new(Output::Codex, None);
        let mut heard = reading.push(
            b"{\"type\":\"thread.started\",\"thread_id\":\"t-1\"}\n\n{\"type\":\"thread.started\",\"thread_id\":\"t-1\"}\n\
              {\"type\":\"item.started\",\"item\":{\"id\":\"1\",\"type\":\"command_execution\",\"command\":\"ls\"}}\n\
              {\"type\":\"item.completed\",\"item\":{\"id\":\"1\",\"type\":\"command_execution\",\"command\":\"ls\"}}\n\
              not json\n{\"type\":\"hologram\"}\n{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\
              \"text\":\"h\\ud800i\"}}\n{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":1}}",
        );
        heard.extend(reading.finish());
        assert_eq!(
            told(&heard),
            "<t-1>(tool_call)(tool_call_update)h\u{fffd}i(usage_update)[2 lines of the command's output could not be \
             understood; the last one: {\"type\":\"hologram\"}]"
        );
    }

    #[test]
    fn steps_add_up_and_a_failure_may_be_overcome() {
        let mut reading = Reading::new(Output::Pi, None);
        let end = |stop: &str| {
            format!(
                "{{\"type\":\"message_end\",\"message\":{{\"role\":\"assistant\",\"stopReason\":\"{stop}\",\
                 \"errorMessage\":\"no\",\"usage\":{{\"input\":1,\"cost\":{{\"total\":0.5}}}}}}}}\n"
            )
        };
        let _first = reading.push(end("error").as_bytes());
        assert_eq!(reading.failure.as_deref(), Some("no"));
        let heard = reading.push(end("stop").as_bytes());
        assert_eq!(reading.failure, None);
        let [Heard::Update(update)] = &heard[..] else { panic!("{heard:?}") };
        assert!(update.get().contains("\"amount\":1.0"), "{update}");
    }

    #[test]
    fn g13_an_id_that_could_be_an_option_is_not_kept() {
        for id in ["--yolo", "a b", "", "$(x)", "../x", &"a".repeat(300)] {
            let mut reading = Reading::new(Output::Gemini, None);
            let heard = reading.push(format!("{{\"type\":\"init\",\"session_id\":\"{id}\"}}\n").as_bytes());
            assert!(heard.is_empty(), "{id}: {heard:?}");
        }
    }

    #[test]
    fn g13_a_line_without_end_is_dropped_and_told() {
        let mut reading = Reading::new(Output::Claude, None);
        for _ in 0..9 {
            assert!(reading.push(&vec![b'{'; 1 << 20]).is_empty());
        }
        assert!(reading.push(b"\n").is_empty());
        let told = told(&reading.finish());
        assert!(told.contains("a line of 9437184 bytes"), "{told}");
    }

    proptest! {
        #[test]
        fn text_comes_whole_however_it_was_cut(text in "\\PC{0,40}", cuts in prop::collection::vec(0usize..200, 0..8)) {
            let mut reading = Reading::new(Output::Text, None);
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut heard, mut from) = (Vec::new(), 0);
            for cut in cuts {
                heard.extend(reading.push(&bytes[from..cut]));
                from = cut;
            }
            heard.extend(reading.finish());
            prop_assert_eq!(told(&heard), text);
        }

        #[test]
        fn g13_no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for output in FORMATS.into_iter().chain([Output::Text]) {
                let mut reading = Reading::new(output, None);
                let _heard = (reading.push(&bytes), reading.finish());
            }
        }

        #[test]
        fn g13_no_line_of_a_known_kind_makes_it_panic(
            kind in prop::sample::select(vec!["system", "assistant", "user", "result", "item.completed", "message",
                "tool_use", "tool_result", "message_end", "message_update", "step_finish", "error", "init"]),
            key in prop::sample::select(vec!["message", "item", "part", "usage", "error", "stats", "content"]),
            inner in prop::sample::select(vec!["null", "[]", "{}", "7", "-1e999", "\"x\"", "[[{}]]",
                "{\"content\":[{\"type\":\"text\"}],\"tokens\":-1,\"type\":\"agent_message\",\"text\":[]}"]),
        ) {
            let line = format!("{{\"type\":\"{kind}\",\"{key}\":{inner}}}\n");
            for output in FORMATS {
                let mut reading = Reading::new(output, None);
                let _heard = (reading.push(line.as_bytes()), reading.finish());
            }
        }
    }
}
