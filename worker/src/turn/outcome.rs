//! How a turn ended, from what the agent said. Pure.

use skep_common::session::{Cause, TurnOutcome};
use skep_common::usage::Tokens;

/// What an agent answered to a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    /// ACP's stop reason.
    pub reason: String,
    /// `_meta.skep.exit_code`: the exit status of the built-in shell agent's command.
    pub exit_code: Option<i32>,
    /// `_meta.skep.signal`: the signal that ended it.
    pub signal: Option<i32>,
    /// The tokens that it says its turn took.
    pub tokens: Option<Tokens>,
    /// Codex says beside its answer that its own session failed (`_meta.codex.threadStatus`).
    pub broken: bool,
}

/// What happened in the turn beside the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The agent gave text or used a tool.
    pub work: bool,
    /// A permission was denied.
    pub denied: bool,
    /// The agent said that its own session failed.
    pub broken: bool,
}

/// The end of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why, where that is not the agent's own doing.
    pub cause: Option<Cause>,
    /// ACP's stop reason.
    pub stop_reason: Option<String>,
    /// More, for a person.
    pub detail: Option<String>,
    /// The command's exit status.
    pub exit_code: Option<i32>,
}

impl End {
    /// An end that skep itself brought about.
    #[must_use]
    pub fn ours(outcome: TurnOutcome, cause: Cause, detail: Option<String>) -> Self {
        Self { outcome, cause: Some(cause), stop_reason: None, detail, exit_code: None }
    }

    /// The agent could not do it.
    #[must_use]
    pub fn failed(detail: String) -> Self {
        Self {
            outcome: TurnOutcome::Failed,
            cause: None,
            stop_reason: None,
            detail: Some(detail),
            exit_code: None,
        }
    }
}

/// How a turn ends that was stopped for this cause.
#[must_use]
pub const fn stopped(cause: Cause) -> TurnOutcome {
    match cause {
        Cause::TimedOut | Cause::Limit => TurnOutcome::Limit,
        _ => TurnOutcome::Cancelled,
    }
}

/// Judges an answer; `cancel` is the cause of a cancel that was asked for.
#[must_use]
pub fn judge(answer: Result<&Stop, &str>, seen: Seen, cancel: Option<Cause>) -> End {
    let stop = match (answer, cancel) {
        (Err(_), Some(cause)) => return End::ours(stopped(cause), cause, None),
        (Err(message), None) => return End::failed(message.to_owned()),
        (Ok(stop), _) => stop,
    };
    let (outcome, detail) = match stop.reason.as_str() {
        "cancelled" if cancel.is_some() => (cancel.map_or(TurnOutcome::Cancelled, stopped), None),
        "cancelled" if seen.denied => (TurnOutcome::Refused, Some(DENIED.to_owned())),
        "cancelled" => (TurnOutcome::Cancelled, Some(String::from("the agent cancelled the turn by itself"))),
        "max_tokens" => (TurnOutcome::Limit, Some(String::from("the model's token limit was reached"))),
        "max_turn_requests" => {
            (TurnOutcome::Limit, Some(String::from("the agent's limit of model requests was reached")))
        }
        "refusal" => (TurnOutcome::Refused, None),
        "end_turn" if stop.broken || seen.broken => (TurnOutcome::Failed, Some(BROKEN.to_owned())),
        // Cut off before it had begun, by an agent that does not say so.
        "end_turn" if cancel.is_some() && !seen.work && stop.exit_code.is_none() && stop.signal.is_none() => {
            (TurnOutcome::Cancelled, None)
        }
        "end_turn" => ended(stop, seen),
        other => (TurnOutcome::Suspect, Some(format!("unknown stop reason `{other}`"))),
    };
    let cause = cancel.filter(|cause| stop.reason == "cancelled" && outcome == stopped(*cause));
    End { outcome, cause, stop_reason: Some(stop.reason.clone()), detail, exit_code: stop.exit_code }
}

const BROKEN: &str = "the agent reports an error of its own";

