//! The bytes of one log between the pipe and the disk. Pure: no clock, no file, no lock.
//!
//! Invariant: what leaves by [`Ring::take`] is whole lines (the very last one aside), and every byte that came in either
//! leaves or is counted in [`Dropped`]; never more than [`CAPACITY`] bytes are held.

use super::Dropped;

/// How much one log may hold in memory.
pub(super) const CAPACITY: usize = 1024 * 1024;

/// The longest line that is kept in one piece, its newline aside.
pub const LINE_MAX: usize = 64 * 1024;

/// What ends a piece of a line that is longer than [`LINE_MAX`]; the line goes on behind it.
pub const SPLIT_MARK: &[u8] = b" [skep: the line goes on]\n";

/// How much of the latest output is remembered.
pub(super) const TAIL: usize = 4096;

/// Room for a notice of dropped lines.
const NOTICE: usize = 128;

/// Buffers that are larger than this are given back when a log is quiet.
const QUIET_BUFFER: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Whole lines up to `committed`, then the beginning of a line.
    front: Vec<u8>,
    committed: usize,
    /// How much was taken and is not yet written.
    in_flight: usize,
    /// Dropped whole lines that the log does not tell of yet.
    untold: Dropped,
    in_all: Dropped,
    /// Bytes so far of a line that is being dropped.
    skipping: Option<u64>,
    tail: Vec<u8>,
}

impl Ring {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        // A chunk of this size needs no look at each of its lines: only its first can be too long.
        for chunk in bytes.chunks(LINE_MAX) {
            self.push_chunk(chunk);
        }
    }

    /// Moves all whole lines into `batch`, which must be empty, and a notice if lines were dropped behind them.
    pub(super) fn take(&mut self, batch: &mut Vec<u8>) {
        std::mem::swap(&mut self.front, batch);
        self.front.extend_from_slice(&batch[self.committed..]);
        batch.truncate(self.committed);
        self.committed = 0;
        if self.untold.lines > 0 {
            // Nothing was accepted since the drop, so the notice stands where the lines would have.
            batch.extend_from_slice(&notice(std::mem::take(&mut self.untold)));
        }
        self.in_flight = batch.len();
    }

    /// What was taken is written.
    pub(super) fn written(&mut self) {
        self.in_flight = 0;
    }

    /// The unfinished line counts as a whole one from here on.
    pub(super) fn finish(&mut self) {
        if let Some(bytes) = self.skipping.take()
            && bytes > 0
        {
            self.count(bytes);
        }
        self.committed = self.front.len();
    }

    /// Whether there is something to take.
    pub(super) fn has_work(&self) -> bool {
        self.committed > 0 || self.untold.lines > 0
    }

    pub(super) fn is_being_written(&self) -> bool {
        self.in_flight > 0
    }

    pub(super) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.front.len() + self.in_flight)
    }

    pub(super) fn dropped_in_all(&self) -> Dropped {
        self.in_all
    }

    pub(super) fn last(&self, limit: usize) -> &[u8] {
        &self.tail[self.tail.len() - limit.min(TAIL).min(self.tail.len())..]
    }

    /// Gives memory back.
    pub(super) fn trim(&mut self) {
        if self.front.len() <= QUIET_BUFFER {
            self.front.shrink_to(QUIET_BUFFER);
        }
    }

    fn push_chunk(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            if self.skipping.is_some() {
                chunk = self.skip(chunk);
            } else if self.untold.lines > 0 && !self.tell(chunk.len()) {
                self.skipping = Some(0);
            } else {
                chunk = self.accept(chunk);
            }
        }
    }

    /// Takes what fits of a chunk that begins within an accepted line or at a line's start; returns the rest.
    fn accept<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let partial = self.front.len() - self.committed;
        let first_part = memchr::memchr(b'\n', chunk).unwrap_or(chunk.len());
        if partial + first_part > LINE_MAX {
            let piece = LINE_MAX - partial;
            if self.room() < piece + SPLIT_MARK.len() {
                self.start_skipping();
                return chunk;
            }
            self.front.extend_from_slice(&chunk[..piece]);
            self.front.extend_from_slice(SPLIT_MARK);
            self.committed = self.front.len();
            return &chunk[piece..];
        }
        if chunk.len() <= self.room() {
            self.front.extend_from_slice(chunk);
            if let Some(last) = memchr::memrchr(b'\n', chunk) {
                self.committed = self.front.len() - (chunk.len() - last - 1);
            }
            return &[];
        }
        let rest = match memchr::memrchr(b'\n', &chunk[..self.room()]) {
            Some(last) => {
                self.front.extend_from_slice(&chunk[..=last]);
                self.committed = self.front.len();
                &chunk[last + 1..]
            }
            None => chunk,
        };
        self.start_skipping();
        rest
    }

    /// Drops the line that comes, its beginning included.
    fn start_skipping(&mut self) {
        let beginning = self.front.len() - self.committed;
        self.front.truncate(self.committed);
        self.skipping = Some(beginning as u64);
    }

    /// Drops up to the end of the line; returns the rest.
    fn skip<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let so_far = self.skipping.unwrap_or(0);
        match memchr::memchr(b'\n', chunk) {
            Some(newline) => {
                self.count(so_far + newline as u64 + 1);
                self.skipping = None;
                &chunk[newline + 1..]
            }
            None => {
                self.skipping = Some(so_far + chunk.len() as u64);
                &[]
            }
        }
    }

    /// Writes the notice of dropped lines if there is room for it and what comes.
    fn tell(&mut self, next: usize) -> bool {
        let fits = self.room() >= NOTICE + next;
        if fits {
            self.front.extend_from_slice(&notice(std::mem::take(&mut self.untold)));
            self.committed = self.front.len();
        }
        fits
    }

    fn count(&mut self, bytes: u64) {
        for dropped in [&mut self.untold, &mut self.in_all] {
            dropped.lines += 1;
            dropped.bytes += bytes;
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        if bytes.len() >= TAIL {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - TAIL..]);
            return;
        }
        if self.tail.len() + bytes.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.tail.extend_from_slice(bytes);
    }
}

fn notice(dropped: Dropped) -> Vec<u8> {
    let Dropped { lines, bytes } = dropped;
    let noun = if lines == 1 { "line" } else { "lines" };
    format!("[skep: {lines} {noun} ({bytes} bytes) dropped: the log could not keep up]\n").into_bytes()
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
