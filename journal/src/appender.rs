//! The write path of one journal: lines into segments, roll-over, and what still has to be synced.
//!
//! Synchronous and without threads; whoever owns an [`Appender`] holds the session's lease. A failed write leaves the
//! file at its last good length. The appender does not know that a journal is read-only after a failure: its owner
//! must not write again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_common::ids::SessionId;
use skep_common::session::Head;

use crate::JournalError;
use crate::record;
use crate::segment::{self, SegmentFile, Wrap};

/// Where segments are sealed: 16 MiB.
pub(crate) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// What does not change while a journal is open.
#[derive(Clone)]
pub(crate) struct Layout {
    /// The directory of the segments.
    pub(crate) dir: PathBuf,
    /// The session, for the headers.
    pub(crate) session: SessionId,
    /// The writer's epoch.
    pub(crate) epoch: u64,
    /// Where segments are sealed.
    pub(crate) segment_bytes: u64,
    /// How segments are opened.
    pub(crate) wrap: Wrap,
}

/// Appends lines to one journal.
pub(crate) struct Appender {
    layout: Layout,
    current: Option<Current>,
    seq: u64,
    unsynced: Vec<(PathBuf, Arc<dyn SegmentFile>)>,
    dir_unsynced: bool,
}

struct Current {
    first_seq: u64,
    path: PathBuf,
    file: Arc<dyn SegmentFile>,
    len: u64,
}

/// Where the good part of a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first seq of the last segment.
    pub(crate) segment: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Appender {
    /// Goes on at `place` (none: a journal without segments), after the record `seq`.
    pub(crate) fn open(layout: Layout, place: Option<Place>, seq: u64) -> Result<Self, JournalError> {
        let current = place
            .map(|place| {
                let path = segment::path(&layout.dir, place.segment);
                let file = segment::reopen(&path).map_err(|error| JournalError::open(&path, error))?;
                let file = (layout.wrap)(&path, file);
                Ok(Current { first_seq: place.segment, path, file, len: place.bytes })
            })
            .transpose()?;
        // Recovery may have truncated the segment, and the last writer may not have synced it.
        let unsynced = current.iter().map(|c| (c.path.clone(), Arc::clone(&c.file))).collect();
        Ok(Self { layout, current, seq, unsynced, dir_unsynced: true })
    }

    /// How far the journal is written.
    pub(crate) fn head(&self) -> Head {
        let (segment, bytes) = self.current.as_ref().map_or((0, 0), |c| (c.first_seq, c.len));
        Head { seq: self.seq, segment, bytes, epoch: self.layout.epoch }
    }

    /// Writes whole lines, the first of which has number `first_seq`. On an error [`Appender::head`] tells how many
    /// of them are written; nothing of the others is left in the file.
    pub(crate) fn write(&mut self, mut lines: &[u8], mut first_seq: u64) -> Result<(), JournalError> {
        while !lines.is_empty() {
            let len = match &self.current {
                Some(current) => current.len,
                None => self.roll(first_seq)?,
            };
            let room = self.layout.segment_bytes.saturating_sub(len);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
            let fits = memchr::memrchr(b'\n', &lines[..room]).map(|newline| newline + 1);
            let empty = self.current.as_ref().is_some_and(|c| c.first_seq == first_seq);
            let cut = match fits {
                Some(cut) => cut,
                // A line that no segment has room for gets one of its own.
                None if empty => memchr::memchr(b'\n', lines).map_or(lines.len(), |newline| newline + 1),
                None => {
                    self.roll(first_seq)?;
                    continue;
                }
            };
            let (part, rest) = lines.split_at(cut);
            let count = memchr::memchr_iter(b'\n', part).count() as u64;
            self.write_part(part)?;
            first_seq += count;
            self.seq = first_seq - 1;
            lines = rest;
        }
        Ok(())
    }

    /// What was written since the last call and must be synced; none if nothing was.
    pub(crate) fn take_unsynced(&mut self) -> Option<SyncWork> {
        if self.unsynced.is_empty() && !self.dir_unsynced {
            return None;
        }
        let dir = std::mem::take(&mut self.dir_unsynced).then(|| self.layout.dir.clone());
        Some(SyncWork { seq: self.seq, files: std::mem::take(&mut self.unsynced), dir })
    }

    /// Whether a sealed segment waits for its sync.
    pub(crate) fn sealed_unsynced(&self) -> bool {
        self.unsynced.len() > 1
    }

    /// Begins the segment of `first_seq`; its length.
    fn roll(&mut self, first_seq: u64) -> Result<u64, JournalError> {
        let path = segment::path(&self.layout.dir, first_seq);
        let file = segment::create(&path).map_err(|error| JournalError::write(&path, error))?;
        let file = (self.layout.wrap)(&path, file);
        let mut header = Vec::new();
        record::encode_header(self.layout.session, self.layout.epoch, &mut header);
        if let Err(error) = write_whole(&*file, &header, 0) {
            remove_after_failure(&path);
            return Err(JournalError::write(&path, error));
        }
        let len = header.len() as u64;
        self.dir_unsynced = true;
        self.unsynced.push((path.clone(), Arc::clone(&file)));
        self.current = Some(Current { first_seq, path, file, len });
        Ok(len)
    }

    fn write_part(&mut self, part: &[u8]) -> Result<(), JournalError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        write_whole(&*current.file, part, current.len)
            .map_err(|error| JournalError::write(&current.path, error))?;
        current.len += part.len() as u64;
        if self.unsynced.last().is_none_or(|(path, _)| *path != current.path) {
            self.unsynced.push((current.path.clone(), Arc::clone(&current.file)));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("dir", &self.layout.dir).field("head", &self.head()).finish()
    }
}

/// Writes everything, or nothing: what a failed write leaves is cut off.
fn write_whole(file: &dyn SegmentFile, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], at + done as u64) {
            Ok(0) => return Err(cut_off(file, at, io::ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(cut_off(file, at, error)),
        }
    }
    Ok(())
}

fn cut_off(file: &dyn SegmentFile, len: u64, error: io::Error) -> io::Error {
    if let Err(second) = file.truncate(len) {
        // The next writer's repair finds the torn tail; no reader goes beyond the committed byte.
        tracing::warn!(error = %second, "cannot cut off what a failed journal write left");
    }
    error
}

fn remove_after_failure(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(error = %error, path = %path.display(), "cannot remove an unused journal segment");
    }
}

/// Files that must reach the disk, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct SyncWork {
    seq: u64,
    files: Vec<(PathBuf, Arc<dyn SegmentFile>)>,
    dir: Option<PathBuf>,
}

impl SyncWork {
    /// Syncs; the last record that is durable then. A failure must not be tried again: the kernel may have dropped
    /// what it could not write and report success the second time.
    pub(crate) fn run(self) -> Result<u64, JournalError> {
        for (path, file) in &self.files {
            file.sync().map_err(|error| JournalError::sync(path, error))?;
        }
        if let Some(dir) = &self.dir {
            segment::sync_dir(dir).map_err(|error| JournalError::sync(dir, error))?;
        }
        Ok(self.seq)
    }
}
