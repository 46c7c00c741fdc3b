//! Permission requests and their answers.

use serde::{Deserialize, Serialize};

use crate::ids::{AnswerId, PermissionId, SessionId, SessionName};
use crate::protocol::Decision;
use crate::session::PendingPermission;

/// `POST /sessions/{id}/permissions/{permission}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The client's id for the answer; the same id gets the same reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AnswerId>,
    /// What is decided.
    pub decision: Decision,
}

/// The answer to an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AnswerAccepted {
    /// The session.
    pub session: SessionId,
    /// The request.
    pub permission: PermissionId,
    /// The answer.
    pub answer: AnswerId,
    /// The chosen option's id.
    pub option: Option<String>,
    /// Whether the agent may.
    pub allowed: bool,
}

/// A permission request with its session: an entry of `GET /permissions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WaitingPermission {
    /// The session.
    pub session: SessionId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<SessionName>,
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// The request.
    pub permission: PendingPermission,
}

/// `GET /permissions`: all that wait for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PermissionList {
    /// Oldest first.
    pub permissions: Vec<WaitingPermission>,
}
