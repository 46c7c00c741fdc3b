//! Connections: accepted up to a cap, from our own user only on the Unix socket, served by hyper with a time limit for
//! heads, and ended on the stop token whatever their clients do (Q7, G19).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_hooks::Hooks;
use skep_supervisor::engine::Engine;
use skep_sys::capture::LogSpec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::audit::Audit;
use crate::auth::Token;
use crate::doors::{Bound, Doors};
use crate::keys::Keys;
use crate::links::Links;
use crate::logs::LogPlaces;
use crate::peer::{Peer, TcpPeer, UnixPeer};
use crate::places::{Place, Places};
use crate::router::{App, router};
use crate::routes::login::Attempts;
use crate::socket::ConnectionPlace;
use crate::tls;

/// How long requests that are under way may take after the stop.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a refused connection's farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

const TOO_MANY: &str = "too many connections are open (api.max_connections)";

const TOO_MANY_OF_ADDRESS: &str = "too many connections of one address (api.limits.connections_per_address)";

/// Pause after the system had no descriptor or memory for a connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What hyper may keep of a connection beyond a request's head, in bytes: a reader that is slow costs this, the size of a
/// head, and the block that waits behind them.
const SPARE: usize = 4 * 1024;

/// How many bodies over `max_body` are in memory at once; further ones wait.
const LARGE_BODIES: usize = 4;

/// Limits of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The largest body of a prompt, in bytes.
    pub max_prompt: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How often a silent stream sends a comment.
    pub heartbeat: Duration,
    /// Connections of one address over TCP.
    pub connections_per_address: u32,
    /// Streams of one client.
    pub streams_per_client: u32,
    /// Requests under way.
    pub requests_in_flight: usize,
    /// The largest head of a request, in bytes.
    pub max_head: usize,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// Failed logins of one address in a minute.
    pub logins_per_minute: u32,
}

impl From<&skep_config::api::ApiSettings> for Limits {
    fn from(settings: &skep_config::api::ApiSettings) -> Self {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            max_body: settings.max_body.as_usize(),
            max_prompt: settings.max_prompt.as_usize(),
            max_connections: count(settings.max_connections),
            header_timeout: settings.header_timeout,
            heartbeat: settings.stream_heartbeat,
            connections_per_address: settings.limits.connections_per_address,
            streams_per_client: settings.limits.streams_per_client,
            requests_in_flight: count(settings.limits.requests_in_flight),
            max_head: settings.limits.max_head.as_usize(),
            body_timeout: settings.limits.body_timeout,
            logins_per_minute: settings.limits.logins_per_minute,
        }
    }
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayOptions {
    /// The owner's token.
    pub token: String,
    /// Its limits.
    pub limits: Limits,
    /// The doors to TCP.
    pub doors: Doors,
    /// The listeners that are open from the start.
    pub bound: Vec<Bound>,
    /// Who is told of what happens.
    pub hooks: Hooks,
    /// The record of who did what.
    pub audit: LogSpec,
}

/// Serves the API until `stop`; comes back when every connection is gone. Open streams end, idle connections are
/// closed, and a request that is under way has two seconds.
///
/// # Errors
///
/// When the file of tokens cannot be read, or there is no place for the record of who did what: then nothing is served.
pub async fn serve(
    engine: Engine,
    listener: UnixListener,
    options: GatewayOptions,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let GatewayOptions { token, limits, doors, bound, hooks, audit } = options;
    let audit = Audit::start(audit)?;
    let entrance = Entrance {
        limits,
        doors: doors.clone(),
        places: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
        addresses: Places::new(limits.connections_per_address),
        handshakes: Arc::new(Semaphore::new(handshakes(limits.max_connections))),
        connections: TaskTracker::new(),
        stop: stop.clone(),
    };
    let app = App {
        tasks: entrance.connections.clone(),
        logs: LogPlaces::new(engine.paths().clone()),
        keys: Keys::load(engine.paths().tokens())?,
        links: Links::default(),
        attempts: Attempts::new(limits.logins_per_minute),
        audit: audit.clone(),
        token: Token::new(token),
        limits,
        hooks,
        doors,
        entrance: entrance.clone(),
        in_flight: Arc::new(Semaphore::new(limits.requests_in_flight.min(Semaphore::MAX_PERMITS))),
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
        streams: Places::new(limits.streams_per_client),
        stop,
        engine,
    };
    for bound in bound {
        entrance.open(bound, router(app.clone()));
    }
    entrance.renew();
    entrance.unix(listener, router(app)).await;
    entrance.connections.close();
    entrance.connections.wait().await;
    audit.end().await;
    Ok(())
}

/// Where connections come in.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    limits: Limits,
    doors: Doors,
    places: Arc<Semaphore>,
    addresses: Places<IpAddr>,
    handshakes: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
}

/// What a connection holds while any part of it is in use.
#[derive(Debug)]
pub(crate) struct Seat {
    _place: OwnedSemaphorePermit,
    _of_address: Option<Place<IpAddr>>,
}

