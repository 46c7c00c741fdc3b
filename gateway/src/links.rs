//! Links that sign a browser in, once and soon (`skep open`). In memory only: a restart ends them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::keys::{Hash, hash, random_hex};

/// How long a link is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(5 * 60);

/// Links at once; the oldest makes room.
const MAX_LINKS: usize = 32;

/// The links that were not used yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    waiting: Arc<Mutex<Vec<(Hash, Timestamp)>>>,
}

impl Links {
    /// A new code, and when it ends.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub(crate) fn make(&self, now: Timestamp) -> std::io::Result<(String, Timestamp)> {
        let code = random_hex(32)?;
        let end = now + GOOD_FOR;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(_, end)| now < *end);
        if waiting.len() >= MAX_LINKS {
            waiting.remove(0);
        }
        waiting.push((hash(code.as_bytes()), end));
        Ok((code, end))
    }

    /// Uses a code up. Whether it was good.
    pub(crate) fn take(&self, code: &str, now: Timestamp) -> bool {
        let shown = hash(code.as_bytes());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(_, end)| now < *end);
        let good = waiting.len();
        waiting.retain(|(held, _)| !bool::from(held.ct_eq(&shown)));
        waiting.len() < good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q3_a_link_works_once_and_not_late() {
        let links = Links::default();
        let now = Timestamp::now();
        let (code, end) = links.make(now).unwrap();
        assert!(!links.take("", now) && !links.take(&code[1..], now));
        assert!(links.take(&code, now));
        assert!(!links.take(&code, now));
        let (late, _) = links.make(now).unwrap();
        assert!(!links.take(&late, end));
    }

    #[test]
    fn g13_links_are_bounded_and_the_newest_stay() {
        let links = Links::default();
        let now = Timestamp::now();
        let codes: Vec<String> = (0..MAX_LINKS + 3).map(|_| links.make(now).unwrap().0).collect();
        assert!(!links.take(&codes[0], now));
        assert!(links.take(codes.last().unwrap(), now));
        assert_eq!(links.waiting.lock().unwrap().len(), MAX_LINKS - 1);
    }
}
