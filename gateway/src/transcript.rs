//! A session's transcript as text that grows: its journal, rendered (C5).

use bytes::Bytes;
use skep_common::session::Head;
use skep_common::transcript::Transcript;
use skep_journal::{CursorError, Line, Reader};

/// What is read at once.
const BLOCK: usize = 64 * 1024;

/// A journal that is rendered as it is read.
#[derive(Debug)]
pub(crate) struct RenderedJournal {
    reader: Reader,
    transcript: Transcript,
}

impl RenderedJournal {
    /// Renders what `reader` reads.
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, transcript: Transcript::default() }
    }

    /// The next text; none when all up to `head` was read. Blocks on the disk.
    pub(crate) fn read(&mut self, head: Head) -> Result<Option<Bytes>, CursorError> {
        loop {
            let lines = self.reader.read(head, BLOCK)?;
            if lines.is_empty() {
                return Ok(None);
            }
            let mut text = String::new();
            for line in lines {
                match line {
                    Line::Record(record) => match record.decode() {
                        Ok(record) => self.transcript.push(&record, &mut text),
                        Err(_) => self.transcript.push_unreadable(&mut text),
                    },
                    Line::Corrupt { .. } => self.transcript.push_unreadable(&mut text),
                }
            }
            if !text.is_empty() {
                return Ok(Some(Bytes::from(text)));
            }
        }
    }
}
