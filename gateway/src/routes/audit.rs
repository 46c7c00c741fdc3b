//! `/audit`: who did what.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use skep_common::api::AuditQuery;

use crate::body::Params;
use crate::error::Failure;
use crate::follow::Tail;
use crate::logs::{self, Cut, Growing, LogFile};
use crate::router::App;
use crate::routes::logs::{checked_grep, checked_tail};

/// `GET /audit`.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "audit",
    tag = "daemon",
    params(AuditQuery),
    responses((status = 200, description = "An `AuditEntry` on each line; endless with `follow`", body = String, content_type = "application/x-ndjson")),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Params(query): Params<AuditQuery>,
) -> Result<Response, Failure> {
    let tail = checked_tail(query.tail)?.map(Tail::new);
    let grep = checked_grep(query.grep.as_deref())?;
    let follow = query.follow;
    let file = LogFile { path: app.engine.paths().audit_log(), needle: None, days: None };
    let opened = tokio::task::spawn_blocking(move || Growing::file(file, follow)).await;
    let opened = opened.map_err(|error| Failure::internal("the opening of a log crashed", &error))?;
    let text = opened.map_err(|error| Failure::internal("the audit log cannot be opened", &error))?;
    let body = logs::body(text, Cut { grep, tail, follow }, app.stop.clone());
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}
