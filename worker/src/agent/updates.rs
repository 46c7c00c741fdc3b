//! What is remembered of an agent's updates while a session is held: the settings that it told last, so that the same
//! words are not journalled again and again. Pure; the updates themselves stay raw.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::value::RawValue;

use super::wire::{self, SETTINGS};

/// How the update begins that is by far the most frequent one; it tells no setting.
const CHUNK: &str = r#"{"sessionUpdate":"agent_message_chunk""#;

/// The last update of each kind that tells a setting whole: its length and hash, since one can be half a megabyte.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    settings: HashMap<&'static str, (usize, u64)>,
}

impl Updates {
    /// Takes note of an update; whether it says exactly what the last one of its kind said, to no effect.
    pub(crate) fn repeats(&mut self, update: &RawValue) -> bool {
        let text = update.get();
        if text.starts_with(CHUNK) {
            return false;
        }
        let Some(kind) = wire::kind(update) else { return false };
        let Some(kind) = SETTINGS.iter().find(|setting| **setting == kind) else { return false };
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
