//! How a run ended, judged from its status and its output. Pure.
//!
//! Neither says enough alone: `pi` ends with status 0 after a failure, others with 1 after saying more (agents.md 5.1).

use skep_common::session::{Cause, TurnOutcome};
use skep_sys::spawn::ExitCause;

use crate::turn::outcome::{End, Seen, stopped};

/// The end of a command that was run for a prompt. Nothing of its tree is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// How its process ended; none if it was never started.
    pub(crate) status: Option<ExitCause>,
    /// It was stopped, by a cancel or otherwise.
    pub(crate) stopped: bool,
    /// The agent's own failure.
    pub(crate) failure: Option<String>,
    /// The limit that it reached.
    pub(crate) limit: Option<String>,
    /// The last line of its standard error.
    pub(crate) stderr: Option<String>,
}

impl Finished {
    /// A command that was not run.
    pub(super) fn unstarted(stopped: bool) -> Self {
        Self { status: None, stopped, failure: None, limit: None, stderr: None }
    }

    /// Judges the turn; `cancel` is the cause of a cancel that was asked for.
    pub(crate) fn end(&self, seen: Seen, cancel: Option<Cause>) -> End {
        let exit_code = match self.status {
            Some(ExitCause::Code(code)) => Some(code),
            Some(ExitCause::Signal(..) | ExitCause::Unknown) | None => None,
        };
        let (mut outcome, detail) = self.outcome(seen);
        let cause = cancel.filter(|_| outcome == TurnOutcome::Cancelled);
        let stop_reason = match outcome {
            TurnOutcome::Completed => Some(String::from("end_turn")),
            TurnOutcome::Cancelled => Some(String::from("cancelled")),
            _ => None,
        };
        outcome = cause.map_or(outcome, stopped);
        End { outcome, cause, stop_reason, detail, exit_code: exit_code.filter(|_| !self.stopped) }
    }

    fn outcome(&self, seen: Seen) -> (TurnOutcome, Option<String>) {
        if self.stopped {
            return (TurnOutcome::Cancelled, None);
        }
        let Some(status) = self.status else {
            return (TurnOutcome::Refused, Some(String::from("a permission was denied")));
        };
        if let Some(limit) = &self.limit {
            return (TurnOutcome::Limit, Some(limit.clone()));
        }
        if !status.is_success() {
            let why = self.failure.as_ref().or(self.stderr.as_ref());
            let detail = why.map_or_else(|| status.to_string(), |why| format!("{status}: {why}"));
            return (TurnOutcome::Failed, Some(detail));
        }
        match &self.failure {
            Some(failure) => (TurnOutcome::Failed, Some(failure.clone())),
            None if seen.work => (TurnOutcome::Completed, None),
            None => (TurnOutcome::Suspect, Some(String::from("the command gave no text and used no tool"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(status: ExitCause, failure: Option<&str>) -> Finished {
        let failure = failure.map(ToOwned::to_owned);
        Finished { status: Some(status), failure, ..Finished::unstarted(false) }
    }

    #[test]
    fn status_and_output_are_judged_together() {
        let (idle, work) = (Seen::default(), Seen { work: true, ..Seen::default() });
        let ok = ExitCause::Code(0);
        for (end, seen, outcome, detail) in [
            (finished(ok, None), work, TurnOutcome::Completed, None),
            (finished(ok, None), idle, TurnOutcome::Suspect, Some("no text")),
            (finished(ok, Some("400")), work, TurnOutcome::Failed, Some("400")),
            (
                finished(ExitCause::Code(144), Some("400")),
                work,
                TurnOutcome::Failed,
                Some("exit status 144: 400"),
            ),
            (finished(ExitCause::Code(3), None), work, TurnOutcome::Failed, Some("exit status 3")),
            (finished(ExitCause::Signal(9, false), None), work, TurnOutcome::Failed, Some("SIGKILL")),
            (finished(ExitCause::Unknown, None), work, TurnOutcome::Failed, Some("")),
            (Finished::unstarted(false), idle, TurnOutcome::Refused, Some("denied")),
            (Finished::unstarted(true), idle, TurnOutcome::Cancelled, None),
        ] {
            let judged = end.end(seen, None);
            assert_eq!(judged.outcome, outcome, "{end:?}");
            match detail {
                Some(detail) => assert!(judged.detail.as_ref().unwrap().contains(detail), "{judged:?}"),
                None => assert_eq!(judged.detail, None),
            }
        }
    }

    #[test]
    fn a_cancel_is_a_cancel_only_if_it_ended_the_command() {
        let work = Seen { work: true, ..Seen::default() };
        let stopped = Finished { stopped: true, ..finished(ExitCause::Signal(15, false), None) };
        let end = stopped.end(work, Some(Cause::TimedOut));
        assert_eq!((end.outcome, end.cause), (TurnOutcome::Limit, Some(Cause::TimedOut)));
        let end = finished(ExitCause::Code(0), None).end(work, Some(Cause::Person));
        assert_eq!((end.outcome, end.cause), (TurnOutcome::Completed, None));
    }

    #[test]
    fn stderr_explains_a_status_where_the_output_does_not() {
        let end = Finished { stderr: Some("no key".into()), ..finished(ExitCause::Code(1), None) };
        assert_eq!(end.end(Seen::default(), None).detail.as_deref(), Some("exit status 1: no key"));
        let limit = Finished { limit: Some("turns".into()), ..finished(ExitCause::Code(1), None) };
        assert_eq!(limit.end(Seen::default(), None).outcome, TurnOutcome::Limit);
    }
}
