//! Every route, on one page.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use skep_common::api::API;
use skep_common::code::Code;
use skep_supervisor::engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Token, require_token};
use crate::error::Failure;
use crate::logs::LogPlaces;
use crate::openapi;
use crate::routes::{agents, daemon, logs, metrics, permissions, runs, sessions, workers};
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

/// Every route with its description; the two cannot drift apart.
pub(crate) fn routes() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(daemon::health_v1))
        .routes(routes!(sessions::list, sessions::create))
        .routes(routes!(sessions::show, sessions::remove))
        .routes(routes!(sessions::prompt))
        .routes(routes!(sessions::cancel))
        .routes(routes!(sessions::close))
        .routes(routes!(sessions::release_queue))
        .routes(routes!(permissions::answer))
        .routes(routes!(stream::events))
        .routes(routes!(logs::of_session))
        .routes(routes!(permissions::list))
        .routes(routes!(runs::create))
        .routes(routes!(workers::list, workers::add))
        .routes(routes!(workers::show, workers::remove))
        .routes(routes!(workers::restart))
        .routes(routes!(workers::park))
        .routes(routes!(workers::unpark))
        .routes(routes!(logs::of_worker))
        .routes(routes!(daemon::status))
        .routes(routes!(daemon::start))
        .routes(routes!(daemon::stop))
        .routes(routes!(daemon::restart))
        .routes(routes!(daemon::reload))
        .routes(routes!(logs::of_daemon))
        .routes(routes!(agents::list))
        .routes(routes!(metrics::show));
    OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(daemon::health))
        .routes(routes!(daemon::ready))
        .routes(routes!(metrics::text))
        .routes(routes!(openapi::show))
        .nest(API, api)
}

/// The API's router.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
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
