//! Reading a whole journal: what it says, where its good part ends, what is damaged; and the repair of its tail.
//!
//! A journal never fails to be read because of its content: a damaged record in the middle is noted and stays where
//! it is, a damaged end is moved to `torn-<n>`. Only what a newer skep wrote is left alone.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use skep_common::event::Event;
use skep_common::ids::SessionId;
use skep_common::session::Head;

use crate::appender::Place;
use crate::record::{FORMAT, Header, Prefix};
use crate::scan::{Content, Lines, content};
use crate::{JournalError, Projection, RecoveryNote, locate, segment};

/// A journal, read from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Replay {
    /// What it says.
    pub(crate) projection: Projection,
    /// What is damaged.
    pub(crate) notes: Vec<RecoveryNote>,
    /// The session that the headers name.
    pub(crate) session: Option<SessionId>,
    /// The highest epoch that was seen.
    pub(crate) epoch: u64,
    /// The number of the next record: above every number that a record or a segment's name carries.
    pub(crate) next_seq: u64,
    segments: Vec<Extent>,
}

/// How much of a segment is good.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first_seq: u64,
    /// The end of its last good line.
    good: u64,
    len: u64,
    records: u64,
}

/// Reads the journal in `dir`.
pub(crate) fn replay(dir: &Path) -> Result<Replay, JournalError> {
    let listed = segment::list(dir).map_err(|error| JournalError::open(dir, error))?;
    let mut replay = Replay {
        projection: Projection::default(),
        notes: Vec::new(),
        session: None,
        epoch: 0,
        next_seq: listed.first().copied().unwrap_or(1),
        segments: Vec::with_capacity(listed.len()),
    };
    let mut last_at = None;
    for first_seq in listed {
        replay.segment(dir, first_seq, &mut last_at)?;
    }
    if let Some(at) = last_at {
        replay.projection.touch(replay.projection.seq, at);
    }
    Ok(replay)
}

impl Replay {
    fn segment(
        &mut self,
        dir: &Path,
        first_seq: u64,
        last_at: &mut Option<Timestamp>,
    ) -> Result<(), JournalError> {
        let path = segment::path(dir, first_seq);
        let failed = |error| JournalError::open(&path, error);
        let file = segment::open(dir, first_seq).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut extent = Extent { first_seq, good: 0, len, records: 0 };
        let mut lines = Lines::new(&file, 0..len);
        while let Some(found) = lines.next().map_err(failed)? {
            match content(found.bytes) {
                Content::Header(header) => self.header(&path, &header)?,
                Content::Record(prefix, body) if prefix.seq >= self.next_seq => {
                    self.record(&prefix, body, last_at);
                    extent.records += 1;
                }
                Content::Record(..) | Content::Bad => continue,
            }
            extent.good = found.end;
        }
        // A later record must not get a number that this segment's name claims.
        self.next_seq = self.next_seq.max(first_seq);
        self.segments.push(extent);
        Ok(())
    }

    fn header(&mut self, path: &Path, header: &Header) -> Result<(), JournalError> {
        if header.version > FORMAT {
            return Err(JournalError::NewerFormat { path: path.to_owned(), version: header.version });
        }
        self.session = Some(header.session);
        self.epoch = self.epoch.max(header.epoch);
        Ok(())
    }

    fn record(&mut self, prefix: &Prefix<'_>, body: &[u8], last_at: &mut Option<Timestamp>) {
        if prefix.seq > self.next_seq {
            self.notes.push(RecoveryNote::Corrupt { first_seq: self.next_seq, last_seq: prefix.seq - 1 });
        }
        self.next_seq = prefix.seq + 1;
        let kind = &body[prefix.kind.clone()];
        // The time of an update matters only if it is the last record; reading it is cheap, its data is not read.
        let at = std::str::from_utf8(prefix.at).ok().and_then(|at| at.parse().ok());
        *last_at = at.or(*last_at);
        if kind == b"update" {
            self.projection.skip(prefix.seq, true);
            return;
        }
        match decode(prefix.seq, at, kind, &body[prefix.data..]) {
            Some(record) => {
                self.projection.apply(&record);
                self.epoch = self.epoch.max(self.projection.epoch);
            }
            None => self.projection.skip(prefix.seq, false),
        }
    }

