//! What every request passes before its handler, in this order: is it meant for us (Host, Origin), is its head small,
//! who makes it, may they do it, is there a place for it. And what every answer carries.

use axum::extract::{FromRequestParts as _, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use skep_common::api::SessionInfo;
use skep_common::code::Code;
use skep_common::ids::SessionId;

use crate::access::rules::{self, Found, NO_ROUTE};
use crate::access::{About, Denied, Principal, Reach, Rule, decide};
use crate::audit::Deed;
use crate::auth;
use crate::error::Failure;
use crate::lease::Lease;
use crate::origin::Client;
use crate::peer::Peer;
use crate::router::App;
use crate::stream::wants_stream;

/// The session that its path was found to name, where a key is limited to some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinned(pub(crate) SessionId);

/// Lets a request through, or says why not.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let cors = match from_tcp(&app, &parts) {
        Ok(client) => {
            let cors = client.as_ref().and_then(|client| client.cors.clone());
            parts.extensions.extend(client.map(with_client).unwrap_or_default());
            cors
        }
        Err(failure) => {
            let response = failure.into_response();
            app.audit.refused(&parts, None, None, &response);
            return harden(response, None);
        }
    };
    if cors.is_some() && parts.method == Method::OPTIONS {
        return harden(StatusCode::NO_CONTENT.into_response(), cors.as_deref());
    }
    let found = rule(&parts);
    let known = found.as_ref().ok().copied();
    let lease = match pass(&app, &mut parts, found).await {
        Ok(lease) => lease,
        Err(response) => {
            let session = subject(&app, &mut parts, known).await;
            app.audit.refused(&parts, known, session, &response);
            return harden(*response, cors.as_deref());
        }
    };
    let deed = deed(&app, &mut parts, known).await;
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Some(deed) = deed {
        deed.done(&response);
    }
    harden(lease.over(response), cors.as_deref())
}

fn with_client(client: Client) -> axum::http::Extensions {
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(client);
    extensions
}

/// Where a request over TCP comes from; none over the Unix socket, where no browser and no proxy is.
fn from_tcp(app: &App, parts: &Parts) -> Result<Option<Client>, Failure> {
    match parts.extensions.get::<Peer>() {
        Some(Peer::Unix(_)) => Ok(None),
        Some(Peer::Tcp(peer)) => {
            app.doors.expected().check(peer, &parts.method, &parts.uri, &parts.headers).map(Some)
        }
        None => Err(Failure::internal("a request came from nowhere", &parts.uri)),
    }
}

/// What a request is about to change, for the record of who did what.
async fn deed(app: &App, parts: &mut Parts, rule: Option<Rule>) -> Option<Deed> {
    let mut deed = Deed::begin(&app.audit, parts, rule)?;
    deed.about(subject(app, parts, rule).await);
    Some(deed)
}

/// The session that a request of somebody who is known is about, if it is about one.
async fn subject(app: &App, parts: &mut Parts, rule: Option<Rule>) -> Option<SessionId> {
    parts.extensions.get::<Principal>()?;
    if rule?.about == About::Session { session_of(app, parts).await.map(|session| session.id) } else { None }
}

async fn pass(
    app: &App,
    parts: &mut Parts,
    rule: Result<Rule, Box<Response>>,
) -> Result<Lease, Box<Response>> {
    let refuse = |failure: Failure| Box::new(failure.into_response());
    small(app, parts).map_err(refuse)?;
    let rule = rule?;
    let principal = auth::principal(app, parts).map_err(refuse)?;
    if let Some(principal) = &principal {
        parts.extensions.insert(principal.clone());
    }
    let reached = reached_session(app, parts, principal.as_ref(), rule).await;
    decide(principal.as_ref(), rule, reached.is_some()).map_err(|denied| refuse(refusal(denied)))?;
    if let Some(reached) = reached {
        parts.extensions.insert(Pinned(reached));
    }
    let streams = is_stream(parts);
    Lease::take(app, parts, principal.as_ref(), streams).map_err(refuse)
}

