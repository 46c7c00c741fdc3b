//! The life of one worker, as a pure machine: what happened goes in, what to do comes out.
//!
//! ```text
//!            Start                Spawned, Hello
//!   Idle ───────────▶ Starting ─────────────────▶ Running
//!                      ▲  ▲  │ SpawnFailed           │ Exited (nobody asked)
//!             TimerFired  │  ▼                       ▼
//!                      Backoff ◀──── Swept ────── Sweeping ───▶ Parked{why}
//!                                                    ▲  │
//!   Starting, Running ── Stop, Restart, Park, ──▶ Stopping  └──────▶ Stopped{why}
//!                        no hello, no heartbeat    (TERM, then KILL)
//! ```
//!
//! `Sweeping` is what lies between the exit of a worker's process and the end of its tree: nothing starts before it is
//! over. To people it shows as what comes next. The promises 1 to 10 of the supervision contract are this module and
//! [`record`]; it reads no clock, draws no randomness and does no I/O. The driver owns the state and performs the
//! effects; there is one timer, which [`Effect::SetTimer`] sets or moves and [`Effect::CancelTimer`] stops.

mod asked;
mod lived;
pub mod policy;
pub mod record;
#[cfg(test)]
mod tests;

use std::time::Duration;

use skep_common::api::WorkerState;
use skep_common::backoff::Jitter;
use skep_common::ids::Process;
use skep_common::session::Cause;
use skep_sys::exit::ExitCause;

use policy::Policy;
use record::Record;

/// A point in time: the driver's monotonic clock, which stands still while the machine sleeps.
pub type Moment = Duration;

/// Everything about a worker's life.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// What is remembered of its failures, whatever the phase.
    pub record: Record,
}

/// Where a worker stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Never started.
    Idle,
    /// A process is wanted; none before [`Event::Spawned`], no hello from it yet.
    Starting(Option<Run>),
    /// It said hello.
    Running {
        /// Its process.
        run: Run,
        /// When it said hello.
        ready: Moment,
        /// When it last gave a sign of life.
        heard: Moment,
    },
    /// It was told to end.
    Stopping {
        /// Its process.
        run: Run,
        /// When it said hello, if it did.
        ready: Option<Moment>,
        /// How it is being told.
        ladder: Ladder,
        /// Who wanted it.
        by: By,
        /// What comes after.
        next: Next,
    },
    /// Its process is gone and the rest of its tree is being killed.
    Sweeping {
        /// When the process was gone.
        ended: Moment,
        /// What comes after.
        next: Next,
    },
    /// Waits for its restart.
    Backoff {
        /// Until when.
        until: Moment,
        /// How its last process ended.
        why: String,
    },
    /// Ended, not restarted.
    Stopped {
        /// Why.
        why: String,
    },
    /// Not restarted until a person says so.
    Parked {
        /// Why.
        why: String,
    },
}

/// A process and when it was spawned.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The process.
    pub process: Process,
    /// When it was spawned.
    pub since: Moment,
}

/// How far the stop sequence has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// SIGTERM was sent for a restart, a parking or a hang; a stop is the first one.
    Term {
        /// When SIGKILL follows.
        kill_at: Moment,
    },
    /// SIGTERM was sent and a stop was asked for: another one kills at once.
    StopTerm {
        /// When SIGKILL follows.
        kill_at: Moment,
    },
    /// SIGKILL was sent.
    Killed,
}

/// Who wants a worker's process to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Somebody asked: a person, a shutdown, a reload.
    Asked(Cause),
    /// It did not say hello, or went silent.
    Watchdog(&'static str),
}

