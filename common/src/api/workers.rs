//! `/workers`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProcessUsage;
use crate::ids::{Process, SessionId, WorkerId};
use crate::session::PermissionMode;

/// A worker's state, for people and scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Not started.
    Idle,
    /// Spawned, no hello yet.
    Starting,
    /// At work.
    Running,
    /// Waits for its restart.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Ended, not restarted.
    Stopped,
    /// Not restarted until a person says so.
    Parked,
    /// A state of a newer skep.
    #[serde(other)]
    Unknown,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerInfo {
    /// Its id.
    pub id: WorkerId,
    /// Its kind: `remote-control` or `background`.
    pub kind: String,
    /// Where it stands.
    pub state: WorkerState,
    /// Why it is parked, backing off or stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it is restarted, while it backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Timestamp>,
    /// Restarts since the daemon first knew it.
    pub restarts: u64,
    /// Failures in a row, each after a short run.
    pub rapid_failures: u32,
    /// The level of the restart delay.
    pub backoff_level: u32,
    /// How its last process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// The end of its last process's stderr (at most 4 KiB), while it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stderr: Option<String>,
    /// How many sessions it may hold.
    pub capacity: u32,
    /// The sessions that it holds.
    pub sessions: Vec<SessionId>,
    /// Its directory.
    pub dir: String,
    /// What it uses now, with its agents and whatever they started: in `GET /workers` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ProcessUsage>,
    /// Milliseconds that its oldest journal write has been waiting, if it said so.
    #[serde(default)]
    pub journal_stalled_ms: u64,
    /// The skep version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// `GET /workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerList {
    /// The workers, by id.
    pub workers: Vec<WorkerInfo>,
}

/// `POST /workers`: add one; 201 with [`WorkerInfo`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddWorker {
    /// Its id; the next free one where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<WorkerId>,
    /// `remote-control` (the default) or `background`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// How many sessions it may hold (1 to 1,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 1_000))]
    pub capacity: Option<u32>,
    /// The default mode of its sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
}
