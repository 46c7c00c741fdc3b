//! Logs of sessions, workers and the daemon (C3, C5): `text/plain`, with the chosen type in `x-skep-log-type`.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use skep_common::api::{LogType, LogsQuery};
use skep_common::code::Code;
use skep_common::ids::SessionId;
use skep_journal::Reader;

use crate::body::{Names, Params};
use crate::error::Failure;
use crate::follow::{Grep, Tail};
use crate::logs::{self, Cut, Growing, Subject};
use crate::router::App;
use crate::transcript::RenderedJournal;

/// Lines that a tail may have at most.
const MAX_TAIL: u32 = 100_000;

/// Characters that a search may have at most.
const MAX_GREP: usize = 200;

/// `GET /sessions/{id}/logs`.
#[utoipa::path(
    get,
    path = "/sessions/{id}/logs",
    operation_id = "session_logs",
    tag = "logs",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either"), LogsQuery),
    responses((status = 200, description = "The text; endless with `follow`", body = String, content_type = "text/plain", headers(("x-skep-log-type" = LogType, description = "The type that was chosen")))),
)]
pub(crate) async fn of_session(
    State(app): State<App>,
    names: Names,
    Params(query): Params<LogsQuery>,
) -> Result<Response, Failure> {
    let session = app.engine.session(names.first()).await?;
    answer(&app, Subject::Session(session.id), query).await
}

/// `GET /workers/{id}/logs`.
#[utoipa::path(
    get,
    path = "/workers/{id}/logs",
    operation_id = "worker_logs",
    tag = "logs",
    params(("id" = String, Path, description = "The worker: its id, or its pid"), LogsQuery),
    responses((status = 200, description = "The text; endless with `follow`", body = String, content_type = "text/plain", headers(("x-skep-log-type" = LogType, description = "The type that was chosen")))),
)]
pub(crate) async fn of_worker(
    State(app): State<App>,
    names: Names,
    Params(query): Params<LogsQuery>,
) -> Result<Response, Failure> {
    let worker = app.engine.worker(names.first()).await?;
    answer(&app, Subject::Worker(worker.id), query).await
}

/// `GET /daemon/logs`.
#[utoipa::path(
    get,
    path = "/daemon/logs",
    operation_id = "daemon_logs",
    tag = "logs",
    params(LogsQuery),
    responses((status = 200, description = "The text; endless with `follow`", body = String, content_type = "text/plain", headers(("x-skep-log-type" = LogType, description = "The type that was chosen")))),
)]
pub(crate) async fn of_daemon(
    State(app): State<App>,
    Params(query): Params<LogsQuery>,
) -> Result<Response, Failure> {
    answer(&app, Subject::Daemon, query).await
}

/// How many lines a tail has.
pub(super) fn checked_tail(tail: Option<u32>) -> Result<Option<usize>, Failure> {
    if tail.is_some_and(|tail| tail > MAX_TAIL) {
        return Err(Failure::new(Code::InvalidValue, "`tail` must be at most 100000"));
    }
    Ok(tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX)))
}

/// What lines must contain.
pub(super) fn checked_grep(grep: Option<&str>) -> Result<Option<Grep>, Failure> {
    match grep {
        Some(grep) if !(1..=MAX_GREP).contains(&grep.chars().count()) => {
            Err(Failure::new(Code::InvalidValue, "`grep` must be 1 to 200 characters long"))
        }
        grep => Ok(grep.map(Grep::new)),
    }
}

async fn answer(app: &App, subject: Subject, query: LogsQuery) -> Result<Response, Failure> {
    let tail = checked_tail(query.tail)?;
    let grep = checked_grep(query.grep.as_deref())?;
    let places = app.logs.clone();
    let asked = (subject.clone(), query.log_type);
    let chosen = tokio::task::spawn_blocking(move || {
        let (subject, wanted) = asked;
        let log_type = if wanted == LogType::Auto { places.choose(&subject) } else { wanted };
        (log_type, places.file(&subject, log_type))
    });
    let (log_type, file) =
        chosen.await.map_err(|error| Failure::internal("the choice of a log crashed", &error))?;
    let text = match (log_type, file, subject) {
        (LogType::Transcript, _, Subject::Session(id)) => Some(transcript(app, id).await?),
        (LogType::Transcript, _, Subject::Worker(_) | Subject::Daemon) => {
            return Err(Failure::new(Code::InvalidValue, "`type`: only a session has a transcript"));
        }
        (_, Some(file), _) => {
            let follow = query.follow;
            let opened = tokio::task::spawn_blocking(move || Growing::file(file, follow)).await;
            let opened = opened.map_err(|error| Failure::internal("the opening of a log crashed", &error))?;
            Some(opened.map_err(|error| Failure::internal("a log cannot be opened", &error))?)
        }
        (_, None, _) => None,
    };
    let body = match text {
        Some(text) => {
            let tail = tail.map(Tail::new);
            logs::body(text, Cut { grep, tail, follow: query.follow }, app.stop.clone())
        }
        // Nothing was logged yet.
        None => axum::body::Body::empty(),
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-skep-log-type"), HeaderValue::from_static(word(log_type))),
    ];
    Ok((headers, body).into_response())
}

async fn transcript(app: &App, id: SessionId) -> Result<Growing, Failure> {
    let head = app.engine.head(id).await?;
    let (dir, now) = (app.engine.paths().session(&id), *head.borrow());
    let opened = tokio::task::spawn_blocking(move || {
        let oldest = skep_journal::first_seq(&dir)?.unwrap_or(1);
        Reader::open(&dir, oldest.saturating_sub(1), None, now)
    });
    let reader = opened
        .await
        .map_err(|error| Failure::internal("a reader crashed", &error))?
        .map_err(|error| Failure::internal("a journal cannot be read", &error))?;
    Ok(Growing::Journal { rendered: RenderedJournal::new(reader), head })
}

const fn word(log_type: LogType) -> &'static str {
    match log_type {
        LogType::Auto => "auto",
        LogType::Telemetry => "telemetry",
        LogType::Process => "process",
        LogType::Debug => "debug",
        LogType::Transcript => "transcript",
    }
}
