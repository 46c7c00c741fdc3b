//! What is remembered of an agent's updates while a session is held: the settings that it told last, so that the same
//! words are not journalled again and again; and the turn's tool calls, so that a permission request that says little
//! is shown whole. Pure; the updates themselves stay raw.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{self, SETTINGS, ToolCall};
use crate::acp::message::read;

/// How many tool calls of a turn are remembered.
const TOOL_CALLS: usize = 256;

/// How the update begins that is by far the most frequent one; it tells no setting.
const CHUNK: &str = r#"{"sessionUpdate":"agent_message_chunk""#;

/// What was told last of each setting, kept while nobody holds the session: only good for the journal's very end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Which skep wrote it: its hashes are nobody else's.
    version: String,
    /// The journal's last record then.
    seq: u64,
    settings: Vec<(String, usize, u64)>,
}

/// The last update of each kind that tells a setting whole: its length and hash, since one can be half a megabyte.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    settings: HashMap<&'static str, (usize, u64)>,
    /// The turn's tool calls, the latest last.
    calls: VecDeque<ToolCall>,
    /// The agent said in this turn that its own session failed.
    pub(crate) broken: bool,
}

impl Updates {
    /// What is known of the settings that a former holder of the session was told, if the journal has not grown since.
    pub(crate) fn knowing(told: &Told, seq: u64) -> Self {
        let mut updates = Self::default();
        if told.seq == seq && told.version == env!("CARGO_PKG_VERSION") {
            let known = |kind: &str| SETTINGS.into_iter().find(|setting| *setting == kind);
            let settings = told.settings.iter();
            updates.settings =
                settings.filter_map(|(kind, size, hash)| Some((known(kind)?, (*size, *hash)))).collect();
        }
        updates
    }

    /// The same for the next holder, where `seq` is the journal's last record.
    pub(crate) fn told(&self, seq: u64) -> Told {
        let settings = self.settings.iter();
        let settings = settings.map(|(kind, (size, hash))| ((*kind).to_owned(), *size, *hash)).collect();
        Told { version: env!("CARGO_PKG_VERSION").to_owned(), seq, settings }
    }

    /// A new turn has new tool calls.
    pub(crate) fn turn_begins(&mut self) {
        self.calls.clear();
        self.broken = false;
    }

