//! Following a journal from a cursor: whole records up to the committed byte, at the reader's own pace.
//!
//! A reader owns nothing but its place. It never reads beyond the head that it is given, keeps no partial line between
//! two calls, and shows every seq exactly once: as a record, or as corrupt where the record is damaged. Its calls block
//! on the disk for as long as a page takes to come.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skep_common::event::{RawRecord, Record};
use skep_common::session::Head;

use crate::locate::{bisect, next_epoch_start};
use crate::record::{self, FORMAT, MAX_LINE};
use crate::segment::{self, journal_dir};
use crate::{CursorError, scan};

/// How many damaged records are shown at once, so that a lost segment does not become one huge answer.
const GAP: u64 = 4_096;

/// How often a search begins anew because segments were removed under it.
const ATTEMPTS: u32 = 8;

/// The least that is read at once.
const LEAST: usize = 4 * 1024;

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

impl Line {
    /// Its number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq,
            Self::Corrupt { seq } => *seq,
        }
    }
}

/// A record as it is shown to clients.
#[derive(Debug, Clone)]
pub struct RecordLine {
    /// Its number.
    pub seq: u64,
    /// `{"seq":…,"at":…,"kind":…,"data":…}`: no checksum, no newline. A part of the block that was read, so a line
    /// that is kept for long should be copied.
    pub json: Bytes,
    kind: Range<usize>,
}

impl RecordLine {
    /// The event's kind. (A kind of a newer skep may contain JSON escapes.)
    #[must_use]
    pub fn kind(&self) -> &str {
        std::str::from_utf8(&self.json[self.kind.clone()]).unwrap_or("unknown")
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
pub struct Reader {
    dir: PathBuf,
    /// The number that is read next.
    next: u64,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    segment: u64,
    file: File,
    offset: u64,
}

/// Where a record lies in a block.
struct Span {
    seq: u64,
    json: Range<usize>,
    kind: Range<usize>,
}

impl Reader {
    /// Opens the journal of `session_dir` right after seq `after`, which was seen in `epoch` if that is known.
    /// `head` is how far the journal is committed now.
    ///
    /// # Errors
    ///
    /// When events after the cursor are gone (`Expired`), or the cursor was never true (`Invalid`).
    pub fn open(session_dir: &Path, after: u64, epoch: Option<u64>, head: Head) -> Result<Self, CursorError> {
        let dir = journal_dir(session_dir);
        let mut resume_from = after.min(head.seq);
        if let Some(epoch) = epoch.filter(|epoch| *epoch < head.epoch)
            && let Some(start) = next_epoch_start(&dir, epoch, head)?
        {
            resume_from = resume_from.min(start - 1);
        }
        if resume_from < after || epoch.is_some_and(|epoch| epoch > head.epoch) {
            return Err(CursorError::Invalid { resume_from });
        }
        let mut reader = Self { dir, next: after + 1, place: None };
        reader.place = reader.find(head)?;
        Ok(reader)
    }

    /// Reads on, at most up to `upto` and about `max_bytes` (more if a single record is longer). An empty list means
    /// that everything up to `upto` was read.
    ///
    /// # Errors
    ///
    /// `Expired` when the reader was so slow that what comes next has been removed meanwhile.
    pub fn read(&mut self, upto: Head, max_bytes: usize) -> Result<Vec<Line>, CursorError> {
        let mut lines = Vec::new();
        while lines.is_empty() && self.next <= upto.seq {
            let Some(place) = &mut self.place else {
                self.place = self.find(upto)?;
                if self.place.is_none() {
                    return Err(io::Error::from(io::ErrorKind::NotFound).into());
                }
                continue;
            };
            let last = place.segment >= upto.segment;
            let end = if last { upto.bytes } else { place.file.metadata()?.len() };
            if place.offset < end && self.block(end, upto.seq, max_bytes, &mut lines)? {
                continue;
            }
            if !last {
                self.advance()?;
            } else if lines.is_empty() {
                self.missing(upto.seq + 1, &mut lines);
            }
        }
        Ok(lines)
    }

    /// The last seq that was read, or the cursor that the reader was opened with.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next - 1
    }

    /// Where `self.next` is, or will be; none in a journal without segments.
    fn find(&self, head: Head) -> Result<Option<Place>, CursorError> {
        // Retention may unlink a segment between the list and the opening; then the list is another one.
        for _ in 0..ATTEMPTS {
            let segments = segment::list(&self.dir)?;
            let Some(first) = segments.first().copied() else { return Ok(None) };
            if self.next < first {
                return Err(CursorError::Expired { first_seq: first });
            }
            // Right at the head nothing need be searched; a segment after the head's is not committed yet.
            let at_head = self.next == head.seq + 1 && segments.contains(&head.segment);
            let segment = if at_head {
                head.segment
            } else {
                segments[segments.partition_point(|segment| *segment <= self.next) - 1]
            };
            let file = match self.open_segment(segment) {
                Err(CursorError::Io(error)) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let end = if segment == head.segment { head.bytes } else { file.metadata()?.len() };
            let offset = if at_head { end } else { bisect(&file, end, self.next)? };
            return Ok(Some(Place { segment, file, offset }));
        }
        Err(io::Error::from(io::ErrorKind::NotFound).into())
    }

    fn open_segment(&self, first_seq: u64) -> Result<File, CursorError> {
        let file = segment::open(&self.dir, first_seq)?;
        match scan::header(&file)? {
            Some(header) if header.version > FORMAT => Err(CursorError::NewerFormat {
                path: segment::path(&self.dir, first_seq),
                version: header.version,
            }),
            _ => Ok(file),
        }
    }

    /// Goes to the segment after the current one.
    fn advance(&mut self) -> Result<(), CursorError> {
        let Some(current) = self.place.as_ref().map(|place| place.segment) else { return Ok(()) };
        let segments = segment::list(&self.dir)?;
        let after = segments.iter().copied().find(|segment| *segment > current);
        let segment = after.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        // Nothing older is left: what lies between was removed, not damaged.
        if segment > self.next && segments.first() == Some(&segment) {
            return Err(CursorError::Expired { first_seq: segment });
        }
        let file = self.open_segment(segment)?;
        self.place = Some(Place { segment, file, offset: 0 });
        Ok(())
    }

    /// Reads whole lines before `end`; false if there are no more.
    fn block(
        &mut self,
        end: u64,
        last_seq: u64,
        max_bytes: usize,
        lines: &mut Vec<Line>,
    ) -> Result<bool, CursorError> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let mut wanted = max_bytes.clamp(LEAST, MAX_LINE);
        loop {
            let stop = end.min(place.offset + wanted as u64);
            let bytes = segment::read_range(&place.file, place.offset, stop)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
                self.take(bytes, newline + 1, last_seq, lines);
                return Ok(true);
            }
            let whole = stop == end || (bytes.len() as u64) < stop - place.offset;
            if whole || wanted >= MAX_LINE {
                // No record is as long as that: damage.
                place.offset += bytes.len() as u64;
                return Ok(!whole);
            }
            wanted = wanted.saturating_mul(4).min(MAX_LINE);
        }
    }

