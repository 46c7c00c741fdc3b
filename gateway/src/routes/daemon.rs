//! `/daemon` and `/health`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use skep_common::api::{DaemonStatus, Health, Reloaded, WorkerState};
use skep_common::code::Code;
use skep_common::keys::StartRequest;
use skep_supervisor::engine::StopKind;

use crate::body::Body;
use crate::doors::DoorError;
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::{App, router};
use crate::routes::sessions::NoFields;

/// `GET /health`.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "daemon",
    responses((status = 200, description = "It serves", body = Health)),
    security(()),
)]
pub(crate) async fn health(State(app): State<App>) -> Json<Health> {
    Json(app.engine.health())
}

/// `GET /health` below `/api/v1`: the same.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health_v1",
    tag = "daemon",
    responses((status = 200, description = "It serves", body = Health)),
    security(()),
)]
pub(crate) async fn health_v1(app: State<App>) -> Json<Health> {
    health(app).await
}

/// `GET /ready`: whether a prompt would find somebody to do it.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "ready",
    tag = "daemon",
    responses((status = 200, description = "A prompt would find a worker", body = Health)),
    security(()),
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<Health>, Failure> {
    let health = app.engine.health();
    if health.status != "ok" {
        return Err(Failure::new(Code::ShuttingDown, "the daemon is stopping"));
    }
    let workers = app.engine.workers().await?;
    if !workers.is_empty() && workers.iter().all(|worker| worker.state == WorkerState::Parked) {
        return Err(Failure::new(Code::WorkerGone, "every worker is parked"));
    }
    Ok(Json(health))
}

/// `GET /daemon`.
#[utoipa::path(
    get,
    path = "/daemon",
    operation_id = "daemon_status",
    tag = "daemon",
    responses((status = 200, description = "The unified status", body = DaemonStatus)),
)]
pub(crate) async fn status(State(app): State<App>) -> Result<Json<DaemonStatus>, Failure> {
    Ok(Json(full_status(&app).await?))
}

/// The engine's status, with the doors to TCP.
async fn full_status(app: &App) -> Result<DaemonStatus, Failure> {
    let mut status = app.engine.daemon_status().await?;
    let urls = app.doors.urls().borrow().clone();
    if let Some(first) = urls.first() {
        status.endpoint.clone_from(first);
    }
    status.endpoints.extend(urls);
    status.hooks = app.hooks.uses().await?;
    status.tls = app.doors.tls_info();
    status.audit_problem = app.audit.problem();
    Ok(status)
}

/// `POST /daemon/start`: it has started, or nobody would answer. A port or host that is new adds a listener (C3).
#[utoipa::path(
    post,
    path = "/daemon/start",
    operation_id = "start_daemon",
    tag = "daemon",
    request_body = Option<StartRequest>,
    responses((status = 200, description = "It runs", body = DaemonStatus)),
)]
pub(crate) async fn start(
    State(app): State<App>,
    asker: Asker,
    Body(request): Body<StartRequest>,
) -> Result<Json<DaemonStatus>, Failure> {
    if request != StartRequest::default() {
        asker.must_be_outside("open a port").await?;
        let host = request.host.unwrap_or_else(|| String::from("127.0.0.1"));
        let bound = app.doors.add(&host, request.port.unwrap_or(0)).await.map_err(DoorError::into_failure)?;
        for bound in bound {
            app.entrance.open(bound, router(app.clone()));
        }
    }
    Ok(Json(full_status(&app).await?))
}

/// `POST /daemon/stop`: 202; the daemon is gone when its connections end.
#[utoipa::path(
    post,
    path = "/daemon/stop",
    operation_id = "stop_daemon",
    tag = "daemon",
    request_body = Option<NoFields>,
    responses((status = 202, description = "It ends", body = DaemonStatus)),
)]
pub(crate) async fn stop(
    State(app): State<App>,
    asker: Asker,
    Body(NoFields {}): Body<NoFields>,
) -> Result<(StatusCode, Json<DaemonStatus>), Failure> {
    end(&app, &asker, StopKind::Stop, "stop the daemon").await
}

/// `POST /daemon/restart`: 202.
#[utoipa::path(
    post,
    path = "/daemon/restart",
    operation_id = "restart_daemon",
    tag = "daemon",
    request_body = Option<NoFields>,
    responses((status = 202, description = "It ends", body = DaemonStatus)),
)]
pub(crate) async fn restart(
    State(app): State<App>,
    asker: Asker,
    Body(NoFields {}): Body<NoFields>,
) -> Result<(StatusCode, Json<DaemonStatus>), Failure> {
    end(&app, &asker, StopKind::Restart, "restart the daemon").await
}

async fn end(
    app: &App,
    asker: &Asker,
    kind: StopKind,
    what: &str,
) -> Result<(StatusCode, Json<DaemonStatus>), Failure> {
    asker.must_be_outside(what).await?;
    let status = app.engine.daemon_status().await?;
    app.engine.request_stop(kind);
    let status = DaemonStatus { status: String::from("stopping"), ..status };
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// `POST /daemon/reload`.
#[utoipa::path(
    post,
    path = "/daemon/reload",
    operation_id = "reload_daemon",
    tag = "daemon",
    request_body = Option<NoFields>,
    responses((status = 200, description = "The configuration was read anew", body = Reloaded)),
)]
pub(crate) async fn reload(
    State(app): State<App>,
    asker: Asker,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<Reloaded>, Failure> {
    asker.must_be_outside("reload the configuration").await?;
    let reloaded = app.engine.reload().await?;
    app.doors.refresh_certificate().await.map_err(|error| {
        let why = format!(
            "the configuration was reloaded, but the former certificate stays in use: cannot {error}"
        );
        Failure::new(Code::ConfigInvalid, why)
    })?;
    Ok(Json(reloaded))
}
