//! What a session may use (N11): checked before a prompt is taken, before its turn begins, and with all that an agent
//! tells while it runs.

use std::time::Duration;

use skep_common::code::{ApiError, Code};
use skep_common::ids::PromptId;
use skep_common::session::{Cause, Limits, TurnOutcome};
use skep_common::usage::Used;

use super::journal::Broken;
use super::prompts::After;
use super::{Fault, Session};
use crate::turn::outcome::End;

/// What a record takes beside its data, in bytes, near enough.
const RECORD: u64 = 100;

/// The limit for which a turn is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Limit {
    /// Its time, so long.
    Time(String),
    /// What the session may use; the sentence that says which and how much.
    Use(String),
    /// The same, before it has begun.
    UsedUp(String),
}

impl Session {
    fn limits(&self) -> Limits {
        self.spec.options.limits.or(self.shared.settings.session.limits)
    }

    /// Refuses a new prompt to a session whose limit is used up, by turns that ran or that wait. One that `steers` begins
    /// no turn: it belongs to the one that runs.
    pub(super) fn affordable(&self, prompt: PromptId, steers: bool) -> Result<(), Fault> {
        if self.turns.knows(prompt) {
            return Ok(());
        }
        let waiting = u64::try_from(self.turns.queued().len()).unwrap_or(u64::MAX);
        let turns = match steers {
            true => self.used.turns.saturating_sub(1),
            false => self.used.turns.saturating_add(waiting),
        };
        let used = Used { turns, ..self.used.clone() };
        let used_up = self.limits().used_up(&used);
        let raise = |why| format!("{why}; `skep set` raises it");
        let full = || self.full().map(|why| format!("{why}; start a new session to go on"));
        match used_up.map(raise).or_else(full) {
            None => Ok(()),
            Some(message) => Err(ApiError::new(Code::LimitReached, message).into()),
        }
    }

    /// Whether the turn that is to begin must not; it is ended by [`Self::end_unaffordable`].
    pub(super) fn unaffordable(&mut self) -> bool {
        let used = Used { turns: self.used.turns.saturating_sub(1), ..self.used.clone() };
        let why = self.limits().used_up(&used).or_else(|| self.full());
        self.limit = why.map(Limit::UsedUp);
        self.limit.is_some()
    }

    /// Ends turns that must not begin.
    pub(super) async fn end_unaffordable(&mut self) -> Result<(), Broken> {
        while matches!(self.limit, Some(Limit::UsedUp(_))) {
            self.end_turn(End::ours(TurnOutcome::Limit, Cause::Limit, None), After::Next).await?;
        }
        Ok(())
    }

    /// Stops the running turn if it has gone beyond what the session may use.
    pub(super) async fn check_limits(&mut self) -> Result<(), Broken> {
        let mut used = self.used.clone();
        used.add(&self.meter.turn(None));
        match self.limits().passed(&used) {
            Some(why) => self.stop_turn(Limit::Use(why)).await,
            None => Ok(()),
        }
    }

    /// The time that the running turn has, by its prompt or by the settings.
    pub(super) fn turn_time(&self) -> Option<Duration> {
        let asked = self.turns.running()?.timeout_seconds.map(Duration::from_secs);
        let own = self.spec.options.turn_timeout_seconds.map(Duration::from_secs);
        asked.or(own).or(self.shared.settings.session.turn_timeout)
    }

    /// The running turn's time is over.
    pub(super) async fn time_is_over(&mut self) -> Result<(), Broken> {
        let time = self.turn_time().map(|time| format!("{time:?}")).unwrap_or_default();
        self.stop_turn(Limit::Time(time)).await
    }

    /// Counts what comes to lie on the disk; whether there is room for it.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let room = self.full().is_none();
        if room {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.on_disk = self.on_disk.saturating_add(bytes).saturating_add(RECORD);
        }
        room
    }

    /// Something of the agent's was dropped, since there is no room for it: told once, and the turn stopped.
    pub(super) async fn overflowed(&mut self) -> Result<(), Broken> {
        let Some(why) = self.full() else { return Ok(()) };
        if !std::mem::replace(&mut self.told_full, true) {
            self.remark("warn", format!("{why}; what the agent says from here on is not kept")).await?;
        }
        self.stop_turn(Limit::Use(why)).await
    }

    /// Cancels the running turn for a limit.
    pub(super) async fn stop_turn(&mut self, limit: Limit) -> Result<(), Broken> {
        if self.turns.running().is_none() || self.turns.cancelling() || self.ending.is_some() {
            return Ok(());
        }
        let cause = if matches!(limit, Limit::Time(_)) { Cause::TimedOut } else { Cause::Limit };
        self.limit = Some(limit);
        match self.cancel(None, cause).await {
            Err(Fault::Broken(broken)) => Err(broken),
            Ok(_) | Err(Fault::Refused(_)) => Ok(()),
        }
    }

    /// The end of a turn that was stopped for a limit says which one it was.
    pub(super) fn with_limit(&mut self, end: End) -> End {
        let limit = self.limit.take();
        if end.outcome != TurnOutcome::Limit || !matches!(end.cause, Some(Cause::TimedOut | Cause::Limit)) {
            return end;
        }
        let detail = match limit {
            Some(Limit::Time(why) | Limit::Use(why) | Limit::UsedUp(why)) => Some(why),
            None => None,
        };
        End { detail: detail.or(end.detail), ..end }
    }

    /// Whether the journal has no room for more.
    fn full(&self) -> Option<String> {
        let limit = self.shared.settings.session.max_journal;
        (self.on_disk >= limit.as_u64()).then(|| format!("the session's journal is full ({limit})"))
    }
}
