//! What a session waits for by the clock.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use skep_common::ids::PermissionId;
use skep_common::session::{Cause, SessionState};
use tokio::time::Instant;

use super::Session;
use super::journal::Broken;
use super::settings::deadline;
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
    /// When the running turn began, as far as its time goes.
    turn_began: Option<Instant>,
    /// When something happened last.
    touched: Instant,
    idle_after: Duration,
}

impl Deadlines {
    pub(super) fn new(idle_after: Duration) -> Self {
        Self {
            turn: None,
            cancel: None,
            end: None,
            silence: None,
            permissions: VecDeque::new(),
            turn_began: None,
            touched: Instant::now(),
            idle_after,
        }
    }

    /// Something happened.
    pub(super) fn touch(&mut self) {
        self.touched = Instant::now();
    }

    /// The session hibernates when nothing has happened for so long.
    pub(super) fn idle_after(&mut self, time: Duration) {
        self.idle_after = time;
    }

    /// The turn begins, and may take so long.
    pub(super) fn turn_begins(&mut self, time: Option<Duration>) {
        self.turn_began = Some(Instant::now());
        self.turn_may_take(time);
    }

    /// The running turn may take so long, from its beginning on.
    pub(super) fn turn_may_take(&mut self, time: Option<Duration>) {
        self.turn = self.turn_began.and_then(|began| deadline(began, time));
    }

    /// The turn is over.
    pub(super) fn turn_ended(&mut self) {
        self.turn = None;
        self.turn_began = None;
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
            at_rest.then_some((self.touched + self.idle_after, Timer::Idle)),
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
