//! The prompts that were steered into a turn, by what `claude` reports of them. Pure.
//!
//! ```text
//!   waiting ── started (taken into the turn, or a turn of its own right after it) ──▶ forgotten
//!      └────── cancelled, discarded, refused ────────────────────────────────────────────┘
//! ```
//!
//! The agent ends a turn with a `result`. One that waits then begins a turn of its own, which to skep is still the same:
//! the answer is held back until none waits. An agent that reports nothing ends the turn with its first `result`.

use crate::turn::outcome::Stop;

/// How a turn ended.
pub(super) type Answer = Result<Stop, String>;

/// What a report means for the turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing, or nothing yet.
    Nothing,
    /// What was withdrawn runs all the same: it is to be interrupted.
    RunsOn,
    /// The agent does without a prompt that nobody withdrew; why.
    Unheard(String),
}

/// The steered prompts of one turn.
#[derive(Debug, Default)]
pub(super) struct Steers {
    /// The agent reports what becomes of prompts.
    reports: bool,
    /// The ids of those that are not taken up yet.
    waiting: Vec<String>,
    withdrawn: bool,
    /// The turn's answer, as far as the agent knows.
    held: Option<Answer>,
}

impl Steers {
    /// A turn begins without any.
    pub(super) fn turn_begins(&mut self) {
        *self = Self { reports: self.reports, ..Self::default() };
    }

    /// One is on its way.
    pub(super) fn add(&mut self, id: String) {
        self.waiting.push(id);
    }

    /// The turn is cancelled: the ids of those that are to be withdrawn first.
    pub(super) fn withdraw(&mut self) -> &[String] {
        self.withdrawn = true;
        &self.waiting
    }

    /// The agent has ended a turn; the answer, if that was the end.
    pub(super) fn result(&mut self, answer: Answer) -> Option<Answer> {
        if !self.reports || self.waiting.is_empty() {
            self.turn_begins();
            return Some(answer);
        }
        self.held = Some(answer);
        None
    }

    /// The agent reports on a prompt. The answer may be due after that.
    pub(super) fn report(&mut self, id: &str, state: &str) -> Meaning {
        self.reports = true;
        let Some(at) = self.waiting.iter().position(|waiting| waiting == id) else { return Meaning::Nothing };
        match state {
            "queued" => Meaning::Nothing,
            // With an answer at hand this is a turn of its own, which brings another.
            "started" => {
                self.waiting.remove(at);
                let own_turn = self.held.take().is_some();
                if own_turn && self.withdrawn { Meaning::RunsOn } else { Meaning::Nothing }
            }
            state => {
                self.waiting.remove(at);
                let heard = state == "completed" || self.withdrawn;
                if heard { Meaning::Nothing } else { Meaning::Unheard(state.to_owned()) }
            }
        }
    }

    /// The answer that was held back, once nothing waits for its turn any more.
    pub(super) fn due(&mut self) -> Option<Answer> {
        if !self.waiting.is_empty() {
            return None;
        }
        self.held.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn done(reason: &str) -> Answer {
        Ok(Stop { reason: reason.to_owned(), ..Stop::default() })
    }

    /// Steers, withdrawals (`!`), reports (`started a`) and results, in order; where the turn ended, and with what.
    fn play(steps: &[&str]) -> Vec<String> {
        let mut steers = Steers::default();
        let mut ends = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            match step.split_once(' ') {
                Some(("steer", id)) => steers.add(id.to_owned()),
                Some(("result", reason)) => {
                    ends.extend(
                        steers.result(done(reason)).map(|end| format!("{at} {}", end.unwrap().reason)),
                    );
                }
                Some((state, id)) => {
                    match steers.report(id, state) {
                        Meaning::Nothing => {}
                        Meaning::RunsOn => ends.push(format!("{at} interrupt")),
                        Meaning::Unheard(why) => ends.push(format!("{at} unheard: {why}")),
                    }
                    ends.extend(steers.due().map(|end| format!("{at} {}", end.unwrap().reason)));
                }
                None => ends.push(format!("{at} withdraws {}", steers.withdraw().join(","))),
            }
        }
        ends
    }

    #[test]
    fn a_turn_ends_once_the_agent_has_taken_up_all_that_was_steered_into_it() {
        let table: &[(&[&str], &[&str])] = &[
            (&["queued p", "started p", "result x"], &["2 x"]),
            (&["started p", "steer a", "queued a", "started a", "completed a", "result x"], &["5 x"]),
            // The agent had ended its turn already: a turn of its own.
            (&["started p", "steer a", "result x", "queued a", "started a", "result y"], &["5 y"]),
            (
                &["started p", "steer a", "steer b", "result x", "started a", "started b", "result y"],
                &["6 y"],
            ),
            (
                &[
                    "started p",
                    "steer a",
                    "steer b",
                    "result x",
                    "started a",
                    "result y",
                    "started b",
                    "result z",
                ],
                &["7 z"],
            ),
            (&["started p", "steer a", "result x", "refused a"], &["3 unheard: refused", "3 x"]),
            (&["started p", "steer a", "refused a", "result x"], &["2 unheard: refused", "3 x"]),
            // One that reports nothing.
            (&["steer a", "result x"], &["1 x"]),
            // Cancelled.
            (&["started p", "steer a", "!", "cancelled a", "result x"], &["2 withdraws a", "4 x"]),
            (&["started p", "steer a", "!", "result x", "cancelled a"], &["2 withdraws a", "4 x"]),
            (&["started p", "steer a", "started a", "!", "result x"], &["3 withdraws ", "4 x"]),
            (
                &["started p", "steer a", "!", "result x", "started a", "result y"],
                &["2 withdraws a", "4 interrupt", "5 y"],
            ),
            // What is reported of prompts that nobody knows changes nothing.
            (
                &["started p", "steer a", "cancelled z", "result x", "completed p", "started a", "result y"],
                &["6 y"],
            ),
        ];
        for (steps, ends) in table {
            assert_eq!(play(steps), *ends, "{steps:?}");
        }
    }

    proptest! {
        #[test]
        fn g13_whatever_is_reported_a_turn_ends_once_and_with_its_last_result(
            steps in proptest::collection::vec((0usize..5, 0usize..4), 0..40)
        ) {
            let mut steers = Steers::default();
            steers.turn_begins();
            let (mut last, mut answered) = (None, true);
            for (at, (what, n)) in steps.into_iter().enumerate() {
                let id = n.to_string();
                let end = match what {
                    0 => { steers.add(id); None }
                    1 => {
                        (last, answered) = (Some(at.to_string()), false);
                        steers.result(done(&at.to_string()))
                    }
                    2 => { let _meaning = steers.report(&id, "started"); steers.due() }
                    3 => { let _meaning = steers.report(&id, "cancelled"); steers.due() }
                    _ => { let _ids = steers.withdraw(); None }
                };
                if let Some(end) = end {
                    prop_assert!(!std::mem::replace(&mut answered, true), "one answer for a result");
                    prop_assert_eq!(Some(end.unwrap().reason), last.clone());
                }
            }
        }
    }
}
