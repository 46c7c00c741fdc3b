//! Going through a segment line by line with a bounded buffer.

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::record::{self, Header, MAX_LINE, Prefix};
use crate::segment;

/// How much is read at once.
const BLOCK: usize = 256 * 1024;

/// How much is read at once where only a few lines are wanted.
const PEEK: usize = 8 * 1024;

/// The whole lines of a part of a file, in order. What follows the last newline is not a line.
#[derive(Debug)]
pub(crate) struct Lines<'f> {
    file: &'f File,
    /// Where in the file `buffer` begins.
    offset: u64,
    /// Where the part ends.
    end: u64,
    buffer: Vec<u8>,
    /// The first byte of the buffer that belongs to no line yet.
    start: usize,
    /// The first byte of the buffer in which no newline was looked for yet.
    searched: usize,
    /// The line is over the limit: its beginning was thrown away.
    overlong: bool,
    /// How much is read at once.
    block: usize,
}

/// A line of a segment.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Where in the file it ends, newline included.
    pub(crate) end: u64,
    /// Where in the file it begins.
    pub(crate) start: u64,
    /// The line without its newline; empty if it was too long to be one.
    pub(crate) bytes: &'a [u8],
}

impl<'f> Lines<'f> {
    /// The lines between two offsets.
    pub(crate) fn new(file: &'f File, part: Range<u64>) -> Self {
        let Range { start: offset, end } = part;
        Self { file, offset, end, buffer: Vec::new(), start: 0, searched: 0, overlong: false, block: BLOCK }
    }

    /// The same, for somebody who needs only the first few.
    pub(crate) fn peek(file: &'f File, part: Range<u64>) -> Self {
        Self { block: PEEK, ..Self::new(file, part) }
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let (from, newline) = (self.start, self.searched + found);
                (self.start, self.searched) = (newline + 1, newline + 1);
                let overlong = std::mem::take(&mut self.overlong) || newline - from > MAX_LINE;
                let bytes = if overlong { &[] } else { &self.buffer[from..newline] };
                let place = |at: usize| self.offset + at as u64;
                return Ok(Some(Found { start: place(from), end: place(newline + 1), bytes }));
            }
            self.searched = self.buffer.len();
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Reads on; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        if self.buffer.len() - self.start > MAX_LINE {
            self.overlong = true;
            self.start = self.buffer.len();
        }
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        self.start = 0;
        let held = self.buffer.len();
        self.searched = held;
        let at = self.offset + held as u64;
        // A long line doubles the block, so that it is not searched again and again.
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        self.buffer.resize(held + left.min(self.block.max(held)), 0);
        let read = segment::fill(self.file, &mut self.buffer[held..], at)?;
        self.buffer.truncate(held + read);
        Ok(read > 0)
    }
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// A segment's header.
    Header(Header),
    /// A record: the fields before its data, and the line without its checksum.
    Record(Prefix<'a>, &'a [u8]),
    /// Damaged.
    Bad,
}

/// Checks a line and looks at its beginning.
pub(crate) fn content(line: &[u8]) -> Content<'_> {
    if let Some(body) = record::checked(line) {
        if let Some(prefix) = record::prefix(body) {
            return Content::Record(prefix, body);
        }
        if let Some(header) = record::header(line) {
            return Content::Header(header);
        }
    }
    Content::Bad
}

/// The header of a segment, if its first line is a sound one.
pub(crate) fn header(file: &File) -> io::Result<Option<Header>> {
    const LONGEST: u64 = 512;
    let bytes = segment::read_range(file, 0, LONGEST)?;
    Ok(memchr::memchr(b'\n', &bytes).and_then(|newline| record::header(&bytes[..newline])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn lines(file: &File, part: Range<u64>) -> Vec<(u64, u64, Vec<u8>)> {
        let mut lines = Lines::new(file, part);
        let mut out = Vec::new();
        while let Some(found) = lines.next().unwrap() {
            out.push((found.start, found.end, found.bytes.to_vec()));
        }
        out
    }

    #[test]
    fn a_line_over_the_limit_is_damage_and_the_next_one_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(MAX_LINE as u64 + 2_000_000).unwrap();
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).unwrap();
        file.write_all(b"\nnext\n").unwrap();
        let end = file.metadata().unwrap().len();
        let found = lines(&file, 0..end);
        assert_eq!(found.len(), 2);
        assert!(found[0].2.is_empty());
        assert!(found[1] == (end - 5, end, b"next".to_vec()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn lines_are_those_of_a_plain_split(
            sizes in prop::collection::vec(prop_oneof![9 => 0usize..300, 1 => 200_000usize..600_000], 0..20),
            from in 0u64..500, cut in 0u64..500,
        ) {
            let mut bytes = Vec::new();
            for size in sizes {
                bytes.extend(std::iter::repeat_n(b'x', size));
                bytes.push(b'\n');
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let len = bytes.len() as u64;
            let (from, to) = (from.min(len), len.saturating_sub(cut).max(from.min(len)));
            let mut at = from;
            let part = &bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            let expected: Vec<_> = part.split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n")).map(|line| {
                let start = at;
                at += line.len() as u64;
                (start, at, line[..line.len() - 1].to_vec())
            }).collect();
            prop_assert_eq!(lines(&file, from..to), expected);
        }
    }
}
