//! Bytes of a `text/event-stream` to messages. Pure: the caller reads and hands over what came.

use memchr::memchr;

/// The longest message that is taken: an agent's line may have 64 MiB, and JSON may escape it.
pub(crate) const MAX_MESSAGE: usize = 256 * 1024 * 1024;

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Message {
    /// Its `id`, if it has one.
    pub(crate) id: Option<String>,
    /// Its `event`; empty where none was named.
    pub(crate) event: String,
    /// Its `data`, lines joined by newlines.
    pub(crate) data: Vec<u8>,
}

/// A message over the limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the event stream is over {MAX_MESSAGE} bytes")]
pub(crate) struct TooLong;

/// Splits a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    partial: Vec<u8>,
    message: Message,
    has_data: bool,
}

impl Parser {
    /// Takes what was read and calls `each` for every message that it completes, in order.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Message)) -> Result<(), TooLong> {
        while let Some(newline) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(newline);
            bytes = &rest[1..];
            if self.partial.is_empty() {
                self.line(line, &mut each);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, &mut each);
            }
            if self.message.data.len() > MAX_MESSAGE {
                return Err(TooLong);
            }
        }
        if self.partial.len() + bytes.len() > MAX_MESSAGE {
            return Err(TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8], each: &mut impl FnMut(Message)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if std::mem::take(&mut self.has_data) {
                each(message);
            }
            return;
        }
        let (field, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.message.data.push(b'\n');
                }
                self.has_data = true;
                self.message.data.extend_from_slice(value);
            }
            b"event" => self.message.event = String::from_utf8_lossy(value).into_owned(),
            b"id" => self.message.id = Some(String::from_utf8_lossy(value).into_owned()),
            // A comment (a heartbeat), `retry`, or a field of a newer server.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(parts: &[&[u8]]) -> Vec<Message> {
        let (mut parser, mut messages) = (Parser::default(), Vec::new());
        for part in parts {
            parser.push(part, |message| messages.push(message)).unwrap();
        }
        messages
    }

    #[test]
    fn messages_heartbeats_and_unknown_fields_are_told_apart() {
        let stream = b": heartbeat\n\nid: 7\nevent: update\ndata: {\"a\":1}\n\nretry: 3\nnovel: x\r\ndata:b\r\ndata\r\n\r\ndata: lost";
        let messages = parse(&[stream]);
        assert_eq!(
            messages,
            [
                Message { id: Some("7".into()), event: "update".into(), data: b"{\"a\":1}".to_vec() },
                Message { id: None, event: String::new(), data: b"b\n".to_vec() },
            ]
        );
    }

    proptest! {
        #[test]
        fn g9_chunk_borders_change_nothing(
            messages in proptest::collection::vec(("[a-z]{0,6}", 0u64..1000, "[ -~äß🐝]{0,40}"), 0..8),
            size in 1usize..17,
        ) {
            let stream: String = messages
                .iter()
                .map(|(event, id, data)| format!("id: {id}\nevent: {event}\ndata: {data}\n\n: beat\n\n"))
                .collect();
            let parts: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let wanted: Vec<Message> = messages
                .iter()
                .map(|(event, id, data)| Message {
                    id: Some(id.to_string()),
                    event: event.clone(),
                    data: data.clone().into_bytes(),
                })
                .collect();
            prop_assert_eq!(parse(&parts), wanted);
        }

        #[test]
        fn g13_any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&[&bytes]);
        }
    }
}