/// What follows the end of a process.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Another start at once, because somebody asked.
    Start,
    /// A restart, so long after the end.
    Restart {
        /// The delay.
        delay: Duration,
        /// Why it is needed.
        why: String,
    },
    /// Nothing more.
    Stop {
        /// Why.
        why: String,
    },
    /// Parking.
    Park {
        /// Why.
        why: String,
    },
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is to run: at daemon start, or because a person said so.
    Start,
    /// The process exists.
    Spawned(Process),
    /// The process could not be made.
    SpawnFailed(String),
    /// The process said hello.
    Hello,
    /// The process is alive.
    Heartbeat,
    /// The process is gone (not yet reaped).
    Exited(ExitCause),
    /// The process's whole tree is gone.
    Swept,
    /// The timer that was set has come.
    TimerFired,
    /// It is to stop for good; the second time it is killed.
    Stop(Cause),
    /// It is to stop and start again.
    Restart(Cause),
    /// It is to be killed at once, for good.
    Kill(Cause),
    /// It is to stop and stay down until it is unparked.
    Park(String),
    /// It is to run again.
    Unpark,
}

/// What the driver is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make a process, then report [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn(Pace),
    /// Forget the spawn that was asked for and not yet made.
    AbortSpawn,
    /// Tell the process to end: shutdown command, SIGTERM, SIGCONT.
    Terminate(Cause),
    /// SIGKILL.
    Kill,
    /// Kill what is left of the tree, reap, drain the pipes, then report [`Event::Swept`].
    Sweep,
    /// Report [`Event::TimerFired`] then, and not for an earlier setting.
    SetTimer(Moment),
    /// Report no [`Event::TimerFired`].
    CancelTimer,
    /// A process ended or could not be made: log it (promise 25).
    Ended(Ended),
    /// The state is to be shown and kept.
    Publish,
}

/// How soon a process is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once: somebody asked, or the daemon starts.
    Immediate,
    /// As the limit over all workers allows (promise 22).
    Limited,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How; none where the process could not be made.
    pub exit: Option<ExitCause>,
    /// Who wanted it, if anybody did.
    pub by: Option<By>,
    /// How long it ran.
    pub ran: Duration,
    /// What happens next.
    pub next: Next,
}

/// What the machine needs to know beside the event.
#[derive(Debug, Clone, Copy)]
pub struct Ctx<'a> {
    /// The time.
    pub now: Moment,
    /// A fresh random factor for a delay.
    pub jitter: Jitter,
    /// The worker's rules.
    pub policy: &'a Policy,
}

/// An event that cannot happen, or may not be asked for, in a phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not fit a worker that is {phase}")]
pub struct Illegal {
    /// The phase.
    pub phase: &'static str,
    /// The event.
    pub event: &'static str,
}

type Stepped = Result<(State, Vec<Effect>), Illegal>;

/// The next state, and what to do to get there.
///
/// # Errors
///
/// [`Illegal`] when the event does not fit the phase; the state then stays as it was.
pub fn step(state: &State, event: &Event, ctx: &Ctx<'_>) -> Stepped {
    match event {
        Event::Start => asked::start(state),
        Event::Stop(cause) => asked::stop(state, *cause, ctx),
        Event::Kill(cause) => asked::kill(state, *cause, ctx),
        Event::Restart(cause) => asked::restart(state, *cause, ctx),
        Event::Park(why) => asked::park(state, why, ctx),
        Event::Unpark => asked::unpark(state),
        Event::Spawned(process) => lived::spawned(state, process, ctx),
        Event::SpawnFailed(why) => lived::spawn_failed(state, why, ctx),
        Event::Hello | Event::Heartbeat => lived::alive(state, event, ctx),
        Event::Exited(exit) => lived::exited(state, *exit, ctx),
        Event::Swept => lived::swept(state, ctx),
        Event::TimerFired => lived::timer_fired(state, ctx),
    }
}

impl State {
    /// A worker that was never started.
    #[must_use]
    pub fn new() -> Self {
        Self { phase: Phase::Idle, record: Record::default() }
    }