const DENIED: &str = "a permission was denied";

fn ended(stop: &Stop, seen: Seen) -> (TurnOutcome, Option<String>) {
    match (stop.exit_code, stop.signal) {
        (_, Some(signal)) => (TurnOutcome::Failed, Some(format!("signal {signal}"))),
        (Some(0), None) => (TurnOutcome::Completed, None),
        (Some(code), None) => (TurnOutcome::Failed, Some(format!("exit status {code}"))),
        (None, None) if seen.work => (TurnOutcome::Completed, None),
        (None, None) if seen.denied => (TurnOutcome::Refused, Some(DENIED.to_owned())),
        (None, None) => (TurnOutcome::Suspect, Some(String::from("the agent gave no text and did nothing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(reason: &str, exit_code: Option<i32>) -> Stop {
        Stop { reason: reason.to_owned(), exit_code, ..Stop::default() }
    }

    #[test]
    fn every_stop_reason_has_its_outcome() {
        let work = Seen { work: true, ..Seen::default() };
        let denied = Seen { denied: true, ..work };
        let broken = Seen { broken: true, ..work };
        let person = Some(Cause::Person);
        for (reason, exit_code, seen, cancel, outcome) in [
            ("end_turn", None, work, None, TurnOutcome::Completed),
            ("end_turn", None, Seen::default(), None, TurnOutcome::Suspect),
            ("end_turn", Some(0), Seen::default(), None, TurnOutcome::Completed),
            ("end_turn", Some(3), work, None, TurnOutcome::Failed),
            ("end_turn", None, work, person, TurnOutcome::Completed),
            ("end_turn", None, Seen::default(), person, TurnOutcome::Cancelled),
            ("end_turn", Some(0), Seen::default(), person, TurnOutcome::Completed),
            ("cancelled", None, work, person, TurnOutcome::Cancelled),
            ("cancelled", None, work, Some(Cause::TimedOut), TurnOutcome::Limit),
            ("cancelled", None, work, Some(Cause::Limit), TurnOutcome::Limit),
            ("end_turn", None, work, Some(Cause::Limit), TurnOutcome::Completed),
            ("cancelled", None, denied, None, TurnOutcome::Refused),
            ("cancelled", None, work, None, TurnOutcome::Cancelled),
            ("refusal", None, work, None, TurnOutcome::Refused),
            ("max_tokens", None, work, None, TurnOutcome::Limit),
            ("max_turn_requests", None, work, None, TurnOutcome::Limit),
            ("end_turn", None, broken, None, TurnOutcome::Failed),
            ("cancelled", None, broken, person, TurnOutcome::Cancelled),
            ("telepathy", None, work, None, TurnOutcome::Suspect),
        ] {
            let end = judge(Ok(&stop(reason, exit_code)), seen, cancel);
            assert_eq!(end.outcome, outcome, "{reason} {exit_code:?} {seen:?} {cancel:?}");
            assert_eq!(end.stop_reason.as_deref(), Some(reason));
        }
    }

    #[test]
    fn a_command_that_failed_fails_the_turn_and_says_how() {
        let end = judge(Ok(&stop("end_turn", Some(3))), Seen::default(), None);
        assert_eq!((end.detail.as_deref(), end.exit_code), (Some("exit status 3"), Some(3)));
        let killed = Stop { signal: Some(9), ..stop("end_turn", None) };
        assert_eq!(judge(Ok(&killed), Seen::default(), None).detail.as_deref(), Some("signal 9"));
    }

    #[test]
    fn an_error_fails_the_turn_unless_it_was_cancelled() {
        let end = judge(Err("quota"), Seen::default(), None);
        assert_eq!((end.outcome, end.detail.as_deref()), (TurnOutcome::Failed, Some("quota")));
        let end = judge(Err("aborted"), Seen::default(), Some(Cause::TimedOut));
        assert_eq!((end.outcome, end.cause), (TurnOutcome::Limit, Some(Cause::TimedOut)));
    }
}