/// Refuses a head that is too large, and secrets where logs and histories keep them.
fn small(app: &App, parts: &Parts) -> Result<(), Failure> {
    let limit = app.limits.max_head;
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let line = parts.uri.path().len() + parts.uri.query().map_or(0, str::len) + 16;
    if fields + line > limit {
        return Err(Failure::new(
            Code::HeadTooLarge,
            format!("the request's head is over {limit} bytes (api.limits.max_head)"),
        ));
    }
    let secrets = ["token", "access_token", "api_key", "password"];
    let is_secret = |name: &String| secrets.iter().any(|secret| name.eq_ignore_ascii_case(secret));
    // A query that cannot be read reaches no handler either.
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(query)| query);
    if query.is_ok_and(|query| query.iter().any(|(name, _)| is_secret(name))) {
        return Err(Failure::new(
            Code::InvalidRequest,
            "a token does not belong into the query, which logs and histories keep: send `authorization: Bearer TOKEN`",
        ));
    }
    Ok(())
}

/// The rule of the route that was matched. Without one nobody gets through.
fn rule(parts: &Parts) -> Result<Rule, Box<Response>> {
    let Some(path) = parts.extensions.get::<MatchedPath>() else { return Ok(NO_ROUTE) };
    match rules::find(&parts.method, path.as_str()) {
        Found::Rule(rule) => Ok(rule),
        // The methods of the documented API are no secret; no handler is reached.
        Found::OtherMethods => {
            let mut response = crate::router::method_not_allowed(&parts.method, &parts.uri).into_response();
            if let Ok(allow) = HeaderValue::from_str(&rules::methods(path.as_str())) {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            Err(Box::new(response))
        }
        Found::Nothing => {
            let failure = Failure::internal("a route has no rule in access/rules.rs", &path.as_str());
            Err(Box::new(failure.into_response()))
        }
    }
}

/// The session that the path names, where it matters: for a principal that is limited to some, and reaches it.
async fn reached_session(
    app: &App,
    parts: &mut Parts,
    principal: Option<&Principal>,
    rule: Rule,
) -> Option<SessionId> {
    let reach = principal?.reach;
    if rule.about != About::Session || reach == Reach::All {
        return None;
    }
    let session = session_of(app, parts).await?;
    reach.covers(session.id, &session.lineage).then_some(session.id)
}

/// The session that the path names first, if there is one of that name.
async fn session_of(app: &App, parts: &mut Parts) -> Option<SessionInfo> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let name = params.iter().next().map(|(_, value)| value.to_owned())?;
    app.engine.session(&name).await.ok()
}

fn refusal(denied: Denied) -> Failure {
    match denied {
        Denied::Unauthenticated => auth::unauthorized("the request has no `authorization: Bearer` token"),
        Denied::Scope(scope) => {
            Failure::new(Code::Forbidden, format!("this needs a token with the scope `{}`", scope.word()))
        }
        Denied::OtherSession => Failure::new(Code::Forbidden, "this token is good for another session only"),
        Denied::SomeSessions => {
            Failure::new(Code::Forbidden, "this token is good for one session only, or for those below one")
        }
    }
}

/// Whether the answer may go on for long: what follows something, and logs, which are read while they are sent.
fn is_stream(parts: &Parts) -> bool {
    let is_log = |path: &MatchedPath| path.as_str().ends_with("/logs");
    wants_stream(&parts.headers)
        || parts.headers.contains_key(header::UPGRADE)
        || parts.extensions.get::<MatchedPath>().is_some_and(is_log)
}

/// The headers that every answer carries, whatever it is.
fn harden(mut response: Response, cors: Option<&str>) -> Response {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let or = |headers: &mut HeaderMap, name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    or(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    or(headers, header::CACHE_CONTROL, "no-store");
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(Ok(origin)) = cors.map(HeaderValue::from_str) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let allowed = "authorization, content-type, last-event-id, accept";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, PATCH, DELETE"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
