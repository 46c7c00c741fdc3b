//! How long closed sessions are kept: which go is a pure choice, their removal is not.
//!
//! Only whole sessions are removed, and none that a writer holds. A reader that still follows one keeps its open file
//! and is told `Expired` at the next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::segment::journal_dir;
use crate::{Lease, LeaseError};

/// How long and how much of closed sessions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions that ended longer ago are removed.
    pub max_age: Duration,
    /// The oldest are removed until the rest takes no more than this.
    pub max_total_bytes: u64,
}

/// A closed session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its directory.
    pub session_dir: PathBuf,
    /// When it ended (last changed).
    pub ended_at: Timestamp,
    /// What its files take.
    pub bytes: u64,
}

/// Whether a session was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is gone.
    Removed,
    /// A writer holds it, so it was left alone.
    InUse,
}

/// Which of the closed sessions to remove: the oldest first. Pure.
#[must_use]
pub fn choose(closed: &[Usage], limits: Limits, now: Timestamp) -> Vec<PathBuf> {
    let mut oldest_first: Vec<&Usage> = closed.iter().collect();
    oldest_first.sort_by_key(|usage| usage.ended_at);
    let mut total = closed.iter().fold(0u64, |total, usage| total.saturating_add(usage.bytes));
    let mut chosen = Vec::new();
    for usage in oldest_first {
        let age = Duration::try_from(now.duration_since(usage.ended_at)).unwrap_or_default();
        if age <= limits.max_age && total <= limits.max_total_bytes {
            break;
        }
        total = total.saturating_sub(usage.bytes);
        chosen.push(usage.session_dir.clone());
    }
    chosen
}

/// What a session directory's files take, in bytes. Links are not followed.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn usage(session_dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut left = vec![session_dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                left.push(entry.path());
            } else {
                total += metadata.len();
            }
        }
    }
    Ok(total)
}

/// Removes a session with everything in its directory, unless somebody writes it. A session that is gone already is
/// `Removed`; one whose removal was cut off can be removed again.
///
/// # Errors
///
/// When the system refuses.
pub fn remove_session(session_dir: &Path) -> io::Result<Kept> {
    let lease = match Lease::acquire(session_dir) {
        Ok(lease) => lease,
        Err(LeaseError::Held) => return Ok(Kept::InUse),
        Err(LeaseError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Kept::Removed);
        }
        Err(LeaseError::Io { source, .. }) => return Err(source),
    };
    for dir in [journal_dir(session_dir).as_path(), session_dir] {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    drop(lease);
    Ok(Kept::Removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, ended: i64, bytes: u64) -> Usage {
        Usage { session_dir: name.into(), ended_at: Timestamp::from_second(ended).unwrap(), bytes }
    }

    #[test]
    fn the_oldest_go_until_both_limits_hold() {
        let closed =
            [session("b", 200, 10), session("a", 100, 10), session("d", 400, 10), session("c", 300, 10)];
        let now = Timestamp::from_second(1_000).unwrap();
        let chosen = |seconds, bytes| {
            let limits = Limits { max_age: Duration::from_secs(seconds), max_total_bytes: bytes };
            let chosen = choose(&closed, limits, now);
            chosen.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chosen(1_000, 100), "");
        assert_eq!(chosen(800, 100), "a");
        assert_eq!(chosen(799, 100), "a b");
        assert_eq!(chosen(1_000, 25), "a b");
        assert_eq!(chosen(700, 5), "a b c d");
        assert_eq!(chosen(0, 0), "a b c d");
    }

    #[test]
    fn a_session_that_ended_in_the_future_is_young() {
        let limits = Limits { max_age: Duration::ZERO, max_total_bytes: 100 };
        assert!(choose(&[session("a", 2_000, 1)], limits, Timestamp::from_second(1_000).unwrap()).is_empty());
    }

    #[test]
    fn a_session_is_removed_whole_and_never_under_a_writer() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("session");
        std::fs::create_dir_all(dir.join("journal")).unwrap();
        std::fs::write(dir.join("journal/000000000001.jsonl"), "12345").unwrap();
        std::fs::write(dir.join("session.json"), "123").unwrap();
        assert_eq!(usage(&dir).unwrap(), 8);
        let lease = Lease::acquire(&dir).unwrap();
        assert_eq!(remove_session(&dir).unwrap(), Kept::InUse);
        drop(lease);
        assert_eq!(remove_session(&dir).unwrap(), Kept::Removed);
        assert!(!dir.exists());
        assert_eq!(remove_session(&dir).unwrap(), Kept::Removed);
    }
}
