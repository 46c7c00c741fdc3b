//! The limit on automatic restarts over all workers (promise 22): after a mass failure the machine is not trampled.
//!
//! Pure. What people ask for and the first start at daemon start do not pass here.

use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(1);

/// Hands out places: at most so many in any second.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: usize,
    /// The latest places that were handed out, oldest first; some may lie in the future.
    places: VecDeque<Duration>,
}

impl Limiter {
    /// A limiter of `per_second` places, at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: usize::try_from(per_second.max(1)).unwrap_or(usize::MAX), places: VecDeque::new() }
    }

    /// The next free place at `now` or later.
    pub(crate) fn reserve(&mut self, now: Duration) -> Duration {
        while self.places.front().is_some_and(|place| *place + WINDOW <= now) {
            self.places.pop_front();
        }
        let full = self.places.len().checked_sub(self.per_second);
        let place =
            full.and_then(|index| self.places.get(index)).map_or(now, |place| now.max(*place + WINDOW));
        self.places.push_back(place);
        place
    }

    /// Changes the limit for places handed out from now on.
    pub(crate) fn set(&mut self, per_second: u32) {
        self.per_second = usize::try_from(per_second.max(1)).unwrap_or(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p22_a_hundred_workers_that_die_at_once_come_back_ten_a_second() {
        let mut limiter = Limiter::new(10);
        let places: Vec<u64> = (0..100).map(|_| limiter.reserve(Duration::ZERO).as_secs()).collect();
        let expected: Vec<u64> = (0..100).map(|index| index / 10).collect();
        assert_eq!(places, expected);
    }

    proptest! {
        #[test]
        fn p22_no_second_holds_more_than_the_limit(
            gaps in proptest::collection::vec(0u64..400, 1..200),
            per_second in 1u32..20,
        ) {
            let mut limiter = Limiter::new(per_second);
            let (mut now, mut places) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                let place = limiter.reserve(now);
                prop_assert!(place >= now);
                places.push(place);
            }
            for start in &places {
                let within = places.iter().filter(|place| **place >= *start && **place < *start + WINDOW).count();
                prop_assert!(within <= usize::try_from(per_second).unwrap());
            }
        }
    }
}
