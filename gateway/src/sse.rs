//! Steps as server-sent events: `id: seq`, `event: kind`, `data: record`. What has no `id` is about the stream itself.

use std::fmt::Write as _;

use axum::body::Body as HttpBody;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_journal::Line;

use crate::follower::{Follower, Step};

/// What comes when nothing else does.
pub(crate) const BEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

/// The answer that carries a stream.
pub(crate) fn streaming(body: HttpBody) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

/// A session's events as a stream, after `first`, which may be empty.
pub(crate) fn of_session(follower: Follower, first: Bytes) -> Response {
    let state = Some((follower, first));
    let stream = futures_util::stream::unfold(state, |state| async move {
        let (mut follower, first) = state?;
        if !first.is_empty() {
            return Some((Ok::<Bytes, std::io::Error>(first), Some((follower, Bytes::new()))));
        }
        let block = match follower.next().await {
            Step::Epoch(epoch) => Bytes::from(format!("event: epoch\ndata: {{\"epoch\":{epoch}}}\n\n")),
            Step::Lines(lines) => frame(&lines),
            Step::Beat => BEAT,
            Step::Failed(error) => return Some((Ok(farewell(error)), None)),
            Step::Complete => return Some((Ok(end("complete")), None)),
            Step::Stopping => return Some((Ok(end(&Code::ShuttingDown.as_str())), None)),
        };
        Some((Ok(block), Some((follower, Bytes::new()))))
    });
    streaming(HttpBody::from_stream(stream))
}

/// A message that is about the stream or not numbered.
pub(crate) fn message(event: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {event}\ndata: {json}\n\n"))
}

/// The last message of a stream that ends because there is no more of it, or because the daemon stops.
pub(crate) fn end(reason: &str) -> Bytes {
    message("end", &serde_json::json!({ "reason": reason }))
}

/// The last message of a stream that cannot go on.
pub(crate) fn farewell(error: ApiError) -> Bytes {
    message("error", &ErrorBody { error })
}

/// A record that is damaged on disk, as it is shown.
pub(crate) fn corrupt(seq: u64) -> String {
    format!(r#"{{"seq":{seq},"kind":"corrupt"}}"#)
}

fn frame(lines: &[Line]) -> Bytes {
    let mut out = BytesMut::with_capacity(lines.iter().map(|line| 64 + json_len(line)).sum());
    for line in lines {
        match line {
            Line::Record(record) => {
                head_of(&mut out, record.seq, record.kind());
                out.put_slice(&record.json);
            }
            Line::Corrupt { seq } => {
                head_of(&mut out, *seq, "corrupt");
                out.put_slice(corrupt(*seq).as_bytes());
            }
        }
        out.put_slice(b"\n\n");
    }
    out.freeze()
}

fn json_len(line: &Line) -> usize {
    match line {
        Line::Record(record) => record.json.len(),
        Line::Corrupt { .. } => 64,
    }
}

/// The head of a message. A kind comes from the journal, whose lines hold no newline.
fn head_of(out: &mut BytesMut, seq: u64, kind: &str) {
    write!(out, "id: {seq}\nevent: {kind}\ndata: ").expect("writing to memory does not fail");
}
