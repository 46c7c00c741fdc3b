//! A session's events from its journal: a JSON page, or a stream that follows (server-sent events, WebSocket).
//!
//! In a stream, what has no `id` is about the stream itself: `epoch` (data `{"epoch":N}`) names the writer's epoch, at
//! the start and when it changes; `error` (data: an error body) ends a stream whose next events are gone; `end` says why
//! another one ends (`{"reason":"complete"}` or `shutting_down`; a WebSocket has its close code). A heartbeat
//! comes when nothing else does. A record that is damaged on disk is shown as `corrupt` with `{"seq":N,"kind":"corrupt"}`.

use std::path::Path;

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;
use skep_common::api::{EventsPage, EventsQuery};
use skep_common::code::{ApiError, Code};
use skep_common::ids::PromptId;
use skep_common::session::Head;
use skep_journal::{CursorError, Line, Reader, tail_turns};

use crate::body::{Names, Params};
use crate::error::Failure;
use crate::follower::{Begin, Follower};
use crate::router::App;
use crate::socket::{self, Upgrade};
use crate::sse::{self, corrupt};

/// What a page reads at once.
const BLOCK: usize = 64 * 1024;

/// A JSON page is ended when it is this long.
const PAGE: usize = 4 * 1024 * 1024;

/// Events on a page, where the client does not say.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

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

/// `GET /sessions/{id}/events`.
#[utoipa::path(
    get,
    path = "/sessions/{id}/events",
    operation_id = "session_events",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either"), EventsQuery, ("last-event-id" = Option<u64>, Header, description = "The last event that was seen; wins over `after`")),
    responses((status = 200, description = "A page; or, by `Accept`, the stream", content((EventsPage = "application/json"), (String = "text/event-stream"))), (status = 101, description = "It becomes a WebSocket with the same events")),
)]
pub(crate) async fn events(
    State(app): State<App>,
    names: Names,
    Params(query): Params<EventsQuery>,
    LastEventId(last): LastEventId,
    upgrade: Upgrade,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let streams = upgrade.is_asked() || wants_stream(&headers);
    check(&query, streams)?;
    let limit = query.limit;
    let wanted =
        Wanted { after: last.or(query.after), epoch: query.epoch, tail_turns: query.tail_turns, until: None };
    if upgrade.is_asked() {
        return match begin(&app, names.first(), wanted).await {
            Ok((begin, _)) => {
                let follower =
                    Follower::new(begin, app.engine.clone(), app.limits.heartbeat, app.stop.clone());
                upgrade.serve(&app, socket::of_session(follower))
            }
            Err(Failure(error)) => upgrade.serve(&app, socket::refused(error)),
        };
    }
    let (begin, now) = begin(&app, names.first(), wanted).await?;
    if streams {
        let follower = Follower::new(begin, app.engine.clone(), app.limits.heartbeat, app.stop.clone());
        Ok(sse::of_session(follower, Bytes::new()))
    } else {
        page(begin.reader, now, limit.unwrap_or(DEFAULT_LIMIT)).await
    }
}

/// Finds the place in the journal where a client wants to begin, and how far the journal goes now.
pub(crate) async fn begin(app: &App, session: &str, wanted: Wanted) -> Result<(Begin, Head), Failure> {
    let session = app.engine.session(session).await?;
    let mut head = app.engine.head(session.id).await?;
    let now = *head.borrow_and_update();
    let dir = app.engine.paths().session(&session.id);
    let reader = blocking(move || open(&dir, wanted, now)).await??;
    let until = wanted.until;
    Ok((Begin { reader, head, session: session.id, closed: session.state.is_closed(), until }, now))
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

/// Where a client wants to begin, and where it wants to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) after: Option<u64>,
    pub(crate) epoch: Option<u64>,
    pub(crate) tail_turns: Option<u32>,
    pub(crate) until: Option<PromptId>,
}

fn open(dir: &Path, wanted: Wanted, head: Head) -> Result<Reader, Failure> {
    let after = match (wanted.after, wanted.tail_turns) {
        (Some(after), _) => after,
        (None, Some(turns)) => tail_turns(dir, head, turns)
            .map_err(|error| Failure::internal("the turns of a session cannot be found", &error))?,
        (None, None) => 0,
    };
    let reader = match Reader::open(dir, after, wanted.epoch, head) {
        // Who asks from the beginning gets what is still kept.
        Err(CursorError::Expired { first_seq }) if after == 0 => {
            Reader::open(dir, first_seq.saturating_sub(1), wanted.epoch, head)
        }
        opened => opened,
    };
    reader.map_err(|error| Failure(refusal(&error)))
}

/// What a client is told of a cursor that cannot be read from.
pub(crate) fn refusal(error: &CursorError) -> ApiError {
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
