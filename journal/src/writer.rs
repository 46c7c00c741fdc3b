//! Writing (signatures).
use std::ops::Range;

use skep_common::event::{Event, SessionOpened};
use skep_common::ids::{SessionId, WorkerId};
use skep_common::session::Head;
use tokio::sync::watch;

use crate::{JournalError, Lease, Projection, RecoveryNote};

/// The owner of the process's journal threads. Dropping it writes what is pending and ends them.
#[derive(Debug)]
pub struct JournalThread {}

impl JournalThread {
    /// Starts the writer thread: one per process.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<(Self, Journals)> {
        unimplemented!()
    }
}

/// Opens journals. Cloneable.
#[derive(Debug, Clone)]
pub struct Journals {}

/// Who opens a journal.
#[derive(Debug, Clone)]
pub struct Opener {
    /// The session.
    pub session: SessionId,
    /// The worker that will write, if it is one.
    pub worker: Option<WorkerId>,
    /// The skep version.
    pub version: String,
}

/// An opened journal.
#[derive(Debug)]
pub struct Opened {
    /// Appends to it.
    pub writer: Writer,
    /// What it says.
    pub projection: Projection,
    /// What was damaged.
    pub notes: Vec<RecoveryNote>,
}

/// Whether an append waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Committed when written: survives the death of every process.
    Buffered,
    /// Committed when synced: survives the loss of power.
    Synced,
}

impl Journals {
    /// Makes the journal of a new session in the lease's directory, which must exist: `session_opened` and
    /// `writer_opened`, synced, with the directories.
    ///
    /// # Errors
    ///
    /// [`JournalError::Exists`] where there is a journal.
    pub async fn create(
        &self,
        lease: Lease,
        opener: Opener,
        opened: SessionOpened,
    ) -> Result<Opened, JournalError> {
        let _ = (lease, opener, opened);
        unimplemented!()
    }

    /// Opens an existing journal: repairs its tail, reads it, begins a new epoch with a synced `writer_opened`. A
    /// session that died before its first record has an empty projection (`spec` is none).
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, repaired or written.
    pub async fn open(&self, lease: Lease, opener: Opener) -> Result<Opened, JournalError> {
        let _ = (lease, opener);
        unimplemented!()
    }

    /// Milliseconds that the oldest write or sync has been waiting; 0 when none does. Never blocks.
    #[must_use]
    pub fn oldest_wait_ms(&self) -> u64 {
        unimplemented!()
    }
}

/// Appends to one session's journal. Closes it when dropped; [`Writer::close`] also waits for it.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Appends events, in order and together; their seqs are given at once. Waits only while more than 4 MiB of this
    /// session are unwritten. No events and `Synced`: a ticket for the sync of everything before it.
    ///
    /// # Errors
    ///
    /// When the journal is read-only or closed, or an event is too large; then nothing of it is appended.
    pub async fn append(
        &self,
        events: Vec<Event>,
        durability: Durability,
    ) -> Result<AppendTicket, JournalError> {
        let _ = (events, durability);
        unimplemented!()
    }

    /// How far the journal is committed; changes ring.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Head> {
        unimplemented!()
    }

    /// Why the journal is read-only, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<JournalError> {
        unimplemented!()
    }

    /// Writes and syncs what is pending and gives up the lease.
    ///
    /// # Errors
    ///
    /// When the last writes or their sync failed. The lease is free in any case.
    pub async fn close(self) -> Result<Head, JournalError> {
        unimplemented!()
    }
}

/// An append on its way to the disk.
#[derive(Debug)]
#[must_use = "an append is committed only when its ticket says so"]
pub struct AppendTicket {}

impl AppendTicket {
    /// The seqs that the events got.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        unimplemented!()
    }

    /// Waits until the append is committed; the head is at or after it.
    ///
    /// # Errors
    ///
    /// When it could not be written or synced; the journal is read-only from then on.
    pub async fn committed(&self) -> Result<Head, JournalError> {
        unimplemented!()
    }
}
