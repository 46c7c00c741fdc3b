//! Waiting for a condition, with a deadline that fails the test and says what was missing.

use std::time::{Duration, Instant};

/// How long a test waits for anything that should happen soon. Generous, because the machine may be loaded; a
/// test that passes never waits this long.
pub const SOON: Duration = Duration::from_secs(30);

/// How often a condition without an event of its own is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `condition` gives a value.
///
/// # Panics
///
/// When it gives none within [`SOON`]; the message names `what`.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_up_to(SOON, what, condition)
}

/// Waits until `condition` gives a value, up to `limit`.
///
/// # Panics
///
/// When it gives none in time.
pub fn wait_up_to<T>(limit: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match try_for(limit, condition) {
        Some(value) => value,
        None => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not within [`SOON`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Like [`wait_up_to`], with the failure left to the caller.
pub fn try_for<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::park_timeout(LOOK);
    }
}
