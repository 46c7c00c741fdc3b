//! Orphans: what a session's processes leave behind is handed to the nearest subreaper, which is us (promise 13).
//!
//! Supervisor and worker both are one. They reap by number, found in the list of their own children; never
//! `waitpid(-1)`, which would take children from their owners.

use std::io;

use skep_common::ids::Process;

use crate::children;
use crate::exit::ExitCause;
use crate::os::{handle, table};
use crate::process;

/// From now on, orphaned descendants of this process become its children. For the whole process, for good; inherited
/// by nobody.
///
/// # Errors
///
/// When the system refuses. Systems other than Linux have no subreaper: nothing happens there.
pub fn become_subreaper() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Reaps every ended child that has no owner: it is no [`crate::spawn::Child`], and `known` does not claim its pid.
/// To be called when SIGCHLD arrives. Never blocks.
pub fn reap_orphans(known: &dyn Fn(u32) -> bool) -> Vec<(u32, ExitCause)> {
    let mut reaped = Vec::new();
    loop {
        let children = children::lock();
        let before = reaped.len();
        for pid in table::own_children().unwrap_or_default() {
            if !children.owns(pid)
                && !known(pid)
                && let Ok(Some(cause)) = handle::try_reap_pid(pid)
            {
                reaped.push((pid, cause));
            }
        }
        // The list may skip entries while children end, so only a pass without a find is the last.
        if reaped.len() == before {
            return reaped;
        }
    }
}

/// The living children of this process that have no owner: orphans that it adopted as a subreaper.
#[must_use]
pub fn orphans(known: &dyn Fn(u32) -> bool) -> Vec<Process> {
    let children = children::lock();
    let own = table::own_children().unwrap_or_default();
    own.into_iter()
        .filter(|pid| !children.owns(*pid) && !known(*pid))
        .filter_map(table::stat)
        .filter(|stat| !stat.dead)
        .map(|stat| process::of(&stat))
        .collect()
}
