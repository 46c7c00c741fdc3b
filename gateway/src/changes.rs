//! The all-session stream: a snapshot, then every changed session in its latest state. Not replayed; a slow client
//! misses states in between and never the last one.

use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use skep_common::api::SessionList;
use skep_supervisor::engine::Engine;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::stream::{farewell, streaming};

/// One client that watches all sessions.
struct Watcher {
    engine: Engine,
    generation: u64,
    bell: watch::Receiver<u64>,
    heartbeat: Duration,
    stop: CancellationToken,
}

/// The stream of `GET /sessions`.
pub(crate) fn stream(engine: Engine, heartbeat: Duration, stop: CancellationToken) -> Response {
    let bell = engine.changes();
    let watcher = Watcher { engine, generation: 0, bell, heartbeat, stop };
    let stream = futures_util::stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(Some(bytes)) => Some((Ok::<Bytes, std::io::Error>(bytes), Some(watcher))),
            Ok(None) => None,
            Err(last) => Some((Ok(last), None)),
        }
    });
    streaming(HttpBody::from_stream(stream))
}

impl Watcher {
    /// What is sent next; none at the end, or the last message.
    async fn next(&mut self) -> Result<Option<Bytes>, Bytes> {
        let silent_until = tokio::time::Instant::now() + self.heartbeat;
        loop {
            self.bell.borrow_and_update();
            let first = self.generation == 0;
            let changes = self.engine.changed_since(self.generation).await.map_err(farewell)?;
            self.generation = changes.generation;
            let mut out = Vec::new();
            if first || changes.reset {
                let mut sessions = changes.changed;
                sessions.sort_by_key(|session| std::cmp::Reverse(session.updated_at));
                message(&mut out, "snapshot", &SessionList { sessions });
            } else {
                changes.changed.iter().for_each(|session| message(&mut out, "session", session));
                changes.removed.iter().for_each(|id| message(&mut out, "removed", &json!({ "id": id })));
            }
            if !out.is_empty() {
                return Ok(Some(Bytes::from(out)));
            }
            tokio::select! {
                changed = self.bell.changed() => if changed.is_err() { return Ok(None) },
                () = tokio::time::sleep_until(silent_until) => {
                    return Ok(Some(Bytes::from_static(b": heartbeat\n\n")));
                }
                () = self.stop.cancelled() => return Ok(None),
            }
        }
    }
}

fn message(out: &mut Vec<u8>, event: &str, data: &impl Serialize) {
    let Ok(json) = serde_json::to_vec(data) else { return };
    for part in [b"event: ", event.as_bytes(), b"\ndata: ", &json, b"\n\n"] {
        out.extend_from_slice(part);
    }
}
