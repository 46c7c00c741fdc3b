//! The one error of the command line: what kind it is, what to say, and what to do about it.
//!
//! Converted to an exit status once, in `main`.

use skep_common::code::{ApiError, Code};

use crate::exit::Exit;

/// A command that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    /// What kind of failure; it decides the exit status.
    pub(crate) kind: Kind,
    /// The API's stable code, where the daemon gave one.
    pub(crate) code: Option<Code>,
    /// What went wrong, for a person; no trailing newline.
    pub(crate) message: String,
    /// What to do, one line each.
    pub(crate) hints: Vec<String>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ends with this status.
    Status(Exit),
    /// Our standard output was closed by its reader; nothing is said.
    OutputClosed,
}

/// What every command answers.
pub(crate) type Outcome = Result<Exit, CliError>;

impl CliError {
    /// An error that ends with `exit`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { kind: Kind::Status(exit), code: None, message: message.into(), hints: Vec::new() }
    }

    /// Something failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The daemon cannot be reached.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// Asked for what is known and not built yet.
    pub(crate) fn not_supported(what: &str) -> Self {
        let mut error = Self::usage(format!("{what} is not supported yet"));
        error.code = Some(Code::NotSupported);
        error
    }

    /// The same error with one more hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit status.
    pub(crate) const fn exit(&self) -> Exit {
        match self.kind {
            Kind::Status(exit) => exit,
            Kind::OutputClosed => Exit::Completed,
        }
    }

    /// Whether our reader went away.
    pub(crate) const fn is_output_closed(&self) -> bool {
        matches!(self.kind, Kind::OutputClosed)
    }
}

impl From<std::io::Error> for CliError {
    /// Errors of our own output; everything else is mapped with its context where it happens.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self {
                kind: Kind::OutputClosed,
                code: None,
                message: String::from("the output was closed"),
                hints: Vec::new(),
            };
        }
        Self::failed(format!("cannot write to the output: {error}"))
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let hints = hints_for(&error);
        Self {
            kind: Kind::Status(exit_for(error.code)),
            code: Some(error.code),
            message: error.message,
            hints,
        }
    }
}

/// The exit status of a refusal by the daemon.
fn exit_for(code: Code) -> Exit {
    match code {
        Code::InvalidRequest
        | Code::InvalidValue
        | Code::TooLarge
        | Code::SessionExists
        | Code::SessionConflict
        | Code::DirectoryNotAllowed
        | Code::HeadTooLarge
        | Code::PasswordRequired
        | Code::ConfigInvalid
        | Code::NotSupported => Exit::Usage,
        Code::SessionNotFound
        | Code::SessionAmbiguous
        | Code::SessionClosed
        | Code::AgentNotFound
        | Code::ModelNotFound
        | Code::OptionNotFound
        | Code::PermissionNotFound
        | Code::PromptNotFound
        | Code::HookNotFound
        | Code::DeliveryNotFound
        | Code::TokenNotFound
        | Code::WorkerNotFound => Exit::NotFound,
        Code::SessionBusy
        | Code::SessionLeased
        | Code::QueueFull
        | Code::PoolFull
        | Code::TooManyRequests
        | Code::Overloaded
        | Code::TooManySessions
        | Code::TooManyChildren => Exit::Busy,
        Code::CredentialsMissing => Exit::NeedsPerson,
        Code::ShuttingDown => Exit::Unreachable,
        Code::TimedOut | Code::RequestTimeout => Exit::TimedOut,
        Code::RouteNotFound
        | Code::MethodNotAllowed
        | Code::Unauthorized
        | Code::Forbidden
        | Code::TooDeep
        | Code::HostNotAllowed
        | Code::OriginNotAllowed
        | Code::InsideSession
        | Code::SessionReadOnly
        | Code::LimitReached
        | Code::ContentNotSupported
        | Code::AgentFailed
        | Code::AgentRefused
        | Code::AlreadyResolved
        | Code::WorkerState
        | Code::WorkerGone
        | Code::Fenced
        | Code::CursorExpired
        | Code::CursorInvalid
        | Code::ProtocolMismatch
        | Code::StorageFailed
        | Code::Internal
        | Code::Unknown => Exit::Failed,
    }
}

/// What a person can do about a refusal.
fn hints_for(error: &ApiError) -> Vec<String> {
    match error.code {
        Code::SessionAmbiguous => candidates(error),
        Code::SessionNotFound => vec![String::from("`skep ps -a` lists every session")],
        Code::SessionBusy => vec![String::from(
            "wait with `skep wait`, queue it with `--queue`, or watch the turn with `skep attach`",
        )],
        Code::AgentNotFound => vec![String::from("`skep agents` lists the agents")],
        Code::WorkerNotFound => vec![String::from("`skep worker ls` lists the workers")],
        Code::PermissionNotFound => vec![String::from("`skep inbox` lists what waits")],
        Code::SessionClosed => {
            vec![String::from("its history is kept: `skep logs`; `skep run --name` starts a new session")]
        }
        Code::Internal => vec![String::from("`skep daemon logs` says more")],
        _ => Vec::new(),
    }
}

fn candidates(error: &ApiError) -> Vec<String> {
    let Some(list) = error.details.as_ref().and_then(|details| details.get("candidates")?.as_array()) else {
        return vec![String::from("`skep ps -a` lists every session")];
    };
    list.iter().map(|entry| format!("it could be {}", candidate(entry))).collect()
}

/// A candidate is an id, or an object with id and name.
fn candidate(entry: &serde_json::Value) -> String {
    if let Some(text) = entry.as_str() {
        return text.to_owned();
    }
    let field = |key| entry.get(key).and_then(serde_json::Value::as_str);
    match (field("id"), field("name")) {
        (Some(id), Some(name)) => format!("{id} ({name})"),
        (Some(id), None) => id.to_owned(),
        _ => entry.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_end_with_the_documented_status() {
        let table = [
            (Code::InvalidValue, 2),
            (Code::NotSupported, 2),
            (Code::SessionConflict, 2),
            (Code::ShuttingDown, 3),
            (Code::SessionNotFound, 4),
            (Code::SessionAmbiguous, 4),
            (Code::AgentNotFound, 4),
            (Code::WorkerNotFound, 4),
            (Code::PermissionNotFound, 4),
            (Code::SessionBusy, 5),
            (Code::QueueFull, 5),
            (Code::PoolFull, 5),
            (Code::TooManySessions, 5),
            (Code::TooManyChildren, 5),
            (Code::TooDeep, 1),
            (Code::AlreadyResolved, 1),
            (Code::Unauthorized, 1),
            (Code::InsideSession, 1),
            (Code::Internal, 1),
            (Code::TimedOut, 124),
        ];
        for (code, status) in table {
            assert_eq!(CliError::from(ApiError::new(code, "x")).exit().status(), status, "{code:?}");
        }
    }

    #[test]
    fn g16_an_ambiguous_prefix_lists_its_candidates() {
        let details = serde_json::json!({"candidates": [{"id": "1a", "name": "build"}, "1b"]});
        let error = CliError::from(ApiError::new(Code::SessionAmbiguous, "`1` fits 2").with_details(details));
        assert_eq!(error.hints, ["it could be 1a (build)", "it could be 1b"]);
    }

    #[test]
    fn g22_a_reader_that_went_away_is_no_failure() {
        let error = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(error.is_output_closed());
        assert_eq!(error.exit(), Exit::Completed);
    }
}
