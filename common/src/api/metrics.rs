//! `/metrics`: what skep and its workers use, in numbers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HookUse, WorkerState};
use crate::ids::{Process, WorkerId};
use crate::session::{SessionState, TurnOutcome};

/// `GET /metrics` below `/api/v1`. `GET /metrics` at the root has the same in the text format of Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Metrics {
    /// When they were taken.
    pub at: Timestamp,
    /// The machine; none where the platform does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemUsage>,
    /// The daemon's own process; none where the platform does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<ProcessUsage>,
    /// Each worker with everything below it.
    pub workers: Vec<WorkerUsage>,
    /// Open and closed sessions by state; states without sessions are left out.
    pub sessions: Vec<SessionCount>,
    /// Turns that the daemon saw end since it started, by outcome.
    pub turns: Vec<TurnCount>,
    /// Tokens that these turns used, as far as their agents told.
    #[serde(default)]
    pub tokens: crate::usage::Tokens,
    /// What became of what hooks were to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookUse>,
    /// Permission requests that wait.
    pub permissions_waiting: u64,
    /// For how long the oldest of them has waited, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_oldest_seconds: Option<f64>,
}

/// The machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SystemUsage {
    /// Processors that the daemon may use.
    pub processors: u32,
    /// The load over one, five and fifteen minutes.
    pub load: [f64; 3],
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Memory that is to be had without swapping, in bytes.
    pub memory_available_bytes: u64,
}

/// A process with everything below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessUsage {
    /// How many processes.
    pub processes: u32,
    /// Memory, in bytes. What processes share is divided among them (PSS), or counts in each (RSS) where the kernel does
    /// not tell.
    pub memory_bytes: u64,
    /// Processor time since they started, in seconds, of ended children too.
    pub cpu_seconds: f64,
}

/// A worker with everything below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerUsage {
    /// The worker.
    pub id: WorkerId,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: WorkerState,
    /// Its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// What it uses, with its agents and whatever they started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ProcessUsage>,
    /// Sessions that it holds.
    pub sessions: u64,
    /// Restarts since the daemon first knew it.
    pub restarts: u64,
    /// Milliseconds that its oldest journal write has been waiting: how far events lag behind.
    pub journal_stalled_ms: u64,
}

/// How many sessions are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionCount {
    /// The state.
    pub state: SessionState,
    /// How many.
    pub count: u64,
}

/// How many turns ended so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnCount {
    /// How.
    pub outcome: TurnOutcome,
    /// How many.
    pub count: u64,
}
