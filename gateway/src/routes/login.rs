//! Signing browsers in and out: `/`, `/login`, `/logout`, `/login-links`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Extension, FromRequest as _, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use skep_common::code::Code;
use skep_common::ids::SessionId;
use skep_common::keys::{CreateLoginLink, KeyKind, LoginLink, LoginRequest, Scope};
use skep_config::api::Auth;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::access::{Identity, Principal, Reach};
use crate::audit::Told;
use crate::auth;
use crate::body::{self, Body, Params};
use crate::error::Failure;
use crate::inside::Asker;
use crate::keys::NewKey;
use crate::links::Grant;
use crate::origin::Client;
use crate::pages::{self, WayIn};
use crate::password::Password;
use crate::peer::Peer;
use crate::router::App;
use crate::routes::tokens::{checked_scopes, checked_ttl};
use crate::throttle::Throttle;

/// How long a browser stays signed in, in seconds: 30 days.
const SIGNED_IN_FOR: i64 = 30 * 24 * 60 * 60;

/// What somebody whom nobody knows yet may send, in bytes.
const MAX_LOGIN: usize = 8 * 1024;

/// Attempts to sign in: how many, and one hashing at a time, since each takes some 20 MiB.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    throttle: Arc<Mutex<Throttle>>,
    hashing: Arc<Semaphore>,
}

impl Attempts {
    /// So many failed attempts of each address in a minute.
    pub(crate) fn new(each: u32) -> Self {
        let throttle = Throttle::new(each, Instant::now());
        Self { throttle: Arc::new(Mutex::new(throttle)), hashing: Arc::new(Semaphore::new(1)) }
    }

    fn begin(&self, address: IpAddr) -> Result<(), Duration> {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.attempt(address, Instant::now())
    }

    fn succeeded(&self, address: IpAddr) {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).succeeded(address);
    }
}

/// The query of a link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkQuery {
    code: Option<String>,
}

/// `GET /`.
pub(crate) async fn home(
    State(app): State<App>,
    principal: Option<Extension<Principal>>,
    peer: Option<Extension<Peer>>,
) -> Response {
    let base = app.doors.base_path();
    match principal {
        Some(Extension(principal)) => pages::signed_in(base, principal.name(), principal.reach.one()),
        None => pages::signed_out(base, way_in(&app, peer.map(|Extension(peer)| peer).as_ref())),
    }
}

/// `GET /login`: a page, which uses nothing up.
pub(crate) async fn page(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Params(query): Params<LinkQuery>,
) -> Response {
    let base = app.doors.base_path();
    match query.code {
        Some(code) => pages::confirm(base, &code),
        None => pages::signed_out(base, way_in(&app, peer.map(|Extension(peer)| peer).as_ref())),
    }
}

/// Where a password is good for anything: on every address, or only beyond this machine (C8).
fn way_in(app: &App, peer: Option<&Peer>) -> WayIn {
    match (app.doors.auth(), peer) {
        (Auth::Password, Some(Peer::Tcp(_))) => WayIn::Password,
        (Auth::Token, Some(Peer::Tcp(peer))) if !peer.local.ip().to_canonical().is_loopback() => {
            WayIn::Password
        }
        _ => WayIn::Link,
    }
}

/// `POST /login`: a code or a password, as JSON or as a form, for a cookie.
pub(crate) async fn sign_in(State(app): State<App>, request: Request) -> Response {
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.trim().starts_with("application/x-www-form-urlencoded"))
    });
    let base = app.doors.base_path().to_owned();
    match try_sign_in(&app, request, is_form).await {
        Ok(response) => response,
        Err((failure, retry)) => {
            let status = crate::error::status(failure.0.code);
            let mut response = if is_form {
                let mut page = pages::refused(status, &base, &failure.0.message);
                page.extensions_mut().insert(failure.0.code);
                page
            } else {
                failure.into_response()
            };
            if let Some(retry) = retry {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry.as_secs().max(1)));
            }
            response
        }
    }
}

type Refused = (Failure, Option<Duration>);

async fn try_sign_in(app: &App, request: Request, is_form: bool) -> Result<Response, Refused> {
    let Some(client) = request.extensions().get::<Client>().cloned() else {
        return Err((Failure::new(Code::NotSupported, "browsers sign in over TCP"), None));
    };
    let way = way_in(app, request.extensions().get::<Peer>());
    let sees_all = request
        .extensions()
        .get::<Principal>()
        .is_some_and(|principal| principal.is_cookie && principal.reach == Reach::All);
    let asked = read(app, request, is_form).await.map_err(|failure| (failure, None))?;
    let grant = match asked {
        LoginRequest { code: Some(code), password: None } => {
            let Some(grant) = app.links.take(&code, Timestamp::now()) else {
                app.attempts.begin(client.address).map_err(too_many)?;
                let why = "this link was used, is over, or never was good; `skep open` makes another";
                return Err((Failure::new(Code::Unauthorized, why), None));
            };
            grant
        }
        LoginRequest { code: None, password: Some(password) } if way == WayIn::Password => {
            app.attempts.begin(client.address).map_err(too_many)?;
            check_password(app, password).await.map_err(|failure| (failure, None))?;
            app.attempts.succeeded(client.address);
            Grant::all(SIGNED_IN_FOR)
        }
        LoginRequest { code: None, password: Some(_) } => {
            let why = "a password is not good here (api.auth); `skep open` makes a link";
            return Err((Failure::new(Code::Forbidden, why), None));
        }
        LoginRequest { .. } => {
            return Err((Failure::new(Code::InvalidRequest, "exactly one of `code` and `password`"), None));
        }
    };
    if is_form && grant.session.is_some() && sees_all {
        // A browser that sees every session is not to lose that for a link to one of them.
        return Ok(to_front_page(app, grant.session));
    }
    let response = admit(app, &client, is_form, grant).await;
    response.map_err(|failure| (failure, None))
}

