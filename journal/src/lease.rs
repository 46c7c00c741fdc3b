//! The lease: whoever writes a session's journal holds an exclusive `flock` on `<session dir>/lease`.
//!
//! The file is never unlinked while the session exists, and its descriptor is close-on-exec, so the lease ends with
//! its holder, however that dies. It must not be taken for a marker: the file's mere existence says nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// The right to write a session's journal; given up when dropped.
#[derive(Debug)]
pub struct Lease {
    session_dir: PathBuf,
    _lock: Flock<File>,
}

/// Why a lease was not given.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("take a lease that another writer holds")]
    Held,
    /// The system refused.
    #[error("take the lease {}", path.display())]
    Io {
        /// The lease file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Lease {
    /// Takes the lease of the session in `session_dir`, which must exist. Does not wait.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`] when there is a holder, in this process or another.
    pub fn acquire(session_dir: &Path) -> Result<Self, LeaseError> {
        let path = session_dir.join("lease");
        let refused = |source| LeaseError::Io { path: path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).bits())
            .open(&path)
            .map_err(refused)?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Err(LeaseError::Held),
            Err((_, errno)) => return Err(refused(errno.into())),
        };
        // The session may have been removed between open and lock; a lock on a file without a name excludes nobody.
        if lock.metadata().map_err(refused)?.nlink() == 0 {
            return Err(refused(io::ErrorKind::NotFound.into()));
        }
        Ok(Self { session_dir: session_dir.to_owned(), _lock: lock })
    }

    /// The session's directory.
    #[must_use]
    pub fn session_dir(&self) -> &Path {
        &self.session_dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_free_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lease::acquire(dir.path()).unwrap();
        assert!(matches!(Lease::acquire(dir.path()), Err(LeaseError::Held)));
        drop(first);
        Lease::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_session_has_no_lease() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Lease::acquire(&dir.path().join("gone")), Err(LeaseError::Io { .. })));
    }

    #[test]
    fn a_link_in_place_of_the_lease_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("lease")).unwrap();
        assert!(matches!(Lease::acquire(dir.path()), Err(LeaseError::Io { .. })));
    }
}
