//! Bytes to whole lines, with a size limit. Pure: the caller reads and hands over what came.
//!
//! Every pipe of ours carries newline-delimited JSON; a peer that never sends a newline costs at most the limit
//! (G13), and a character split between two reads survives because only whole lines leave (G9).

/// Splits a stream of bytes into lines of at most `limit` bytes.
#[derive(Debug)]
pub struct LineSplitter {
    partial: Vec<u8>,
    limit: usize,
    skipping: usize,
}

/// One line, or what stood in its place.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole line without its newline.
    Line(&'a [u8]),
    /// A line over the limit was dropped; so many bytes long.
    TooLong(usize),
}

impl LineSplitter {
    /// A splitter that holds at most `limit` bytes of an unfinished line.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit, skipping: 0 }
    }

    /// Takes what was read and calls `each` for every line that it completes, in order.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        while let Some(newline) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(newline);
            bytes = &rest[1..];
            if self.skipping > 0 {
                each(Frame::TooLong(self.skipping + line.len()));
                self.skipping = 0;
            } else if self.partial.len() + line.len() > self.limit {
                each(Frame::TooLong(self.partial.len() + line.len()));
            } else if self.partial.is_empty() {
                each(Frame::Line(line));
            } else {
                self.partial.extend_from_slice(line);
                each(Frame::Line(&self.partial));
            }
            self.partial.clear();
            self.partial.shrink_to(64 * 1024);
        }
        if self.skipping > 0 {
            self.skipping += bytes.len();
        } else if self.partial.len() + bytes.len() > self.limit {
            self.skipping = self.partial.len() + bytes.len();
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// At end of stream: the last line if it had no newline.
    #[must_use]
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        self.skipping = 0;
        let partial = std::mem::take(&mut self.partial);
        (!partial.is_empty()).then_some(partial)
    }

    /// How many bytes of an unfinished line are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(splitter: &mut LineSplitter, bytes: &[u8]) -> Vec<Result<Vec<u8>, usize>> {
        let mut out = Vec::new();
        splitter.push(bytes, |frame| {
            out.push(match frame {
                Frame::Line(line) => Ok(line.to_vec()),
                Frame::TooLong(len) => Err(len),
            });
        });
        out
    }

    #[test]
    fn g13_a_line_over_the_limit_is_dropped_and_the_next_one_read() {
        let mut splitter = LineSplitter::new(4);
        let mut out = collect(&mut splitter, b"abcdefgh");
        assert_eq!(splitter.held(), 0);
        out.extend(collect(&mut splitter, b"ij\nok\nabcde\n"));
        assert_eq!(out, [Err(10), Ok(b"ok".to_vec()), Err(5)]);
    }

    proptest! {
        #[test]
        fn g9_lines_do_not_depend_on_how_the_bytes_were_cut(
            bytes in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..200),
            cuts in proptest::collection::vec(1usize..20, 0..40),
            limit in 1usize..40,
        ) {
            let mut whole = LineSplitter::new(limit);
            let expected = collect(&mut whole, &bytes);
            let mut pieces = LineSplitter::new(limit);
            let (mut rest, mut got) = (&bytes[..], Vec::new());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                got.extend(collect(&mut pieces, now));
                prop_assert!(pieces.held() <= limit);
                rest = later;
            }
            got.extend(collect(&mut pieces, rest));
            prop_assert_eq!(got, expected);
            prop_assert_eq!(pieces.finish(), whole.finish());
        }
    }
}
