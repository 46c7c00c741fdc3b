//! Bodies, queries and paths, with refusals of our own that name the field (G13).

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use skep_common::code::{ApiError, Code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Failure;
use crate::guard::Pinned;
use crate::router::App;

/// A JSON body. An absent or empty one, or `null`, stands for `{}`, where the type allows that.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        json(&read(&parts.headers, body, app.limits.max_body, app).await?).map(Self)
    }
}

/// The JSON body of a prompt, which may be large: then it has one of a few rooms for as long as this lives.
#[derive(Debug)]
pub(crate) struct PromptBody<T>(pub(crate) T, pub(crate) Option<Room>);

/// The room of a large body.
pub(crate) type Room = OwnedSemaphorePermit;

impl<T: DeserializeOwned> FromRequest<App> for PromptBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let rooms = Some((&app.large_bodies, app.limits.max_body));
        let limit = Limit { bytes: app.limits.max_prompt, setting: " (api.max_prompt)", rooms };
        let (parts, body) = request.into_parts();
        let (bytes, room) = read_in_time(&parts.headers, body, limit, app).await?;
        Ok(Self(json(&bytes)?, room))
    }
}

/// How long a body may be.
struct Limit<'a> {
    bytes: usize,
    /// The setting that says so, in parentheses.
    setting: &'static str,
    /// Where a body that is longer than this waits for room.
    rooms: Option<(&'a Arc<Semaphore>, usize)>,
}

impl Limit<'_> {
    fn check(&self, length: u64) -> Result<(), Failure> {
        if usize::try_from(length).is_ok_and(|length| length <= self.bytes) {
            return Ok(());
        }
        let message = format!("the body is over {} bytes{}", self.bytes, self.setting);
        let details = serde_json::json!({ "limit_bytes": self.bytes });
        Err(Failure(ApiError::new(Code::TooLarge, message).with_details(details)))
    }

    /// Room for a body of this length, where that takes any. A body whose client dawdles keeps it for `body_timeout` only.
    async fn room(&self, length: u64) -> Option<Room> {
        let (rooms, from) = self.rooms?;
        if usize::try_from(length).is_ok_and(|length| length <= from) {
            return None;
        }
        // Never closed.
        Arc::clone(rooms).acquire_owned().await.ok()
    }
}

/// Reads a body of at most `limit` bytes, as long as a client may take for it. Beside [`PromptBody`] the only way to one:
/// the framework's own readers have no limit here.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: HttpBody,
    limit: usize,
    app: &App,
) -> Result<Bytes, Failure> {
    let setting = if limit == app.limits.max_body { " (api.max_body)" } else { "" };
    Ok(read_in_time(headers, body, Limit { bytes: limit, setting, rooms: None }, app).await?.0)
}

async fn read_in_time(
    headers: &HeaderMap,
    body: HttpBody,
    limit: Limit<'_>,
    app: &App,
) -> Result<(Bytes, Option<Room>), Failure> {
    let read = tokio::time::timeout(app.limits.body_timeout, read_up_to(headers, body, limit)).await;
    read.map_err(|_| {
        let why = "the body did not come in time (api.limits.body_timeout)";
        Failure::new(Code::RequestTimeout, why)
    })?
}

/// A body that is too long is refused before it is read, where it says its length.
async fn read_up_to(
    headers: &HeaderMap,
    body: HttpBody,
    limit: Limit<'_>,
) -> Result<(Bytes, Option<Room>), Failure> {
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    limit.check(said.unwrap_or_default())?;
    let mut room = limit.room(said.unwrap_or_default()).await;
    let mut body = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Failure::new(Code::InvalidRequest, "the body ended early"))?;
        let length = (bytes.len() + chunk.len()) as u64;
        limit.check(length)?;
        if room.is_none() {
            room = limit.room(length).await;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.freeze(), room))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let absent = bytes.is_empty() || serde_json::from_slice::<()>(bytes).is_ok();
    parse(if absent { b"{}" } else { bytes })
}

/// A JSON object, and nothing after it.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // serde would take `[]` for a type whose every field has a default.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Failure::new(Code::InvalidRequest, "the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // A value of the right shape that is not allowed (a name, an id) is told from a wrong shape.
        let code = match inner.classify() {
            serde_json::error::Category::Data if is_value_error(&inner.to_string()) => Code::InvalidValue,
            _ => Code::InvalidRequest,
        };
        let field = if path == "." { String::new() } else { format!("{path}: ") };
        Failure::new(code, one_line(&format!("{field}{inner}")))
    })?;
    json.end().map_err(|error| Failure::new(Code::InvalidRequest, one_line(&error.to_string())))?;
    Ok(value)
}

/// Whether serde's message is about a value that its own type refused, and not about the shape of the JSON.
fn is_value_error(message: &str) -> bool {
    const SHAPE: [&str; 6] = [
        "invalid type",
        "missing field",
        "unknown field",
        "duplicate field",
        "unknown variant",
        "invalid length",
    ];
    // JSON Schema calls `4.0` an integer; we do not take it for one.
    message.starts_with("invalid type: floating point")
        || !SHAPE.iter().any(|shape| message.starts_with(shape))
}

