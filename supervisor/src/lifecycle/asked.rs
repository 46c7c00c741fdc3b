//! What a worker does when somebody asks: start, stop, kill, restart, park, unpark. None of it counts as a failure
//! (promise 6).

use skep_common::session::Cause;

use super::{By, Ctx, Effect, Ladder, Next, Pace, Phase, State, Stepped, spawn, terminate};

pub(super) fn start(state: &State) -> Stepped {
    match &state.phase {
        Phase::Idle | Phase::Stopped { .. } => spawn(state, Pace::Immediate, Vec::new()),
        Phase::Backoff { .. } => spawn(state, Pace::Immediate, vec![Effect::CancelTimer]),
        Phase::Starting(_) | Phase::Running { .. } => state.unchanged(),
        Phase::Stopping { .. } | Phase::Sweeping { .. } => state.then(Next::Start),
        Phase::Parked { .. } => Err(state.illegal("start")),
    }
}

pub(super) fn stop(state: &State, cause: Cause, ctx: &Ctx<'_>) -> Stepped {
    let next = Next::Stop { why: asked(cause).to_owned() };
    if let Some((run, ready)) = state.living() {
        let ladder = Ladder::StopTerm { kill_at: ctx.now + ctx.policy.grace };
        return terminate(state, run, ready, ladder, By::Asked(cause), next, cause);
    }
    match state.phase.clone() {
        Phase::Stopping { run, ready, ladder: Ladder::StopTerm { .. }, next: before, .. } => {
            let (by, next) = (By::Asked(cause), parked_or(before, next));
            let phase = Phase::Stopping { run, ready, ladder: Ladder::Killed, by, next };
            Ok((state.to(phase), vec![Effect::CancelTimer, Effect::Kill, Effect::Publish]))
        }
        Phase::Stopping { run, ready, ladder, next: before, .. } => {
            let ladder = match ladder {
                Ladder::Term { kill_at } => Ladder::StopTerm { kill_at },
                Ladder::StopTerm { .. } | Ladder::Killed => ladder,
            };
            let phase =
                Phase::Stopping { run, ready, ladder, by: By::Asked(cause), next: parked_or(before, next) };
            Ok((state.to(phase), vec![Effect::Publish]))
        }
        Phase::Sweeping { next: before, .. } => state.then(parked_or(before, next)),
        Phase::Idle | Phase::Backoff { .. } | Phase::Starting(_) => {
            rest(state, Phase::Stopped { why: asked(cause).to_owned() })
        }
        Phase::Running { .. } | Phase::Stopped { .. } | Phase::Parked { .. } => state.unchanged(),
    }
}

pub(super) fn kill(state: &State, cause: Cause, ctx: &Ctx<'_>) -> Stepped {
    let next = Next::Stop { why: asked(cause).to_owned() };
    if let Some((run, ready)) = state.living() {
        let phase = Phase::Stopping { run, ready, ladder: Ladder::Killed, by: By::Asked(cause), next };
        return Ok((state.to(phase), vec![Effect::CancelTimer, Effect::Kill, Effect::Publish]));
    }
    match state.phase.clone() {
        Phase::Stopping { run, ready, ladder, next: before, .. } if ladder != Ladder::Killed => {
            let next = parked_or(before, next);
            let phase = Phase::Stopping { run, ready, ladder: Ladder::Killed, by: By::Asked(cause), next };
            Ok((state.to(phase), vec![Effect::CancelTimer, Effect::Kill, Effect::Publish]))
        }
        _ => stop(state, cause, ctx),
    }
}

pub(super) fn restart(state: &State, cause: Cause, ctx: &Ctx<'_>) -> Stepped {
    if let Some((run, ready)) = state.living() {
        let ladder = Ladder::Term { kill_at: ctx.now + ctx.policy.grace };
        return terminate(state, run, ready, ladder, By::Asked(cause), Next::Start, cause);
    }
    match &state.phase {
        Phase::Parked { .. } => unpark(state),
        Phase::Stopping { next: Next::Park { .. }, .. } | Phase::Sweeping { next: Next::Park { .. }, .. } => {
            unpark(state)
        }
        _ => start(state),
    }
}

pub(super) fn park(state: &State, why: &str, ctx: &Ctx<'_>) -> Stepped {
    let next = Next::Park { why: why.to_owned() };
    if let Some((run, ready)) = state.living() {
        let ladder = Ladder::Term { kill_at: ctx.now + ctx.policy.grace };
        return terminate(state, run, ready, ladder, By::Asked(Cause::Parked), next, Cause::Parked);
    }
    match &state.phase {
        Phase::Stopping { .. } | Phase::Sweeping { .. } => state.then(next),
        Phase::Parked { .. } => state.unchanged(),
        Phase::Idle
        | Phase::Starting(_)
        | Phase::Running { .. }
        | Phase::Backoff { .. }
        | Phase::Stopped { .. } => rest(state, Phase::Parked { why: why.to_owned() }),
    }
}

pub(super) fn unpark(state: &State) -> Stepped {
    let pardoned = State { phase: state.phase.clone(), record: state.record.pardoned() };
    match &state.phase {
        Phase::Parked { .. } => spawn(&pardoned, Pace::Immediate, Vec::new()),
        Phase::Stopping { next: Next::Park { .. }, .. } | Phase::Sweeping { next: Next::Park { .. }, .. } => {
            pardoned.then(Next::Start)
        }
        Phase::Starting(_)
        | Phase::Running { .. }
        | Phase::Backoff { .. }
        | Phase::Stopping { next: Next::Start | Next::Restart { .. }, .. }
        | Phase::Sweeping { next: Next::Start | Next::Restart { .. }, .. } => state.unchanged(),
        Phase::Idle
        | Phase::Stopped { .. }
        | Phase::Stopping { next: Next::Stop { .. }, .. }
        | Phase::Sweeping { next: Next::Stop { .. }, .. } => Err(state.illegal("unpark")),
    }
}

/// Comes to rest from a phase without a process.
fn rest(state: &State, phase: Phase) -> Stepped {
    let mut effects = match &state.phase {
        Phase::Backoff { .. } => vec![Effect::CancelTimer],
        Phase::Starting(None) => vec![Effect::AbortSpawn],
        _ => Vec::new(),
    };
    effects.push(Effect::Publish);
    Ok((state.to(phase), effects))
}

/// A worker that is to be parked stays so, whoever stops it beside.
fn parked_or(before: Next, next: Next) -> Next {
    match before {
        Next::Park { .. } => before,
        Next::Start | Next::Restart { .. } | Next::Stop { .. } => next,
    }
}

fn asked(cause: Cause) -> &'static str {
    match cause {
        Cause::DaemonStopped => "the daemon was stopped",
        Cause::Killed => "killed by a person",
        Cause::Upgraded => "a newer version took over",
        _ => "stopped by a person",
    }
}
