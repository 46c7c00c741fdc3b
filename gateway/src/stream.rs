//! A session's events from its journal: a JSON page, or a stream that follows (SSE).
//!
//! Nothing is copied through the supervisor: the head's bell rings, the file is read in blocks of at most 64 KiB when the
//! client can take more, and no record is parsed. A slow client costs one block.
//!
//! In a stream, a record is `id: seq`, `event: kind`, `data: record`. What has no `id` is about the stream itself:
//! `event: epoch` (data `{"epoch":N}`) names the writer's epoch, at the start and when it changes; `event: error` (data:
//! an error body) ends a stream whose next events are gone. A comment comes every 15 s of silence. A record that is
//! damaged on disk is shown as `event: corrupt` with `{"seq":N,"kind":"corrupt"}`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::json;
use serde_json::value::RawValue;
use skep_common::api::{EventsPage, EventsQuery};
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_common::ids::SessionId;
use skep_common::session::Head;
use skep_journal::{CursorError, Line, Reader, tail_turns};
use skep_supervisor::engine::Engine;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::body::{Names, Params};
use crate::error::Failure;
use crate::router::App;

/// What is read and sent at once.
const BLOCK: usize = 64 * 1024;

/// A JSON page is ended when it is this long.
const PAGE: usize = 4 * 1024 * 1024;

/// Events on a page, where the client does not say.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A reader that is at most so many events behind reads them at once: they were just written and lie in memory. One that
/// is further behind may have to wait for the disk, and does so on another thread.
const NEAR: u64 = 512;

/// `Last-Event-ID`, if the client sent one.
#[derive(Debug)]
pub(crate) struct LastEventId(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let seq = value.to_str().ok().and_then(|text| text.trim().parse().ok());
        let refused = || Failure::new(Code::InvalidRequest, "the header `last-event-id` is not a seq");
        seq.map(|seq| Self(Some(seq))).ok_or_else(refused)
    }
}

/// Whether the client asks for a stream.
pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream"))
}

/// The answer that carries a stream.
pub(crate) fn streaming(body: HttpBody) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

/// `GET /sessions/{id}/events`.
pub(crate) async fn events(
    State(app): State<App>,
    names: Names,
    Params(query): Params<EventsQuery>,
    LastEventId(last): LastEventId,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let streams = wants_stream(&headers);
    check(&query, streams)?;
    let session = app.engine.session(names.first()).await?;
    let mut head = app.engine.head(session.id).await?;
    let now = *head.borrow_and_update();
    let dir = app.engine.paths().session(&session.id);
    let (reader, dir_now) = {
        let wanted = Wanted { after: last.or(query.after), epoch: query.epoch, tail_turns: query.tail_turns };
        blocking(move || open(dir, wanted, now)).await??
    };
    tracing::trace!(session.id = %session.id, "a reader of {} begins after {}", dir_now.display(), reader.position());
    if streams {
        let follower = Follower {
            reader: Some(reader),
            head,
            epoch: None,
            heartbeat: app.limits.heartbeat,
            stop: app.stop.clone(),
            session: session.id,
            engine: app.engine.clone(),
            closing: session.state.is_closed(),
        };
        let stream = futures_util::stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            let block = follower.next().await;
            match block {
                Block::More(bytes) => Some((Ok::<Bytes, std::io::Error>(bytes), Some(follower))),
                Block::Last(bytes) => Some((Ok(bytes), None)),
                Block::End => None,
            }
        });
        Ok(streaming(HttpBody::from_stream(stream)))
    } else {
        page(reader, now, query.limit.unwrap_or(DEFAULT_LIMIT)).await
    }
}

fn check(query: &EventsQuery, streams: bool) -> Result<(), Failure> {
    let invalid = |message: &str| Err(Failure::new(Code::InvalidValue, message));
    if query.after.is_some() && query.tail_turns.is_some() {
        return invalid("`after` and `tail_turns` exclude each other");
    }
    match query.limit {
        Some(_) if streams => invalid("`limit` is for pages, not for streams"),
        Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => invalid("`limit` must be from 1 to 1000"),
        _ => Ok(()),
    }
}

/// Where a client wants to begin.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    after: Option<u64>,
    epoch: Option<u64>,
    tail_turns: Option<u32>,
}

fn open(dir: PathBuf, wanted: Wanted, head: Head) -> Result<(Reader, PathBuf), Failure> {
    let after = match (wanted.after, wanted.tail_turns) {
        (Some(after), _) => after,
        (None, Some(turns)) => tail_turns(&dir, head, turns)
            .map_err(|error| Failure::internal("the turns of a session cannot be found", &error))?,
        (None, None) => 0,
    };
    let reader = match Reader::open(&dir, after, wanted.epoch, head) {
        // Who asks from the beginning gets what is still kept.
        Err(CursorError::Expired { first_seq }) if after == 0 => {
            Reader::open(&dir, first_seq.saturating_sub(1), wanted.epoch, head)
        }
        opened => opened,
    };
    reader.map(|reader| (reader, dir)).map_err(|error| Failure(refusal(&error)))
}

