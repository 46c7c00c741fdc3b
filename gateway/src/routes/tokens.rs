//! `/tokens`: scoped, revocable tokens, and the browsers that are signed in (Q3).

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use skep_common::code::Code;
use skep_common::keys::{CreateToken, KeyKind, KeyList, Scope, TokenCreated};

use crate::audit::Told;
use crate::body::{Body, Names};
use crate::error::Failure;
use crate::inside::Asker;
use crate::keys::NewKey;
use crate::router::App;

/// A year; what is to last longer is made without an end.
const MAX_TTL_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Characters in a name at most.
const MAX_NAME: usize = 100;

/// `GET /tokens`.
#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "list_tokens",
    tag = "tokens",
    responses((status = 200, description = "Tokens and signed-in browsers, without their secrets", body = KeyList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<KeyList> {
    Json(KeyList { tokens: app.keys.list(Timestamp::now()) })
}

/// `POST /tokens`.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "create_token",
    tag = "tokens",
    request_body = CreateToken,
    responses((status = 201, description = "Made; its secret is told this once", body = TokenCreated)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    asker: Asker,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Extension<Told>, Json<TokenCreated>), Failure> {
    asker.must_be_outside("make tokens").await?;
    let invalid = |why: &str| Failure::new(Code::InvalidValue, why);
    let scopes = checked_scopes(request.scopes)?;
    let is_name = |name: &String| name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if !request.name.as_ref().is_none_or(is_name) {
        return Err(invalid("`name` must have at most 100 characters, on one line"));
    }
    let session = match &request.session {
        Some(name) => Some(app.engine.session(name).await?.id),
        None => None,
    };
    let now = Timestamp::now();
    let ttl = checked_ttl(request.ttl_seconds)?;
    let expires_at = ttl.map(|seconds| now + SignedDuration::from_secs(seconds));
    let new = NewKey { kind: KeyKind::Token, name: request.name, scopes, session, expires_at };
    let (token, info) = app.keys.create(new, now).await?;
    Ok((StatusCode::CREATED, Extension(Told::made(&info.id)), Json(TokenCreated { token, info })))
}

/// Scopes in order, each once; at least one.
pub(super) fn checked_scopes(mut scopes: Vec<Scope>) -> Result<Vec<Scope>, Failure> {
    if scopes.is_empty() {
        let why = "`scopes`: at least one of read, prompt, approve, admin";
        return Err(Failure::new(Code::InvalidValue, why));
    }
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

/// How long a key is good, in seconds; none: nobody said.
pub(super) fn checked_ttl(seconds: Option<u64>) -> Result<Option<i64>, Failure> {
    match seconds {
        None => Ok(None),
        Some(seconds @ 1..=MAX_TTL_SECONDS) => Ok(i64::try_from(seconds).ok()),
        Some(_) => {
            let why = "`ttl_seconds` must lie between 1 and 31622400 (366 days)";
            Err(Failure::new(Code::InvalidValue, why))
        }
    }
}

/// `DELETE /tokens/{id}`: at once, and with it the streams that it opened.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    operation_id = "revoke_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The id of a token or signed-in browser")),
    responses((status = 204, description = "Revoked")),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    asker: Asker,
    names: Names,
) -> Result<StatusCode, Failure> {
    asker.must_be_outside("revoke tokens").await?;
    app.keys.revoke(names.first()).await?;
    Ok(StatusCode::NO_CONTENT)
}
