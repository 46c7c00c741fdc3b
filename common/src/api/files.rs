//! The state files by which processes find each other: no bodies of requests, but as public.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{Process, SessionId};
use crate::session::{PermissionMode, SessionKind};

/// The daemon's state file `daemon.json`, by which other processes find it (S7, G20, Q4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonFile {
    /// The daemon's process.
    pub process: Process,
    /// Its socket's path.
    pub socket: String,
    /// Its URLs over TCP. A client of the same user finds the token in the file `token` beside this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The certificate that it shows over TCP, by which local clients know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<super::TlsInfo>,
    /// Its skep version.
    pub version: String,
    /// Its epoch.
    pub epoch: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// The arguments that it was started with, for a restart.
    pub args: Vec<String>,
}

/// An entry of the registry `registry/<id>.json`, written by each worker and each foreground `run` or `attach` about
/// itself (C6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryEntry {
    /// Its process.
    pub process: Process,
    /// The session that it shows or holds, if it is one only.
    #[serde(rename = "sessionId", default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Its directory.
    pub cwd: String,
    /// When it started.
    #[serde(rename = "startedAt")]
    pub started_at: Timestamp,
    /// `interactive`, `bg`, `daemon`.
    pub kind: SessionKind,
    /// Where it can be reached, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its permission mode.
    pub mode: PermissionMode,
    /// Its skep version.
    pub version: String,
    /// The machine.
    pub hostname: String,
}
