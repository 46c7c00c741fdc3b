//! `/workers`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use skep_common::api::{AddWorker, WorkerInfo, WorkerList};
use skep_supervisor::engine::WorkerAction;

use crate::body::{Body, Names};
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::App;
use crate::routes::sessions::NoFields;

/// `GET /workers`.
#[utoipa::path(
    get,
    path = "/workers",
    operation_id = "list_workers",
    tag = "workers",
    responses((status = 200, description = "The workers", body = WorkerList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<WorkerList>, Failure> {
    Ok(Json(WorkerList { workers: app.engine.workers_with_usage().await? }))
}

/// `GET /workers/{id}`.
#[utoipa::path(
    get,
    path = "/workers/{id}",
    operation_id = "get_worker",
    tag = "workers",
    params(("id" = String, Path, description = "The worker: its id, or its pid")),
    responses((status = 200, description = "The worker", body = WorkerInfo)),
)]
pub(crate) async fn show(State(app): State<App>, names: Names) -> Result<Json<WorkerInfo>, Failure> {
    Ok(Json(app.engine.worker(names.first()).await?))
}

/// `POST /workers`.
#[utoipa::path(
    post,
    path = "/workers",
    operation_id = "add_worker",
    tag = "workers",
    request_body = Option<AddWorker>,
    responses((status = 201, description = "Added", body = WorkerInfo)),
)]
pub(crate) async fn add(
    State(app): State<App>,
    asker: Asker,
    Body(request): Body<AddWorker>,
) -> Result<(StatusCode, Json<WorkerInfo>), Failure> {
    asker.must_be_outside("add workers").await?;
    Ok((StatusCode::CREATED, Json(app.engine.add_worker(request).await?)))
}

/// `DELETE /workers/{id}`.
#[utoipa::path(
    delete,
    path = "/workers/{id}",
    operation_id = "delete_worker",
    tag = "workers",
    params(("id" = String, Path, description = "The worker: its id, or its pid")),
    responses((status = 204, description = "Its processes are gone; it stays listed, as stopped")),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    asker: Asker,
    names: Names,
) -> Result<StatusCode, Failure> {
    asker.must_be_outside("kill workers").await?;
    app.engine.act_on_worker(names.first(), WorkerAction::Kill).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /workers/{id}/restart`.
#[utoipa::path(
    post,
    path = "/workers/{id}/restart",
    operation_id = "restart_worker",
    tag = "workers",
    params(("id" = String, Path, description = "The worker: its id, or its pid")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "Done", body = WorkerInfo)),
)]
pub(crate) async fn restart(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<WorkerInfo>, Failure> {
    act(&app, &asker, &names, WorkerAction::Restart).await
}

/// `POST /workers/{id}/park`.
#[utoipa::path(
    post,
    path = "/workers/{id}/park",
    operation_id = "park_worker",
    tag = "workers",
    params(("id" = String, Path, description = "The worker: its id, or its pid")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "Done", body = WorkerInfo)),
)]
pub(crate) async fn park(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<WorkerInfo>, Failure> {
    act(&app, &asker, &names, WorkerAction::Park).await
}

/// `POST /workers/{id}/unpark`.
#[utoipa::path(
    post,
    path = "/workers/{id}/unpark",
    operation_id = "unpark_worker",
    tag = "workers",
    params(("id" = String, Path, description = "The worker: its id, or its pid")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "Done", body = WorkerInfo)),
)]
pub(crate) async fn unpark(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<WorkerInfo>, Failure> {
    act(&app, &asker, &names, WorkerAction::Unpark).await
}

async fn act(
    app: &App,
    asker: &Asker,
    names: &Names,
    action: WorkerAction,
) -> Result<Json<WorkerInfo>, Failure> {
    asker.must_be_outside("administer workers").await?;
    // A pid names the process of this moment; afterwards the worker may have another.
    let worker = app.engine.worker(names.first()).await?;
    app.engine.act_on_worker(worker.id.as_str(), action).await?;
    Ok(Json(app.engine.worker(worker.id.as_str()).await?))
}
