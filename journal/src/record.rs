//! One line of a journal: how it is written, checked and looked into. Pure.
//!
//! A record is `{"seq":N,"at":"…","kind":"…","data":{…},"crc":"xxxxxxxx"}`, then a newline; the checksum is the CRC32C
//! of every byte before `,"crc"`. A segment's first line is a header of the same build. What clients see is the line
//! without its checksum. Nothing here looks into the data of a record.

use std::io::Write as _;
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skep_common::event::Event;
use skep_common::ids::SessionId;

/// The version of the format that this build writes.
pub const FORMAT: u32 = 1;

/// The longest line, in bytes. Beyond it a missing newline counts as damage and not as a long line.
pub const MAX_LINE: usize = 80 * 1024 * 1024;

/// The length of `,"crc":"xxxxxxxx"}`.
const CHECKSUM: usize = 18;

/// A segment's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`] of the writer. Headers of every version carry the checksum.
    #[serde(rename = "skep_journal")]
    pub version: u32,
    /// The session.
    pub session: SessionId,
    /// The epoch of the writer that began the segment.
    pub epoch: u64,
}

/// The fields before a record's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// The record's number.
    pub seq: u64,
    /// When it was appended, as it stands in the line.
    pub at: &'a [u8],
    /// Where its kind stands in the line, between the quotes. (The kind of a newer skep may contain escapes.)
    pub kind: Range<usize>,
    /// Where its data begins.
    pub data: usize,
}

/// An event that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its data is no JSON.
    #[error("encode an event: {0}")]
    Json(#[from] serde_json::Error),
    /// Its line would be longer than [`MAX_LINE`].
    #[error("encode an event of {0} bytes")]
    TooLarge(usize),
}

/// Writes the line of an event onto `out`; on an error `out` is as it was.
///
/// # Errors
///
/// When the event cannot be written.
pub fn encode(seq: u64, at: Timestamp, event: &Event, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write_body(seq, at, event, out).map_err(EncodeError::from).and_then(|()| {
        let length = out.len() - start + CHECKSUM + 1;
        if length > MAX_LINE { Err(EncodeError::TooLarge(length)) } else { Ok(()) }
    });
    match written {
        Ok(()) => seal(start, out),
        Err(_) => out.truncate(start),
    }
    written
}

