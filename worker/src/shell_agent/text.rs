//! Output as text. Pure.

use std::collections::VecDeque;

/// Turns bytes into text as they come. A character that was cut by a read waits for its rest (G9); what is no UTF-8
/// becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a character: at most three bytes.
    partial: Vec<u8>,
}

impl Decoder {
    /// The text that is complete now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut joined = std::mem::take(&mut self.partial);
        let bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let mut text = String::with_capacity(bytes.len());
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len() + chunk.invalid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            if at == bytes.len() && is_beginning(chunk.invalid()) {
                self.partial = chunk.invalid().to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// At the end of the stream: what waits for a rest that never comes.
    pub(super) fn finish(&mut self) -> Option<String> {
        let waits = !std::mem::take(&mut self.partial).is_empty();
        waits.then(|| char::REPLACEMENT_CHARACTER.to_string())
    }
}

fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// How much of a command's output its last update repeats as a whole, in bytes.
pub(super) const WHOLE: usize = 64 * 1024;

/// How much of a command's output its history keeps, in bytes.
const SUMMARY: usize = 200;

/// What is remembered of a command's output while it runs: bounded, whatever the command writes.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: String,
    pieces: VecDeque<String>,
    held: usize,
    total: u64,
}

impl Output {
    pub(super) fn push(&mut self, text: &str) {
        self.total += text.len() as u64;
        if self.head.len() < SUMMARY {
            let room = SUMMARY - self.head.len();
            self.head.push_str(&text[..text.floor_char_boundary(room)]);
        }
        let kept = &text[text.ceil_char_boundary(text.len().saturating_sub(WHOLE))..];
        self.held += kept.len();
        // Small pieces are joined, so that a command which writes single bytes costs no entry for each.
        match self.pieces.back_mut() {
            Some(last) if last.len() + kept.len() <= WHOLE / 16 => last.push_str(kept),
            _ => self.pieces.push_back(kept.to_owned()),
        }
        while let Some(first) = self.pieces.front()
            && self.held - first.len() >= WHOLE
        {
            self.held -= first.len();
            self.pieces.pop_front();
        }
    }

    /// The beginning, for the history.
    pub(super) fn summary(&self) -> String {
        let dots = if self.total > self.head.len() as u64 { "…" } else { "" };
        format!("{}{dots}", self.head)
    }

    /// Everything, or how much is left out and the end.
    pub(super) fn whole(&self) -> String {
        let all: String = self.pieces.iter().map(String::as_str).collect();
        let start = all.ceil_char_boundary(all.len().saturating_sub(WHOLE));
        let left_out = self.total - (all.len() - start) as u64;
        match left_out {
            0 => all,
            bytes => format!("[{bytes} bytes left out]\n{}", &all[start..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> String {
        let mut decoder = Decoder::default();
        let mut text: String = pieces.iter().map(|piece| decoder.push(piece)).collect();
        text.extend(decoder.finish());
        text
    }

    #[test]
    fn g9_a_character_cut_by_a_read_survives() {
        assert_eq!(decode(&[b"\xc3", b"\xa4"]), "ä");
        assert_eq!(decode(&[b"a\xf0", b"\x9f", b"\x90", b"\x9db"]), "a🐝b");
        assert_eq!(decode(&[b"\xff\xfe", b"x"]), "\u{fffd}\u{fffd}x");
        assert_eq!(decode(&[b"x\xf0\x9f"]), "x\u{fffd}");
        assert_eq!(decode(&[b"\xf0", b"x"]), "\u{fffd}x");
    }

    #[test]
    fn what_is_remembered_of_output_is_bounded() {
        let mut output = Output::default();
        output.push("short");
        assert_eq!((output.summary(), output.whole()), (String::from("short"), String::from("short")));
        for _ in 0..10 {
            output.push(&"ä".repeat(WHOLE));
        }
        for _ in 0..100_000 {
            output.push("z");
        }
        assert!(
            output.held <= 2 * WHOLE && output.pieces.len() < 64,
            "{} {}",
            output.held,
            output.pieces.len()
        );
        assert!(output.summary().len() <= SUMMARY + 3);
        let whole = output.whole();
        assert!(whole.starts_with('[') && whole.ends_with(&"z".repeat(WHOLE)), "{}", &whole[..60]);
    }

    proptest! {
        #[test]
        fn g9_text_does_not_depend_on_how_the_bytes_were_cut(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xf0), Just(0x9f), Just(b'a')], 0..60),
            cuts in proptest::collection::vec(1usize..5, 0..60),
        ) {
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(now);
                rest = later;
            }
            pieces.push(rest);
            prop_assert_eq!(decode(&pieces), String::from_utf8_lossy(&bytes));
        }
    }
}