impl Entrance {
    async fn unix(&self, listener: UnixListener, router: Router) {
        let uid = nix::unistd::geteuid().as_raw();
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            let Some((stream, _)) = accepted_or_pause(accepted).await else { continue };
            let Some(peer) = admit(&stream, uid) else { continue };
            match self.seat(None) {
                Some(seat) => {
                    let service = self.service(Peer::Unix(peer), seat, &router);
                    self.connections.spawn(connection(stream, service, self.limits, self.stop.clone()));
                }
                None => self.turn_away(stream, Code::QueueFull, TOO_MANY),
            }
        }
    }

    /// Accepts connections over TCP, until the stop.
    pub(crate) fn open(&self, bound: Bound, router: Router) {
        let entrance = self.clone();
        self.connections.spawn(async move {
            let Bound { listener } = bound;
            while let Some(accepted) = entrance.stop.run_until_cancelled(listener.accept()).await {
                let Some((stream, remote)) = accepted_or_pause(accepted).await else { continue };
                entrance.tcp(stream, remote, &router);
            }
        });
    }

    /// Looks after the end of the certificate, until the stop.
    fn renew(&self) {
        if self.doors.tls().is_none() {
            return;
        }
        let (doors, stop) = (self.doors.clone(), self.stop.clone());
        self.connections.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(tls::LOOK_EVERY)).await.is_some() {
                if let Err(error) = doors.refresh_certificate().await {
                    tracing::error!("the former certificate stays in use: cannot {error}");
                }
            }
        });
    }

    fn tcp(&self, stream: TcpStream, remote: std::net::SocketAddr, router: &Router) {
        let Ok(local) = stream.local_addr() else { return };
        // A keystroke's echo must not wait for the next one's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection keeps its delay: {error}");
        }
        let is_encrypted = self.doors.tls().is_some();
        let Some(of_address) = self.addresses.take(network(remote.ip())) else {
            return self.refuse_tcp(stream, Code::TooManyRequests, TOO_MANY_OF_ADDRESS);
        };
        let Some(seat) = self.seat(Some(of_address)) else {
            return self.refuse_tcp(stream, Code::QueueFull, TOO_MANY);
        };
        let service = self.service(Peer::Tcp(TcpPeer { remote, local, tls: is_encrypted }), seat, router);
        if is_encrypted {
            self.serve_encrypted(stream, service);
        } else {
            self.connections.spawn(connection(stream, service, self.limits, self.stop.clone()));
        }
    }

    fn serve_encrypted<V>(&self, stream: TcpStream, service: V)
    where
        V: HttpService<Incoming, ResBody = Body, Error = Infallible> + Send + 'static,
        V::Future: Send + 'static,
    {
        let Some(acceptor) = self.doors.tls().and_then(tls::Tls::acceptor) else { return };
        let Ok(place) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            tracing::debug!("a connection was dropped: too many handshakes are under way");
            return;
        };
        let (limits, stop) = (self.limits, self.stop.clone());
        self.connections.spawn(async move {
            // On the heap, so that it takes no room once it is over.
            let greeting = Box::pin(tls::greet(stream, acceptor, limits.header_timeout));
            let greeted = stop.run_until_cancelled(greeting).await.flatten();
            drop(place);
            if let Some(stream) = greeted {
                connection(stream, service, limits, stop).await;
            }
        });
    }

    /// A place among all connections.
    fn seat(&self, of_address: Option<Place<IpAddr>>) -> Option<Arc<Seat>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Arc::new(Seat { _place: place, _of_address: of_address }))
    }

    fn service(
        &self,
        peer: Peer,
        seat: Arc<Seat>,
        router: &Router,
    ) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + Send + use<> {
        let (router, doors) = (router.clone(), self.doors.clone());
        service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            if let Some(uri) = doors.without_base(request.uri()) {
                *request.uri_mut() = uri;
            }
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(ConnectionPlace::new(Arc::clone(&seat)));
            router.clone().oneshot(request)
        })
    }

    /// Refuses a connection over TCP; one that expects encryption cannot be told why.
    fn refuse_tcp(&self, stream: TcpStream, code: Code, why: &'static str) {
        if self.doors.tls().is_none() {
            self.turn_away(stream, code, why);
        }
    }

    fn turn_away<S: AsyncWrite + Unpin + Send + 'static>(&self, stream: S, code: Code, why: &'static str) {
        self.connections.spawn(refuse(stream, code, why));
    }
}

/// TLS handshakes at once: a quarter of all connections is left to those who are in already, the user's own terminal
/// among them, however many strangers begin a handshake and do not go on.
fn handshakes(max_connections: usize) -> usize {
    (max_connections - max_connections / 4).clamp(1, Semaphore::MAX_PERMITS)
}

async fn accepted_or_pause<T>(accepted: std::io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::warn!("a connection could not be accepted: {error}");
            tokio::time::sleep(EXHAUSTED).await;
            None
        }
    }
}

/// What counts as one address: in IPv6 everybody has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(std::net::Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

/// Who connected; none for another user, who is not even answered (G4).
fn admit(stream: &UnixStream, own: u32) -> Option<UnixPeer> {
    match skep_sys::peer::peer_cred(stream) {
        Ok(cred) if cred.uid == own => {
            Some(UnixPeer { uid: cred.uid, process: skep_sys::process::identity(cred.pid) })
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

async fn connection<S, V>(stream: S, service: V, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size((limits.max_head + SPARE).max(8 * 1024))
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
async fn refuse(mut stream: impl AsyncWrite + Unpin, code: Code, why: &'static str) {
    let error = ApiError::new(code, why);
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    let status = crate::error::status(code);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A client that does not take it is gone, which is what is wanted.
    drop(tokio::time::timeout(FAREWELL, stream.write_all(answer.as_bytes())).await);
}
