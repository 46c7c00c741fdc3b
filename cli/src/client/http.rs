//! HTTP/1 over the Unix socket: one connection per request.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skep_common::api::{API, Health};
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_sys::socket::{SocketError, connect_unix};
use tokio::net::UnixStream;
use tokio_util::task::TaskTracker;

use super::{ClientError, Target};

/// Within this time the daemon answers, or it does not: a close may take the agent's whole grace.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Within this time a daemon says that it is well: it asks nobody for that.
const HEALTH_WITHIN: Duration = Duration::from_secs(5);

/// The largest answer that is not a stream.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// A client of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    target: Target,
    bearer: Option<Bearer>,
    connections: TaskTracker,
}

/// A token that is shown in place of the user's own.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bearer(std::sync::Arc<str>);

impl Bearer {
    /// A token, unless it cannot be one.
    pub(crate) fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        let fits = (1..=512).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(token.into()))
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// The body of an answer that streams.
#[derive(Debug)]
pub(crate) struct Download {
    body: Incoming,
    log_type: Option<String>,
}

impl Client {
    /// A client of the daemon at `target`. Nothing is sent yet.
    pub(crate) fn new(target: Target) -> Self {
        Self { target, bearer: None, connections: TaskTracker::new() }
    }

    /// The same client that shows this token.
    pub(crate) fn with(self, bearer: Bearer) -> Self {
        Self { bearer: Some(bearer), ..self }
    }

    /// The same client of the daemon at another place.
    pub(crate) fn moved(&self, target: Target) -> Self {
        Self { bearer: self.bearer.clone(), ..Self::new(target) }
    }

    /// Where the daemon is looked for.
    pub(crate) fn socket(&self) -> &std::path::Path {
        self.target.socket()
    }

    /// Who serves there (Q4).
    pub(crate) async fn health(&self) -> Result<Health, ClientError> {
        match tokio::time::timeout(HEALTH_WITHIN, self.get("/health")).await {
            Ok(health) => health,
            Err(_) => Err(ClientError::Lost {
                why: format!("no sign of health within {} s", HEALTH_WITHIN.as_secs()),
            }),
        }
    }

    /// GET.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(self.call(Method::GET, path, None).await?).await
    }

    /// POST.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(self.call(Method::POST, path, Some(encode(body)?)).await?).await
    }

    /// POST whose answer's body does not matter.
    pub(crate) async fn post_done(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let body = encode(body)?;
        self.call(Method::POST, path, Some(body)).await.map(drop)
    }

    /// PATCH.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(self.call(Method::PATCH, path, Some(encode(body)?)).await?).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// GET of a stream.
    pub(crate) async fn download(&self, path: &str, accept: &'static str) -> Result<Download, ClientError> {
        let request = self.request(Method::GET, path, None, accept)?;
        let response = checked(self.send(request).await?).await?;
        let log_type = response.headers().get("x-skep-log-type").and_then(|value| value.to_str().ok());
        Ok(Download { log_type: log_type.map(str::to_owned), body: response.into_body() })
    }

    /// Any request with a whole path; the answer is not looked at.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        accept: &'static str,
    ) -> Result<Response<Incoming>, ClientError> {
        self.send(self.whole_request(method, path, body, accept)?).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        checked(self.send(self.request(method, path, body, "application/json")?).await?).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        accept: &'static str,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        self.whole_request(method, &format!("{API}{path}"), body, accept)
    }

    fn whole_request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        accept: &'static str,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "skep")
            .header(USER_AGENT, concat!("skep-cli/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept);
        if let Some(Bearer(token)) = &self.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        } else if let Some(token) = self.target.token()? {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body.unwrap_or_default())).map_err(|error| ClientError::Unintelligible {
            why: format!("the request is not valid HTTP: {error}"),
        })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // The task ends with the connection: when the answer was read, or its body is dropped.
        drop(self.connections.spawn(connection));
        match tokio::time::timeout(ANSWER_WITHIN, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(lost),
            Err(_) => {
                Err(ClientError::Lost { why: format!("no answer within {} s", ANSWER_WITHIN.as_secs()) })
            }
        }
    }

    /// Connects, after a check that socket and directory are this user's (G4).
    fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = self.target.socket();
        let stream = connect_unix(socket).map_err(|error| match error {
            SocketError::NotFound { .. } | SocketError::Refused { .. } => {
                ClientError::NotRunning { socket: socket.to_owned() }
            }
            SocketError::Io { source, .. } => {
                ClientError::Socket { socket: socket.to_owned(), why: source.to_string() }
            }
            other => ClientError::Socket { socket: socket.to_owned(), why: other.to_string() },
        })?;
        stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream))
            .map_err(|error| ClientError::Socket { socket: socket.to_owned(), why: error.to_string() })
    }
}

impl Download {
    /// Which log was chosen, for a log.
    pub(crate) fn log_type(&self) -> Option<&str> {
        self.log_type.as_deref()
    }

    /// The next bytes; none at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(lost)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

fn lost(error: hyper::Error) -> ClientError {
    let mut why = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        why = format!("{why}: {source}");
    }
    ClientError::Lost { why }
}

fn encode(body: &impl Serialize) -> Result<Bytes, ClientError> {
    let bytes = serde_json::to_vec(body).map_err(|error| ClientError::Unintelligible {
        why: format!("the request cannot be written: {error}"),
    })?;
    Ok(Bytes::from(bytes))
}

/// The answer, if it is a good one; else the API's own error.
async fn checked(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = collect(response).await?;
    Err(ClientError::Refused(refusal(status, &bytes)))
}

/// The error in an answer's body, or one made from its status where the body is none of ours.
fn refusal(status: StatusCode, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.error,
        Err(_) => ApiError::new(Code::Unknown, format!("the daemon answered {status}")),
    }
}

async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let bytes = collect(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Unintelligible { why: error.to_string() })
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    match tokio::time::timeout(ANSWER_WITHIN, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => Err(ClientError::Lost { why: error.to_string() }),
        Err(_) => Err(ClientError::Lost { why: String::from("the answer stopped half-way") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_ours_or_made_from_its_status() {
        let ours = br#"{"error":{"code":"session_busy","message":"a turn runs"}}"#;
        assert_eq!(refusal(StatusCode::CONFLICT, ours).code, Code::SessionBusy);
        let newer = br#"{"error":{"code":"mood","message":"no"}}"#;
        assert_eq!(refusal(StatusCode::CONFLICT, newer).code, Code::Unknown);
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>").code, Code::Unknown);
    }
}
