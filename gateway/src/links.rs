//! Links that sign a browser in, once and soon (`skep open`). In memory only: a restart ends them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use skep_common::ids::SessionId;
use skep_common::keys::Scope;
use subtle::ConstantTimeEq as _;

use crate::keys::{Hash, hash, random_hex};

/// How long a link is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(5 * 60);

/// Links at once; the oldest makes room.
const MAX_LINKS: usize = 32;

/// What a link signs a browser in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The one session that it will see.
    pub(crate) session: Option<SessionId>,
    /// What it will be allowed.
    pub(crate) scopes: Vec<Scope>,
    /// How long it stays signed in, in seconds.
    pub(crate) seconds: i64,
}

impl Grant {
    /// Everything, for so long.
    pub(crate) fn all(seconds: i64) -> Self {
        Self { session: None, scopes: vec![Scope::Admin], seconds }
    }
}

/// The links that were not used yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    code: Hash,
    end: Timestamp,
    grant: Grant,
}

impl Links {
    /// A new code, and when it ends.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub(crate) fn make(&self, grant: Grant, now: Timestamp) -> std::io::Result<(String, Timestamp)> {
        let code = random_hex(32)?;
        let end = now + GOOD_FOR;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|link| now < link.end);
        if waiting.len() >= MAX_LINKS {
            waiting.remove(0);
        }
        waiting.push(Waiting { code: hash(code.as_bytes()), end, grant });
        Ok((code, end))
    }

    /// Uses a code up. What it was good for.
    pub(crate) fn take(&self, code: &str, now: Timestamp) -> Option<Grant> {
        let shown = hash(code.as_bytes());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|link| now < link.end);
        // Every link is compared, whichever it is.
        let found = waiting.iter().enumerate().fold(None, |found, (at, link)| {
            if bool::from(link.code.ct_eq(&shown)) { Some(at) } else { found }
        });
        found.map(|at| waiting.remove(at).grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q3_a_link_works_once_and_not_late() {
        let links = Links::default();
        let now = Timestamp::now();
        let one = Grant {
            session: Some(SessionId::random()),
            scopes: vec![Scope::Read, Scope::Prompt],
            seconds: 7,
        };
        let (other, _) = links.make(Grant::all(9), now).unwrap();
        let (code, end) = links.make(one.clone(), now).unwrap();
        assert!(links.take("", now).is_none() && links.take(&code[1..], now).is_none());
        assert_eq!(links.take(&code, now), Some(one));
        assert_eq!(links.take(&code, now), None);
        assert_eq!(links.take(&other, now), Some(Grant::all(9)));
        let (late, _) = links.make(Grant::all(9), now).unwrap();
        assert_eq!(links.take(&late, end), None);
    }

    #[test]
    fn g13_links_are_bounded_and_the_newest_stay() {
        let links = Links::default();
        let now = Timestamp::now();
        let codes: Vec<String> =
            (0..MAX_LINKS + 3).map(|_| links.make(Grant::all(9), now).unwrap().0).collect();
        assert!(links.take(&codes[0], now).is_none());
        assert!(links.take(codes.last().unwrap(), now).is_some());
        assert_eq!(links.waiting.lock().unwrap().len(), MAX_LINKS - 1);
    }
}
