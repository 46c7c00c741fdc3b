//! Agents that name their sessions by a coarse clock, and lose one that is loaded in the same period in which it was
//! created (agents.md 5.3): how long such a load has to wait.
//!
//! Pure but for `NotBefore::come`, which only sleeps. Periods are counted from the epoch, so a period of a minute is a
//! minute of the wall clock in every time zone.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

/// A time that lies in the period after the one in which a session was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBefore {
    created: Timestamp,
    period: Duration,
}

impl NotBefore {
    /// For a session that was created then; nothing if `now` lies in another period already.
    pub(crate) fn after(created: Timestamp, period: Duration, now: Timestamp) -> Option<Self> {
        let this = Self { created, period };
        this.left(now).map(|_| this)
    }

    /// How long the period still lasts; nothing if it is over, or (the clock was set back) not reached.
    fn left(self, now: Timestamp) -> Option<Duration> {
        let period = i128::try_from(self.period.as_nanos()).ok().filter(|period| *period > 0)?;
        let (created, now) = (self.created.as_nanosecond(), now.as_nanosecond());
        let same = created.div_euclid(period) == now.div_euclid(period);
        let left = same.then(|| period - now.rem_euclid(period))?;
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)))
    }

    /// Waits until the period is over by the wall clock, which may be set meanwhile. Cancel-safe.
    pub(super) async fn come(self, clock: impl Fn() -> Timestamp) {
        while let Some(left) = self.left(clock()) {
            sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        format!("2026-01-02T{text}Z").parse().unwrap()
    }

    #[test]
    fn a_load_waits_only_in_the_wall_clock_minute_of_the_creation_and_to_its_end() {
        for (created, now, left) in [
            ("03:04:00", "03:04:00", Some(60_000)),
            ("03:04:05", "03:04:59.999", Some(1)),
            ("03:04:59.999", "03:04:59.999", Some(1)),
            ("03:04:59.999", "03:05:00", None),
            ("03:04:05", "03:05:04", None),
            ("03:04:05", "04:04:05", None),
            // The clock was set back within the minute, or further.
            ("03:04:30", "03:04:10", Some(50_000)),
            ("03:04:05", "03:03:59", None),
        ] {
            let wait = NotBefore::after(at(created), MINUTE, at(now));
            let waits = wait.and_then(|wait| wait.left(at(now)));
            assert_eq!(waits, left.map(Duration::from_millis), "{created} {now}");
        }
        assert_eq!(NotBefore::after(at("03:04:05"), Duration::ZERO, at("03:04:05")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_next_minute_begins_even_if_timers_are_early() {
        let (began, from) = (Instant::now(), at("03:04:20"));
        // This clock is slower than the timers: the first sleep is not enough.
        let clock = || from.checked_add(began.elapsed().mul_f64(0.8)).unwrap();
        NotBefore::after(at("03:04:05"), MINUTE, from).unwrap().come(clock).await;
        assert_eq!(NotBefore::after(at("03:04:05"), MINUTE, clock()), None);
        assert!((50..52).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}
