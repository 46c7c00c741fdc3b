//! Every route, on one page.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use skep_common::api::API;
use skep_common::code::Code;
use skep_supervisor::engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Token, require_token};
use crate::error::Failure;
use crate::logs::LogPlaces;
use crate::routes::{agents, daemon, logs, permissions, runs, sessions, workers};
use crate::server::Limits;
use crate::stream;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) token: Token,
    pub(crate) limits: Limits,
    pub(crate) logs: LogPlaces,
    pub(crate) stop: CancellationToken,
    /// Tasks that outlive a request, or a connection that became a WebSocket; shutdown waits for them.
    pub(crate) tasks: TaskTracker,
}

/// The API's router.
pub(crate) fn router(app: App) -> Router {
    let api = Router::new()
        .route("/health", get(daemon::health))
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route("/sessions/{id}", get(sessions::show).delete(sessions::remove))
        .route("/sessions/{id}/prompts", post(sessions::prompt))
        .route("/sessions/{id}/cancel", post(sessions::cancel))
        .route("/sessions/{id}/close", post(sessions::close))
        .route("/sessions/{id}/queue/release", post(sessions::release_queue))
        .route("/sessions/{id}/permissions/{permission}", post(permissions::answer))
        .route("/sessions/{id}/events", get(stream::events))
        .route("/sessions/{id}/logs", get(logs::of_session))
        .route("/permissions", get(permissions::list))
        .route("/runs", post(runs::create))
        .route("/workers", get(workers::list).post(workers::add))
        .route("/workers/{id}", get(workers::show).delete(workers::remove))
        .route("/workers/{id}/restart", post(workers::restart))
        .route("/workers/{id}/park", post(workers::park))
        .route("/workers/{id}/unpark", post(workers::unpark))
        .route("/workers/{id}/logs", get(logs::of_worker))
        .route("/daemon", get(daemon::status))
        .route("/daemon/start", post(daemon::start))
        .route("/daemon/stop", post(daemon::stop))
        .route("/daemon/restart", post(daemon::restart))
        .route("/daemon/reload", post(daemon::reload))
        .route("/daemon/logs", get(logs::of_daemon))
        .route("/agents", get(agents::list));
    Router::new()
        .route("/health", get(daemon::health))
        .route("/ready", get(daemon::ready))
        .nest(API, api)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(app.clone(), require_token))
        // Our own reader of bodies has the configured limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

async fn no_route(uri: Uri) -> Failure {
    Failure::new(Code::RouteNotFound, format!("no route `{}`", shown(&uri)))
}

async fn no_method(method: Method, uri: Uri) -> Failure {
    let message = format!("`{}` does not take {}", shown(&uri), clip(method.as_str()));
    Failure::new(Code::MethodNotAllowed, message)
}

fn shown(uri: &Uri) -> String {
    clip(uri.path())
}

/// At most 200 characters of a client's text.
fn clip(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
