//! What a session waits for by the clock.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use skep_common::ids::PermissionId;
use skep_common::session::{Cause, SessionState};
use tokio::time::Instant;

use super::Session;
use super::journal::Broken;
use crate::agent::acp::Stop;

/// How long a working agent may give no sign of life before that is told.
const SILENCE: Duration = Duration::from_secs(5);

/// A time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The turn's time is over.
    Turn,
    /// The agent has not ended a cancelled turn.
    CancelGrace,
    /// The agent has not ended the turn of a session that ends.
    EndGrace,
    /// A permission request has waited long enough.
    Permission(PermissionId),
    /// The agent has given no sign of life for some time.
    Silence,
    /// Nothing has happened for long enough.
    Idle,
    /// What kept the session awake has ended.
    BackgroundOver,
}

/// The times that are set.
#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) turn: Option<Instant>,
    pub(super) cancel: Option<Instant>,
    pub(super) end: Option<Instant>,
    pub(super) silence: Option<Instant>,
    pub(super) permissions: VecDeque<(Instant, PermissionId)>,
    idle: Instant,
    idle_after: Duration,
}

impl Deadlines {
    pub(super) fn new(idle_after: Duration) -> Self {
        let idle = Instant::now() + idle_after;
        Self {
            turn: None,
            cancel: None,
            end: None,
            silence: None,
            permissions: VecDeque::new(),
            idle,
            idle_after,
        }
    }

    /// Something happened.
    pub(super) fn touch(&mut self) {
        self.idle = Instant::now() + self.idle_after;
    }

    /// The turn is over.
    pub(super) fn turn_ended(&mut self) {
        self.turn = None;
        self.cancel = None;
        self.silence = None;
        self.permissions.clear();
        self.touch();
    }

    /// The next time to wait for.
    pub(super) fn next(&self, at_rest: bool) -> Option<(Instant, Timer)> {
        let permission = self.permissions.front().map(|(at, id)| (*at, Timer::Permission(*id)));
        [
            self.turn.map(|at| (at, Timer::Turn)),
            self.cancel.map(|at| (at, Timer::CancelGrace)),
            self.end.map(|at| (at, Timer::EndGrace)),
            self.silence.map(|at| (at, Timer::Silence)),
            permission,
            at_rest.then_some((self.idle, Timer::Idle)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

impl Session {
    /// Listens for the next sign of life, after one, while the agent is at work.
    pub(super) fn listen(&mut self) {
        self.silent_since = None;
        let works = self.prompted && self.state == SessionState::Running;
        self.deadlines.silence = works.then(|| Instant::now() + SILENCE);
    }

    pub(super) async fn timer(&mut self, timer: Timer) -> Result<(), Broken> {
        match timer {
            Timer::Turn => {
                self.deadlines.turn = None;
                self.time_is_over().await
            }
            Timer::CancelGrace => {
                self.deadlines.cancel = None;
                self.stop_agent(Stop::Kill);
                Ok(())
            }
            Timer::EndGrace => {
                self.deadlines.end = None;
                self.end_grace_over().await
            }
            Timer::Permission(permission) => {
                self.deadlines.permissions.pop_front();
                self.deny_unanswered(permission).await
            }
            Timer::Silence => {
                self.deadlines.silence = None;
                self.silent_since = Timestamp::now().checked_sub(SILENCE).ok();
                Ok(())
            }
            Timer::Idle => self.hibernate(Cause::Idle, None).await,
            Timer::BackgroundOver => self.background_over().await,
        }
    }
}
