//! What may be changed of a session that is open: the settings, a change of them, and what came of it. Pure.
//!
//! A change is a merge patch (RFC 7396) of what a session shows of itself: what is left out stays, `null` takes back what
//! the session was given, so that the configured value holds again.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::MAX_SET;
use super::{PermissionMode, Resume, SessionOptions, SessionRule, WhenBusy};
use crate::usage::Amount;

/// The longest time that can be set, in seconds: 30 days.
pub const MAX_SECONDS: u64 = 30 * 24 * 60 * 60;

/// One setting in a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// What was given is taken back.
    Reset,
    /// It becomes this.
    To(T),
}

impl<T> Patch<T> {
    /// Whether it stays.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value that it is to become.
    pub const fn wanted(&self) -> Option<&T> {
        match self {
            Self::To(value) => Some(value),
            Self::Keep | Self::Reset => None,
        }
    }

    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Reset => *to = None,
            Self::To(value) => *to = Some(value),
        }
    }
}

impl<T: PartialEq + Clone> Patch<T> {
    fn between(from: Option<&T>, to: Option<&T>) -> Self {
        match to {
            _ if from == to => Self::Keep,
            None => Self::Reset,
            Some(value) => Self::To(value.clone()),
        }
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.wanted().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Reset, Self::To))
    }
}

/// What of a session's settings can change after its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionSettings {
    /// What happens to permission requests.
    pub permission_mode: PermissionMode,
    /// Whatever else it was given.
    #[serde(default, skip_serializing_if = "SessionOptions::is_empty")]
    pub options: SessionOptions,
}

/// `PATCH /sessions/{id}`: what is left out stays as it is, `null` takes back what the session was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SessionChange {
    /// What happens to permission requests; those that wait already stay waiting.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = PermissionMode))]
    pub permission_mode: Patch<PermissionMode>,
    /// Whatever else changes.
    #[serde(skip_serializing_if = "OptionsChange::is_empty")]
    pub options: OptionsChange,
}

/// A change of a session's options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OptionsChange {
    /// What a prompt gets while a turn runs, where it does not say.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<WhenBusy>))]
    pub when_busy: Patch<WhenBusy>,
    /// What the session may use, what it has used so far included.
    #[serde(skip_serializing_if = "LimitsChange::is_empty")]
    pub limits: LimitsChange,
    /// The session's own permission rules, all of them.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Vec<SessionRule>>))]
    pub rules: Patch<Vec<SessionRule>>,
    /// Seconds until a permission request that nobody answers is denied; for requests from now on.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<u64>))]
    pub permission_timeout_seconds: Patch<u64>,
    /// Seconds that a turn may take whose prompt does not say, the running one too.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<u64>))]
    pub turn_timeout_seconds: Patch<u64>,
    /// Seconds without a turn after which it hibernates.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<u64>))]
    pub idle_timeout_seconds: Patch<u64>,
    /// The agent's model, by the agent's own name for it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub model: Patch<String>,
    /// The agent's own options by their ids; those that are not named stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = BTreeMap<String, Option<String>>))]
    pub set: BTreeMap<String, Patch<String>>,
    /// What brings it back.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Resume>))]
    pub resume: Patch<Resume>,
}

/// A change of a session's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitsChange {
    /// Turns at most.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<u64>))]
    pub max_turns: Patch<u64>,
    /// Tokens at most.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<u64>))]
    pub max_tokens: Patch<u64>,
    /// Money at most.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Amount>))]
    pub max_cost: Patch<Amount>,
}

/// When a changed setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TakesEffect {
    /// It was so before.
    Unchanged,
    /// From now on.
    Now,
    /// From the next turn on.
    NextTurn,
    /// When the agent is started the next time, which is when it is seen whether the agent has it.
    NextStart,
    /// A time of a newer skep.
    #[serde(other)]
    Unknown,
}

/// What came of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChangedSetting {
    /// Its name: `permission_mode`, `model`, `set.KEY`, `limits.max_turns`, ….
    pub setting: String,
    /// When it holds.
    pub takes_effect: TakesEffect,
    /// More, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl LimitsChange {
    /// Whether none changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl OptionsChange {
    /// Whether none changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SessionSettings {
    /// What a change makes of them.
    #[must_use]
    pub fn changed(&self, change: &SessionChange) -> Self {
        let mut to = self.clone();
        let SessionChange { permission_mode, options: change } = change.clone();
        to.permission_mode = permission_mode.wanted().copied().unwrap_or(to.permission_mode);
        let options = &mut to.options;
        change.when_busy.apply(&mut options.when_busy);
        change.limits.max_turns.apply(&mut options.limits.max_turns);
        change.limits.max_tokens.apply(&mut options.limits.max_tokens);
        change.limits.max_cost.apply(&mut options.limits.max_cost);
        change.rules.apply(&mut options.rules);
        change.permission_timeout_seconds.apply(&mut options.permission_timeout_seconds);
        change.turn_timeout_seconds.apply(&mut options.turn_timeout_seconds);
        change.idle_timeout_seconds.apply(&mut options.idle_timeout_seconds);
        change.model.apply(&mut options.model);
        for (key, value) in change.set {
            let mut now = options.set.remove(&key);
            value.apply(&mut now);
            options.set.extend(now.map(|now| (key, now)));
        }
        change.resume.apply(&mut options.resume);
        to
    }
}

