//! What an agent said last on its standard error, for the reason of its end.

use std::time::Duration;

use skep_sys::capture::Capture;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::acp::message::clip;

/// How long what a dead process had still written is waited for.
const DRAIN: Duration = Duration::from_millis(500);

/// How much is looked at, in bytes, and told, in characters.
const SHOWN: usize = 400;

/// Waits until the standard error of a process whose tree is dead is read to its end.
pub(super) async fn drained<T>(pump: &mut JoinHandle<T>) {
    if !pump.is_finished() {
        drop(timeout(DRAIN, pump).await);
    }
}

/// The last line that it has.
pub(super) fn last_line(log: &Capture) -> Option<String> {
    let text = log.last(SHOWN);
    String::from_utf8_lossy(&text).trim().lines().next_back().map(|line| clip(line, SHOWN))
}
