//! `/tokens`: scoped, revocable tokens, and the browsers that are signed in (Q3).

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use skep_common::code::Code;
use skep_common::ids::SessionId;
use skep_common::keys::{CreateToken, KeyInfo, KeyKind, KeyList, Scope, TokenCreated};

use crate::access::Reach;
use crate::audit::Told;
use crate::body::{Body, Names};
use crate::error::Failure;
use crate::inside::Asker;
use crate::keys::NewKey;
use crate::router::App;

/// A year; what is to last longer is made without an end.
const MAX_TTL_SECONDS: u64 = 366 * 24 * 60 * 60;

/// A day, for a token that is made inside a session.
const MAX_TTL_INSIDE: u64 = 24 * 60 * 60;
const LONGEST_INSIDE: SignedDuration = SignedDuration::from_hours(24);

/// The name of such a token.
const MADE_INSIDE: &str = "skep mcp";

/// Tokens that are good for the children of one session, once a program inside it makes one.
const MAX_INSIDE: usize = 16;

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
    Body(mut request): Body<CreateToken>,
) -> Result<(StatusCode, Extension<Told>, Json<TokenCreated>), Failure> {
    let invalid = |why: &str| Failure::new(Code::InvalidValue, why);
    let scopes = checked_scopes(request.scopes)?;
    let is_name = |name: &String| name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if !request.name.as_ref().is_none_or(is_name) {
        return Err(invalid("`name` must have at most 100 characters, on one line"));
    }
    let reach = match (&request.session, &request.children_of) {
        (None, None) => Reach::All,
        (Some(name), None) => Reach::One(app.engine.session(name).await?.id),
        (None, Some(name)) => Reach::Below(app.engine.session(name).await?.id),
        (Some(_), Some(_)) => return Err(invalid("`session` and `children_of` exclude each other")),
    };
    let root = reach.root();
    let only_children = root.is_some() && scopes.iter().all(|scope| *scope <= Scope::Prompt);
    match root.filter(|_| only_children) {
        Some(root) if asker.session().await? == Some(root) => {
            if request.ttl_seconds.is_none_or(|seconds| seconds > MAX_TTL_INSIDE) {
                let why = "`ttl_seconds` of a token that is made inside a session is at most 86400 (a day)";
                return Err(invalid(why));
            }
            request.name = Some(String::from(MADE_INSIDE));
            make_room(&app, root).await;
        }
        _ => asker.must_be_outside("make tokens, but such for the children of its own session").await?,
    }
    let now = Timestamp::now();
    let ttl = checked_ttl(request.ttl_seconds)?;
    let expires_at = ttl.map(|seconds| now + SignedDuration::from_secs(seconds));
    let new = NewKey { kind: KeyKind::Token, name: request.name, scopes, reach, expires_at };
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

/// The programs inside a session that have a token for its children are few: one more ends the oldest one's.
async fn make_room(app: &App, root: SessionId) {
    for old in made_inside(app, root).skip(MAX_INSIDE - 1) {
        end(app, &old).await;
    }
}

/// Ends the tokens that were made inside a session: it is closed, and opens no others.
pub(crate) async fn end_inside(app: &App, root: SessionId) {
    for key in made_inside(app, root) {
        end(app, &key).await;
    }
}

/// The tokens that `skep mcp` made for the children of a session, the newest first.
fn made_inside(app: &App, root: SessionId) -> impl Iterator<Item = KeyInfo> + use<> {
    let is_one = move |key: &KeyInfo| {
        let ends_soon =
            key.expires_at.is_some_and(|end| end.duration_since(key.created_at) <= LONGEST_INSIDE);
        key.children_of == Some(root) && key.name.as_deref() == Some(MADE_INSIDE) && ends_soon
    };
    app.keys.list(Timestamp::now()).into_iter().filter(is_one)
}

async fn end(app: &App, key: &KeyInfo) {
    match app.keys.revoke(&key.id).await {
        Ok(_) => {}
        // Somebody else was quicker.
        Err(gone) if gone.0.code == Code::TokenNotFound => {}
        Err(Failure(error)) => tracing::warn!(%error, "a token that nobody needs was not revoked"),
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
    let own = asker.session().await?;
    let of_own =
        |key: &KeyInfo| key.id == names.first() && key.children_of.is_some() && key.children_of == own;
    if !app.keys.list(Timestamp::now()).iter().any(of_own) {
        asker.must_be_outside("revoke tokens").await?;
    }
    app.keys.revoke(names.first()).await?;
    Ok(StatusCode::NO_CONTENT)
}
