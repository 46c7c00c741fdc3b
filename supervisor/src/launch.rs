//! What the person who starts the daemon decides about its workers (S3, S9). These options win over the configuration.

use std::path::PathBuf;

use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionName;
use skep_common::session::PermissionMode;

/// Start options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchOptions {
    /// `--dir`: the workers' directory.
    pub dir: Option<PathBuf>,
    /// `--spawn-mode`.
    pub spawn_mode: SpawnMode,
    /// `--capacity`: sessions per worker.
    pub capacity: Option<u32>,
    /// `--permission-mode` of the workers' sessions.
    pub permission_mode: Option<PermissionMode>,
    /// `--sandbox`.
    pub sandbox: bool,
    /// `--name`: the session that the first worker opens at once.
    pub name: Option<SessionName>,
    /// `--debug`: workers keep verbose logs.
    pub debug: bool,
}

/// Where a worker's sessions run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpawnMode {
    /// In the worker's directory.
    #[default]
    SameDir,
    /// Each in a worktree of its own.
    Worktree,
}

impl SpawnMode {
    /// As it stands on the command line and in the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameDir => "same-dir",
            Self::Worktree => "worktree",
        }
    }
}

impl LaunchOptions {
    /// Refuses what is known and not built yet, so that it is never ignored.
    ///
    /// # Errors
    ///
    /// [`Code::NotSupported`] for a sandbox or a worktree, [`Code::InvalidValue`] for a capacity of 0.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.sandbox {
            return Err(ApiError::new(Code::NotSupported, "sandboxed workers are not supported yet"));
        }
        if self.spawn_mode == SpawnMode::Worktree {
            return Err(ApiError::new(Code::NotSupported, "spawn mode `worktree` is not supported yet"));
        }
        if self.capacity == Some(0) {
            return Err(ApiError::new(Code::InvalidValue, "a worker's capacity must be at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_what_is_not_built_is_refused_and_never_ignored() {
        let code = |options: LaunchOptions| options.check().map_err(|error| error.code);
        assert_eq!(code(LaunchOptions::default()), Ok(()));
        let sandbox = LaunchOptions { sandbox: true, ..LaunchOptions::default() };
        assert_eq!(code(sandbox), Err(Code::NotSupported));
        let worktree = LaunchOptions { spawn_mode: SpawnMode::Worktree, ..LaunchOptions::default() };
        assert_eq!(code(worktree), Err(Code::NotSupported));
        let capacity = LaunchOptions { capacity: Some(0), ..LaunchOptions::default() };
        assert_eq!(code(capacity), Err(Code::InvalidValue));
    }
}
