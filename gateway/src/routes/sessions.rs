//! `/sessions`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use skep_common::api::{
    CancelRequest, CloseRequest, CreateSession, DeleteQuery, PromptAccepted, PromptRequest, SessionInfo,
    SessionList, SessionQuery, SettingsChanged,
};
use skep_common::code::Code;
use skep_common::keys::Scope;
use skep_common::session::{Consent, PermissionMode, RuleVerdict, SessionChange, SessionRule};
use skep_supervisor::engine::Caller;

use crate::audit::Told;
use crate::auth;
use crate::body::{Body, Names, Params, PromptBody};
use crate::changes;
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::App;
use crate::routes::tokens;
use crate::socket::Upgrade;
use crate::stream::wants_stream;

/// A body without fields.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFields {}

/// Front end and user of the request.
#[derive(Debug)]
pub(crate) struct By(pub(crate) Caller);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _state: &S,
    ) -> Result<Self, std::convert::Infallible> {
        Ok(Self(auth::caller(parts)))
    }
}

/// `GET /sessions`.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "list_sessions",
    tag = "sessions",
    params(SessionQuery),
    responses((status = 200, description = "A page; or, by `Accept`, the stream of all open sessions", content((SessionList = "application/json"), (String = "text/event-stream"))), (status = 101, description = "It becomes a WebSocket with the same events")),
)]
pub(crate) async fn list(
    State(app): State<App>,
    asker: Asker,
    Params(mut query): Params<SessionQuery>,
    upgrade: Upgrade,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let streams = upgrade.is_asked() || wants_stream(&headers);
    if streams && query != SessionQuery::default() {
        return Err(Failure::new(Code::InvalidValue, "the stream of all sessions takes no filters"));
    }
    if upgrade.is_asked() {
        return upgrade.serve(&app, changes::as_messages(&app, asker.reach()));
    }
    if streams {
        return Ok(changes::as_events(&app, asker.reach()));
    }
    if let Some(root) = asker.reach().root() {
        let below = query.below.get_or_insert(root);
        if *below != root && !app.engine.session(&below.to_string()).await?.lineage.contains(&root) {
            return Err(Failure::new(
                Code::Forbidden,
                "`below` names a session that this token does not reach",
            ));
        }
    }
    Ok(Json(app.engine.session_page(query).await?).into_response())
}

/// `POST /sessions`.
#[utoipa::path(
    post,
    path = "/sessions",
    operation_id = "create_session",
    tag = "sessions",
    request_body = CreateSession,
    responses((status = 201, description = "Created", body = SessionInfo), (status = 200, description = "It was open, and `continue_open` asked for that", body = SessionInfo)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    asker: Asker,
    Body(mut request): Body<CreateSession>,
) -> Result<(StatusCode, Extension<Told>, Json<SessionInfo>), Failure> {
    check_create(&app, &asker, &mut request).await?;
    let created = app.engine.create(request).await?;
    let status = if created.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Extension(Told::session(created.info.id)), Json(created.info)))
}

/// An agent may start sessions, none of which is allowed more than its own, or runs programs of its choice beside the
/// agent; who comes over TCP, only under the roots for TCP (G6).
pub(crate) async fn check_create(
    app: &App,
    asker: &Asker,
    request: &mut CreateSession,
) -> Result<(), Failure> {
    if asker.is_remote() {
        request.cwd = app.engine.remote_directory(std::mem::take(&mut request.cwd)).await?;
    }
    request.opener = asker.opener().await?;
    if request.opener.is_some() {
        // What it may be given depends on the session that opens it, which the engine knows.
        return Ok(());
    }
    let rules = request.options.rules.as_deref().unwrap_or_default();
    if allows_unasked(request.permission_mode, rules) {
        asker.must_hold(Scope::Approve, "open a session that allows without asking")?;
        asker.must_be_outside("open a session that allows without asking").await?;
    }
    // A server is a program that nobody is asked about, and an agent's own option may be the one that ends its questions.
    if !request.options.mcp_servers.is_empty() || !request.options.set.is_empty() {
        asker.must_hold(Scope::Approve, "choose MCP servers or an agent's own options")?;
        asker.must_be_outside("choose MCP servers or an agent's own options").await?;
    }
    Ok(())
}

/// A prompt from inside a session is nobody's consent.
pub(crate) async fn check_prompt(asker: &Asker, request: &PromptRequest) -> Result<(), Failure> {
    match request.consent {
        Consent::OwnCommand => {
            asker.must_be_local("consent to its own command")?;
            asker.must_be_outside("consent to its own command").await
        }
        Consent::None => Ok(()),
    }
}

/// A client's environment is taken from a peer outside of every session, whose user is ours, only: what others give is
/// passed over, and the agent gets what the session was given before.
pub(crate) async fn take_environment(
    asker: &Asker,
    mut request: PromptRequest,
) -> Result<PromptRequest, Failure> {
    if request.environment.is_some() && !asker.is_outside().await? {
        tracing::info!(
            "passed over the environment of a client that is not known to be outside of every session"
        );
        request.environment = None;
    }
    Ok(request)
}

