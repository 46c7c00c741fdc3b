//! The pursuit of processes that fork and leave faster than a scan and its signals can follow: each number is looked at
//! the moment it is given out, and whoever carries a mark of the hunt gets SIGKILL at once.

use std::thread;
use std::time::{Duration, Instant};

use super::scan::given_out;
use crate::os::{handle, table};
use crate::process::{ancestors, mark_values};
use crate::signal::Signal;

/// How long one pursuit lasts at most; it keeps a processor busy.
const LIMIT: Duration = Duration::from_millis(100);

/// A pursuit ends when nobody marked was born for so long.
const SILENCE: Duration = Duration::from_millis(10);

/// Blocks. Says how many it hit.
pub(super) fn pursue(marks: &[(String, String)]) -> usize {
    let spared: Vec<u32> = ancestors(std::process::id());
    let begun = Instant::now();
    let (mut last, mut last_birth, mut killed) = (table::last_number(), begun, 0);
    let mut buffer = Vec::new();
    while begun.elapsed() < LIMIT && last_birth.elapsed() < SILENCE {
        let now = table::last_number();
        for pid in given_out(last, now).into_iter().flatten().filter(|pid| !spared.contains(pid)) {
            if carries(pid, marks, &mut buffer) {
                last_birth = Instant::now();
                // With its handle open it must still carry the mark: then it is the one that was meant.
                let is_it = || carries(pid, marks, &mut buffer);
                if handle::signal_checked(pid, Signal::SIGKILL, is_it).unwrap_or(false) {
                    killed += 1;
                }
            }
        }
        if last == now {
            thread::yield_now();
        }
        last = now;
    }
    killed
}

fn carries(pid: u32, marks: &[(String, String)], buffer: &mut Vec<u8>) -> bool {
    pid != std::process::id()
        && table::environ(pid, buffer).is_ok()
        && marks
            .iter()
            .any(|(key, value)| mark_values(buffer, key.as_bytes()).any(|found| found == value.as_bytes()))
}