    /// All that is known of a tool call, now that this is said about it.
    pub(crate) fn learn(&mut self, call: ToolCall) -> ToolCall {
        let known = self.calls.iter().position(|known| known.id == call.id && !call.id.is_empty());
        let call = match known.and_then(|at| self.calls.remove(at)) {
            Some(before) => call.after(&before),
            None => call,
        };
        if self.calls.len() == TOOL_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call.clone());
        call
    }

    /// Takes note of an update; whether it says exactly what the last one of its kind said, to no effect.
    pub(crate) fn repeats(&mut self, update: &RawValue) -> bool {
        let text = update.get();
        if text.starts_with(CHUNK) {
            return false;
        }
        let Some(kind) = wire::kind(update) else { return false };
        if matches!(kind.as_ref(), "tool_call" | "tool_call_update") {
            if let Some(call) = wire::tool_call(update) {
                self.learn(call);
            }
            return false;
        }
        let Some(kind) = SETTINGS.iter().find(|setting| **setting == kind) else { return false };
        if *kind == "session_info_update" {
            let said: Value = read(update).unwrap_or_default();
            self.broken = wire::codex_failed(&said).unwrap_or(self.broken);
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let now = (text.len(), hasher.finish());
        self.settings.insert(kind, now) == Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_tool_call_is_known_by_all_that_was_said_about_it() {
        let mut updates = Updates::default();
        for update in [
            r#"{"sessionUpdate":"tool_call_update","toolCallId":"1","kind":"execute","title":"List"}"#,
            r#"{"sessionUpdate":"tool_call_update","toolCallId":"1","rawInput":{"command":"ls"},"title":""}"#,
            r#"{"sessionUpdate":"tool_call","toolCallId":"2","title":"Other"}"#,
        ] {
            assert!(!updates.repeats(&raw(update)));
        }
        let asked = |updates: &mut Updates, call: &str| {
            let params = raw(&format!(r#"{{"sessionId":"s","toolCall":{call}}}"#));
            updates.learn(wire::permission(&params, "s").unwrap().call).ask()
        };
        let ask = asked(&mut updates, r#"{"toolCallId":"1"}"#);
        assert_eq!((ask.tool_kind.as_str(), ask.command.as_deref()), ("execute", Some("ls")));
        // What is asked now is what is shown.
        let ask = asked(&mut updates, r#"{"toolCallId":"1","rawInput":{"command":"rm x"}}"#);
        assert_eq!((ask.title.as_str(), ask.command.as_deref()), ("rm x", Some("rm x")));
        let ask = asked(&mut updates, r#"{"kind":"edit"}"#);
        assert_eq!((ask.tool_kind.as_str(), ask.title.as_str()), ("edit", "use a tool"));
        updates.turn_begins();
        assert_eq!(asked(&mut updates, r#"{"toolCallId":"2"}"#).title, "use a tool");
        for n in 0..1000 {
            asked(&mut updates, &format!(r#"{{"toolCallId":"n{n}"}}"#));
        }
        assert_eq!(updates.calls.len(), TOOL_CALLS);
    }

    #[test]
    fn codex_says_beside_its_updates_that_it_failed() {
        let mut updates = Updates::default();
        let mut said = |status: &str| {
            let meta = format!(r#"{{"codex":{{"threadStatus":{{"type":"{status}"}}}}}}"#);
            updates.repeats(&raw(&format!(r#"{{"sessionUpdate":"session_info_update","_meta":{meta}}}"#)));
            updates.broken
        };
        assert!(!said("active") && said("systemError") && said("idle") && said("systemError"));
        assert!(!said("active"), "it tried again");
        assert!(said("systemError"));
        updates.turn_begins();
        assert!(!updates.broken);
    }

    #[test]
    fn what_a_former_holder_was_told_repeats_only_at_the_journals_very_end() {
        let mode = raw(r#"{"currentModeId":"a","sessionUpdate":"current_mode_update"}"#);
        let mut before = Updates::default();
        assert!(!before.repeats(&mode));
        let told: Told = serde_json::from_str(&serde_json::to_string(&before.told(7)).unwrap()).unwrap();
        assert!(Updates::knowing(&told, 7).repeats(&mode));
        assert!(!Updates::knowing(&told, 8).repeats(&mode), "somebody else has written since");
        assert!(!Updates::knowing(&Told { version: String::from("other"), ..told }, 7).repeats(&mode));
        assert!(!Updates::knowing(&Told::default(), 0).repeats(&mode));
    }

    #[test]
    fn only_settings_repeat() {
        let mut updates = Updates::default();
        let commands = |names: &str| {
            raw(&format!(r#"{{"sessionUpdate":"available_commands_update","availableCommands":[{names}]}}"#))
        };
        let mode = raw(r#"{"currentModeId":"a","sessionUpdate":"current_mode_update"}"#);
        for (update, repeats) in [
            (commands("1"), false),
            (mode.clone(), false),
            (commands("1"), true),
            (commands("2"), false),
            (commands("1"), false),
            (mode, true),
        ] {
            assert_eq!(updates.repeats(&update), repeats, "{update}");
        }
        for text in [
            r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"ha"}}"#,
            r#"{"sessionUpdate":"tool_call_update","toolCallId":"1"}"#,
            r#"{"sessionUpdate":"novelty"}"#,
            "{}",
            "7",
        ] {
            assert!(!updates.repeats(&raw(text)) && !updates.repeats(&raw(text)), "{text}");
        }
    }
}
