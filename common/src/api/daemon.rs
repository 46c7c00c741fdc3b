//! `/daemon` and `/health`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{Process, WorkerId};

use super::hooks::HookUse;
use super::sessions::SessionInfo;
use super::workers::WorkerInfo;

/// `GET /daemon`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DaemonStatus {
    /// `running`, or `stopping`.
    pub status: String,
    /// The daemon's pid.
    pub pid: u32,
    /// Its process identity.
    pub process: Process,
    /// Where it listens: its first URL over TCP, else `unix:/path` (C1).
    pub endpoint: String,
    /// Everywhere that it listens, the Unix socket first.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// When it started.
    #[serde(rename = "startedAt")]
    pub started_at: Timestamp,
    /// Its skep version.
    pub version: String,
    /// The directory that it was started with (`--dir`).
    pub cwd: String,
    /// Its epoch.
    pub epoch: u64,
    /// The state directory.
    pub state_dir: String,
    /// The kinds of workers that it keeps.
    pub worker_kinds: Vec<String>,
    /// The way in which process trees are contained: `group+subreaper+mark` or `cgroup`.
    pub containment: String,
    /// Its workers.
    pub workers: Vec<WorkerInfo>,
    /// Its open sessions.
    pub sessions: Vec<SessionInfo>,
    /// Closed sessions that are kept.
    pub closed_sessions: u64,
    /// Its hooks, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookUse>,
    /// The configuration's problem, if the last reload was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_error: Option<String>,
    /// How TCP is encrypted, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsInfo>,
    /// Why the record of who did what is not complete, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_problem: Option<String>,
}

/// The certificate that a daemon shows over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TlsInfo {
    /// Whose it is: `self` (skep made it) or `files` (it was given).
    pub mode: String,
    /// The path of the certificate as PEM; a client trusts a self-made one by it.
    pub certificate: String,
    /// Its SHA-256 fingerprint: `AB:CD:…`.
    pub fingerprint: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What is wrong with it, or with the one that was to replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /health`, without a token: who serves here (Q4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`, or `stopping`.
    pub status: String,
    /// The daemon's process.
    pub process: Process,
    /// Its skep version.
    pub version: String,
}

/// `POST /daemon/reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reloaded {
    /// Workers that were restarted because their settings changed.
    pub restarted: Vec<WorkerId>,
    /// Keys that only take effect at the next start.
    pub needs_restart: Vec<String>,
}