fn write_body(seq: u64, at: Timestamp, event: &Event, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    write!(out, r#"{{"seq":{seq},"at":"{at}","kind":"#).map_err(serde_json::Error::io)?;
    match event {
        Event::Unknown { kind, .. } => serde_json::to_writer(&mut *out, kind)?,
        known => {
            out.push(b'"');
            out.extend_from_slice(known.kind().as_bytes());
            out.push(b'"');
        }
    }
    out.extend_from_slice(br#","data":"#);
    let data = out.len();
    event.encode_data(out)?;
    // JSON has line breaks only as white space between its tokens; a record keeps to one line.
    if memchr::memchr2(b'\n', b'\r', &out[data..]).is_some() {
        out[data..].iter_mut().filter(|b| matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
    }
    Ok(())
}

/// Ends the line that begins at `start` with its checksum.
fn seal(start: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(br#","crc":""#);
    out.extend((0..8).rev().map(|nibble| HEX[(crc >> (nibble * 4) & 0xf) as usize]));
    out.extend_from_slice(b"\"}\n");
}

/// The line's bytes before `,"crc"`, if the checksum is right. `line` is without its newline.
#[must_use]
pub fn checked(line: &[u8]) -> Option<&[u8]> {
    let (body, checksum) = line.split_at_checked(line.len().checked_sub(CHECKSUM)?)?;
    let hex = checksum.strip_prefix(br#","crc":""#)?.strip_suffix(br#""}"#)?;
    let crc = hex.iter().try_fold(0u32, |crc, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(crc << 4 | u32::from(nibble))
    })?;
    (crc == crc32c::crc32c(body)).then_some(body)
}

/// The fields before the data; none if the line does not begin as a record does.
#[must_use]
pub fn prefix(line: &[u8]) -> Option<Prefix<'_>> {
    let rest = line.strip_prefix(br#"{"seq":"#)?;
    let digits = rest.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let seq = rest[..digits].iter().try_fold(0u64, |seq, digit| {
        seq.checked_mul(10).and_then(|seq| seq.checked_add(u64::from(digit - b'0')))
    });
    let seq = seq.filter(|_| digits > 0)?;
    let rest = rest[digits..].strip_prefix(br#","at":""#)?;
    let (at, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let rest = rest.strip_prefix(br#"","kind":""#)?;
    let kind = line.len() - rest.len();
    let end = kind + closing_quote(rest)?;
    line[end..].starts_with(br#"","data":"#).then(|| Prefix { seq, at, kind: kind..end, data: end + 9 })
}

/// Where the JSON string ends whose inside begins `text`.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Writes a segment's header line onto `out`.
pub fn encode_header(session: SessionId, epoch: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(
        format!(r#"{{"skep_journal":{FORMAT},"session":"{session}","epoch":{epoch}"#).as_bytes(),
    );
    seal(start, out);
}

/// The header in a line; none if the line is none, or is damaged. `line` is without its newline.
#[must_use]
pub fn header(line: &[u8]) -> Option<Header> {
    if !line.starts_with(br#"{"skep_journal":"#) {
        return None;
    }
    checked(line)?;
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use skep_common::event::{Note, Record};

    fn line(seq: u64, event: &Event) -> Vec<u8> {
        let mut out = Vec::new();
        encode(seq, "2026-01-02T03:04:05.678Z".parse().unwrap(), event, &mut out).unwrap();
        assert_eq!(out.pop(), Some(b'\n'));
        out
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_line_reads_as_the_format_says() {
        let event = Event::Note(Note { level: "info".to_owned(), text: "hé".to_owned() });
        let line = String::from_utf8(line(7, &event)).unwrap();
        let body =
            r#"{"seq":7,"at":"2026-01-02T03:04:05.678Z","kind":"note","data":{"level":"info","text":"hé"}"#;
        assert_eq!(line, format!(r#"{body},"crc":"{:08x}"}}"#, crc32c::crc32c(body.as_bytes())));
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of CRC-32C (Castagnoli) in every catalogue.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_header_round_trips_and_a_damaged_one_is_none() {
        let session = SessionId::random();
        let mut out = Vec::new();
        encode_header(session, 3, &mut out);
        out.pop();
        assert_eq!(header(&out), Some(Header { version: FORMAT, session, epoch: 3 }));
        for at in 0..out.len() {
            let mut bad = out.clone();
            bad[at] ^= 1;
            assert_eq!(header(&bad), None, "{at}");
        }
    }

    #[test]
    fn line_breaks_between_an_agents_tokens_do_not_break_the_line() {
        let line = line(1, &Event::Update(raw("{\n\t\"a\":\r\n 1}")));
        assert!(memchr::memchr2(b'\n', b'\r', &line).is_none());
        let record = Record::from_json(&line).unwrap();
        let Event::Update(data) = record.event else { panic!("an update") };
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(data.get()).unwrap(),
            serde_json::json!({"a": 1})
        );
    }

    #[test]
    fn g7_an_unknown_kind_cannot_break_out_of_its_string() {
        let kind = "a\",\"data\":{},\"seq\":9,\"x\":\"\\\n";
        let line = line(5, &Event::Unknown { kind: kind.to_owned(), data: raw("[1]") });
        let found = prefix(&line).unwrap();
        assert_eq!((found.seq, &line[found.data..found.data + 3]), (5, &b"[1]"[..]));
        assert_eq!(Record::from_json(&line).unwrap().event.kind(), kind);
    }

    #[test]
    fn an_error_leaves_the_buffer_as_it_was() {
        let mut out = b"before".to_vec();
        let huge = Event::Note(Note { level: String::new(), text: "x".repeat(MAX_LINE) });
        let error = encode(1, Timestamp::UNIX_EPOCH, &huge, &mut out).unwrap_err();
        assert!(matches!(error, EncodeError::TooLarge(_)));
        assert_eq!(out, b"before");
    }

    #[test]
    fn prefixes_that_are_none() {
        for bad in [
            "",
            "{",
            r#"{"seq":,"at":"","kind":"","data":"#,
            r#"{"seq":99999999999999999999,"at":"","kind":"","data":"#,
            r#"{"seq":1,"at":"x,"kind":"y","data":"#,
            r#"{"seq":1,"at":"","kind":"y\","data":"#,
            r#"{"seq":1,"at":"","kind":"y"}"#,
        ] {
            assert_eq!(prefix(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_the_codec(seq in 1u64.., nanos in any::<i32>(), text in any::<String>(), kind in any::<String>()) {
            let at = Timestamp::from_nanosecond(i128::from(nanos) * 1_000_000_007).unwrap();
            let note = Event::Note(Note { level: "warn".to_owned(), text: text.clone() });
            let json = raw(&serde_json::to_string(&text).unwrap());
            for event in [note, Event::Update(json.clone()), Event::Unknown { kind, data: json }] {
                let mut out = Vec::new();
                encode(seq, at, &event, &mut out).unwrap();
                prop_assert_eq!(out.pop(), Some(b'\n'));
                prop_assert!(memchr::memchr(b'\n', &out).is_none());
                let mut public = checked(&out).unwrap().to_vec();
                let found = prefix(&out).unwrap();
                prop_assert_eq!(found.seq, seq);
                prop_assert_eq!(std::str::from_utf8(found.at).unwrap().parse::<Timestamp>().unwrap(), at);
                let mut data = Vec::new();
                event.encode_data(&mut data).unwrap();
                prop_assert!(out[found.data..].starts_with(&data));
                public.push(b'}');
                let record = Record::from_json(&public).unwrap();
                prop_assert_eq!((record.seq, record.at, record.event.kind()), (seq, at, event.kind()));
            }
        }

        #[test]
        fn a_flipped_bit_is_always_noticed(text in ".{0,40}", at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut line = line(3, &Event::Note(Note { level: "info".to_owned(), text }));
            let at = at.index(line.len());
            line[at] ^= 1 << bit;
            prop_assert_eq!(checked(&line), None);
        }

        #[test]
        fn g13_no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _: (Option<&[u8]>, Option<Prefix<'_>>, Option<Header>) = (checked(&bytes), prefix(&bytes), header(&bytes));
        }
    }
}
