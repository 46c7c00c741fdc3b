//! Following a journal (signatures).
use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use skep_common::event::{RawRecord, Record};
use skep_common::session::Head;

use crate::CursorError;

/// A place in a journal's stream of events.
#[derive(Debug, Clone)]
pub enum Line {
    /// A record.
    Record(RecordLine),
    /// The record with this number cannot be read.
    Corrupt {
        /// Its number.
        seq: u64,
    },
}

/// A record as it is shown to clients.
#[derive(Debug, Clone)]
pub struct RecordLine {
    /// Its number.
    pub seq: u64,
    /// `{"seq":…,"at":…,"kind":…,"data":…}`: no checksum, no newline.
    pub json: Bytes,
    kind: Range<usize>,
}

impl RecordLine {
    /// The event's kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        unimplemented!()
    }

    /// The record, its data not looked at.
    ///
    /// # Errors
    ///
    /// When it is not JSON of a record, which its checksum makes unlikely.
    pub fn raw(&self) -> Result<RawRecord<'_>, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }

    /// The record with its data.
    ///
    /// # Errors
    ///
    /// When the data is not what the kind says.
    pub fn decode(&self) -> Result<Record, serde_json::Error> {
        Record::from_json(&self.json)
    }
}

/// One reader's place in one journal.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// Opens the journal of `session_dir` right after seq `after`, which was seen in `epoch` if that is known.
    /// `head` is how far the journal is committed now.
    ///
    /// # Errors
    ///
    /// When events after the cursor are gone (`Expired`), or the cursor was never true (`Invalid`).
    pub fn open(session_dir: &Path, after: u64, epoch: Option<u64>, head: Head) -> Result<Self, CursorError> {
        let _ = (session_dir, after, epoch, head);
        unimplemented!()
    }

    /// Reads on, at most up to `upto` and about `max_bytes`. Nothing new: an empty list.
    ///
    /// # Errors
    ///
    /// `Expired` when the reader was so slow that what comes next has been removed meanwhile.
    pub fn read(&mut self, upto: Head, max_bytes: usize) -> Result<Vec<Line>, CursorError> {
        let _ = (upto, max_bytes);
        unimplemented!()
    }

    /// The last seq that was read (or the cursor that the reader was opened with).
    #[must_use]
    pub fn position(&self) -> u64 {
        unimplemented!()
    }
}

/// The oldest seq that the journal still has; none if it has no segment.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn first_seq(session_dir: &Path) -> io::Result<Option<u64>> {
    let _ = session_dir;
    unimplemented!()
}

/// How far a journal that nobody writes is committed.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn head_on_disk(session_dir: &Path) -> io::Result<Head> {
    let _ = session_dir;
    unimplemented!()
}

/// The cursor (`after`) from which the last `turns` turns are read; 0 if there are no more than that.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn tail_turns(session_dir: &Path, head: Head, turns: u32) -> io::Result<u64> {
    let _ = (session_dir, head, turns);
    unimplemented!()
}
