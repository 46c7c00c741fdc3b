//! What a session may be given beyond its agent, directory and mode: one place for every setting that has a default.
//!
//! The options are given at creation and kept in `session.json` with the rest of the spec; most can be changed later
//! (`change.rs`). They carry no secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change::MAX_SECONDS;
use super::mcp::{MAX_SERVERS, McpServer};
use super::{Limits, SessionRule, WhenBusy};

/// How long a model's name, an option's name or its value may be, in bytes.
const MAX_WORD: usize = 500;

/// How many of the agent's own options may be set.
pub(super) const MAX_SET: usize = 64;

/// What brings a session back whose agent, worker or machine died. Whatever it says, the turn that was cut off is not
/// run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// The next prompt does, with the session's context; what was queued is held until then.
    #[default]
    OnPrompt,
    /// It comes back by itself with its context, and what was queued goes on.
    Always,
    /// The next prompt starts an agent without the former context; what was queued is held until then.
    Never,
}

/// A session's options; each may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SessionOptions {
    /// What a prompt gets while a turn runs, where it does not say; the configured default where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_busy: Option<WhenBusy>,
    /// What it may use; the configured limits where none is given.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Permission rules that come before the configured ones, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<SessionRule>>,
    /// Seconds until a permission request that nobody answers is denied; the configured time where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_timeout_seconds: Option<u64>,
    /// Seconds that a turn may take whose prompt does not say; the configured time where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_timeout_seconds: Option<u64>,
    /// Seconds without a turn after which it hibernates; the configured time where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<u64>,
    /// The agent's model, by the agent's own name for it; the agent's choice where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent's own options (ACP's configuration options) by their ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// MCP servers beside the configured ones, by name; one of the same name takes the configured one's place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// What brings it back; the configured policy where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Give its agent skep's own MCP server, by which it can open sessions of its own, within the limits of
    /// `[delegation]`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delegate: bool,
}

impl SessionOptions {
    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first option that is given here and differs from what an open session has; for a request to continue it.
    #[must_use]
    pub fn conflict_with(&self, has: &Self) -> Option<&'static str> {
        let (limits, had) = (self.limits, has.limits);
        let other_limits = differs(limits.max_turns.as_ref(), had.max_turns.as_ref())
            || differs(limits.max_tokens.as_ref(), had.max_tokens.as_ref())
            || differs(limits.max_cost.as_ref(), had.max_cost.as_ref());
        let timeouts = (self.permission_timeout_seconds, has.permission_timeout_seconds);
        let set = (!self.set.is_empty()).then_some(&self.set);
        let servers = (!self.mcp_servers.is_empty()).then_some(&self.mcp_servers);
        [
            ("when_busy", differs(self.when_busy.as_ref(), has.when_busy.as_ref())),
            ("limits", other_limits),
            ("rules", differs(self.rules.as_ref(), has.rules.as_ref())),
            ("resume", differs(self.resume.as_ref(), has.resume.as_ref())),
            ("permission_timeout_seconds", differs(timeouts.0.as_ref(), timeouts.1.as_ref())),
            (
                "turn_timeout_seconds",
                differs(self.turn_timeout_seconds.as_ref(), has.turn_timeout_seconds.as_ref()),
            ),
            (
                "idle_timeout_seconds",
                differs(self.idle_timeout_seconds.as_ref(), has.idle_timeout_seconds.as_ref()),
            ),
            ("model", differs(self.model.as_ref(), has.model.as_ref())),
            ("set", differs(set, Some(&has.set))),
            ("mcp_servers", differs(servers, Some(&has.mcp_servers))),
            ("delegate", self.delegate && !has.delegate),
        ]
        .into_iter()
        .find_map(|(option, conflicts)| conflicts.then_some(option))
    }

    /// Whether the options can be given to a session.
    ///
    /// # Errors
    ///
    /// A sentence that names the option and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if let Some(model) = &self.model {
            word(model).map_err(|why| format!("model {why}"))?;
        }
        for (name, seconds) in [
            ("permission_timeout_seconds", self.permission_timeout_seconds),
            ("turn_timeout_seconds", self.turn_timeout_seconds),
            ("idle_timeout_seconds", self.idle_timeout_seconds),
        ] {
            if seconds.is_some_and(|seconds| !(1..=MAX_SECONDS).contains(&seconds)) {
                return Err(format!("{name} must be 1 to {MAX_SECONDS}"));
            }
        }
        if self.set.len() > MAX_SET {
            return Err(format!("set has more than {MAX_SET} options"));
        }
        for (key, value) in &self.set {
            word(key).and_then(|()| word(value)).map_err(|why| format!("set: a key or value {why}"))?;
        }
        if self.mcp_servers.len() > MAX_SERVERS {
            return Err(format!("mcp_servers has more than {MAX_SERVERS} servers"));
        }
        for (name, server) in &self.mcp_servers {
            server.check(name).map_err(|why| format!("mcp_servers.{}: {why}", name.escape_debug()))?;
        }
        Ok(())
    }
}

/// A word goes into a command line or a request.
fn word(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_WORD {
        return Err(format!("must have 1 to {MAX_WORD} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(String::from("has a control character"));
    }
    Ok(())
}

fn differs<T: PartialEq>(wanted: Option<&T>, has: Option<&T>) -> bool {
    wanted.is_some() && wanted != has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_option_that_is_given_can_conflict() {
        let queue = SessionOptions { when_busy: Some(WhenBusy::Queue), ..SessionOptions::default() };
        assert_eq!(SessionOptions::default().conflict_with(&queue), None);
        assert_eq!(queue.conflict_with(&queue), None);
        assert_eq!(queue.conflict_with(&SessionOptions::default()), Some("when_busy"));
        let turns = |max_turns| Limits { max_turns, ..Limits::default() };
        let two = SessionOptions { limits: turns(Some(2)), ..SessionOptions::default() };
        let three = SessionOptions { limits: turns(Some(3)), ..SessionOptions::default() };
        assert_eq!(SessionOptions::default().conflict_with(&two), None);
        assert_eq!(two.conflict_with(&three), Some("limits"));
    }
    #[test]
    fn a_model_and_servers_conflict_only_with_others() {
        let with = |model: &str| SessionOptions { model: Some(model.into()), ..SessionOptions::default() };
        assert_eq!(with("a").conflict_with(&with("b")), Some("model"));
        assert_eq!(with("a").conflict_with(&with("a")), None);
        assert_eq!(SessionOptions::default().conflict_with(&with("a")), None);
        let json = r#"{"mcp_servers":{"x":{"command":"y"}},"set":{"k":"v"}}"#;
        let full: SessionOptions = serde_json::from_str(json).unwrap();
        assert_eq!(full.conflict_with(&SessionOptions::default()), Some("set"));
        assert_eq!(SessionOptions::default().conflict_with(&full), None);
        assert_eq!(serde_json::to_string(&full).unwrap().matches("\"x\"").count(), 1);
    }

    #[test]
    fn g13_options_that_cannot_be_given_are_refused() {
        for (json, why) in [
            (r#"{"model":""}"#, "model must have"),
            (r#"{"model":"a\nb"}"#, "model has a control"),
            (r#"{"set":{"":"x"}}"#, "set: a key or value must"),
            (r#"{"mcp_servers":{"x":{}}}"#, "mcp_servers.x: it needs either"),
        ] {
            let options: SessionOptions = serde_json::from_str(json).unwrap();
            let refusal = options.check().unwrap_err();
            assert!(refusal.starts_with(why), "{json}: {refusal}");
        }
        assert_eq!(SessionOptions::default().check(), Ok(()));
    }
}