    /// The state as people see it.
    #[must_use]
    pub fn shown(&self) -> WorkerState {
        match &self.phase {
            Phase::Idle => WorkerState::Idle,
            Phase::Starting(_) => WorkerState::Starting,
            Phase::Running { .. } => WorkerState::Running,
            Phase::Stopping { .. } => WorkerState::Stopping,
            // Parked is what it is when its tree is gone and its last words are known.
            Phase::Sweeping { next: Next::Start | Next::Stop { .. } | Next::Park { .. }, .. } => {
                WorkerState::Stopping
            }
            Phase::Parked { .. } => WorkerState::Parked,
            Phase::Sweeping { next: Next::Restart { .. }, .. } | Phase::Backoff { .. } => {
                WorkerState::Backoff
            }
            Phase::Stopped { .. } => WorkerState::Stopped,
        }
    }

    /// Why it is parked, backing off, stopping or stopped.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match &self.phase {
            Phase::Idle | Phase::Starting(_) | Phase::Running { .. } => None,
            Phase::Stopping { next, .. } | Phase::Sweeping { next, .. } => match next {
                Next::Start => None,
                Next::Restart { why, .. } | Next::Stop { why } | Next::Park { why } => Some(why),
            },
            Phase::Backoff { why, .. } | Phase::Stopped { why } | Phase::Parked { why } => Some(why),
        }
    }

    /// Its process, while there is one.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        match &self.phase {
            Phase::Starting(run) => run.as_ref(),
            Phase::Running { run, .. } | Phase::Stopping { run, .. } => Some(run),
            Phase::Idle
            | Phase::Sweeping { .. }
            | Phase::Backoff { .. }
            | Phase::Stopped { .. }
            | Phase::Parked { .. } => None,
        }
    }

    /// Whether nothing of it exists and nothing will come by itself.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Stopped { .. } | Phase::Parked { .. })
    }

    fn illegal(&self, event: &'static str) -> Illegal {
        let phase = match &self.phase {
            Phase::Idle => "idle",
            Phase::Starting(_) => "starting",
            Phase::Running { .. } => "running",
            Phase::Stopping { .. } => "stopping",
            Phase::Sweeping { .. } => "being swept",
            Phase::Backoff { .. } => "backing off",
            Phase::Stopped { .. } => "stopped",
            Phase::Parked { .. } => "parked",
        };
        Illegal { phase, event }
    }

    fn to(&self, phase: Phase) -> Self {
        Self { phase, record: self.record.clone() }
    }

    fn unchanged(&self) -> Stepped {
        Ok((self.clone(), Vec::new()))
    }

    /// The same stop, leading elsewhere.
    fn then(&self, next: Next) -> Stepped {
        let phase = match self.phase.clone() {
            Phase::Stopping { run, ready, ladder, by, .. } => {
                Phase::Stopping { run, ready, ladder, by, next }
            }
            Phase::Sweeping { ended, .. } => Phase::Sweeping { ended, next },
            other => other,
        };
        Ok((self.to(phase), vec![Effect::Publish]))
    }

    /// The process and when it was ready, in the phases in which it can be told to end.
    fn living(&self) -> Option<(Run, Option<Moment>)> {
        match &self.phase {
            Phase::Starting(Some(run)) => Some((run.clone(), None)),
            Phase::Running { run, ready, .. } => Some((run.clone(), Some(*ready))),
            _ => None,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

// === Steps that several paths share ===

fn spawn(state: &State, pace: Pace, mut effects: Vec<Effect>) -> Stepped {
    effects.extend([Effect::Publish, Effect::Spawn(pace)]);
    Ok((state.to(Phase::Starting(None)), effects))
}

fn terminate(
    state: &State,
    run: Run,
    ready: Option<Moment>,
    ladder: Ladder,
    by: By,
    next: Next,
    cause: Cause,
) -> Stepped {
    let effects = match ladder {
        Ladder::Term { kill_at } | Ladder::StopTerm { kill_at } => {
            vec![Effect::Terminate(cause), Effect::SetTimer(kill_at), Effect::Publish]
        }
        Ladder::Killed => vec![Effect::CancelTimer, Effect::Kill, Effect::Publish],
    };
    Ok((state.to(Phase::Stopping { run, ready, ladder, by, next }), effects))
}
