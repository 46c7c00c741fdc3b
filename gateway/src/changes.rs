//! The all-session stream: a snapshot, then every changed session in its latest state. Not replayed; a slow client
//! misses states in between and never the last one.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use skep_common::api::SessionList;
use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionId;
use skep_supervisor::engine::Engine;
use skep_supervisor::sessions::Changes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::Reach;
use crate::router::App;
use crate::socket::{self, End, Sent};
use crate::sse::{self, BEAT, farewell, streaming};

/// One client that watches all sessions.
struct Watcher {
    engine: Engine,
    /// What the client may hear of, and what it has heard of, where that is not all.
    reach: Reach,
    known: HashSet<SessionId>,
    generation: u64,
    bell: watch::Receiver<u64>,
    heartbeat: Duration,
    stop: CancellationToken,
}

/// What a client is told next.
enum Told {
    /// What has changed.
    Changes(Vec<Change>),
    Beat,
    Failed(ApiError),
    Stopping,
}

/// One message.
enum Change {
    Snapshot(SessionList),
    Session(Box<skep_common::api::SessionInfo>),
    Removed(serde_json::Value),
}

/// A change, written down by `text`, which gets its name and its data.
macro_rules! written {
    ($change:expr, $text:path) => {
        match $change {
            Change::Snapshot(list) => $text("snapshot", list),
            Change::Session(session) => $text("session", session),
            Change::Removed(id) => $text("removed", id),
        }
    };
}

/// The stream of `GET /sessions` as server-sent events.
pub(crate) fn as_events(app: &App, reach: Reach) -> Response {
    let body = watch(app, reach).map(|told| {
        Ok::<Bytes, std::io::Error>(match told {
            Told::Changes(changes) => {
                let mut out = Vec::new();
                changes.iter().for_each(|change| out.extend_from_slice(&written!(change, sse::message)));
                Bytes::from(out)
            }
            Told::Beat => BEAT,
            Told::Failed(error) => farewell(error),
            Told::Stopping => sse::end(&Code::ShuttingDown.as_str()),
        })
    });
    streaming(HttpBody::from_stream(body))
}

/// The stream of `GET /sessions` as a WebSocket's messages.
pub(crate) fn as_messages(app: &App, reach: Reach) -> impl Stream<Item = Sent> + Send + 'static {
    watch(app, reach).map(|told| match told {
        Told::Changes(changes) => {
            Sent::Texts(changes.iter().map(|change| written!(change, socket::text)).collect())
        }
        Told::Beat => Sent::Beat,
        Told::Failed(error) => Sent::End(End::Failed(error)),
        Told::Stopping => Sent::End(End::Stopping),
    })
}

fn watch(app: &App, reach: Reach) -> impl Stream<Item = Told> + Send + 'static {
    let (engine, heartbeat, stop) = (app.engine.clone(), app.limits.heartbeat, app.stop.clone());
    let bell = engine.changes();
    let watcher = Watcher { engine, reach, known: HashSet::new(), generation: 0, bell, heartbeat, stop };
    futures_util::stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            last @ (Told::Failed(_) | Told::Stopping) => Some((last, None)),
            told => Some((told, Some(watcher))),
        }
    })
}

impl Watcher {
    /// Of these changes, those that the client may hear of.
    fn reached(&mut self, mut changes: Changes) -> Changes {
        if self.reach != Reach::All {
            changes.changed.retain(|session| self.reach.covers(session.id, &session.lineage));
            self.known.extend(changes.changed.iter().map(|session| session.id));
            changes.removed.retain(|session| self.known.remove(session));
        }
        changes
    }

    /// What is told next; waits until there is something.
    async fn next(&mut self) -> Told {
        let silent_until = tokio::time::Instant::now() + self.heartbeat;
        loop {
            self.bell.borrow_and_update();
            let first = self.generation == 0;
            let changes = match self.engine.changed_since(self.generation).await {
                Ok(changes) => changes,
                Err(error) => return Told::Failed(error),
            };
            self.generation = changes.generation;
            let changes = self.reached(changes);
            if first || changes.reset {
                let mut sessions = changes.changed;
                sessions.sort_by_key(|session| std::cmp::Reverse(session.updated_at));
                return Told::Changes(vec![Change::Snapshot(SessionList { sessions, next: None })]);
            }
            let changed = changes.changed.into_iter().map(|session| Change::Session(Box::new(session)));
            let removed = changes.removed.into_iter().map(|id| Change::Removed(json!({ "id": id })));
            let told: Vec<Change> = changed.chain(removed).collect();
            if !told.is_empty() {
                return Told::Changes(told);
            }
            tokio::select! {
                changed = self.bell.changed() => if changed.is_err() { return Told::Stopping },
                () = tokio::time::sleep_until(silent_until) => return Told::Beat,
                () = self.stop.cancelled() => return Told::Stopping,
            }
        }
    }
}
