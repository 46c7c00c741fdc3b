//! Between a session's [`Writer`](crate::Writer) and the writer thread: lines that wait to be written, and how far
//! the journal is committed.
//!
//! The writer's side gives seqs and encodes; the thread's side takes whole batches and tells what became of them. The
//! lock is held for memory work only, never while anybody touches a file, so that nobody waits for a disk here.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use skep_common::event::Event;
use skep_common::session::Head;
use tokio::sync::{Notify, oneshot, watch};

use crate::recover::encode_error;
use crate::writer::Durability;
use crate::{JournalError, record};

/// How much of one session may be unwritten before appends wait.
pub(crate) const UNWRITTEN: usize = 4 * 1024 * 1024;

/// A buffer that grew beyond this in a burst is given back afterwards.
const SPARE: usize = 256 * 1024;

/// One session's lines on their way.
#[derive(Debug)]
pub(crate) struct Inbox {
    pending: Mutex<Pending>,
    pub(crate) head: watch::Sender<Head>,
    pub(crate) synced: watch::Sender<u64>,
    failed: OnceLock<JournalError>,
    /// Rings when something was written, for the one append that waits for room.
    pub(crate) space: Notify,
}

#[derive(Debug)]
struct Pending {
    lines: Vec<u8>,
    /// The seq of the first pending line.
    first_seq: u64,
    /// The seq of the next append.
    next_seq: u64,
    /// Bytes that the thread has taken and not written yet.
    writing: usize,
    /// The thread has been told and has not come yet.
    called: bool,
    /// Up to where somebody wants a sync.
    sync_upto: u64,
    closed: bool,
    /// The thread will not come again.
    left: bool,
    end: Option<End>,
    since: Option<Instant>,
    writing_since: Option<Instant>,
}

/// How a writer ended, and who wants to know what came of it.
pub(crate) type End = Option<oneshot::Sender<Result<Head, JournalError>>>;

/// What came of a push.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// The events got these seqs; `call` the thread if it has not been told.
    Accepted { seqs: Range<u64>, call: bool },
    /// Too much is unwritten; try again when `space` rings.
    Full,
}

/// What the thread takes at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<u8>,
    pub(crate) first_seq: u64,
    pub(crate) sync_upto: u64,
    pub(crate) end: Option<End>,
}

impl Inbox {
    /// An inbox for a journal that is written and synced up to `head`.
    pub(crate) fn new(head: Head) -> Self {
        let next_seq = head.seq + 1;
        let pending = Pending {
            lines: Vec::new(),
            first_seq: next_seq,
            next_seq,
            writing: 0,
            called: false,
            sync_upto: 0,
            closed: false,
            left: false,
            end: None,
            since: None,
            writing_since: None,
        };
        Self {
            pending: Mutex::new(pending),
            head: watch::Sender::new(head),
            synced: watch::Sender::new(head.seq),
            failed: OnceLock::new(),
            space: Notify::new(),
        }
    }

    /// Encodes events behind those that wait; all of them or none.
    pub(crate) fn push(
        &self,
        events: &[Event],
        durability: Durability,
        limit: usize,
    ) -> Result<Pushed, JournalError> {
        let at = Timestamp::now();
        let mut pending = self.lock();
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        if pending.closed {
            return Err(JournalError::Closed);
        }
        let unwritten = pending.lines.len() + pending.writing;
        if unwritten > limit && !events.is_empty() {
            return Ok(Pushed::Full);
        }
        let (start, first) = (pending.lines.len(), pending.next_seq);
        for event in events {
            let seq = pending.next_seq;
            if let Err(error) = record::encode(seq, at, event, &mut pending.lines) {
                pending.lines.truncate(start);
                pending.next_seq = first;
                return Err(encode_error(error));
            }
            pending.next_seq += 1;
        }
        let seqs = first..pending.next_seq;
        if durability == Durability::Synced {
            pending.sync_upto = seqs.end - 1;
        }
        if events.is_empty() && durability == Durability::Buffered {
            return Ok(Pushed::Accepted { seqs, call: false });
        }
        pending.since.get_or_insert_with(Instant::now);
        Ok(Pushed::Accepted { seqs, call: !std::mem::replace(&mut pending.called, true) })
    }

    /// Takes no more appends; true if the thread must be called.
    pub(crate) fn close(&self, end: End) -> bool {
        let mut pending = self.lock();
        if std::mem::replace(&mut pending.closed, true) {
            return false;
        }
        if pending.left {
            return false; // Dropping `end` says so.
        }
        pending.end = Some(end);
        !std::mem::replace(&mut pending.called, true)
    }

    /// The thread takes what waits, and leaves an empty buffer.
    pub(crate) fn take(&self, mut spare: Vec<u8>) -> Batch {
        spare.clear();
        spare.shrink_to(SPARE);
        let mut pending = self.lock();
        pending.called = false;
        pending.writing_since = pending.since.take();
        let first_seq = pending.first_seq;
        pending.first_seq = pending.next_seq;
        let lines = std::mem::replace(&mut pending.lines, spare);
        pending.writing = lines.len();
        Batch { lines, first_seq, sync_upto: pending.sync_upto, end: pending.end.take() }
    }

    /// What was taken is written, up to `head`.
    pub(crate) fn written(&self, head: Head) {
        {
            let mut pending = self.lock();
            pending.writing = 0;
            pending.writing_since = None;
        }
        if self.head.borrow().seq != head.seq {
            self.head.send_replace(head);
        }
        self.space.notify_one();
    }

    /// Everything up to `seq` is on the disk.
    pub(crate) fn synced(&self, seq: u64) {
        self.synced.send_if_modified(|synced| {
            let later = seq > *synced;
            *synced = seq.max(*synced);
            later
        });
    }

    /// The journal is read-only from here on; the first reason stays.
    pub(crate) fn fail(&self, error: JournalError) {
        let first = self.failed.set(error).is_ok();
        {
            let mut pending = self.lock();
            pending.lines = Vec::new();
            pending.writing = 0;
            pending.since = None;
            pending.writing_since = None;
        }
        if first {
            self.head.send_modify(|_| {});
            self.synced.send_modify(|_| {});
            self.space.notify_one();
        }
    }

    /// The thread holds this journal no more: nobody waits for it in vain.
    pub(crate) fn leave(&self) {
        self.fail(JournalError::Closed);
        let mut pending = self.lock();
        pending.left = true;
        pending.end = None;
    }

    pub(crate) fn failure(&self) -> Option<&JournalError> {
        self.failed.get()
    }

    /// Since when the oldest append waits to be written.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let pending = self.lock();
        pending.writing_since.or(pending.since)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
