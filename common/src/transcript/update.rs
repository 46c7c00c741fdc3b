//! What is shown of an agent's ACP updates; whatever else an agent sends is not looked at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Piece, Tone};

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
    #[serde(default, rename = "_meta", borrow)]
    meta: Option<&'a RawValue>,
}

/// The extensions by which agents send a tool's output piece by piece: the built-in shell agent's, and the field's.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    skep: SkepMeta,
    #[serde(default)]
    terminal_output: Option<TerminalOutput>,
    #[serde(default)]
    terminal_output_delta: Option<TerminalOutput>,
}

#[derive(Debug, Default, Deserialize)]
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

/// How much of each tool call's output was told in this turn: its length and hash, however much it is.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<String, (usize, u64)>);

impl Told {
    /// A new turn has new tool calls.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is new in the whole of a tool call's output.
    fn fresh<'a>(&mut self, call: &str, whole: &'a str) -> &'a str {
        let told = self.0.insert(call.to_owned(), (whole.len(), hash(whole)));
        told.and_then(|(length, before)| {
            let (old, fresh) = whole.split_at_checked(length)?;
            (hash(old) == before).then_some(fresh)
        })
        .unwrap_or(whole)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The pieces of an update. A tool call with the prompt's own words says nothing new.
pub(super) fn pieces(raw: &RawValue, prompt: &str, told: &mut Told) -> Vec<Piece> {
    let Ok(update) = serde_json::from_str::<Update<'_>>(raw.get()) else {
        return vec![Piece::Note(Tone::Warn, String::from("an update of the agent cannot be shown"))];
    };
    match update.kind.as_ref() {
        "agent_message_chunk" => text_of(update.content).map(Piece::Text).into_iter().collect(),
        "agent_thought_chunk" => text_of(update.content).map(Piece::Thought).into_iter().collect(),
        "tool_call" => {
            let title = update.title.clone().filter(|title| *title != prompt);
            title.map(Piece::Tool).into_iter().chain(tool_output(&update, told)).collect()
        }
        "tool_call_update" => tool_output(&update, told).into_iter().collect(),
        "plan" => plan(update.entries),
        _ => Vec::new(),
    }
}

/// The part of a tool call's output that was not told before: agents send it in pieces, or as a whole again and again.
fn tool_output(update: &Update<'_>, told: &mut Told) -> Option<Piece> {
    let meta: Meta = update.meta.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    if let Some(piece) = meta.terminal_output.or(meta.terminal_output_delta) {
        return Some(Piece::Output(piece.data));
    }
    let how = meta.skep.output.as_deref();
    if how == Some("whole") {
        return None;
    }
    let text = content_text(&serde_json::from_str::<Vec<ToolContent>>(update.content?.get()).ok()?);
    let fresh = match how {
        Some("piece") => text,
        _ => told.fresh(update.tool_call.as_deref().unwrap_or_default(), &text).to_owned(),
    };
    (!fresh.is_empty()).then_some(Piece::Output(fresh))
}

fn content_text(content: &[ToolContent]) -> String {
    let mut text = String::new();
    for part in content {
        if let Some(block) = part.content.as_ref().and_then(|block| block.text.as_deref()) {
            text.push_str(block);
        } else if part.kind == "diff" {
            text.extend(["changed ", part.path.as_deref().unwrap_or("a file"), "\n"]);
        }
    }
    text
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
    entries.iter().map(|entry| Piece::Tool(format!("[{}] {}", mark(&entry.status), entry.content))).collect()
}
