//! The rules of a worker's kind: when it is restarted, parked and killed.

use std::time::Duration;

use skep_common::backoff::DelayPolicy;
use skep_common::protocol::HEARTBEAT;
use skep_config::RestartPolicy;
use skep_config::restart::RestartSettings;

/// The rules of a worker's kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Which exits lead to a restart.
    pub restart: RestartPolicy,
    /// The restart delay by level.
    pub delay: DelayPolicy,
    /// A run shorter than this is rapid.
    pub rapid_run: Duration,
    /// So many rapid failures in a row park.
    pub rapid_limit: u32,
    /// More than so many failures within [`Policy::window`] park.
    pub window_limit: u32,
    /// See [`Policy::window_limit`].
    pub window: Duration,
    /// The level falls by one for each of these that the worker was ready in one run.
    pub level_step: Duration,
    /// The level is zero after being ready for so long in one run.
    pub level_reset: Duration,
    /// From spawn to hello.
    pub hello_timeout: Duration,
    /// From one sign of life to the next.
    pub silence: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

impl Policy {
    /// The supervision contract's figures.
    #[must_use]
    pub fn contract(restart: RestartPolicy) -> Self {
        Self {
            restart,
            delay: DelayPolicy::CONTRACT,
            rapid_run: Duration::from_secs(10),
            rapid_limit: 5,
            window_limit: 20,
            window: Duration::from_secs(60 * 60),
            level_step: Duration::from_secs(60),
            level_reset: Duration::from_secs(600),
            hello_timeout: Duration::from_secs(60),
            silence: 3 * HEARTBEAT,
            grace: Duration::from_secs(30),
        }
    }

    /// The configured rules.
    #[must_use]
    pub fn configured(restart: RestartPolicy, settings: &RestartSettings) -> Self {
        Self {
            restart,
            delay: settings.delay_policy(),
            rapid_run: settings.rapid_run,
            rapid_limit: settings.rapid_failures,
            window_limit: settings.window_failures,
            window: settings.failure_window,
            level_step: settings.level_decay,
            level_reset: settings.level_reset,
            hello_timeout: settings.hello_timeout,
            silence: settings.missed_heartbeats * HEARTBEAT,
            grace: settings.kill_grace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_defaults_are_the_contract() {
        let configured = Policy::configured(RestartPolicy::Always, &RestartSettings::default());
        assert_eq!(configured, Policy::contract(RestartPolicy::Always));
    }
}
