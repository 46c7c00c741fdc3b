//! Recovery (signatures).
use std::fmt;
use std::path::{Path, PathBuf};

use skep_common::event::Event;
use skep_common::session::{Cause, Head};

use crate::{JournalError, Projection, RecoverError};

/// What recovery found and left.
#[derive(Debug)]
pub struct Recovered {
    /// The session, with what recovery appended.
    pub projection: Projection,
    /// How far its journal is committed.
    pub head: Head,
    /// What was damaged.
    pub notes: Vec<RecoveryNote>,
    /// Whether a turn, a request or a queue had been left open, so that records were appended.
    pub appended: bool,
}

/// Damage that was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryNote {
    /// The end of the last segment was torn; it was moved aside.
    TornTail {
        /// How many bytes.
        bytes: u64,
        /// Where they are now.
        kept_as: PathBuf,
    },
    /// Records in the middle cannot be read; they stay in place.
    Corrupt {
        /// The first seq that is missing.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
}

impl fmt::Display for RecoveryNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        unimplemented!()
    }
}

/// Ends what a dead writer left open: takes the lease, repairs the tail, and appends what the followers wait for.
/// Where nothing was open, nothing is appended.
///
/// # Errors
///
/// [`RecoverError::Leased`] while a writer holds the session.
pub fn recover(session_dir: &Path, cause: Cause) -> Result<Recovered, RecoverError> {
    let _ = (session_dir, cause);
    unimplemented!()
}

/// The events that end what `projection` says is open; empty if nothing is. Also for a worker that opens a session
/// which nobody has recovered.
#[must_use]
pub fn interruption(projection: &Projection, cause: Cause) -> Vec<Event> {
    let _ = (projection, cause);
    unimplemented!()
}

impl Projection {
    /// Reads the whole journal of a session that nobody writes, without its lease and without repair.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn load(session_dir: &Path) -> Result<(Self, Head), JournalError> {
        let _ = session_dir;
        unimplemented!()
    }
}
