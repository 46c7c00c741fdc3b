//! What a turn uses, from the forms in which agents tell it (agents.md): a running total of the agent's session
//! (`usage_update` with a cost), one model request after the other (`_meta.usage` beside a chunk, steps of one-shot
//! agents), or the whole turn with its answer (`usage`, `_meta.quota`). Pure.

use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::usage::{Amount, Cost, Tokens, Usage};

use crate::acp::message::read;

/// The usage of one session's running turn.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// What the agent's running total of costs said last.
    total: Option<Cost>,
    /// The sum of the single requests.
    steps: Tokens,
    /// All of the turn, as a one-shot agent's last line says.
    whole: Option<Tokens>,
    cost: Option<Cost>,
}

impl Meter {
    /// An agent serves the session. One that brought its context back goes on with the costs of the session so far; a
    /// total that begins anew is recognised by being lower.
    pub(crate) fn agent_started(&mut self, so_far: Option<&Cost>) {
        self.total = so_far.cloned();
    }

    /// A new turn has used nothing.
    pub(crate) fn turn_begins(&mut self) {
        (self.steps, self.whole, self.cost) = (Tokens::default(), None, None);
    }

    /// Takes note of an update; whether it told anything.
    pub(crate) fn update(&mut self, update: &RawValue) -> bool {
        let text = update.get().as_bytes();
        if memchr::memmem::find(text, b"usage").is_none() {
            return false;
        }
        let Ok(said) = read::<Value>(update) else { return false };
        let ours = &said["_meta"]["skep"];
        match said["sessionUpdate"].as_str() {
            Some("usage_update") if ours.is_object() => self.one_shot(&said, ours),
            Some("usage_update") => self.running_total(&said["cost"]),
            _ => match tokens(&said["_meta"]["usage"]) {
                Some(step) => {
                    self.steps = self.steps.plus(step);
                    true
                }
                None => false,
            },
        }
    }

    /// What the turn has used, `answer` being what the agent said of it at its end.
    pub(crate) fn turn(&self, answer: Option<Tokens>) -> Usage {
        let tokens = answer.or(self.whole).unwrap_or(self.steps);
        Usage { tokens, cost: self.cost.clone() }
    }

    /// Updates that skep itself makes of a one-shot agent's lines: the costs are those of the turn.
    fn one_shot(&mut self, said: &Value, ours: &Value) -> bool {
        if let Some(told) = tokens(ours) {
            match ours["step"].as_bool() {
                Some(true) => self.steps = self.steps.plus(told),
                _ => self.whole = Some(told),
            }
        }
        if let Some(cost) = cost(&said["cost"]) {
            self.cost = Some(cost);
        }
        true
    }

    fn running_total(&mut self, told: &Value) -> bool {
        let Some(now) = cost(told) else { return false };
        let before = self.total.as_ref().filter(|before| before.currency == now.currency);
        let before = before.map_or_else(Amount::default, |before| before.amount);
        let more = Cost { amount: now.amount.since(before), currency: now.currency.clone() };
        self.total = Some(now);
        Cost::add(&mut self.cost, Some(&more));
        true
    }
}

/// The tokens that an answer to a prompt tells: `usage` (ACP), else `_meta.quota.token_count`.
pub(crate) fn of_answer(answer: &Value) -> Option<Tokens> {
    tokens(&answer["usage"]).or_else(|| tokens(&answer["_meta"]["quota"]["token_count"]))
}

/// Tokens under the names that agents give them; none if there are none.
fn tokens(value: &Value) -> Option<Tokens> {
    let object = value.as_object()?;
    let of = |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_u64()).unwrap_or(0);
    let tokens = Tokens {
        input: of(&["inputTokens", "input_tokens"]),
        output: of(&["outputTokens", "output_tokens"]),
        cached_read: of(&["cachedReadTokens", "cachedInputTokens", "cache_read_tokens"]),
        cached_write: of(&["cachedWriteTokens", "cacheWriteInputTokens", "cache_write_tokens"]),
        thought: of(&["thoughtTokens", "reasoningOutputTokens", "thought_tokens"]),
        total: of(&["totalTokens", "total_tokens"]),
    };
    let sum = tokens.input.saturating_add(tokens.output);
    let total = if tokens.total == 0 { sum } else { tokens.total };
    Some(Tokens { total, ..tokens }).filter(|tokens| !tokens.is_empty())
}

