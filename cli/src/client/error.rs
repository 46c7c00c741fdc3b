//! Why a call to the daemon failed, told apart by what the caller can do about it.

use std::path::PathBuf;

use skep_common::code::{ApiError, Code};
use skep_supervisor::instance::TokenError;

use crate::error::CliError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("the daemon is not running (nobody listens at {})", socket.display())]
    NotRunning {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// The socket is not safe to talk to, or cannot be used.
    #[error("cannot use the daemon's socket {}: {why}", socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The token cannot be used.
    #[error("{0}")]
    Token(TokenError),
    /// The connection broke, or nothing came in time.
    #[error("the daemon went away or does not answer: {why}")]
    Lost {
        /// What happened.
        why: String,
    },
    /// The daemon said no.
    #[error("{0}")]
    Refused(ApiError),
    /// The answer makes no sense to this version.
    #[error("the daemon's answer cannot be read: {why}")]
    Unintelligible {
        /// What is wrong.
        why: String,
    },
}

impl ClientError {
    /// The API's code, if the daemon gave one.
    pub(crate) const fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether trying again, with the same ids, may help.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Lost { .. })
            || matches!(self.code(), Some(Code::WorkerGone | Code::ShuttingDown))
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::NotRunning { .. } => {
                Self::unreachable("the daemon is not running").hint("`skep daemon start` starts it")
            }
            ClientError::Lost { .. } => {
                Self::unreachable(message).hint("`skep daemon status` says how it is")
            }
            ClientError::Socket { .. } => Self::unreachable(message).hint("`skep doctor` looks closer"),
            ClientError::Token(_) => Self::failed(message).hint("`skep doctor` looks closer"),
            ClientError::Unintelligible { .. } => Self::failed(message)
                .hint("if the daemon is of another version: `skep daemon restart` starts this one"),
        }
    }
}