/// What a client is told of a cursor that cannot be read from.
fn refusal(error: &CursorError) -> ApiError {
    match error {
        CursorError::Expired { first_seq } => {
            let message = format!("events before {first_seq} are not kept any more");
            ApiError::new(Code::CursorExpired, message).with_details(json!({ "first_seq": first_seq }))
        }
        CursorError::Invalid { resume_from } => {
            let message = format!("the cursor was never true or was lost; go on after {resume_from}");
            ApiError::new(Code::CursorInvalid, message).with_details(json!({ "resume_from": resume_from }))
        }
        CursorError::NewerFormat { .. } => {
            ApiError::new(Code::ProtocolMismatch, "a newer skep wrote this journal; upgrade this one")
        }
        CursorError::Io(_) => {
            tracing::error!("a journal cannot be read: {error}");
            ApiError::new(Code::StorageFailed, "the journal cannot be read")
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::internal("a reader crashed", &error))
}

/// A JSON page of at most `limit` events.
async fn page(mut reader: Reader, head: Head, limit: u32) -> Result<Response, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = blocking(move || -> Result<EventsPage, CursorError> {
        let (mut events, mut next, mut bytes) = (Vec::new(), reader.position(), 0);
        'page: while events.len() < limit && bytes < PAGE {
            let lines = reader.read(head, BLOCK)?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                if events.len() >= limit {
                    break 'page;
                }
                next = line.seq();
                let text = shown(&line);
                bytes += text.len();
                events.push(RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()));
            }
        }
        Ok(EventsPage { events, next, head })
    });
    let page = page.await?.map_err(|error| Failure(refusal(&error)))?;
    Ok(axum::Json(page).into_response())
}

fn shown(line: &Line) -> String {
    match line {
        Line::Record(record) => String::from_utf8_lossy(&record.json).into_owned(),
        Line::Corrupt { seq } => corrupt(*seq),
    }
}

fn corrupt(seq: u64) -> String {
    format!(r#"{{"seq":{seq},"kind":"corrupt"}}"#)
}

/// One client that follows one session.
struct Follower {
    reader: Option<Reader>,
    head: watch::Receiver<Head>,
    epoch: Option<u64>,
    heartbeat: Duration,
    stop: CancellationToken,
    session: SessionId,
    engine: Engine,
    /// The session has been closed, or its last event was seen: the stream may be complete.
    closing: bool,
}

/// What is sent next.
enum Block {
    More(Bytes),
    Last(Bytes),
    End,
}

impl Follower {
    /// What is sent next; waits until there is something.
    async fn next(&mut self) -> Block {
        let silent_until = tokio::time::Instant::now() + self.heartbeat;
        let mut changes = self.engine.changes();
        loop {
            let head = *self.head.borrow_and_update();
            if self.epoch != Some(head.epoch) {
                self.epoch = Some(head.epoch);
                return Block::More(Bytes::from(format!(
                    "event: epoch\ndata: {{\"epoch\":{}}}\n\n",
                    head.epoch
                )));
            }
            match self.read(head).await {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Block::More(self.frame(&lines)),
                Err(error) => return Block::Last(farewell(refusal(&error))),
            }
            if self.closing && self.is_complete(head).await {
                return Block::End;
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return Block::End },
                changed = changes.changed(), if self.closing => if changed.is_err() { return Block::End },
                () = tokio::time::sleep_until(silent_until) => {
                    return Block::More(Bytes::from_static(b": heartbeat\n\n"));
                }
                () = self.stop.cancelled() => return Block::End,
            }
        }
    }

    async fn read(&mut self, head: Head) -> Result<Vec<Line>, CursorError> {
        let Some(mut reader) = self.reader.take() else { return Ok(Vec::new()) };
        if head.seq.saturating_sub(reader.position()) <= NEAR {
            let read = reader.read(head, BLOCK);
            self.reader = Some(reader);
            return read;
        }
        let read = tokio::task::spawn_blocking(move || (reader.read(head, BLOCK), reader)).await;
        let (read, reader) = read.map_err(|error| CursorError::Io(std::io::Error::other(error)))?;
        self.reader = Some(reader);
        read
    }

    fn frame(&mut self, lines: &[Line]) -> Bytes {
        let size: usize = lines.iter().map(|line| 64 + json_len(line)).sum();
        let mut out = BytesMut::with_capacity(size);
        for line in lines {
            match line {
                Line::Record(record) => {
                    self.closing |= record.kind() == "session_closed";
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

    /// Whether the session is closed for good and all of it was sent.
    async fn is_complete(&self, head: Head) -> bool {
        match self.engine.session(&self.session.to_string()).await {
            Ok(info) => info.state.is_closed() && info.worker.is_none() && info.head.seq <= head.seq,
            Err(_) => true,
        }
    }
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

/// The last message of a stream that cannot go on.
pub(crate) fn farewell(error: ApiError) -> Bytes {
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    Bytes::from(format!("event: error\ndata: {body}\n\n"))
}