impl SessionChange {
    /// What makes `to` of `from`; what cannot change is not looked at.
    #[must_use]
    pub fn between(from: &SessionSettings, to: &SessionSettings) -> Self {
        let (had, has) = (&from.options, &to.options);
        let mode = (from.permission_mode != to.permission_mode).then_some(to.permission_mode);
        let keys = had.set.keys().chain(has.set.keys().filter(|key| !had.set.contains_key(*key)));
        let set = keys.filter_map(|key| {
            let patch = Patch::between(had.set.get(key), has.set.get(key));
            (!patch.is_keep()).then(|| (key.clone(), patch))
        });
        Self {
            permission_mode: mode.map_or(Patch::Keep, Patch::To),
            options: OptionsChange {
                when_busy: Patch::between(had.when_busy.as_ref(), has.when_busy.as_ref()),
                limits: LimitsChange {
                    max_turns: Patch::between(had.limits.max_turns.as_ref(), has.limits.max_turns.as_ref()),
                    max_tokens: Patch::between(
                        had.limits.max_tokens.as_ref(),
                        has.limits.max_tokens.as_ref(),
                    ),
                    max_cost: Patch::between(had.limits.max_cost.as_ref(), has.limits.max_cost.as_ref()),
                },
                rules: Patch::between(had.rules.as_ref(), has.rules.as_ref()),
                permission_timeout_seconds: Patch::between(
                    had.permission_timeout_seconds.as_ref(),
                    has.permission_timeout_seconds.as_ref(),
                ),
                turn_timeout_seconds: Patch::between(
                    had.turn_timeout_seconds.as_ref(),
                    has.turn_timeout_seconds.as_ref(),
                ),
                idle_timeout_seconds: Patch::between(
                    had.idle_timeout_seconds.as_ref(),
                    has.idle_timeout_seconds.as_ref(),
                ),
                model: Patch::between(had.model.as_ref(), has.model.as_ref()),
                set: set.collect(),
                resume: Patch::between(had.resume.as_ref(), has.resume.as_ref()),
            },
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about what only the agent can obey: its model, its options.
    #[must_use]
    pub fn is_for_agent(&self) -> bool {
        !self.options.model.is_keep() || !self.options.set.is_empty()
    }

    /// The names of the settings that it is about.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let options = &self.options;
        let limits = options.limits;
        let single = [
            ("permission_mode", self.permission_mode.is_keep()),
            ("model", options.model.is_keep()),
            ("when_busy", options.when_busy.is_keep()),
            ("limits.max_turns", limits.max_turns.is_keep()),
            ("limits.max_tokens", limits.max_tokens.is_keep()),
            ("limits.max_cost", limits.max_cost.is_keep()),
            ("rules", options.rules.is_keep()),
            ("permission_timeout_seconds", options.permission_timeout_seconds.is_keep()),
            ("turn_timeout_seconds", options.turn_timeout_seconds.is_keep()),
            ("idle_timeout_seconds", options.idle_timeout_seconds.is_keep()),
            ("resume", options.resume.is_keep()),
        ];
        let single = single.into_iter().filter(|(_, keeps)| !keeps).map(|(name, _)| name.to_owned());
        single.chain(options.set.keys().map(|key| format!("set.{key}"))).collect()
    }

    /// Whether a session can be changed so at all.
    ///
    /// # Errors
    ///
    /// A sentence that names the setting and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.permission_mode == Patch::Reset {
            return Err(String::from("permission_mode cannot be null: a session always has one"));
        }
        if self.options.set.len() > MAX_SET {
            return Err(format!("set has more than {MAX_SET} options"));
        }
        let blank =
            SessionSettings { permission_mode: PermissionMode::Ask, options: SessionOptions::default() };
        blank.changed(self).options.check()?;
        let removed = self.options.set.keys().find(|key| key.is_empty());
        removed.map_or(Ok(()), |_| Err(String::from("set: an option's id is empty")))
    }

    /// The change in words: `model = big, max turns = 5`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        let mut words = Vec::new();
        tell("", &value, &mut words);
        words.join(", ")
    }
}

