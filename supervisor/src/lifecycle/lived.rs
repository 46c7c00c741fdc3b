//! What becomes of a worker as its process lives: spawn, hello, heartbeats, exit, sweep, timer.

use std::time::Duration;

use skep_common::ids::Process;
use skep_common::session::Cause;
use skep_config::RestartPolicy;
use skep_sys::exit::ExitCause;

use super::record::{Record, Verdict};
use super::{
    By, Ctx, Effect, Ended, Event, Ladder, Moment, Next, Pace, Phase, Run, State, Stepped, spawn, terminate,
};

pub(super) fn spawned(state: &State, process: &Process, ctx: &Ctx<'_>) -> Stepped {
    let Phase::Starting(None) = &state.phase else { return Err(state.illegal("spawned")) };
    let run = Run { process: process.clone(), since: ctx.now };
    let deadline = ctx.now + ctx.policy.hello_timeout;
    Ok((state.to(Phase::Starting(Some(run))), vec![Effect::SetTimer(deadline), Effect::Publish]))
}

pub(super) fn spawn_failed(state: &State, why: &str, ctx: &Ctx<'_>) -> Stepped {
    let Phase::Starting(None) = &state.phase else { return Err(state.illegal("spawn failed")) };
    let mut record = state.record.clone();
    let why = format!("cannot be started: {why}");
    let next = if ctx.policy.restart == RestartPolicy::Never {
        Next::Stop { why }
    } else {
        judge(&mut record, why, Duration::ZERO, None, ctx)
    };
    let ended = Effect::Ended(Ended { exit: None, by: None, ran: Duration::ZERO, next: next.clone() });
    let empty = State { phase: Phase::Sweeping { ended: ctx.now, next }, record };
    let (state, effects) = swept(&empty, ctx)?;
    Ok((state, [vec![ended], effects].concat()))
}

pub(super) fn alive(state: &State, event: &Event, ctx: &Ctx<'_>) -> Stepped {
    let phase = match (&state.phase, event) {
        (Phase::Starting(Some(run)), Event::Hello) => {
            Phase::Running { run: run.clone(), ready: ctx.now, heard: ctx.now }
        }
        (Phase::Running { run, ready, .. }, _) => {
            Phase::Running { run: run.clone(), ready: *ready, heard: ctx.now }
        }
        // A sign of life before the hello, or from a process that is on its way out, changes nothing.
        _ => return state.unchanged(),
    };
    let mut effects = vec![Effect::SetTimer(ctx.now + ctx.policy.silence)];
    if matches!(state.phase, Phase::Starting(_)) {
        effects.push(Effect::Publish);
    }
    Ok((state.to(phase), effects))
}

pub(super) fn exited(state: &State, exit: ExitCause, ctx: &Ctx<'_>) -> Stepped {
    let mut record = state.record.clone();
    let (run, by, next) = match &state.phase {
        Phase::Starting(Some(run)) => (run, None, after_exit(&mut record, exit, run, None, ctx)),
        Phase::Running { run, ready, .. } => {
            (run, None, after_exit(&mut record, exit, run, Some(*ready), ctx))
        }
        Phase::Stopping { run, ready, by, next, .. } => {
            if let By::Asked(_) = by {
                record.settle(ran(run, ctx), ready.map(|ready| ctx.now.saturating_sub(ready)), ctx.policy);
            }
            (run, Some(by.clone()), next.clone())
        }
        _ => return Err(state.illegal("exit")),
    };
    let ended = Ended { exit: Some(exit), by, ran: ran(run, ctx), next: next.clone() };
    let mut effects = vec![Effect::Ended(ended), Effect::Sweep, Effect::Publish];
    if !matches!(state.phase, Phase::Stopping { ladder: Ladder::Killed, .. }) {
        effects.insert(0, Effect::CancelTimer);
    }
    Ok((State { phase: Phase::Sweeping { ended: ctx.now, next }, record }, effects))
}

/// What an exit that nobody asked for leads to.
fn after_exit(record: &mut Record, exit: ExitCause, run: &Run, ready: Option<Moment>, ctx: &Ctx<'_>) -> Next {
    let ran = ran(run, ctx);
    let ready = ready.map(|ready| ctx.now.saturating_sub(ready));
    match (exit, ctx.policy.restart) {
        (ExitCause::Code(78), _) => {
            record.settle(ran, ready, ctx.policy);
            Next::Park { why: "exit status 78: it says that a restart cannot help".to_owned() }
        }
        (_, RestartPolicy::Never) | (ExitCause::Code(0), RestartPolicy::OnFailure) => {
            record.settle(ran, ready, ctx.policy);
            Next::Stop { why: exit.to_string() }
        }
        (ExitCause::Code(75), RestartPolicy::Always | RestartPolicy::OnFailure) => {
            let level = record.back_off(ran, ready, ctx.policy);
            Next::Restart { delay: ctx.policy.delay.delay(level, ctx.jitter), why: exit.to_string() }
        }
        (
            ExitCause::Code(_) | ExitCause::Signal(..) | ExitCause::Unknown,
            RestartPolicy::Always | RestartPolicy::OnFailure,
        ) => judge(record, exit.to_string(), ran, ready, ctx),
    }
}

