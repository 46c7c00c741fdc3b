//! The stable error codes, and the error that a client sees (G15).

use serde::{Deserialize, Serialize};

/// Every code that skep's API, protocol and CLI can answer. A code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not what the operation takes: wrong JSON, wrong type, missing or unknown field.
    InvalidRequest,
    /// A value has the right type and is not allowed: a bad id, name or combination.
    InvalidValue,
    /// The body, frame or line is over the configured limit.
    TooLarge,
    /// No such path.
    RouteNotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The token is missing or wrong.
    Unauthorized,
    /// The peer may not do this.
    Forbidden,
    /// The request names a host under which nothing is served here, or not exactly one (DNS rebinding).
    HostNotAllowed,
    /// The request comes from a web page of somebody else.
    OriginNotAllowed,
    /// An address that is not loopback needs a password, and none is configured.
    PasswordRequired,
    /// No such token or signed-in browser.
    TokenNotFound,
    /// Too many failed logins, connections or streams of one client; `details.retry_after_seconds` where known.
    TooManyRequests,
    /// Too many requests are under way.
    Overloaded,
    /// The request did not come in time.
    RequestTimeout,
    /// The request's head is over the limit.
    HeadTooLarge,
    /// The peer is inside a session's process tree and wants to approve or administer.
    InsideSession,
    /// No such session.
    SessionNotFound,
    /// The session's prefix or name fits several; `details.candidates` lists them.
    SessionAmbiguous,
    /// The session name belongs to an open session.
    SessionExists,
    /// The named session is open with another directory or agent.
    SessionConflict,
    /// A turn runs and the request said `refuse`.
    SessionBusy,
    /// The session is closed; it takes no prompts.
    SessionClosed,
    /// A limit of what the session may use is used up; it takes no prompts.
    LimitReached,
    /// Another writer holds the session's lease.
    SessionLeased,
    /// The session's disk failed; it is read-only until it is opened anew.
    SessionReadOnly,
    /// Keys that the session's agent had are given by nobody now; the message names them.
    CredentialsMissing,
    /// The session's agent could not be started or spoke nonsense.
    AgentFailed,
    /// The session's agent does not take what the prompt holds: an image, a recording, a resource.
    ContentNotSupported,
    /// No preset or configured agent of that name.
    AgentNotFound,
    /// The session's agent does not offer that model; `details.offered` lists those that it does, where it tells.
    ModelNotFound,
    /// The session's agent has no such option of its own; `details.offered` lists those that it has, where it tells.
    OptionNotFound,
    /// The session's agent did not take a setting; nothing was changed.
    AgentRefused,
    /// The directory is missing, not a directory, or not allowed.
    DirectoryNotAllowed,
    /// No such permission request.
    PermissionNotFound,
    /// The request was answered before; `details.by` says by whom.
    AlreadyResolved,
    /// No such prompt.
    PromptNotFound,
    /// No hook of that name is configured.
    HookNotFound,
    /// No such delivery, or it arrived.
    DeliveryNotFound,
    /// A queue is full: prompts, requests to a session or connections; try again later.
    QueueFull,
    /// The pool has no place for another session.
    PoolFull,
    /// The limit of open sessions is reached.
    TooManySessions,
    /// Sessions that sessions open may not be nested any deeper (`delegation.max_depth`).
    TooDeep,
    /// The session, or all below the outermost one, have as many open sessions as they may (`delegation.max_children`,
    /// `delegation.max_tree`).
    TooManyChildren,
    /// No such worker.
    WorkerNotFound,
    /// The worker is not in a state for that.
    WorkerState,
    /// The worker went away before it answered; `retry` with the same id is safe.
    WorkerGone,
    /// A newer controller has taken over.
    Fenced,
    /// The cursor lies before the oldest event kept; `details.first_seq`.
    CursorExpired,
    /// The cursor lies beyond the head or in a lost epoch; `details.resume_from`.
    CursorInvalid,
    /// The daemon is stopping.
    ShuttingDown,
    /// The configuration is invalid.
    ConfigInvalid,
    /// Known, and not built yet, or not what the session's agent can do; the message says what to do instead.
    NotSupported,
    /// The peer speaks a protocol that this side does not.
    ProtocolMismatch,
    /// The disk refused: full, read-only, failing.
    StorageFailed,
    /// It took too long.
    TimedOut,
    /// A fault of skep's own; the log says more.
    Internal,
    /// A code of a newer skep.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// The code as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(text)) => text,
            _ => String::from("unknown"),
        }
    }
}

/// An error for a client: a stable code and a message for a person, nothing internal (G15).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[error("{message}")]
pub struct ApiError {
    /// What went wrong, stable.
    pub code: Code,
    /// What went wrong and what to do, for a person; no trailing newline.
    pub message: String,
    /// Facts that belong to the code, such as `candidates` or `first_seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ApiError {
    /// An error without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(self, details: serde_json::Value) -> Self {
        Self { details: Some(details), ..self }
    }
}

/// The body of every error answer: `{"error":{"code":…,"message":…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

/// An error with its causes, for the log.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
