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
pub(crate) async fn list(State(app): State<App>) -> Result<Json<WorkerList>, Failure> {
    Ok(Json(WorkerList { workers: app.engine.workers().await? }))
}

/// `GET /workers/{id}`.
pub(crate) async fn show(State(app): State<App>, names: Names) -> Result<Json<WorkerInfo>, Failure> {
    Ok(Json(app.engine.worker(names.first()).await?))
}

/// `POST /workers`.
pub(crate) async fn add(
    State(app): State<App>,
    asker: Asker,
    Body(request): Body<AddWorker>,
) -> Result<(StatusCode, Json<WorkerInfo>), Failure> {
    asker.must_be_outside("add workers").await?;
    Ok((StatusCode::CREATED, Json(app.engine.add_worker(request).await?)))
}

/// `DELETE /workers/{id}`.
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
pub(crate) async fn restart(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<WorkerInfo>, Failure> {
    act(&app, &asker, &names, WorkerAction::Restart).await
}

/// `POST /workers/{id}/park`.
pub(crate) async fn park(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<WorkerInfo>, Failure> {
    act(&app, &asker, &names, WorkerAction::Park).await
}

/// `POST /workers/{id}/unpark`.
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