    /// Takes the records of a block whose whole lines end at `end`.
    fn take(&mut self, mut block: Vec<u8>, end: usize, last_seq: u64, lines: &mut Vec<Line>) {
        let mut spans = Vec::new();
        let (mut start, mut next, mut gap) = (0, self.next, 0);
        let mut missing_before = None;
        for newline in memchr::memchr_iter(b'\n', &block[..end]) {
            if let Some(span) = sound(&block, start..newline).filter(|span| span.seq >= next) {
                gap += span.seq - next;
                // Of many damaged ones only some come at a time, and none after the head; the record comes later.
                if gap > GAP || span.seq > last_seq {
                    missing_before = Some(span.seq.min(last_seq + 1));
                    break;
                }
                next = span.seq + 1;
                spans.push(span);
            }
            start = newline + 1;
        }
        for span in &spans {
            block[span.json.end - 1] = b'}';
        }
        let block = Bytes::from(block);
        for Span { seq, json, kind } in spans {
            self.missing(seq, lines);
            lines.push(Line::Record(RecordLine { seq, json: block.slice(json), kind }));
            self.next = seq + 1;
        }
        if let Some(seq) = missing_before {
            self.missing(seq, lines);
        }
        if let Some(place) = &mut self.place {
            place.offset += start as u64;
        }
    }

    /// Shows the numbers before `seq` as corrupt, at most [`GAP`] of them.
    fn missing(&mut self, seq: u64, lines: &mut Vec<Line>) {
        let upto = seq.min(self.next + GAP);
        lines.extend((self.next..upto).map(|seq| Line::Corrupt { seq }));
        self.next = upto.max(self.next);
    }
}

/// The record in a line of `block`, if it is a sound one.
fn sound(block: &[u8], line: Range<usize>) -> Option<Span> {
    let body = record::checked(&block[line.clone()])?;
    let prefix = record::prefix(body)?;
    // The byte after the body, a comma, becomes the closing brace.
    let json = line.start..line.start + body.len() + 1;
    Some(Span { seq: prefix.seq, json, kind: prefix.kind })
}
