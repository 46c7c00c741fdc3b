//! What a session may use, and whether it has (N11). Pure.

use serde::{Deserialize, Serialize};

use crate::usage::{Amount, Used};

/// The limits of a session, each where it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Turns at most: prompts that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u64>,
    /// Tokens at most, in all turns together, as the agent counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Money at most, in all turns together, in the currency that the agent tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Amount>,
}

impl Limits {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            max_turns: self.max_turns.or(others.max_turns),
            max_tokens: self.max_tokens.or(others.max_tokens),
            max_cost: self.max_cost.or(others.max_cost),
        }
    }

    /// Whether a session that has used this much may not begin another turn; a sentence that says why.
    #[must_use]
    pub fn used_up(&self, used: &Used) -> Option<String> {
        if let Some(limit) = self.max_turns.filter(|limit| used.turns >= *limit) {
            return Some(format!("the session's limit of {limit} turns is used up"));
        }
        if let Some(limit) = self.max_tokens.filter(|limit| used.tokens.total >= *limit) {
            let total = used.tokens.total;
            return Some(format!("the session's limit of {limit} tokens is used up: it has used {total}"));
        }
        let cost = used.cost.as_ref()?;
        let limit = self.max_cost.filter(|limit| cost.amount >= *limit)?;
        Some(format!("the session's limit of {limit} {} is used up: it has cost {cost}", cost.currency))
    }

    /// Whether a running turn must stop, `used` being all turns together with it; a sentence that says why.
    #[must_use]
    pub fn passed(&self, used: &Used) -> Option<String> {
        if let Some(limit) = self.max_tokens.filter(|limit| used.tokens.total > *limit) {
            let total = used.tokens.total;
            return Some(format!("the session's limit of {limit} tokens was passed: it has used {total}"));
        }
        let cost = used.cost.as_ref()?;
        let limit = self.max_cost.filter(|limit| cost.amount > *limit)?;
        Some(format!("the session's limit of {limit} {} was passed: it has cost {cost}", cost.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Cost, Tokens};

    fn used(turns: u64, total: u64, micros: u64) -> Used {
        let cost = Cost { amount: Amount::from_micros(micros), currency: String::from("USD") };
        let cost = (micros > 0).then_some(cost);
        Used { turns, tokens: Tokens { total, ..Tokens::default() }, cost, ..Used::default() }
    }

    #[test]
    fn n11_a_limit_is_used_up_when_reached_and_stops_a_turn_when_passed() {
        let turns = Limits { max_turns: Some(2), ..Limits::default() };
        let tokens = Limits { max_tokens: Some(100), ..Limits::default() };
        let cost = Limits { max_cost: Some(Amount::from_micros(500_000)), ..Limits::default() };
        for (limits, used, up, passed) in [
            (Limits::default(), used(u64::MAX, u64::MAX, u64::MAX), None, false),
            (turns, used(1, 0, 0), None, false),
            (turns, used(2, 0, 0), Some("limit of 2 turns is used up"), false),
            (tokens, used(9, 99, 0), None, false),
            (tokens, used(1, 100, 0), Some("limit of 100 tokens is used up: it has used 100"), false),
            (tokens, used(1, 101, 0), Some("limit of 100 tokens"), true),
            (cost, used(1, 0, 0), None, false),
            (cost, used(1, 0, 499_999), None, false),
            (cost, used(1, 0, 500_000), Some("limit of 0.50 USD is used up: it has cost 0.50 USD"), false),
            (cost, used(1, 0, 500_001), Some("limit of 0.50 USD"), true),
        ] {
            let said = limits.used_up(&used);
            assert_eq!(said.is_some(), up.is_some(), "{limits:?} {used:?}");
            assert!(said.unwrap_or_default().contains(up.unwrap_or_default()), "{limits:?} {used:?}");
            assert_eq!(limits.passed(&used).is_some(), passed, "{limits:?} {used:?}");
        }
    }

    #[test]
    fn a_sessions_own_limits_go_before_the_configured_ones() {
        let own = Limits { max_turns: Some(2), ..Limits::default() };
        let configured = Limits { max_turns: Some(9), max_tokens: Some(7), ..Limits::default() };
        assert_eq!(own.or(configured), Limits { max_turns: Some(2), max_tokens: Some(7), max_cost: None });
    }
}
