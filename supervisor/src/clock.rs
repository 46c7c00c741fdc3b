//! The two clocks of a worker's life: one that only goes on while the machine runs, and the one on the wall.
//!
//! The lifecycle machine counts in [`Moment`]s of the first. What is kept over restarts is a [`Stamp`]: the wall time,
//! and the time since boot with the boot's id, so that within one boot a turned clock changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skep_sys::process::boot_id;
use tokio::time::Instant;

use crate::lifecycle::Moment;

/// The moment at which a clock starts; far enough from zero that failures of a former daemon have a place before it.
const START: Duration = Duration::from_secs(30 * 86_400);

/// A driver's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// Time since boot at the origin.
    uptime: Duration,
}

/// A point in time that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    /// Wall clock.
    pub(crate) at: Timestamp,
    /// The boot.
    pub(crate) boot_id: String,
    /// Milliseconds since that boot, without suspension.
    pub(crate) uptime_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), uptime: uptime() }
    }

    pub(crate) fn now(&self) -> Moment {
        START + self.origin.elapsed()
    }

    /// When a moment comes, for a sleep.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.saturating_sub(START)
    }

    /// When a moment comes or came, for people.
    pub(crate) fn timestamp(&self, moment: Moment) -> Timestamp {
        let (now, wall) = (self.now(), Timestamp::now());
        if moment >= now {
            wall.saturating_add(moment - now).unwrap_or(wall)
        } else {
            wall.saturating_sub(now - moment).unwrap_or(wall)
        }
    }

    pub(crate) fn stamp(&self, moment: Moment) -> Stamp {
        let uptime = (self.uptime + moment).saturating_sub(START);
        Stamp {
            at: self.timestamp(moment),
            boot_id: boot_id().to_owned(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The moment of a stamp. One from the future, which only a turned wall clock makes, counts as now.
    pub(crate) fn moment(&self, stamp: &Stamp) -> Moment {
        let now = self.now();
        let age = if stamp.boot_id == boot_id() {
            (self.uptime + now).saturating_sub(START + Duration::from_millis(stamp.uptime_ms))
        } else {
            Duration::try_from(Timestamp::now().duration_since(stamp.at)).unwrap_or_default()
        };
        now.saturating_sub(age)
    }
}

/// Time since boot without suspension.
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stamp_finds_its_moment_again_in_the_same_boot_and_after_a_reboot() {
        let clock = Clock::start();
        let then = clock.now();
        let stamp = clock.stamp(then);
        tokio::time::advance(Duration::from_secs(90)).await;
        let age = clock.now() - clock.moment(&stamp);
        assert!(age.abs_diff(Duration::from_secs(90)) < Duration::from_secs(1), "{age:?}");

        let earlier = Timestamp::now() - Duration::from_secs(600);
        let other = Stamp { boot_id: "another".to_owned(), at: earlier, uptime_ms: 5 };
        let age = clock.now() - clock.moment(&other);
        assert!(age.abs_diff(Duration::from_secs(600)) < Duration::from_secs(1), "{age:?}");

        let future = Stamp { at: Timestamp::now() + Duration::from_secs(600), ..other };
        assert!(clock.now() - clock.moment(&future) < Duration::from_secs(1));
    }
}
