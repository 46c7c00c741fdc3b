//! The record of who did what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// A line of `logs/audit.jsonl`: a request that changed something or was meant to, or one that was refused to whoever
/// made it. Never a secret, a prompt, or any other body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When it was answered.
    pub time: Timestamp,
    /// Who made it: `owner` (the daemon's own token), the id of a token or of a signed-in browser, `anyone` (nobody is
    /// asked), or `nobody` (nothing that is good was shown).
    pub who: String,
    /// What that token or browser is called, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it came by, as it says itself: `skep-cli`, `skep-acp`, `curl`.
    pub front: String,
    /// From where: `uid 1000 pid 4711` on the Unix socket, the client's address over TCP.
    pub from: String,
    /// The method.
    pub method: String,
    /// The path, without a query; at most 200 characters.
    pub path: String,
    /// The session that it was about, if it was about one that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The token or signed-in browser that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// The scope that it needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    /// The status that it was answered with; none: the client went away before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of the error that it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// So many refusals before this one were not written, since they came too fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<u64>,
}

/// The query of `GET /audit`; the answer is `application/x-ndjson`, endless with `follow`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only lines that contain this text, in upper or lower case (1 to 200 characters); applied before `tail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(min_length = 1, max_length = 200))]
    pub grep: Option<String>,
    /// Only the last so many lines (at most 100,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(maximum = 100_000))]
    pub tail: Option<u32>,
    /// Go on as it grows.
    #[serde(default)]
    pub follow: bool,
}
