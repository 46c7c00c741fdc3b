//! `[session.limits]`: what a session may use where it does not say itself (N11).

use skep_common::session::Limits;
use skep_common::usage::Amount;
use toml::de::DeValue;

use crate::schema::{Refusal, Schema, Setting, Visitor};

impl Setting for u64 {
    fn expected() -> String {
        String::from("a whole number")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let number = value.as_integer().ok_or(Refusal::Type)?;
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let parsed = parsed.and_then(|number| i64::try_from(number).ok());
        match parsed.map(Self::try_from) {
            Some(Ok(number)) => Ok(number),
            _ => Err(Refusal::Value(format!("it must lie between 0 and {}", i64::MAX))),
        }
    }

    fn write(&self) -> toml::Value {
        i64::try_from(*self).unwrap_or(i64::MAX).into()
    }
}

impl Setting for Amount {
    fn expected() -> String {
        String::from("an amount of money in quotes, such as \"2.50\"")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let text = value.as_str().ok_or(Refusal::Type)?;
        text.parse().map_err(|error: skep_common::usage::BadAmount| Refusal::Value(error.to_string()))
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Schema for Limits {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.optional("max_turns", &mut self.max_turns);
        v.optional("max_tokens", &mut self.max_tokens);
        v.optional("max_cost", &mut self.max_cost);
    }
}
