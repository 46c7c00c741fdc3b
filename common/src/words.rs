//! The words that people read for states, outcomes, causes and modes, wherever they stand. Pure.

use crate::api::WorkerState;
use crate::event::{AgentExited, PermissionResolved, TurnEnded};
use crate::session::{Cause, DecidedBy, PermissionMode, Resolution, SessionState, TurnOutcome};

/// A session's state.
#[must_use]
pub const fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Queued => "queued",
        SessionState::Starting => "starting",
        SessionState::Idle => "idle",
        SessionState::Running => "running",
        SessionState::NeedsYou => "needs you",
        SessionState::Hibernated => "hibernated",
        SessionState::Interrupted => "interrupted",
        SessionState::Closed => "closed",
        SessionState::Failed => "failed",
        SessionState::Unknown => "unknown",
    }
}

/// A worker's state.
#[must_use]
pub const fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Idle => "idle",
        WorkerState::Starting => "starting",
        WorkerState::Running => "running",
        WorkerState::Backoff => "backoff",
        WorkerState::Stopping => "stopping",
        WorkerState::Stopped => "stopped",
        WorkerState::Parked => "parked",
        WorkerState::Unknown => "unknown",
    }
}

/// How a turn ended.
#[must_use]
pub const fn outcome(outcome: TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Completed => "completed",
        TurnOutcome::Suspect => "suspect",
        TurnOutcome::Cancelled => "cancelled",
        TurnOutcome::Refused => "refused",
        TurnOutcome::Failed => "failed",
        TurnOutcome::Interrupted => "interrupted",
        TurnOutcome::Limit => "limit reached",
        TurnOutcome::Unknown => "ended in a way that this version does not know",
    }
}

/// Why something ended.
#[must_use]
pub const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Person => "a person asked for it",
        Cause::Killed => "killed",
        Cause::AgentCrashed => "the agent crashed",
        Cause::WorkerCrashed => "the worker crashed",
        Cause::SupervisorGone => "the daemon went away",
        Cause::DaemonStopped => "the daemon was stopped",
        Cause::WorkerStopped => "its worker was stopped",
        Cause::Parked => "its worker is parked",
        Cause::TimedOut => "the time limit was reached",
        Cause::Limit => "the session's limit",
        Cause::Idle => "idle for too long",
        Cause::Memory => "idle while memory was short",
        Cause::Ephemeral => "it was to end with its first turn",
        Cause::Finished => "its command has ended",
        Cause::Upgraded => "a newer skep took over",
        Cause::AgentGaveUp => "the agent gave it up",
        Cause::Credentials => "keys that its agent had are missing",
        Cause::ContentNotSupported => "its agent does not take what the prompt holds",
        Cause::StorageFailed => "the disk failed",
        Cause::Unknown => "the cause is unknown",
        Cause::Other => "a cause that this version does not know",
    }
}

/// A permission mode, as it is written on the command line.
#[must_use]
pub const fn mode(mode: PermissionMode) -> &'static str {
    match mode {
        PermissionMode::Ask => "ask",
        PermissionMode::AcceptEdits => "accept-edits",
        PermissionMode::Plan => "plan",
        PermissionMode::Deny => "deny",
        PermissionMode::Bypass => "bypass",
    }
}

/// What a mode will ask.
#[must_use]
pub const fn mode_asks(mode: PermissionMode) -> &'static str {
    match mode {
        PermissionMode::Ask => "every command and every edit waits for your answer",
        PermissionMode::AcceptEdits => "edits are allowed, everything else waits for your answer",
        PermissionMode::Plan => "reading is allowed, everything else is denied without asking",
        PermissionMode::Deny => "everything that needs consent is denied without asking",
        PermissionMode::Bypass => "nothing will be asked: everything is allowed",
    }
}

/// What a tool of this ACP kind does, as a verb.
#[must_use]
pub fn verb(tool_kind: &str) -> &str {
    match tool_kind {
        "execute" => "run",
        "edit" => "edit",
        "delete" => "delete",
        "move" => "move",
        "read" => "read",
        "search" => "search",
        "fetch" => "fetch",
        _ => "do",
    }
}

/// What an agent wants, in one line.
#[must_use]
pub fn wish(tool_kind: &str, title: &str) -> String {
    format!("wants to {}: {title}", verb(tool_kind))
}

/// A turn's end in one line.
#[must_use]
pub fn turn_ended(end: &TurnEnded) -> String {
    turn(end.outcome, end.cause, end.detail.as_deref())
}

/// A turn's end in one line, from its parts.
#[must_use]
pub fn turn(ended: TurnOutcome, because: Option<Cause>, detail: Option<&str>) -> String {
    let mut text = String::from(outcome(ended));
    let said = |c: &Cause| match c {
        Cause::Person => ended == TurnOutcome::Cancelled,
        Cause::Limit | Cause::ContentNotSupported => detail.is_some(),
        _ => false,
    };
    let because = because.filter(|c| !said(c));
    for more in [because.map(cause), detail].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(more);
    }
    text
}

/// An agent's end in one line.
#[must_use]
pub fn agent_exited(exit: &AgentExited) -> String {
    let mut text = match exit.cause {
        Cause::AgentCrashed => cause(exit.cause).to_owned(),
        because => format!("the agent ended: {}", cause(because)),
    };
    // Recovery was not there to see how it ended.
    if exit.status != "unknown" {
        text.push_str(": ");
        text.push_str(&exit.status);
    }
    text
}

/// How a permission request was resolved, in one line.
#[must_use]
pub fn resolved(resolved: &PermissionResolved) -> String {
    let what = match resolved.resolution {
        Resolution::Allowed => "allowed",
        Resolution::Denied => "denied",
        Resolution::Cancelled => "cancelled",
        Resolution::Withdrawn => "withdrawn",
        Resolution::DeliveryUnknown => "answered, but whether the agent heard it is unknown",
    };
    let by = match &resolved.by {
        DecidedBy::Client { via, .. } => format!("by {via}"),
        DecidedBy::Mode { mode: by } => format!("by mode {}", mode(*by)),
        DecidedBy::Rule { rule } => format!("by {rule}"),
        DecidedBy::OwnCommand => String::from("as your own command"),
        DecidedBy::System { cause: why } => cause(*why).to_owned(),
    };
    format!("{what} ({by})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_end_names_its_cause_and_status() {
        let ended = |cause, status: &str| agent_exited(&AgentExited { status: status.to_owned(), cause });
        assert_eq!(ended(Cause::AgentCrashed, "exit status 1"), "the agent crashed: exit status 1");
        assert_eq!(
            ended(Cause::Idle, "signal 9 (SIGKILL)"),
            "the agent ended: idle for too long: signal 9 (SIGKILL)"
        );
        assert_eq!(ended(Cause::WorkerCrashed, "unknown"), "the agent ended: the worker crashed");
    }

    #[test]
    fn a_turns_end_names_its_cause_and_detail() {
        assert_eq!(turn(TurnOutcome::Completed, None, None), "completed");
        assert_eq!(turn(TurnOutcome::Failed, None, Some("exit status 3")), "failed: exit status 3");
        assert_eq!(turn(TurnOutcome::Cancelled, Some(Cause::Person), None), "cancelled");
        assert_eq!(turn(TurnOutcome::Limit, Some(Cause::Limit), Some("2 turns")), "limit reached: 2 turns");
        assert_eq!(
            turn(TurnOutcome::Interrupted, Some(Cause::WorkerCrashed), Some("signal 9 (SIGKILL)")),
            "interrupted: the worker crashed: signal 9 (SIGKILL)"
        );
    }
}
