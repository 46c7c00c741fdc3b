//! What is remembered of a worker's failures (promises 2 to 5).
//!
//! Two counters that must not be confused. The *rapid counter* counts failures in a row, each after a short run; it
//! parks a worker that cannot start. The *level* sets the restart delay; it rises with every failure and falls only
//! with ready uptime, so that a worker that lives for 11 s each time still comes to the longest delay. Beside them,
//! the times of the failures within the window park a slow crash loop.

use std::time::Duration;

use super::Moment;
use super::policy::Policy;

/// A worker's failures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    rapid: u32,
    level: u32,
    failures: Vec<Moment>,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another try, with the delay of this level.
    Retry {
        /// The level.
        level: u32,
    },
    /// Parking: so many rapid failures in a row.
    TooRapid {
        /// How many.
        failures: u32,
    },
    /// Parking: so many failures within the window.
    TooMany {
        /// How many.
        failures: usize,
    },
}

impl Record {
    /// A record as it was kept. Times are sorted; the newest [`Record::MAX_FAILURES`] count.
    #[must_use]
    pub fn restored(rapid: u32, level: u32, mut failures: Vec<Moment>) -> Self {
        failures.sort_unstable();
        let excess = failures.len().saturating_sub(Self::MAX_FAILURES);
        failures.drain(..excess);
        Self { rapid, level, failures }
    }

    /// More failures than any configuration can ask for are never kept.
    pub const MAX_FAILURES: usize = 10_001;

    /// Failures in a row, each after a short run.
    #[must_use]
    pub fn rapid(&self) -> u32 {
        self.rapid
    }

    /// The level of the restart delay.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// When it failed, oldest first, as far as the window needs it.
    #[must_use]
    pub fn failures(&self) -> &[Moment] {
        &self.failures
    }

    /// The record after a person said that it shall run again.
    #[must_use]
    pub fn pardoned(&self) -> Self {
        Self::default()
    }

    /// Takes note of a run that ended, failed or not: a long one resets the rapid counter, ready uptime lowers the
    /// level.
    pub fn settle(&mut self, ran: Duration, ready: Option<Duration>, policy: &Policy) {
        if ran >= policy.rapid_run {
            self.rapid = 0;
        }
        let ready = ready.unwrap_or_default();
        if ready >= policy.level_reset {
            self.level = 0;
        } else if !policy.level_step.is_zero() {
            let steps = ready.as_nanos() / policy.level_step.as_nanos();
            self.level = self.level.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
        }
    }

    /// Takes note of a run whose end asks for a delay and is no failure (exit status 75). The new level.
    pub fn back_off(&mut self, ran: Duration, ready: Option<Duration>, policy: &Policy) -> u32 {
        self.settle(ran, ready, policy);
        self.level = self.level.saturating_add(1);
        self.level
    }

    /// Takes note of a failure at `now`, after a run of `ran` of which the worker was ready for `ready`.
    pub fn fail(&mut self, now: Moment, ran: Duration, ready: Option<Duration>, policy: &Policy) -> Verdict {
        let level = self.back_off(ran, ready, policy);
        if ran < policy.rapid_run {
            self.rapid = self.rapid.saturating_add(1);
        }
        self.failures.retain(|then| now.saturating_sub(*then) <= policy.window);
        self.failures.push(now);
        if self.failures.len() > Self::MAX_FAILURES {
            self.failures.remove(0);
        }
        if self.rapid >= policy.rapid_limit {
            Verdict::TooRapid { failures: self.rapid }
        } else if self.failures.len() > usize::try_from(policy.window_limit).unwrap_or(usize::MAX) {
            Verdict::TooMany { failures: self.failures.len() }
        } else {
            Verdict::Retry { level }
        }
    }
}
