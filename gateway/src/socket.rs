//! Streams as WebSockets: the same events, cursors and payloads as server-sent events, one text message each:
//! `{"id":seq,"event":kind,"data":record}`, without `id` where the message is about the stream itself.
//!
//! A heartbeat is `{"event":"heartbeat"}` (pages of a browser see no pings) and a ping; a client that answers none of
//! three is given up. A client that does not read costs the block that it was sent last: the journal is read when it
//! takes more. What it sends is ignored, and may be short only.
//!
//! Close codes: 1000 `complete`, 1001 `shutting_down`, 4408 `timed_out` (no answer to pings), and 4000 + the HTTP
//! status with the error's code as the reason, after a last message `{"event":"error",…}`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use skep_common::code::{ApiError, Code, ErrorBody};
use skep_journal::Line;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, status};
use crate::follower::{Follower, Step, kind};
use crate::lease::Until;
use crate::router::App;
use crate::server::Seat;
use crate::sse::corrupt;

/// The longest message that a client may send; it has nothing to say.
const LONGEST: usize = 4 * 1024;

/// Pings that may stay without an answer.
const PATIENCE: u32 = 3;

/// The connection's place among `max_connections`, kept while any part of it is in use.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPlace {
    _kept: Arc<Seat>,
}

impl ConnectionPlace {
    pub(crate) fn new(kept: Arc<Seat>) -> Self {
        Self { _kept: kept }
    }
}

/// A request that wants to become a WebSocket; none for any other.
pub(crate) struct Upgrade(Option<(WebSocketUpgrade, Kept)>);

/// What an upgraded connection holds on to.
type Kept = (Option<ConnectionPlace>, Option<Until>);

impl FromRequestParts<App> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let asks = parts
            .headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !asks || !parts.headers.contains_key(CONNECTION) {
            return Ok(Self(None));
        }
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await;
        let refused =
            |error: WebSocketUpgradeRejection| Failure::new(Code::InvalidRequest, error.body_text());
        let upgrade = upgrade.map_err(refused)?.max_message_size(LONGEST).max_frame_size(LONGEST);
        let kept = (parts.extensions.get().cloned(), parts.extensions.get().cloned());
        Ok(Self(Some((upgrade, kept))))
    }
}

/// What is sent next.
pub(crate) enum Sent {
    /// Messages, in order.
    Texts(Vec<String>),
    /// A heartbeat.
    Beat,
    /// Nothing more.
    End(End),
}

/// Why a stream ends.
pub(crate) enum End {
    Complete,
    Stopping,
    Failed(ApiError),
}

impl Upgrade {
    /// Whether the client asks for a WebSocket.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    /// Becomes a WebSocket that sends what `steps` gives.
    pub(crate) fn serve(
        self,
        app: &App,
        steps: impl Stream<Item = Sent> + Send + 'static,
    ) -> Result<Response, Failure> {
        let Some((upgrade, (place, until))) = self.0 else {
            return Err(Failure::new(Code::InvalidRequest, "the request asks for no WebSocket"));
        };
        // The server's shutdown waits for the task, and the connection keeps its place.
        let (running, stop) = (app.tasks.token(), app.stop.clone());
        Ok(upgrade.on_upgrade(async move |socket| {
            let over = futures_util::stream::once(std::future::ready(Sent::End(End::Failed(over()))));
            let until = async {
                match &until {
                    Some(until) => until.over().await,
                    None => std::future::pending().await,
                }
            };
            serve(socket, Box::pin(steps.take_until(until).chain(over)), stop).await;
            drop((running, place));
        }))
    }
}

/// Why a stream ends before what it shows does.
fn over() -> ApiError {
    ApiError::new(Code::Unauthorized, "the token was revoked, or is over")
}

/// A session's events as a WebSocket.
pub(crate) fn of_session(follower: Follower) -> impl Stream<Item = Sent> + Send + 'static {
    futures_util::stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let sent = match follower.next().await {
            Step::Epoch(epoch) => Sent::Texts(vec![text("epoch", &serde_json::json!({ "epoch": epoch }))]),
            Step::Lines(lines) => Sent::Texts(lines.iter().map(event).collect()),
            Step::Beat => Sent::Beat,
            Step::Failed(error) => return Some((Sent::End(End::Failed(error)), None)),
            Step::Complete => return Some((Sent::End(End::Complete), None)),
            Step::Stopping => return Some((Sent::End(End::Stopping), None)),
        };
        Some((sent, Some(follower)))
    })
}

/// A stream that ends at once, with an error that a browser could not see in the answer to its upgrade.
pub(crate) fn refused(error: ApiError) -> impl Stream<Item = Sent> + Send + 'static {
    futures_util::stream::once(std::future::ready(Sent::End(End::Failed(error))))
}

/// A message that is about the stream or not numbered.
pub(crate) fn text(event: &str, data: &impl Serialize) -> String {
    format!(r#"{{"event":"{event}","data":{}}}"#, serde_json::to_string(data).unwrap_or_default())
}

fn event(line: &Line) -> String {
    let data = match line {
        Line::Record(record) => String::from_utf8_lossy(&record.json).into_owned(),
        Line::Corrupt { seq } => corrupt(*seq),
    };
    format!(r#"{{"id":{},"event":"{}","data":{data}}}"#, line.seq(), kind(line))
}

async fn serve(mut socket: WebSocket, mut steps: impl Stream<Item = Sent> + Unpin, stop: CancellationToken) {
    let mut unanswered = 0;
    let end = loop {
        // Both arms are cancel-safe: a stream keeps its place when it is not waited for.
        let step = tokio::select! {
            step = steps.next() => step.unwrap_or(Sent::End(End::Complete)),
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    unanswered = 0;
                    continue;
                }
            },
        };
        let texts = match step {
            Sent::Texts(texts) => texts,
            Sent::Beat if unanswered == PATIENCE => {
                close(&mut socket, 4408, &Code::TimedOut.as_str()).await;
                return;
            }
            Sent::Beat => {
                unanswered += 1;
                if socket.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return;
                }
                vec![String::from(r#"{"event":"heartbeat"}"#)]
            }
            Sent::End(end) => break end,
        };
        let sending = async {
            for text in texts {
                socket.send(Message::text(text)).await?;
            }
            Ok::<(), axum::Error>(())
        };
        tokio::select! {
            sent = sending => if sent.is_err() { return },
            () = stop.cancelled() => return,
        }
    };
    match end {
        End::Complete => close(&mut socket, 1000, "complete").await,
        End::Stopping => close(&mut socket, 1001, &Code::ShuttingDown.as_str()).await,
        End::Failed(error) => {
            let (number, reason) = (4000 + status(error.code).as_u16(), error.code.as_str());
            let last = text("error", &ErrorBody { error });
            if socket.send(Message::text(last)).await.is_ok() {
                close(&mut socket, number, &reason).await;
            }
        }
    }
}

/// Says goodbye; a client that does not take it is gone, which is what is wanted.
async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            // The other side's own close ends the connection cleanly.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    drop(tokio::time::timeout(std::time::Duration::from_secs(1), farewell).await);
}
