//! The restart delay (S4; supervision contract, promise 5): a value, computed from a level and a jitter.
//!
//! Delay n is `min(cap, jitter × first · 2ⁿ⁻¹)`. The interval comes from the `backoff` crate, whose own jitter is
//! switched off because it may shorten a delay and draws randomness inside; ours only lengthens it and is an
//! argument.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use serde::{Deserialize, Serialize};

/// How long to wait before restart n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayPolicy {
    first: Duration,
    cap: Duration,
}

/// A factor in [1, 1.25] that spreads restarts which would otherwise coincide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// No spreading.
    pub const NONE: Self = Self(1.0);

    /// The jitter for a random number in [0, 1); anything else is clamped.
    #[must_use]
    pub fn from_unit(random: f64) -> Self {
        let unit = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.0 };
        Self(0.25f64.mul_add(unit, 1.0))
    }
}

impl DelayPolicy {
    /// The contract's figures: first delay 2 s, cap 120 s.
    pub const CONTRACT: Self = Self { first: Duration::from_secs(2), cap: Duration::from_secs(120) };

    /// A policy with the given first delay and cap; a cap below the first delay is raised to it.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap: cap.max(first) }
    }

    /// The delay before a restart at `level` (1 is the first restart; 0 is none).
    #[must_use]
    pub fn delay(&self, level: u32, jitter: Jitter) -> Duration {
        if level == 0 || self.first.is_zero() {
            return Duration::ZERO;
        }
        let mut intervals = ExponentialBackoff {
            current_interval: self.first,
            initial_interval: self.first,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: self.cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let mut interval = self.first;
        for _ in 0..level {
            // What the crate returns is up to 1 ns longer at random, even without its jitter.
            interval = intervals.current_interval;
            if interval >= self.cap || intervals.next_backoff().is_none() {
                break;
            }
        }
        interval.mul_f64(jitter.0).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p05_delays_double_from_two_seconds_to_the_cap() {
        let seconds: Vec<u64> =
            (0..=9).map(|n| DelayPolicy::CONTRACT.delay(n, Jitter::NONE).as_secs()).collect();
        assert_eq!(seconds, [0, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
    }

    proptest! {
        #[test]
        fn p05_jitter_never_shortens_a_delay_nor_exceeds_the_cap(level in 0u32..u32::MAX, unit in 0.0f64..1.0) {
            let policy = DelayPolicy::CONTRACT;
            let plain = policy.delay(level, Jitter::NONE);
            let jittered = policy.delay(level, Jitter::from_unit(unit));
            prop_assert!(jittered >= plain);
            prop_assert!(jittered <= Duration::from_secs(120));
            prop_assert!(jittered <= plain.mul_f64(1.25) + Duration::from_nanos(1));
        }
    }
}
