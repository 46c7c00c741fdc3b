//! Looks through a session's journal from a cursor on. Blocks; the actor calls it off the runtime.

use std::io;
use std::path::Path;

use skep_common::session::Head;
use skep_journal::{CursorError, Line, Reader};

use crate::found::{Finder, Found};

/// Bytes of a journal that are read at once.
const BLOCK: usize = 128 * 1024;

/// After so many finds the rest is left to another look, so that no journal takes up memory.
const ENOUGH: usize = 200;

/// How often a cursor that leads nowhere is moved within one look.
const MOVES: u32 = 3;

/// What a look gave.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What is worth telling, in order.
    pub(crate) found: Vec<Found>,
    /// Up to where was looked.
    pub(crate) upto: u64,
}

/// Looks through the records after `after`, up to the head at most.
///
/// # Errors
///
/// When the journal cannot be read. A cursor that leads nowhere any more is moved to where it does.
pub(crate) fn scan(session_dir: &Path, after: u64, head: Head) -> io::Result<Scan> {
    let mut after = after;
    for _ in 0..MOVES {
        match look(session_dir, after, head) {
            Ok(scan) => return Ok(scan),
            // What was removed cannot be told any more; what was never true was told too early.
            Err(CursorError::Expired { first_seq }) if first_seq > after + 1 => {
                tracing::warn!(
                    "events {} to {} were removed before hooks had looked at them",
                    after + 1,
                    first_seq - 1
                );
                after = first_seq - 1;
            }
            Err(CursorError::Invalid { resume_from }) if resume_from < after => after = resume_from,
            Err(CursorError::Io(error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
    }
    Err(io::Error::other("its first event lies behind its last"))
}

fn look(session_dir: &Path, after: u64, head: Head) -> Result<Scan, CursorError> {
    let mut reader = Reader::open(session_dir, after, None, head)?;
    let mut finder = Finder::default();
    loop {
        let lines = reader.read(head, BLOCK)?;
        let Some(last) = lines.last() else { break };
        let upto = last.seq();
        for line in lines {
            let Line::Record(record) = line else { continue };
            if !Finder::wants(record.kind()) {
                continue;
            }
            match record.decode() {
                Ok(record) => finder.take(record),
                Err(error) => tracing::warn!("event {} cannot be told: {error}", record.seq),
            }
        }
        if finder.len() >= ENOUGH {
            return Ok(Scan { found: finder.finish(), upto });
        }
    }
    Ok(Scan { found: finder.finish(), upto: head.seq })
}