async fn read(app: &App, request: Request, is_form: bool) -> Result<LoginRequest, Failure> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, MAX_LOGIN.min(app.limits.max_body), app).await?;
    if !is_form {
        return body::parse(&bytes);
    }
    let form = Form::from_request(Request::from_parts(parts, bytes.into()), app).await;
    form.map(|Form(asked)| asked)
        .map_err(|_| Failure::new(Code::InvalidRequest, "the form is not understood"))
}

fn too_many(wait: Duration) -> Refused {
    let seconds = wait.as_secs().max(1);
    let message = format!("too many attempts to sign in; try again in {seconds} s");
    let mut failure = Failure::new(Code::TooManyRequests, message);
    failure.0 = failure.0.with_details(serde_json::json!({ "retry_after_seconds": seconds }));
    (failure, Some(wait))
}

async fn check_password(app: &App, shown: String) -> Result<(), Failure> {
    let wrong = || Failure::new(Code::Unauthorized, "the password is wrong");
    let file = app.doors.password_file().to_owned();
    let Ok(_one) = app.attempts.hashing.acquire().await else { return Err(wrong()) };
    let checked = tokio::task::spawn_blocking(move || {
        Password::load(&file).map(|password| password.is_some_and(|password| password.is(&shown)))
    });
    match checked.await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(wrong()),
        Ok(Err(error)) => Err(Failure::internal("the password cannot be read", &error)),
        Err(error) => Err(Failure::internal("the check of a password crashed", &error)),
    }
}

/// Signs the browser in: a key of its own, as a cookie that no script reads and no other site sends.
async fn admit(app: &App, client: &Client, is_form: bool, grant: Grant) -> Result<Response, Failure> {
    let now = Timestamp::now();
    let Grant { session, scopes, seconds } = grant;
    let new = NewKey {
        kind: KeyKind::Browser,
        name: Some(format!("from {}", client.address)),
        scopes,
        reach: session.map_or(Reach::All, Reach::One),
        expires_at: Some(now + SignedDuration::from_secs(seconds)),
    };
    let (secret, info) = app.keys.create(new, now).await?;
    let about = Told::made(&info.id);
    let mut response = if is_form { to_front_page(app, session) } else { Json(info).into_response() };
    response.extensions_mut().insert(about);
    set_cookie(app, client, &mut response, &secret, seconds);
    Ok(response)
}

fn set_cookie(app: &App, client: &Client, response: &mut Response, value: &str, max_age: i64) {
    let path = if app.doors.base_path().is_empty() { "/" } else { app.doors.base_path() };
    let secure = if client.secure { "; Secure" } else { "" };
    let name = app.doors.cookie();
    let cookie = format!("{name}={value}; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

/// The front page; what stands behind `#` is for the page alone.
fn to_front_page(app: &App, session: Option<SessionId>) -> Response {
    let place = session.map_or_else(String::new, |session| format!("#/sessions/{session}"));
    let to = format!("{}/{place}", app.doors.base_path());
    let to = HeaderValue::from_str(&to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

/// `POST /logout`: ends the browser's key.
pub(crate) async fn sign_out(
    State(app): State<App>,
    principal: Option<Extension<Principal>>,
    client: Option<Extension<Client>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if let Some(Extension(Principal { identity: Identity::Key(id), is_cookie: true, .. })) = principal {
        app.keys.revoke(&id).await?;
    }
    let mut response = to_front_page(&app, None);
    if let (Some(Extension(client)), Some(_)) = (client, auth::cookie(&headers, app.doors.cookie())) {
        set_cookie(&app, &client, &mut response, "", 0);
    }
    Ok(response)
}

/// `POST /login-links`: a link that signs one browser in, once.
#[utoipa::path(
    post,
    path = "/login-links",
    operation_id = "create_login_link",
    tag = "tokens",
    request_body = Option<CreateLoginLink>,
    responses((status = 201, description = "Made", body = LoginLink)),
)]
pub(crate) async fn link(
    State(app): State<App>,
    asker: Asker,
    Body(request): Body<CreateLoginLink>,
) -> Result<(StatusCode, Json<LoginLink>), Failure> {
    asker.must_be_outside("sign browsers in").await?;
    let session = match &request.session {
        Some(name) => Some(app.engine.session(name).await?.id),
        None => None,
    };
    let least = if session.is_some() { Scope::Read } else { Scope::Admin };
    let scopes = checked_scopes(request.scopes.unwrap_or_else(|| vec![least]))?;
    let seconds = checked_ttl(request.ttl_seconds)?.unwrap_or(SIGNED_IN_FOR);
    let grant = Grant { session, scopes: scopes.clone(), seconds };
    let (code, expires_at) = app
        .links
        .make(grant, Timestamp::now())
        .map_err(|error| Failure::internal("no random numbers", &error))?;
    let path = format!("/login?code={code}");
    let base = app.doors.base_path();
    let urls = app.doors.urls().borrow().iter().map(|url| format!("{url}{base}{path}")).collect();
    Ok((StatusCode::CREATED, Json(LoginLink { path, urls, session, scopes, expires_at })))
}
