//! What the daemon says about itself.

use std::path::PathBuf;

use jiff::Timestamp;
use skep_common::ids::Process;

/// Facts about this daemon that do not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonFacts {
    /// Its process.
    pub process: Process,
    /// Where it listens: `unix:/path`.
    pub endpoint: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Its skep version.
    pub version: String,
    /// The directory that it was started with.
    pub dir: PathBuf,
    /// Its epoch.
    pub epoch: u64,
}

/// How the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// For good.
    Stop,
    /// To be started again.
    Restart,
}
