//! What turns cost: tokens, and money as exact decimals. Pure; every sum saturates, none drifts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::session::TurnOutcome;

/// Millionths in one unit of a currency.
const MICROS: u64 = 1_000_000;

/// How long the name of a currency may be (ISO 4217 has three letters), in bytes.
const CURRENCY: usize = 8;

/// An amount of money, in millionths of a currency's unit; on the wire a decimal text, such as `"0.102124"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, example = "2.50"))]
pub struct Amount(u64);

/// A text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is a decimal number with at most six places, such as 2.50")]
pub struct BadAmount;

impl Amount {
    /// So many millionths.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// An amount that an agent tells as a JSON number, to the nearest millionth; none if it is negative or no number.
    #[must_use]
    pub fn told(amount: f64) -> Option<Self> {
        let micros = (amount * 1e6).round();
        if !micros.is_finite() || micros < 0.0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked; `as` saturates"
        )]
        let micros = micros as u64;
        Some(Self(micros))
    }

    /// In millionths.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// As a JSON number, the way agents tell it; [`Self::told`] gets the same amount out of it again (up to 2^53
    /// millionths).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "said above")]
    pub const fn as_number(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// What a running total that said `before` has grown by; all of it, if it began anew.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        match self.0.checked_sub(before.0) {
            Some(more) => Self(more),
            None => self,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, micros) = (self.0 / MICROS, self.0 % MICROS);
        let places = format!("{micros:06}");
        let places = places.trim_end_matches('0');
        write!(f, "{units}.{places:0<2}")
    }
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let (units, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || !digits(places) || places.len() > 6 {
            return Err(BadAmount);
        }
        let units: u64 = units.parse().map_err(|_| BadAmount)?;
        let micros: u64 = format!("{places:0<6}").parse().map_err(|_| BadAmount)?;
        units.checked_mul(MICROS).and_then(|units| units.checked_add(micros)).map(Self).ok_or(BadAmount)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What something has cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cost {
    /// How much.
    pub amount: Amount,
    /// Of what, as the agent says: `USD`.
    pub currency: String,
}

impl Cost {
    /// A cost as an agent tells it; none if it makes no sense.
    #[must_use]
    pub fn told(amount: f64, currency: &str) -> Option<Self> {
        let fits = !currency.is_empty()
            && currency.len() <= CURRENCY
            && currency.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let amount = Amount::told(amount)?;
        fits.then(|| Self { amount, currency: currency.to_owned() })
    }

    /// Adds `more` to `sum`. Only one currency is summed, the first one; agents have one each.
    pub fn add(sum: &mut Option<Self>, more: Option<&Self>) {
        match (sum, more) {
            (sum @ None, Some(more)) => *sum = Some(more.clone()),
            (Some(sum), Some(more)) if sum.currency == more.currency => {
                sum.amount = sum.amount.plus(more.amount);
            }
            _ => {}
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// Tokens, as an agent counts them: whether `input` holds what came from a cache differs between agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Tokens {
    /// Read by the model.
    pub input: u64,
    /// Written by it.
    pub output: u64,
    /// Read from its cache.
    pub cached_read: u64,
    /// Written to its cache.
    pub cached_write: u64,
    /// Written while it thought.
    pub thought: u64,
    /// All together, as the agent says; input and output where it does not.
    pub total: u64,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            input: self.input.saturating_add(more.input),
            output: self.output.saturating_add(more.output),
            cached_read: self.cached_read.saturating_add(more.cached_read),
            cached_write: self.cached_write.saturating_add(more.cached_write),
            thought: self.thought.saturating_add(more.thought),
            total: self.total.saturating_add(more.total),
        }
    }

    /// What has come to `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            input: self.input.saturating_sub(before.input),
            output: self.output.saturating_sub(before.output),
            cached_read: self.cached_read.saturating_sub(before.cached_read),
            cached_write: self.cached_write.saturating_sub(before.cached_write),
            thought: self.thought.saturating_sub(before.thought),
            total: self.total.saturating_sub(before.total),
        }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one turn has used, as far as its agent tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Tokens; all zero where the agent tells none.
    #[serde(default, skip_serializing_if = "Tokens::is_empty")]
    pub tokens: Tokens,
    /// Money, where the agent tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Usage {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.cost.is_none()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tokens { input, output, total, .. } = self.tokens;
        if !self.tokens.is_empty() {
            write!(f, "{total} tokens ({input} in, {output} out)")?;
        }
        match &self.cost {
            Some(cost) if self.tokens.is_empty() => write!(f, "{cost}"),
            Some(cost) => write!(f, ", {cost}"),
            None => Ok(()),
        }
    }
}

/// What a session has used since it was created, as far as its agents told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Used {
    /// Turns that were begun: one for each prompt that ran.
    #[serde(default)]
    pub turns: u64,
    /// Turns that have ended, by how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended: BTreeMap<TurnOutcome, u64>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Tokens::is_empty")]
    pub tokens: Tokens,
    /// Money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Used {
    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a turn that has ended so.
    pub fn end(&mut self, outcome: TurnOutcome, usage: &Usage) {
        let count = self.ended.entry(outcome).or_default();
        *count = count.saturating_add(1);
        self.add(usage);
    }

    /// Adds what a turn has used.
    pub fn add(&mut self, usage: &Usage) {
        self.tokens = self.tokens.plus(usage.tokens);
        Cost::add(&mut self.cost, usage.cost.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_decimals() {
        for (text, micros, shown) in [
            ("0", 0, "0.00"),
            ("2.5", 2_500_000, "2.50"),
            ("0.102124", 102_124, "0.102124"),
            ("007.10", 7_100_000, "7.10"),
            ("18446744073709.551615", u64::MAX, "18446744073709.551615"),
        ] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!((amount.as_micros(), amount.to_string().as_str()), (micros, shown));
            assert_eq!(shown.parse(), Ok(amount));
            assert_eq!(Amount::told(amount.as_number()), Some(amount));
            assert_eq!(serde_json::from_str::<Amount>(&format!("\"{shown}\"")).unwrap(), amount);
        }
        for text in ["", ".", "1.", ".5", "-1", "1e3", "1.1234567", "18446744073709.551616", "1,5", " 1"] {
            assert_eq!(text.parse::<Amount>(), Err(BadAmount), "{text}");
        }
    }

    #[test]
    fn what_agents_tell_becomes_the_nearest_millionth_and_sums_do_not_drift() {
        assert_eq!(Amount::told(0.102_123_999_999_999_99), Some(Amount::from_micros(102_124)));
        assert_eq!(Amount::told(1e300), Some(Amount::from_micros(u64::MAX)));
        for nonsense in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Amount::told(nonsense), None);
        }
        let mut sum = None;
        for _ in 0..1_000_000 {
            Cost::add(&mut sum, Cost::told(0.1, "USD").as_ref());
        }
        assert_eq!(sum.unwrap().to_string(), "100000.00 USD");
    }

    #[test]
    fn a_running_total_that_begins_anew_counts_whole() {
        let (small, large) = (Amount::from_micros(3), Amount::from_micros(10));
        assert_eq!((large.since(small).as_micros(), small.since(large).as_micros()), (7, 3));
    }

    #[test]
    fn another_currency_is_not_added_to_the_first() {
        let mut sum = Cost::told(1.0, "USD");
        Cost::add(&mut sum, Cost::told(1.0, "EUR").as_ref());
        assert_eq!(sum.unwrap().to_string(), "1.00 USD");
        for currency in ["", "\u{1b}[31m", "a very long name"] {
            assert_eq!(Cost::told(1.0, currency), None);
        }
    }
}
