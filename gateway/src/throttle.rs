//! How often somebody may try to log in (pure): per address and over all, counted in windows of a minute, in bounded
//! memory. An attempt counts when it begins, so that many at once are many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered; beyond that only what all may do together counts.
const MAX_ADDRESSES: usize = 4_096;

/// How many times as many attempts all addresses have together.
const ALL: u32 = 10;

/// Attempts to log in.
#[derive(Debug)]
pub(crate) struct Throttle {
    each: u32,
    addresses: HashMap<IpAddr, Count>,
    all: Count,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    attempts: u32,
}

impl Count {
    fn at(self, now: Instant) -> Self {
        if now.saturating_duration_since(self.since) < WINDOW {
            self
        } else {
            Self { since: now, attempts: 0 }
        }
    }

    fn left(self, now: Instant) -> Duration {
        WINDOW.saturating_sub(now.saturating_duration_since(self.since))
    }
}

impl Throttle {
    /// So many attempts of each address in a minute.
    pub(crate) fn new(each: u32, now: Instant) -> Self {
        Self { each, addresses: HashMap::new(), all: Count { since: now, attempts: 0 } }
    }

    /// Counts an attempt of this address.
    ///
    /// # Errors
    ///
    /// How long to wait, where it had too many.
    pub(crate) fn attempt(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.all = self.all.at(now);
        if self.all.attempts >= self.each.saturating_mul(ALL) {
            return Err(self.all.left(now));
        }
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, count| now.saturating_duration_since(count.since) < WINDOW);
        }
        let full = self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&address);
        if !full {
            let count = self.addresses.entry(address).or_insert(Count { since: now, attempts: 0 });
            *count = count.at(now);
            if count.attempts >= self.each {
                return Err(count.left(now));
            }
            count.attempts += 1;
        }
        self.all.attempts += 1;
        Ok(())
    }

    /// Forgets the attempts of an address that got in.
    pub(crate) fn succeeded(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.remove(&address) {
            self.all.attempts = self.all.attempts.saturating_sub(count.attempts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[tokio::test(start_paused = true)]
    async fn c8_an_address_waits_after_its_attempts_and_others_do_not() {
        let now = Instant::now();
        let mut throttle = Throttle::new(3, now);
        for _ in 0..3 {
            assert_eq!(throttle.attempt(address(1), now), Ok(()));
        }
        assert_eq!(throttle.attempt(address(1), now + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert_eq!(throttle.attempt(address(2), now), Ok(()));
        assert_eq!(throttle.attempt(address(1), now + WINDOW), Ok(()));
        throttle.attempt(address(2), now).unwrap();
        throttle.attempt(address(2), now).unwrap();
        throttle.succeeded(address(2));
        assert_eq!(throttle.attempt(address(2), now), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn c8_many_addresses_together_wait_too_and_memory_is_bounded() {
        let now = Instant::now();
        let mut throttle = Throttle::new(2, now);
        let got_in = (0..1000).filter(|n| throttle.attempt(address(*n), now).is_ok()).count();
        assert_eq!(got_in, 20);
        let mut wide = Throttle::new(1000, now);
        for n in 0..9_000 {
            assert_eq!(wide.attempt(address(n), now), Ok(()));
        }
        assert_eq!(wide.addresses.len(), MAX_ADDRESSES);
    }
}
