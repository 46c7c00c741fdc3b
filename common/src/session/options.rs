//! What a session may be given beyond its agent, directory and mode: one place for every setting that has a default.
//!
//! The options are fixed at creation and kept in `session.json` with the rest of the spec. They carry no secret.

use serde::{Deserialize, Serialize};

use super::{Limits, SessionRule, WhenBusy};

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
        [
            ("when_busy", differs(self.when_busy.as_ref(), has.when_busy.as_ref())),
            ("limits", other_limits),
            ("rules", differs(self.rules.as_ref(), has.rules.as_ref())),
            ("permission_timeout_seconds", differs(timeouts.0.as_ref(), timeouts.1.as_ref())),
        ]
        .into_iter()
        .find_map(|(option, conflicts)| conflicts.then_some(option))
    }
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
}
