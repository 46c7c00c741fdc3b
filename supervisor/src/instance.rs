//! One daemon per state directory, and how others find it (S7, Q4, G20, G21, promise 18).
//!
//! The lock is the truth: a daemon holds an exclusive `flock` on it for its whole life, close-on-exec, never unlinked.
//! Everything else (epoch, `daemon.json`, token) is written under the lock. A `daemon.json` names a process by its
//! identity; whoever finds one whose process is gone may clean it up, if they get the lock.

mod daemon_file;
mod token;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use skep_config::Paths;
use skep_sys::statefile;

pub use daemon_file::{DaemonFound, InvalidDaemonFile, clean_stale, find_daemon};
pub use token::{Token, TokenError};

/// The right to be the daemon of a state directory, until it is dropped.
#[derive(Debug)]
pub struct DaemonLock {
    /// Held for its lock.
    _file: File,
    paths: Paths,
}

/// Why the lock was not won.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon holds it.
    #[error("another daemon runs with the state directory `{}`", state_dir.display())]
    Held {
        /// The state directory.
        state_dir: PathBuf,
    },
    /// The lock file cannot be opened or locked.
    #[error("the daemon's lock `{}` cannot be used", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The durable counter of supervisors.
#[derive(Debug, Serialize, Deserialize)]
struct EpochFile {
    epoch: u64,
}

impl DaemonLock {
    /// Takes the lock without waiting. Makes the state directory (0700) if it is missing.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] while another daemon lives, however slow it is.
    pub fn acquire(paths: &Paths) -> Result<Self, LockError> {
        let path = paths.lock();
        let failed = |source| LockError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(paths.state_dir()).map_err(failed)?;
        // std opens close-on-exec: no child of ours can hold the lock.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file, paths: paths.clone() }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(LockError::Held { state_dir: paths.state_dir().to_owned() });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }

    /// The next epoch: one more than the last, durably, before anybody hears of it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written. A broken counter is no error: it is moved aside, and the epoch comes from
    /// the clock, which lies above every counted one.
    pub fn next_epoch(&self) -> io::Result<u64> {
        let path = self.paths.epoch();
        let last = match statefile::read_json::<EpochFile>(&path) {
            Ok(Some(file)) => file.epoch,
            Ok(None) => self.epoch_of_last_daemon(0),
            Err(error @ statefile::ReadError::Broken { .. }) => {
                let epoch = self.epoch_of_last_daemon(Timestamp::now().as_microsecond());
                tracing::error!("{error}; the epoch goes on above {epoch}");
                epoch
            }
            Err(statefile::ReadError::Io { source, .. }) => return Err(source),
        };
        let epoch = last.checked_add(1).ok_or_else(|| io::Error::other("the epoch has reached its end"))?;
        statefile::write_json(&path, &EpochFile { epoch })?;
        Ok(epoch)
    }

    /// The directory's paths.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    fn epoch_of_last_daemon(&self, at_least: i64) -> u64 {
        let at_least = u64::try_from(at_least).unwrap_or_default();
        match find_daemon(&self.paths) {
            DaemonFound::Running(file) | DaemonFound::Stale(file) => file.epoch.max(at_least),
            DaemonFound::None | DaemonFound::Invalid(_) => at_least,
        }
    }
}

#[cfg(test)]
mod tests;
