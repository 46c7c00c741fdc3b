//! Logs of sessions, workers and the daemon.

use serde::{Deserialize, Serialize};

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogType {
    /// The first of the others that exists, in their order (C5).
    #[default]
    Auto,
    /// skep's own events: `logs/{date}/{workspace}.log`.
    Telemetry,
    /// What processes wrote to stderr: `logs/{name}.log`.
    Process,
    /// Verbose records, only with `--debug`.
    Debug,
    /// The session's conversation.
    Transcript,
}

/// The query of `GET /workers/{id}/logs`, `GET /sessions/{id}/logs` and `GET /daemon/logs`; the answer is
/// `text/plain` (`x-skep-log-type` names the type that was chosen), endless with `follow`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Which log.
    #[serde(default, rename = "type")]
    pub log_type: LogType,
    /// Only lines that contain this text, in upper or lower case (1 to 200 characters); applied before `tail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(min_length = 1, max_length = 200))]
    pub grep: Option<String>,
    /// Only the last so many lines (at most 100,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(maximum = 100_000))]
    pub tail: Option<u32>,
    /// Go on as the log grows.
    #[serde(default)]
    pub follow: bool,
}
