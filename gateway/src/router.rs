//! Every route, on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use skep_common::api::API;
use skep_common::code::Code;
use skep_hooks::Hooks;
use skep_supervisor::engine::Engine;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audit::Audit;
use crate::auth::Token;
use crate::doors::Doors;
use crate::error::Failure;
use crate::guard::guard;
use crate::keys::Keys;
use crate::lease::Holder;
use crate::links::Links;
use crate::logs::LogPlaces;
use crate::openapi;
use crate::places::Places;
use crate::routes::login::Attempts;
use crate::routes::{
    agents, audit, daemon, hooks, login, logs, metrics, permissions, runs, sessions, tokens, workers,
};
use crate::server::{Entrance, Limits};
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
    pub(crate) keys: Keys,
    pub(crate) links: Links,
    pub(crate) attempts: Attempts,
    pub(crate) audit: Audit,
    pub(crate) doors: Doors,
    pub(crate) hooks: Hooks,
    pub(crate) entrance: Entrance,
    pub(crate) in_flight: Arc<Semaphore>,
    /// Bodies of prompts that are larger than other bodies may be.
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) streams: Places<Holder>,
}

/// Every route with its description; the two cannot drift apart. Who may use a route stands in `access/rules.rs`; a route
/// without a rule there is refused.
pub(crate) fn routes() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(daemon::health_v1))
        .routes(routes!(sessions::list, sessions::create))
        .routes(routes!(sessions::show, sessions::change, sessions::remove))
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
        .routes(routes!(audit::show))
        .routes(routes!(agents::list))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(hooks::list))
        .routes(routes!(hooks::test))
        .routes(routes!(hooks::deliveries))
        .routes(routes!(hooks::retry))
        .routes(routes!(hooks::dismiss))
        .routes(routes!(login::link))
        .routes(routes!(metrics::show));
    OpenApiRouter::with_openapi(openapi::head())
        // Pages for people in a browser.
        .route("/", get(login::home))
        .route("/login", get(login::page).post(login::sign_in))
        .route("/logout", post(login::sign_out))
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
        .layer(from_fn_with_state(app.clone(), guard))
        // Our own reader of bodies has the configured limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

async fn no_route(uri: Uri) -> Failure {
    Failure::new(Code::RouteNotFound, format!("no route `{}`", shown(&uri)))
}

async fn no_method(method: Method, uri: Uri) -> Failure {
    method_not_allowed(&method, &uri)
}

/// The refusal of a method that a path does not take.
pub(crate) fn method_not_allowed(method: &Method, uri: &Uri) -> Failure {
    let message = format!("`{}` does not take {}", shown(uri), clip(method.as_str()));
    Failure::new(Code::MethodNotAllowed, message)
}

fn shown(uri: &Uri) -> String {
    clip(uri.path())
}

/// At most 200 characters of a client's text.
fn clip(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