/// At most 300 characters of a message that may quote what the client sent, on one line (G7).
fn one_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// A query string.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::new(Code::InvalidRequest, one_line(&rejection.body_text()))),
        }
    }
}

/// The parts of the path that name things, in order.
#[derive(Debug)]
pub(crate) struct Names(Vec<String>);

/// What a name stands for, where it was looked up before the handler.
fn pinned(parts: &Parts) -> Option<String> {
    parts.extensions.get::<Pinned>().map(|Pinned(session)| session.to_string())
}

impl Names {
    /// The first one.
    pub(crate) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The second one, as an id.
    pub(crate) fn second<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, Failure> {
        let text = self.0.get(1).map_or("", String::as_str);
        text.parse().map_err(|error: T::Err| Failure::new(Code::InvalidValue, error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match RawPathParams::from_request_parts(parts, state).await {
            Ok(names) => {
                let mut names: Vec<String> = names.iter().map(|(_, value)| value.to_owned()).collect();
                if let (Some(first), Some(pinned)) = (names.first_mut(), pinned(parts)) {
                    *first = pinned;
                }
                Ok(Self(names))
            }
            Err(_) => Err(Failure::new(Code::InvalidRequest, "the path is not valid UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_common::api::{CancelRequest, CreateSession, PromptRequest};

    fn refusal<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> (Code, String) {
        let Failure(error) = parse::<T>(json.as_bytes()).unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn g13_each_wrong_field_is_named() {
        let cases = [
            (r#"{"cwd":5}"#, Code::InvalidRequest, "cwd: invalid type"),
            (r#"{"cwd":null}"#, Code::InvalidRequest, "cwd: invalid type"),
            (r"{}", Code::InvalidRequest, "missing field `cwd`"),
            (r#"{"cwd":"/","name":[]}"#, Code::InvalidRequest, "name: invalid type"),
            (r#"{"cwd":"/","name":"a b"}"#, Code::InvalidValue, "name: `a b` is not a valid session name"),
            (r#"{"cwd":"/","id":"x"}"#, Code::InvalidValue, "id: "),
            (r#"{"cwd":"/","id":7}"#, Code::InvalidRequest, "id: invalid type"),
            (r#"{"cwd":"/","agent":{}}"#, Code::InvalidRequest, "agent: invalid type"),
            (
                r#"{"cwd":"/","permission_mode":"yolo"}"#,
                Code::InvalidRequest,
                "permission_mode: unknown variant",
            ),
            (r#"{"cwd":"/","kind":3}"#, Code::InvalidRequest, "kind"),
            (r#"{"cwd":"/","ephemeral":"yes"}"#, Code::InvalidRequest, "ephemeral: invalid type"),
            (r#"{"cwd":"/","continue_open":1}"#, Code::InvalidRequest, "continue_open: invalid type"),
            (r#"{"cwd":"/","sandbox":[]}"#, Code::InvalidRequest, "sandbox: invalid type"),
            (r#"{"cwd":"/","spawn_mode":1}"#, Code::InvalidRequest, "spawn_mode: invalid type"),
            (r#"{"cwd":"/","colour":1}"#, Code::InvalidRequest, "unknown field `colour`"),
            (r#"{"cwd":"/","cwd":"/"}"#, Code::InvalidRequest, "duplicate field `cwd`"),
            (r#"{"cwd":"/"} x"#, Code::InvalidRequest, "trailing characters"),
            (r#"["/"]"#, Code::InvalidRequest, "must be a JSON object"),
            ("{", Code::InvalidRequest, "EOF"),
            ("\u{feff}{}", Code::InvalidRequest, "must be a JSON object"),
        ];
        for (json, code, message) in cases {
            let (got, said) = refusal::<CreateSession>(json);
            assert_eq!(got, code, "{json}: {said}");
            assert!(said.contains(message), "{json}: {said}");
        }
        for (json, message) in [
            (r#"{"content":"text"}"#, "content: invalid type"),
            (r#"{"content":[{"type":"text","text":5}]}"#, "content"),
            (r#"{"content":[{"type":"image"}]}"#, "content"),
            (r#"{"content":[],"timeout_seconds":-1}"#, "timeout_seconds: "),
            (r#"{"content":[],"when_busy":"later"}"#, "when_busy: unknown variant"),
            (r#"{"content":[],"consent":"all"}"#, "consent: unknown variant"),
        ] {
            let (_, said) = refusal::<PromptRequest>(json);
            assert!(said.contains(message), "{json}: {said}");
        }
    }

    #[test]
    fn g7_what_the_client_sent_comes_back_on_one_line() {
        let (_, said) = refusal::<CreateSession>("{\"a\\u000a\\u001bb\":1}");
        assert!(!said.contains(['\n', '\u{1b}']), "{said}");
        assert!(refusal::<CreateSession>(&format!("{{\"{}\":1}}", "x".repeat(9000))).1.len() < 400);
    }

    #[test]
    fn an_absent_body_stands_for_no_fields() {
        for absent in [&b""[..], b"null", b" null\n", b"{}"] {
            assert_eq!(json::<CancelRequest>(absent).unwrap(), CancelRequest::default());
        }
        for nonsense in [&b" "[..], b"\x0c", b"[]", b"nul"] {
            assert!(json::<CancelRequest>(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
