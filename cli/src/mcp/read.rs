//! A piece of a session's record as text, and where the next one begins.

use skep_common::api::{EventsPage, SessionInfo};
use skep_common::event::Record;
use skep_common::transcript::Transcript;

use crate::client::Client;
use crate::error::CliError;

/// Events that are asked for at once.
const PAGE: u32 = 200;

/// A piece of a session's record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What happened, for people.
    pub(super) text: String,
    /// What comes next is after this.
    pub(super) cursor: u64,
    /// Whether there is more already.
    pub(super) more: bool,
}

/// Reads after `cursor`, or the last turn, about `max` characters.
pub(super) async fn piece(
    client: &Client,
    session: &SessionInfo,
    cursor: Option<u64>,
    max: usize,
) -> Result<Piece, CliError> {
    let mut from = match cursor {
        Some(cursor) => format!("after={cursor}"),
        None => String::from("tail_turns=1"),
    };
    let mut builder = Builder { max, ..Builder::default() };
    loop {
        let path = format!("/sessions/{}/events?{from}&limit={PAGE}", session.id);
        let page: EventsPage = client.get(&path).await?;
        let full = page.events.iter().any(|event| !builder.take(event.get().as_bytes()));
        let is_last = page.events.is_empty() || page.next >= page.head.seq;
        if full || is_last {
            let cursor = if full { builder.cursor } else { page.next };
            return Ok(Piece { text: builder.text, cursor, more: full });
        }
        from = format!("after={}", page.next);
    }
}

/// Text that does not grow beyond its bound. Pure.
#[derive(Default)]
struct Builder {
    transcript: Transcript,
    text: String,
    cursor: u64,
    max: usize,
}

impl Builder {
    /// Takes an event, if there is room for it. One that is larger than all room there is comes first and is cut.
    fn take(&mut self, json: &[u8]) -> bool {
        let before = self.text.len();
        let seq = match Record::from_json(json) {
            Ok(record) => {
                self.transcript.push(&record, &mut self.text);
                record.seq
            }
            Err(_) => {
                self.transcript.push_unreadable(&mut self.text);
                self.cursor + 1
            }
        };
        if self.text.len() > self.max && before > 0 {
            self.text.truncate(before);
            return false;
        }
        if self.text.len() > self.max {
            let mut end = self.max;
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            let left_out = self.text.len() - end;
            self.text.truncate(end);
            self.text = format!("{}\n[{left_out} bytes of this event are left out]\n", self.text);
        }
        self.cursor = seq;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(seq: u64, text: &str) -> Vec<u8> {
        let update = serde_json::json!({
            "sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text},
        });
        let record =
            serde_json::json!({"seq": seq, "at": "2026-11-20T11:00:00Z", "kind": "update", "data": update});
        record.to_string().into_bytes()
    }

    #[test]
    fn pieces_are_bounded_and_put_together_are_the_whole() {
        let mut builder = Builder { max: 10, ..Builder::default() };
        assert!(builder.take(&says(1, "one ")) && builder.take(&says(2, "two ")));
        assert!(!builder.take(&says(3, "three")));
        assert_eq!((builder.text.as_str(), builder.cursor), ("one two ", 2));
        let mut next = Builder { max: 10, ..Builder::default() };
        assert!(next.take(&says(3, "three")));
        assert_eq!((next.text.as_str(), next.cursor), ("three", 3));
    }

    #[test]
    fn an_event_that_is_too_large_is_cut_and_passed() {
        let mut builder = Builder { max: 100, ..Builder::default() };
        assert!(builder.take(&says(7, &"ä".repeat(10_000))));
        assert!(builder.text.len() < 200 && builder.text.contains("bytes of this event are left out"));
        assert_eq!(builder.cursor, 7);
        assert!(!builder.take(&says(8, "more")));
        assert!(Builder { max: 100, ..Builder::default() }.take(b"not json"));
    }
}
