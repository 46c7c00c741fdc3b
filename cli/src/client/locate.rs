//! Where the daemon is: what the command line says, else what its state file says, else the default.

use std::path::{Path, PathBuf};

use skep_common::api::DaemonFile;
use skep_config::Paths;
use skep_supervisor::instance::{DaemonFound, Token, TokenError, find_daemon};

use super::ClientError;

/// Whom to talk to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    socket: PathBuf,
    paths: Paths,
}

impl Target {
    /// The daemon of these paths. An explicit socket (flag or environment) is not second-guessed.
    pub(crate) fn find(paths: &Paths, explicit_socket: bool) -> Self {
        let named = if explicit_socket { None } else { last_daemon(paths) };
        let socket = named.map_or_else(|| paths.socket().to_owned(), |file| PathBuf::from(file.socket));
        Self { socket, paths: paths.clone() }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The token. None yet: no daemon has run here.
    pub(crate) fn token(&self) -> Result<Option<Token>, ClientError> {
        match Token::load(&self.paths) {
            Ok(token) => Ok(Some(token)),
            Err(TokenError::Missing { .. }) => Ok(None),
            Err(error) => Err(ClientError::Token(error)),
        }
    }
}

/// The daemon that the state file names, dead or alive.
pub(crate) fn last_daemon(paths: &Paths) -> Option<DaemonFile> {
    match find_daemon(paths) {
        DaemonFound::Running(file) | DaemonFound::Stale(file) => Some(file),
        DaemonFound::None | DaemonFound::Invalid(_) => None,
    }
}