/// The leaves of `value` as `name = value`; lists by their length.
fn tell(name: &str, value: &serde_json::Value, words: &mut Vec<String>) {
    use serde_json::Value;
    let shown = match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match name {
                    "" | "options" | "limits" => tell(key, value, words),
                    outer => tell(&format!("{outer}.{key}"), value, words),
                }
            }
            return;
        }
        Value::Null => String::from("default"),
        Value::Array(items) => format!("{} of its own", items.len()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    words.push(crate::sanitise::one_line(&format!("{name} = {shown}")).into_owned());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::Limits;

    fn change(json: &str) -> SessionChange {
        serde_json::from_str(json).unwrap()
    }

    fn settings(model: Option<&str>, max_turns: Option<u64>, set: &[(&str, &str)]) -> SessionSettings {
        let pairs = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let limits = Limits { max_turns, ..Limits::default() };
        let options = SessionOptions {
            model: model.map(str::to_owned),
            limits,
            set: pairs.collect(),
            ..SessionOptions::default()
        };
        SessionSettings { permission_mode: PermissionMode::Ask, options }
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_back() {
        let before = settings(Some("a"), Some(3), &[("k", "v"), ("l", "w")]);
        let wanted =
            change(r#"{"options":{"model":null,"limits":{"max_turns":9},"set":{"k":null,"n":"x"}}}"#);
        let after = before.changed(&wanted);
        assert_eq!(after, settings(None, Some(9), &[("l", "w"), ("n", "x")]));
        assert_eq!(SessionChange::between(&before, &after), wanted);
        assert_eq!(wanted.names(), ["model", "limits.max_turns", "set.k", "set.n"]);
        assert_eq!(wanted.in_words(), "max_turns = 9, model = default, set.k = default, set.n = x");
        assert!(wanted.is_for_agent() && !change(r#"{"permission_mode":"plan"}"#).is_for_agent());
        assert_eq!(change("{}"), SessionChange::default());
        assert!(SessionChange::between(&before, &before).is_empty());
    }

    #[test]
    fn a_change_survives_its_journal() {
        let text = r#"{"permission_mode":"plan","options":{"when_busy":null,"limits":{"max_cost":"2.5"},"set":{"k":null}}}"#;
        let read = change(text);
        assert_eq!(read.options.when_busy, Patch::Reset);
        assert_eq!(change(&serde_json::to_string(&read).unwrap()), read);
        assert_eq!(serde_json::to_string(&SessionChange::default()).unwrap(), "{}");
    }

    #[test]
    fn g13_a_change_that_makes_no_sense_is_refused() {
        for (json, why) in [
            (r#"{"permission_mode":null}"#, "permission_mode cannot be null"),
            (r#"{"options":{"model":""}}"#, "model must have"),
            (r#"{"options":{"set":{"":null}}}"#, "set: an option's id is empty"),
            (r#"{"options":{"turn_timeout_seconds":0}}"#, "turn_timeout_seconds must be 1 to"),
            (r#"{"options":{"idle_timeout_seconds":99999999999}}"#, "idle_timeout_seconds must be 1 to"),
        ] {
            let refusal = change(json).check().unwrap_err();
            assert!(refusal.starts_with(why), "{json}: {refusal}");
        }
        for unknown in [r#"{"name":"x"}"#, r#"{"options":{"mcp_servers":{}}}"#, r#"{"options":{"model":7}}"#]
        {
            assert!(serde_json::from_str::<SessionChange>(unknown).is_err(), "{unknown}");
        }
    }

    fn any_settings() -> impl Strategy<Value = SessionSettings> {
        let mode = prop_oneof![Just(PermissionMode::Ask), Just(PermissionMode::Bypass)];
        let set = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
        let word = prop::option::of("[a-c]");
        let number = || prop::option::of(1..4_u64);
        (mode, word, set, number(), number()).prop_map(|(permission_mode, model, set, max_turns, idle)| {
            let limits = Limits { max_turns, ..Limits::default() };
            let idle_timeout_seconds = idle;
            let options =
                SessionOptions { model, set, limits, idle_timeout_seconds, ..SessionOptions::default() };
            SessionSettings { permission_mode, options }
        })
    }

    proptest! {
        #[test]
        fn what_lies_between_leads_from_one_to_the_other(from in any_settings(), to in any_settings()) {
            let between = SessionChange::between(&from, &to);
            prop_assert_eq!(from.changed(&between), to.clone());
            prop_assert_eq!(between.is_empty(), from == to);
            prop_assert_eq!(between.names().is_empty(), from == to);
            prop_assert_eq!(from.changed(&between).changed(&SessionChange::between(&to, &from)), from);
        }
    }
}
