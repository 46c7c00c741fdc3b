//! What a terminal has put out: its end, as text. Pure.
//!
//! Invariant: never more than the limit is held or told, and what is told is whole characters.

use std::collections::VecDeque;

/// How much of a terminal's output is kept at most, in bytes.
pub(super) const KEEP_MAX: usize = 1024 * 1024;

/// The end of a terminal's output.
#[derive(Debug)]
pub(super) struct Output {
    bytes: VecDeque<u8>,
    limit: usize,
    truncated: bool,
}

impl Output {
    /// Keeps the last `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit, truncated: false }
    }

    /// More has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let fits = &bytes[bytes.len().saturating_sub(self.limit)..];
        let over = (self.bytes.len() + fits.len()).saturating_sub(self.limit);
        self.truncated |= over > 0 || fits.len() < bytes.len();
        self.bytes.drain(..over);
        self.bytes.extend(fits);
    }

    /// The text so far, and whether its beginning is missing. A character whose end has not come yet is not told, unless
    /// nothing more comes (`ended`).
    pub(super) fn text(&self, ended: bool) -> (String, bool) {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let begin = if self.truncated { rest_of_character(&bytes) } else { 0 };
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes[begin..].utf8_chunks() {
            text += chunk.valid();
            let bad = chunk.invalid();
            let unfinished = std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none());
            if !bad.is_empty() && (ended || !unfinished) {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        // What stands for a bad byte is longer than the byte.
        let over = text.len().saturating_sub(self.limit);
        let cut = (over..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..cut);
        (text, self.truncated || cut > 0)
    }
}

/// How many bytes at the beginning end a character that was cut.
fn rest_of_character(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(limit: usize, pieces: &[&[u8]], ended: bool) -> (String, bool) {
        let mut output = Output::new(limit);
        pieces.iter().for_each(|piece| output.push(piece));
        output.text(ended)
    }

    #[test]
    fn the_end_is_kept_in_whole_characters() {
        for (limit, pieces, ended, text, truncated) in [
            (10, &[&b"abc"[..], b"def"][..], false, "abcdef", false),
            (4, &[b"abc", b"def"], false, "cdef", true),
            (4, &[b"abcdef"], false, "cdef", true),
            (0, &[b"a"], false, "", true),
            (0, &[], false, "", false),
            (4, &["aäöü".as_bytes()], false, "öü", true),
            (3, &["aäöü".as_bytes()], false, "ü", true),
            (9, &[b"a\xc3"], false, "a", false),
            (9, &[b"a\xc3", b"\xa4"], false, "aä", false),
            (9, &[b"a\xc3"], true, "a\u{fffd}", false),
            (9, &[b"\xffa"], false, "\u{fffd}a", false),
            (2, &[b"\xffa"], false, "a", true),
        ] {
            assert_eq!(told(limit, pieces, ended), (text.to_owned(), truncated), "{limit} {pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_nothing_lost_below_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            limit in 0usize..100,
        ) {
            let mut output = Output::new(limit);
            for piece in &pieces {
                output.push(piece);
                prop_assert!(output.bytes.len() <= limit);
            }
            let (text, truncated) = output.text(true);
            let all = pieces.concat();
            prop_assert!(text.len() <= limit);
            let whole = String::from_utf8_lossy(&all);
            if truncated {
                prop_assert!(whole.len() > limit);
            } else {
                prop_assert_eq!(text, whole);
            }
        }

        #[test]
        fn text_is_told_from_its_end(
            text in "\\PC{0,60}",
            limit in 0usize..100,
        ) {
            let (told, truncated) = told(limit, &[text.as_bytes()], true);
            prop_assert!(text.ends_with(&told));
            prop_assert_eq!(truncated, told.len() < text.len());
            prop_assert!(told.len() + 3 >= limit.min(text.len()));
        }
    }
}
