//! How many refusals are written (pure): so many in a minute, and how many were not.

use std::time::Duration;

use tokio::time::Instant;

/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// Refusals that are written in each.
const EACH: u32 = 120;

/// Refusals so far.
#[derive(Debug)]
pub(super) struct Quota {
    since: Instant,
    written: u32,
    unwritten: u64,
}

impl Quota {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, written: 0, unwritten: 0 }
    }

    /// Whether one more is written, and how many before it were not.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= WINDOW {
            (self.since, self.written) = (now, 0);
        }
        if self.written >= EACH {
            self.unwritten = self.unwritten.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn g13_refusals_that_come_too_fast_are_counted_and_told_later() {
        let now = Instant::now();
        let mut quota = Quota::new(now);
        let written = (0..1000).filter(|_| quota.take(now) == Some(0)).count();
        assert_eq!(written, usize::try_from(EACH).unwrap());
        assert_eq!(quota.take(now + WINDOW), Some(1000 - u64::from(EACH)));
        assert_eq!(quota.take(now + WINDOW), Some(0));
    }
}
