//! A turn's outcome as an exit status. Pure.

use skep_common::session::{Cause, TurnOutcome, TurnSummary};

use crate::exit::Exit;

/// The exit status for a turn that ended.
pub(crate) fn exit_for(outcome: TurnOutcome, cause: Option<Cause>) -> Exit {
    match outcome {
        TurnOutcome::Completed => Exit::Completed,
        TurnOutcome::Limit if cause == Some(Cause::TimedOut) => Exit::TimedOut,
        // As older journals have it.
        TurnOutcome::Cancelled if cause == Some(Cause::TimedOut) => Exit::TimedOut,
        TurnOutcome::Cancelled => Exit::Cancelled,
        TurnOutcome::Suspect
        | TurnOutcome::Refused
        | TurnOutcome::Failed
        | TurnOutcome::Interrupted
        | TurnOutcome::Limit
        | TurnOutcome::Unknown => Exit::Failed,
    }
}

/// The exit status for a session's last turn; a session without one has nothing to complain about.
pub(crate) fn exit_for_last(last: Option<&TurnSummary>) -> Exit {
    last.map_or(Exit::Completed, |turn| exit_for(turn.outcome, turn.cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_documented_statuses() {
        let table = [
            (TurnOutcome::Completed, None, 0),
            (TurnOutcome::Suspect, None, 1),
            (TurnOutcome::Refused, None, 1),
            (TurnOutcome::Failed, None, 1),
            (TurnOutcome::Interrupted, Some(Cause::WorkerCrashed), 1),
            (TurnOutcome::Limit, None, 1),
            (TurnOutcome::Limit, Some(Cause::Limit), 1),
            (TurnOutcome::Limit, Some(Cause::TimedOut), 124),
            (TurnOutcome::Cancelled, Some(Cause::Person), 130),
            (TurnOutcome::Cancelled, None, 130),
            (TurnOutcome::Cancelled, Some(Cause::TimedOut), 124),
        ];
        for (outcome, cause, status) in table {
            assert_eq!(exit_for(outcome, cause).status(), status, "{outcome:?} {cause:?}");
        }
        assert_eq!(exit_for_last(None), Exit::Completed);
    }
}