/// Counts a failure and says what it leads to.
fn judge(record: &mut Record, why: String, ran: Duration, ready: Option<Duration>, ctx: &Ctx<'_>) -> Next {
    match record.fail(ctx.now, ran, ready, ctx.policy) {
        Verdict::Retry { level } => Next::Restart { delay: ctx.policy.delay.delay(level, ctx.jitter), why },
        Verdict::TooRapid { failures } => Next::Park {
            why: format!("{failures} failures in a row, each within {:?}; last: {why}", ctx.policy.rapid_run),
        },
        Verdict::TooMany { failures } => {
            Next::Park { why: format!("{failures} failures within {:?}; last: {why}", ctx.policy.window) }
        }
    }
}

pub(super) fn swept(state: &State, ctx: &Ctx<'_>) -> Stepped {
    let Phase::Sweeping { ended, next } = &state.phase else { return Err(state.illegal("swept")) };
    match next.clone() {
        Next::Start => spawn(state, Pace::Immediate, Vec::new()),
        Next::Restart { delay, .. } if *ended + delay <= ctx.now => spawn(state, Pace::Limited, Vec::new()),
        Next::Restart { delay, why } => {
            let until = *ended + delay;
            let phase = Phase::Backoff { until, why };
            Ok((state.to(phase), vec![Effect::SetTimer(until), Effect::Publish]))
        }
        Next::Stop { why } => Ok((state.to(Phase::Stopped { why }), vec![Effect::Publish])),
        Next::Park { why } => Ok((state.to(Phase::Parked { why }), vec![Effect::Publish])),
    }
}

pub(super) fn timer_fired(state: &State, ctx: &Ctx<'_>) -> Stepped {
    match state.phase.clone() {
        Phase::Starting(Some(run)) if ctx.now >= run.since + ctx.policy.hello_timeout => {
            hung(state, run, None, "it sent no hello", ctx)
        }
        Phase::Running { run, ready, heard } if ctx.now >= heard + ctx.policy.silence => {
            hung(state, run, Some(ready), "it went silent", ctx)
        }
        Phase::Stopping { run, ready, ladder, by, next } => match ladder {
            Ladder::Term { kill_at } | Ladder::StopTerm { kill_at } if ctx.now >= kill_at => {
                let phase = Phase::Stopping { run, ready, ladder: Ladder::Killed, by, next };
                Ok((state.to(phase), vec![Effect::Kill, Effect::Publish]))
            }
            Ladder::Term { kill_at } | Ladder::StopTerm { kill_at } => early(state, kill_at),
            Ladder::Killed => state.unchanged(),
        },
        Phase::Backoff { until, .. } if ctx.now >= until => spawn(state, Pace::Limited, Vec::new()),
        // A timer that came early is set again; one that was for an earlier phase means nothing any more.
        Phase::Starting(Some(run)) => early(state, run.since + ctx.policy.hello_timeout),
        Phase::Running { heard, .. } => early(state, heard + ctx.policy.silence),
        Phase::Backoff { until, .. } => early(state, until),
        Phase::Idle
        | Phase::Starting(None)
        | Phase::Sweeping { .. }
        | Phase::Stopped { .. }
        | Phase::Parked { .. } => state.unchanged(),
    }
}

fn early(state: &State, deadline: Moment) -> Stepped {
    Ok((state.clone(), vec![Effect::SetTimer(deadline)]))
}

/// A process that gives no sign of life: one failure, and the stop sequence (promise 9).
fn hung(state: &State, run: Run, ready: Option<Moment>, why: &'static str, ctx: &Ctx<'_>) -> Stepped {
    let mut record = state.record.clone();
    let next = if ctx.policy.restart == RestartPolicy::Never {
        Next::Stop { why: why.to_owned() }
    } else {
        let ready = ready.map(|ready| ctx.now.saturating_sub(ready));
        judge(&mut record, why.to_owned(), ran(&run, ctx), ready, ctx)
    };
    let ladder = Ladder::Term { kill_at: ctx.now + ctx.policy.grace };
    let failed = State { phase: state.phase.clone(), record };
    terminate(&failed, run, ready, ladder, By::Watchdog(why), next, Cause::WorkerCrashed)
}

fn ran(run: &Run, ctx: &Ctx<'_>) -> Duration {
    ctx.now.saturating_sub(run.since)
}
