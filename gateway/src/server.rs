//! Connections: accepted up to a cap, from our own user only, served by hyper with a time limit for heads, and ended on
//! the stop token whatever their clients do (Q7, G19).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_supervisor::engine::Engine;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::auth::{Peer, Token};
use crate::logs::LogPlaces;
use crate::router::{App, router};
use crate::socket::ConnectionPlace;

/// How long requests that are under way may take after the stop.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a refused connection's farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Pause after the system had no descriptor or memory for a connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Limits of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How often a silent stream sends a comment.
    pub heartbeat: Duration,
}

impl From<&skep_config::api::ApiSettings> for Limits {
    fn from(settings: &skep_config::api::ApiSettings) -> Self {
        Self {
            max_body: settings.max_body.as_usize(),
            max_connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
            header_timeout: settings.header_timeout,
            heartbeat: settings.stream_heartbeat,
        }
    }
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayOptions {
    /// The token that requests must show.
    pub token: String,
    /// Its limits.
    pub limits: Limits,
}

/// Serves the API until `stop`; comes back when every connection is gone. Open streams end, idle connections are
/// closed, and a request that is under way has two seconds.
pub async fn serve(engine: Engine, listener: UnixListener, options: GatewayOptions, stop: CancellationToken) {
    let GatewayOptions { token, limits } = options;
    let logs = LogPlaces::new(engine.paths().clone());
    let connections = TaskTracker::new();
    let (token, tasks) = (Token::new(token), connections.clone());
    let app = App { engine, token, limits, logs, stop: stop.clone(), tasks };
    let router = router(app);
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let uid = nix::unistd::geteuid().as_raw();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        let Some(peer) = admit(&stream, uid) else { continue };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(connection(stream, place, peer, router, limits, stop));
            }
            Err(_) => {
                connections.spawn(refuse(stream));
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Who connected; none for another user, who is not even answered (G4).
fn admit(stream: &UnixStream, own: u32) -> Option<Peer> {
    match skep_sys::peer::peer_cred(stream) {
        Ok(cred) if cred.uid == own => {
            Some(Peer { uid: cred.uid, process: skep_sys::process::identity(cred.pid) })
        }
        Ok(cred) => {
            tracing::warn!(peer.uid = cred.uid, "a connection of user {} was refused", cred.uid);
            None
        }
        Err(error) => {
            tracing::warn!("a connection whose user is unknown was refused: {error}");
            None
        }
    }
}

async fn connection(
    stream: UnixStream,
    place: OwnedSemaphorePermit,
    peer: Peer,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let place = ConnectionPlace::new(place);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(place.clone());
        router.clone().oneshot(request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .keep_alive(true)
        .half_close(false);
    let serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // A client that does not read must not hold the daemon up; its connection is dropped.
            tokio::time::timeout(DRAIN, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // A client that went away or spoke nonsense is its own affair (G22).
        tracing::debug!("a connection ended: {error}");
    }
}

/// Tells a client that there are too many.
async fn refuse(mut stream: UnixStream) {
    let error = ApiError::new(Code::QueueFull, "too many connections are open (api.max_connections)");
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    let status = crate::error::status(Code::QueueFull);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A client that does not take it is gone, which is what is wanted.
    drop(tokio::time::timeout(FAREWELL, stream.write_all(answer.as_bytes())).await);
}