fn cost(value: &Value) -> Option<Cost> {
    Cost::told(value["amount"].as_f64()?, value["currency"].as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tell(meter: &mut Meter, update: &Value) -> bool {
        meter.update(&RawValue::from_string(update.to_string()).unwrap())
    }

    fn spent(amount: f64) -> Value {
        json!({"sessionUpdate": "usage_update", "used": 9, "size": 10, "cost": {"amount": amount, "currency": "USD"}})
    }

    fn cost_of(meter: &Meter) -> Option<String> {
        meter.turn(None).cost.map(|cost| cost.to_string())
    }

    #[test]
    fn answers_of_the_real_agents_are_understood() {
        let claude = json!({"stopReason": "end_turn", "usage": {"inputTokens": 11915, "outputTokens": 10,
            "cachedReadTokens": 3, "cachedWriteTokens": 4, "totalTokens": 11932},
            "_meta": {"quota": {"token_count": {"totalTokens": 1}}}});
        let codex = json!({"usage": {"totalTokens": 22815, "inputTokens": 22777, "cachedReadTokens": 0,
            "cachedWriteTokens": 0, "outputTokens": 38, "thoughtTokens": 5}});
        let gemini =
            json!({"_meta": {"quota": {"token_count": {"input_tokens": 12517, "output_tokens": 10}}}});
        let tokens = Tokens::default();
        for (answer, expected) in [
            (
                claude,
                Tokens { input: 11915, output: 10, cached_read: 3, cached_write: 4, total: 11932, ..tokens },
            ),
            (codex, Tokens { input: 22777, output: 38, thought: 5, total: 22815, ..tokens }),
            (gemini, Tokens { input: 12517, output: 10, total: 12527, ..tokens }),
        ] {
            assert_eq!(of_answer(&answer), Some(expected));
        }
        for nothing in [
            json!({}),
            json!(null),
            json!({"usage": {"totalTokens": 0}}),
            json!({"usage": {"totalTokens": -1}}),
            json!({"usage": [1], "_meta": {"quota": 7}}),
        ] {
            assert_eq!(of_answer(&nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_running_total_counts_by_its_growth() {
        let mut meter = Meter::default();
        meter.turn_begins();
        assert!(tell(&mut meter, &spent(0.05)) && tell(&mut meter, &spent(0.052_056)));
        assert_eq!(cost_of(&meter).as_deref(), Some("0.052056 USD"));
        meter.turn_begins();
        assert_eq!(cost_of(&meter), None);
        tell(&mut meter, &spent(0.099_984));
        assert_eq!(cost_of(&meter).as_deref(), Some("0.047928 USD"));
        // The agent was started anew: with the same total going on, or with one from nothing.
        let so_far = Cost::told(0.1, "USD");
        for (told, expected) in [(0.25, "0.15 USD"), (0.04, "0.04 USD")] {
            meter.agent_started(so_far.as_ref());
            meter.turn_begins();
            tell(&mut meter, &spent(told));
            assert_eq!(cost_of(&meter).as_deref(), Some(expected));
        }
    }

    #[test]
    fn single_requests_add_up_until_the_whole_is_told() {
        let mut meter = Meter::default();
        let chunk = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""},
            "_meta": {"usage": {"inputTokens": 100, "outputTokens": 10, "totalTokens": 110}}});
        assert!(tell(&mut meter, &chunk) && tell(&mut meter, &chunk));
        assert_eq!(meter.turn(None).tokens.total, 220);
        let whole = Tokens { total: 300, ..Tokens::default() };
        assert_eq!(meter.turn(Some(whole)).tokens, whole);
        meter.turn_begins();
        let ours = |step: bool, input: u64| {
            json!({"sessionUpdate": "usage_update", "used": 1, "size": 0, "cost": {"amount": 0.5, "currency": "USD"},
                "_meta": {"skep": {"input_tokens": input, "output_tokens": 1, "step": step}}})
        };
        assert!(tell(&mut meter, &ours(true, 4)) && tell(&mut meter, &ours(true, 5)));
        assert_eq!((meter.turn(None).tokens.total, cost_of(&meter).as_deref()), (11, Some("0.50 USD")));
        tell(&mut meter, &ours(false, 20));
        assert_eq!(meter.turn(None).tokens.total, 21);
    }

    #[test]
    fn other_updates_tell_nothing() {
        let mut meter = Meter::default();
        for update in [
            json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "\"usage\": 1"}}),
            json!({"sessionUpdate": "usage_update", "used": 5, "size": 10}),
            json!({"sessionUpdate": "usage_update", "cost": {"amount": "1", "currency": "USD"}}),
            json!({"sessionUpdate": "usage_update", "cost": {"amount": -1, "currency": "USD"}}),
            json!({"usage": 7}),
            json!(7),
        ] {
            assert!(!tell(&mut meter, &update), "{update}");
        }
        assert!(meter.turn(None).is_empty());
    }

    proptest! {
        #[test]
        fn the_turns_of_one_total_add_up_to_it(totals in proptest::collection::vec(0u32..1_000_000, 1..20)) {
            let mut totals = totals;
            totals.sort_unstable();
            let (mut meter, mut sum) = (Meter::default(), None);
            for total in &totals {
                meter.turn_begins();
                tell(&mut meter, &spent(f64::from(*total) / 1e6));
                Cost::add(&mut sum, meter.turn(None).cost.as_ref());
            }
            let last = u64::from(*totals.last().unwrap());
            prop_assert_eq!(sum.map(|cost| cost.amount.as_micros()), Some(last));
        }
    }
}