/// `GET /sessions/{id}`.
#[utoipa::path(
    get,
    path = "/sessions/{id}",
    operation_id = "get_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    responses((status = 200, description = "The session", body = SessionInfo)),
)]
pub(crate) async fn show(State(app): State<App>, names: Names) -> Result<Json<SessionInfo>, Failure> {
    Ok(Json(app.engine.session(names.first()).await?))
}

/// `PATCH /sessions/{id}`.
#[utoipa::path(
    patch,
    path = "/sessions/{id}",
    operation_id = "change_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    request_body = SessionChange,
    responses((status = 200, description = "All of it was changed; `changed` says when each setting takes effect", body = SettingsChanged)),
)]
pub(crate) async fn change(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    By(caller): By,
    Body(request): Body<SessionChange>,
) -> Result<Json<SettingsChanged>, Failure> {
    check_change(&asker, &request).await?;
    let session = app.engine.session(names.first()).await?;
    Ok(Json(app.engine.change(session.id, request, &caller).await?))
}

/// An agent must not loosen what holds it, nor raise its own limits: no process inside a session changes settings. To let
/// a session do things without asking, or spend more, is to approve that ahead.
async fn check_change(asker: &Asker, request: &SessionChange) -> Result<(), Failure> {
    let rules = request.options.rules.wanted().map(Vec::as_slice).unwrap_or_default();
    let options = &request.options;
    // Without its own rules, those that deny are gone too; an agent's own option may be the one that ends its questions.
    let loosens = !options.rules.is_keep() || !options.set.is_empty() || !options.limits.is_empty();
    if loosens || allows_unasked(request.permission_mode.wanted().copied(), rules) {
        asker.must_hold(Scope::Approve, "change what a session may do or spend without asking")?;
    }
    asker.must_be_outside("change a session's settings").await
}

/// Whether something of it is done without anybody being asked.
fn allows_unasked(mode: Option<PermissionMode>, rules: &[SessionRule]) -> bool {
    let mode_allows = match mode {
        Some(PermissionMode::Bypass | PermissionMode::AcceptEdits) => true,
        Some(PermissionMode::Ask | PermissionMode::Plan | PermissionMode::Deny) | None => false,
    };
    mode_allows || rules.iter().any(|rule| rule.action == RuleVerdict::Allow)
}

/// `DELETE /sessions/{id}`.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "delete_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either"), DeleteQuery),
    responses((status = 204, description = "Its history is gone")),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Params(query): Params<DeleteQuery>,
) -> Result<StatusCode, Failure> {
    let session = app.engine.session(names.first()).await?;
    asker.must_be_outside_of_others(session.id, "remove").await?;
    app.engine.remove(session.id, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /sessions/{id}/prompts`.
#[utoipa::path(
    post,
    path = "/sessions/{id}/prompts",
    operation_id = "prompt_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    request_body = PromptRequest,
    responses((status = 202, description = "Accepted", body = PromptAccepted)),
)]
pub(crate) async fn prompt(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    By(caller): By,
    PromptBody(request, room): PromptBody<PromptRequest>,
) -> Result<(StatusCode, Json<PromptAccepted>), Failure> {
    check_prompt(&asker, &request).await?;
    let request = take_environment(&asker, request).await?;
    let session = app.engine.session(names.first()).await?;
    let received = app.engine.receive(request).await?;
    drop(room);
    let accepted = app.engine.submit(session.id, received, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// `POST /sessions/{id}/cancel`.
#[utoipa::path(
    post,
    path = "/sessions/{id}/cancel",
    operation_id = "cancel_turn",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    request_body = Option<CancelRequest>,
    responses((status = 200, description = "Cancelled, or nothing ran", body = SessionInfo)),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    names: Names,
    Body(request): Body<CancelRequest>,
) -> Result<Json<SessionInfo>, Failure> {
    let session = app.engine.session(names.first()).await?;
    Ok(Json(app.engine.cancel(session.id, request).await?))
}

/// `POST /sessions/{id}/close`.
#[utoipa::path(
    post,
    path = "/sessions/{id}/close",
    operation_id = "close_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    request_body = Option<CloseRequest>,
    responses((status = 200, description = "Closed", body = SessionInfo)),
)]
pub(crate) async fn close(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(request): Body<CloseRequest>,
) -> Result<Json<SessionInfo>, Failure> {
    let session = app.engine.session(names.first()).await?;
    asker.must_be_outside_or_above(&session, "close").await?;
    let closed = app.engine.close(session.id, request).await?;
    tokens::end_inside(&app, session.id).await;
    Ok(Json(closed))
}

/// `POST /sessions/{id}/queue/release`.
#[utoipa::path(
    post,
    path = "/sessions/{id}/queue/release",
    operation_id = "release_queue",
    tag = "sessions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "The queue goes on", body = SessionInfo)),
)]
pub(crate) async fn release_queue(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    By(caller): By,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<SessionInfo>, Failure> {
    asker.must_be_outside("release a held queue").await?;
    let session = app.engine.session(names.first()).await?;
    Ok(Json(app.engine.release_queue(session.id, &caller).await?))
}