    /// Where the good part ends.
    pub(crate) fn place(&self) -> Option<Place> {
        let last = self.segments.iter().rev().find(|extent| extent.records > 0)?;
        Some(Place { segment: last.first_seq, bytes: last.good })
    }

    /// How far the good part goes.
    pub(crate) fn head(&self) -> Head {
        let place = self.place().unwrap_or(Place { segment: 0, bytes: 0 });
        Head { seq: self.projection.seq, segment: place.segment, bytes: place.bytes, epoch: self.epoch }
    }

    /// Moves a damaged end aside, so that a writer can go on at [`Replay::place`]. Whoever calls it holds the lease.
    /// True if something had been there.
    pub(crate) fn repair(&mut self, dir: &Path) -> Result<bool, JournalError> {
        let (mut torn, mut changed) = (false, false);
        while let Some(last) = self.segments.last().copied() {
            let path = segment::path(dir, last.first_seq);
            let failed = |error| JournalError::open(&path, error);
            let whole = last.records == 0;
            let good = if whole { 0 } else { last.good };
            // A lone header is no loss: the writer died right after it began the segment.
            if last.len > last.good {
                let kept_as = set_aside(dir, &path, good).map_err(failed)?;
                self.notes.push(RecoveryNote::TornTail { bytes: last.len - good, kept_as });
                torn = true;
            } else if whole {
                std::fs::remove_file(&path).map_err(failed)?;
                changed = true;
            }
            if !whole {
                break;
            }
            self.segments.pop();
        }
        if changed || torn {
            segment::sync_dir(dir).map_err(|error| JournalError::open(dir, error))?;
        }
        Ok(torn)
    }
}

/// Looks at the data of a record of ours. A shape that we do not know is passed over, as an unknown kind is.
fn decode(seq: u64, at: Option<Timestamp>, kind: &[u8], data: &[u8]) -> Option<skep_common::event::Record> {
    let data: &serde_json::value::RawValue = serde_json::from_slice(data).ok()?;
    let event = Event::decode(std::str::from_utf8(kind).ok()?, data).ok()?;
    Some(skep_common::event::Record { seq, at: at?, event })
}

/// Moves what follows `good` in a segment to the next free `torn-<n>`, durably. Nothing good: the whole file.
fn set_aside(dir: &Path, path: &Path, good: u64) -> io::Result<PathBuf> {
    let (mut copy, kept_as) = create_torn(dir)?;
    if good == 0 {
        std::fs::rename(path, &kept_as)?;
        return Ok(kept_as);
    }
    let mut segment = File::options().read(true).write(true).open(path)?;
    segment.seek(io::SeekFrom::Start(good))?;
    io::copy(&mut segment, &mut copy)?;
    copy.sync_all()?;
    segment::sync_dir(dir)?;
    segment.set_len(good)?;
    segment.sync_all()?;
    Ok(kept_as)
}

fn create_torn(dir: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 1u64;
    loop {
        let path = dir.join(format!("torn-{number}"));
        match segment::create(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// How far the journal in `dir` goes, by its last segment alone. (Segments without a record count for nothing.)
pub(crate) fn last_segment(dir: &Path) -> io::Result<Head> {
    for first_seq in segment::list(dir)?.into_iter().rev() {
        let file = segment::open(dir, first_seq)?;
        let mut head = Head { seq: 0, segment: first_seq, bytes: 0, epoch: 0 };
        let mut lines = Lines::new(&file, 0..file.metadata()?.len());
        while let Some(found) = lines.next()? {
            match content(found.bytes) {
                Content::Header(header) => head.epoch = head.epoch.max(header.epoch),
                Content::Record(prefix, body) if prefix.seq > head.seq && prefix.seq >= first_seq => {
                    head.seq = prefix.seq;
                    if &body[prefix.kind.clone()] == b"writer_opened"
                        && let Some(opened) = locate::writer_opened(found.bytes)
                    {
                        head.epoch = head.epoch.max(opened.epoch);
                    }
                }
                Content::Record(..) | Content::Bad => continue,
            }
            head.bytes = found.end;
        }
        if head.seq > 0 {
            return Ok(head);
        }
    }
    Ok(Head::default())
}
