//! `[restart]`: when workers are restarted, parked and killed (supervision contract, promises 1 to 10 and 22).

use std::time::Duration;

use skep_common::backoff::DelayPolicy;

use crate::schema::{Schema, Visitor};

/// When workers are restarted, parked and killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartSettings {
    /// The delay before the first restart; each further one doubles it (promise 5). Default 2 s.
    pub first_delay: Duration,
    /// The longest delay (promise 5). Default 2 min.
    pub max_delay: Duration,
    /// A run shorter than this that fails is a rapid failure (promise 3). Default 10 s.
    pub rapid_run: Duration,
    /// So many rapid failures in a row park a worker (promise 3). Default 5.
    pub rapid_failures: u32,
    /// More failures than this within `failure_window` park a worker too (promise 4). Default 20.
    pub window_failures: u32,
    /// The window of `window_failures` (promise 4). Default 1 h.
    pub failure_window: Duration,
    /// Ready uptime that lowers the delay's level by one (promise 5). Default 1 min.
    pub level_decay: Duration,
    /// Ready uptime that resets the delay's level (promise 5). Default 10 min.
    pub level_reset: Duration,
    /// How long a new worker may take to say hello (promise 9). Default 1 min.
    pub hello_timeout: Duration,
    /// So many missed heartbeats are a failure (promise 9). Default 3.
    pub missed_heartbeats: u32,
    /// From SIGTERM to SIGKILL (promise 10). Default 30 s.
    pub kill_grace: Duration,
    /// Spawns per second over all workers (promise 22). Default 10.
    pub spawns_per_second: u32,
}

impl RestartSettings {
    /// The restart delay.
    #[must_use]
    pub fn delay_policy(&self) -> DelayPolicy {
        DelayPolicy::new(self.first_delay, self.max_delay)
    }
}

impl Default for RestartSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first_delay: seconds(2),
            max_delay: seconds(120),
            rapid_run: seconds(10),
            rapid_failures: 5,
            window_failures: 20,
            failure_window: seconds(3_600),
            level_decay: seconds(60),
            level_reset: seconds(600),
            hello_timeout: seconds(60),
            missed_heartbeats: 3,
            kill_grace: seconds(30),
            spawns_per_second: 10,
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

impl Schema for RestartSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.ranged("first_delay", &mut self.first_delay, Duration::ZERO..=DAY);
        v.ranged("max_delay", &mut self.max_delay, Duration::ZERO..=DAY);
        v.ranged("rapid_run", &mut self.rapid_run, Duration::ZERO..=DAY);
        v.ranged("rapid_failures", &mut self.rapid_failures, 1..=1_000);
        v.ranged("window_failures", &mut self.window_failures, 1..=10_000);
        v.ranged("failure_window", &mut self.failure_window, Duration::from_secs(1)..=7 * DAY);
        v.ranged("level_decay", &mut self.level_decay, Duration::from_secs(1)..=DAY);
        v.ranged("level_reset", &mut self.level_reset, Duration::from_secs(1)..=7 * DAY);
        v.ranged("hello_timeout", &mut self.hello_timeout, Duration::from_millis(100)..=DAY);
        v.ranged("missed_heartbeats", &mut self.missed_heartbeats, 1..=1_000);
        v.ranged("kill_grace", &mut self.kill_grace, Duration::ZERO..=DAY);
        v.ranged("spawns_per_second", &mut self.spawns_per_second, 1..=10_000);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.max_delay < self.first_delay {
            wrong.push(("max_delay", String::from("it is shorter than `first_delay`")));
        }
        if self.level_reset < self.level_decay {
            wrong.push(("level_reset", String::from("it is shorter than `level_decay`")));
        }
        wrong
    }
}
