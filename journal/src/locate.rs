//! Finding places in a journal without reading it from the start.

use std::fs::File;
use std::io;
use std::path::Path;

use skep_common::event::WriterOpened;
use skep_common::session::Head;

use crate::replay::last_segment;
use crate::scan::{self, Content, Lines, content};
use crate::segment::{self, journal_dir};

/// Below this a part is read line by line.
const LINEAR: u64 = 64 * 1024;

/// The oldest seq that the journal still has; none if it has no segment.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn first_seq(session_dir: &Path) -> io::Result<Option<u64>> {
    Ok(segment::list(&journal_dir(session_dir))?.first().copied())
}

/// How far a journal that nobody writes is committed.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn head_on_disk(session_dir: &Path) -> io::Result<Head> {
    last_segment(&journal_dir(session_dir))
}

/// The cursor (`after`) from which the last `turns` turns are read; 0 if there are no more than that.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn tail_turns(session_dir: &Path, head: Head, turns: u32) -> io::Result<u64> {
    let Some(back) = turns.checked_sub(1) else { return Ok(head.seq) };
    let (dir, mut back) = (journal_dir(session_dir), back as usize);
    for first_seq in segment::list(&dir)?.into_iter().rev().filter(|first| *first <= head.seq) {
        let starts = turn_starts(&segment::open(&dir, first_seq)?, committed(first_seq, head))?;
        match starts.len().checked_sub(back + 1) {
            Some(at) => return Ok(starts[at] - 1),
            None => back -= starts.len(),
        }
    }
    Ok(0)
}

/// How much of a segment may be read: all of a sealed one.
fn committed(first_seq: u64, head: Head) -> u64 {
    if first_seq == head.segment { head.bytes } else { u64::MAX }
}

/// Where the turns of a segment begin: `turn_started`, or the `prompt_queued` right before it.
fn turn_starts(file: &File, end: u64) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    let mut queued = 0;
    let mut lines = Lines::new(file, 0..end.min(file.metadata()?.len()));
    while let Some(found) = lines.next()? {
        let Some(prefix) = crate::record::prefix(found.bytes) else { continue };
        match &found.bytes[prefix.kind.clone()] {
            b"prompt_queued" => queued = prefix.seq,
            b"turn_started" if crate::record::checked(found.bytes).is_some() => {
                starts.push(if queued + 1 == prefix.seq && queued > 0 { queued } else { prefix.seq });
            }
            _ => {}
        }
    }
    Ok(starts)
}

/// The offset, between 0 and `end`, of the first sound record with at least number `seq`; the end of the last line if
/// there is none.
pub(crate) fn bisect(file: &File, end: u64, seq: u64) -> io::Result<u64> {
    // Every record that begins before `low` is below `seq`; `high` only narrows the search.
    let (mut low, mut high) = (0, end);
    while high - low > LINEAR {
        let middle = low + (high - low) / 2;
        match first_record(file, middle, high)? {
            Some((next, found)) if found < seq => low = next,
            _ => high = middle,
        }
    }
    let mut place = low;
    let mut lines = Lines::peek(file, low..end);
    while let Some(found) = lines.next()? {
        if let Content::Record(prefix, _) = content(found.bytes)
            && prefix.seq >= seq
        {
            return Ok(found.start);
        }
        place = found.end;
    }
    Ok(place)
}

/// The first sound record that begins after `from` and before `until`: where it ends, and its number.
fn first_record(file: &File, from: u64, until: u64) -> io::Result<Option<(u64, u64)>> {
    let len = file.metadata()?.len();
    let mut lines = Lines::peek(file, from..len);
    // The first piece is the rest of a line that began before.
    if lines.next()?.is_none() {
        return Ok(None);
    }
    while let Some(found) = lines.next()? {
        if found.start >= until {
            return Ok(None);
        }
        if let Content::Record(prefix, _) = content(found.bytes) {
            return Ok(Some((found.end, prefix.seq)));
        }
    }
    Ok(None)
}

/// The seq of the first `writer_opened` with a higher epoch than `epoch`: what was seen in `epoch` and is not before it
/// was lost.
pub(crate) fn next_epoch_start(dir: &Path, epoch: u64, head: Head) -> io::Result<Option<u64>> {
    let segments = segment::list(dir)?;
    let mut from = 0;
    for (at, first_seq) in segments.iter().enumerate() {
        match scan::header(&segment::open(dir, *first_seq)?)? {
            Some(header) if header.epoch <= epoch => from = at,
            Some(_) => break,
            None => {}
        }
    }
    for first_seq in segments.into_iter().skip(from).take_while(|first| *first <= head.seq) {
        let file = segment::open(dir, first_seq)?;
        if scan::header(&file)?.is_some_and(|header| header.epoch > epoch) {
            return Ok(Some(first_seq)); // The epoch changed where the segments did.
        }
        let end = committed(first_seq, head).min(file.metadata()?.len());
        if let Some(seq) = opened_after(&file, end, epoch)? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

fn opened_after(file: &File, end: u64, epoch: u64) -> io::Result<Option<u64>> {
    let mut lines = Lines::new(file, 0..end);
    while let Some(found) = lines.next()? {
        let Some(prefix) = crate::record::prefix(found.bytes) else { continue };
        if &found.bytes[prefix.kind.clone()] != b"writer_opened" {
            continue;
        }
        if let Some(opened) = writer_opened(found.bytes)
            && opened.epoch > epoch
        {
            return Ok(Some(prefix.seq));
        }
    }
    Ok(None)
}

/// The data of a sound `writer_opened` line.
pub(crate) fn writer_opened(line: &[u8]) -> Option<WriterOpened> {
    let body = crate::record::checked(line)?;
    let prefix = crate::record::prefix(body)?;
    serde_json::from_slice(&body[prefix.data..]).ok()
}
