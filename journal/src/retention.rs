//! Retention (signatures).
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

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

/// Which of the closed sessions to remove. Pure.
#[must_use]
pub fn choose(closed: &[Usage], limits: Limits, now: Timestamp) -> Vec<PathBuf> {
    let _ = (closed, limits, now);
    unimplemented!()
}

/// What a session directory's files take, in bytes.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn usage(session_dir: &Path) -> io::Result<u64> {
    let _ = session_dir;
    unimplemented!()
}

/// Removes a session with everything in its directory, unless somebody writes it. A session that is gone already is
/// `Removed`.
///
/// # Errors
///
/// When the system refuses.
pub fn remove_session(session_dir: &Path) -> io::Result<Kept> {
    let _ = session_dir;
    unimplemented!()
}
