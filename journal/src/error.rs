//! What can go wrong with a journal, one enum per operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A journal cannot be written. Cloneable, because every append that waits gets it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// A write failed or was cut short; what it had written is truncated and the journal is read-only until reopened.
    #[error("write to {}", path.display())]
    Write {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A sync failed. It is never retried: the journal is read-only until reopened.
    #[error("sync {}", path.display())]
    Sync {
        /// The segment or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A journal could not be opened, read or repaired.
    #[error("open {}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// There is a journal already where a new one was to be made.
    #[error("create a journal in {}: there is one", path.display())]
    Exists {
        /// The journal's directory.
        path: PathBuf,
    },
    /// A newer skep wrote it, in a format that this one does not know. Nothing was changed.
    #[error("open {}: written by a newer skep (journal format {version})", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// The format's version.
        version: u32,
    },
    /// An event is longer than a journal line may be; nothing of its append was written.
    #[error("append an event of {bytes} bytes: the limit is {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An event's data cannot be written as JSON; nothing of its append was written.
    #[error("encode an event: {0}")]
    Encode(String),
    /// The writer is closed, or the journal thread has stopped.
    #[error("append to a closed journal")]
    Closed,
}

impl JournalError {
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn sync(path: &Path, source: io::Error) -> Self {
        Self::Sync { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open { path: path.to_owned(), source: Arc::new(source) }
    }
}

/// A cursor that cannot be read from.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The events after the cursor are no longer kept.
    #[error("read from a cursor before the oldest event kept, {first_seq}")]
    Expired {
        /// The oldest event that is kept.
        first_seq: u64,
    },
    /// The cursor lies beyond the head, or was seen in an epoch whose end was lost.
    #[error("read from a cursor that this journal never had; it goes on after {resume_from}")]
    Invalid {
        /// The last seq up to which the cursor's owner has seen what is still true.
        resume_from: u64,
    },
    /// A newer skep wrote the segment.
    #[error("read {}: written by a newer skep (journal format {version})", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// The format's version.
        version: u32,
    },
    /// The system refused.
    #[error("read the journal: {0}")]
    Io(#[from] io::Error),
}

/// A session that cannot be recovered now.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A writer holds its lease: there is nothing to recover.
    #[error("recover a session that a writer holds")]
    Leased,
    /// The lease could not be asked for.
    #[error("take the session's lease")]
    Lease(#[source] io::Error),
    /// The journal could not be read, repaired or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
