//! `/permissions`: questions that wait for a person (N7).

use axum::Json;
use axum::extract::State;
use skep_common::api::{AnswerAccepted, AnswerRequest, PermissionList};
use skep_common::ids::PermissionId;

use crate::body::{Body, Names};
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::App;
use crate::routes::sessions::By;

/// `GET /permissions`.
#[utoipa::path(
    get,
    path = "/permissions",
    operation_id = "list_permissions",
    tag = "permissions",
    responses((status = 200, description = "What waits", body = PermissionList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<PermissionList>, Failure> {
    Ok(Json(PermissionList { permissions: app.engine.permissions().await? }))
}

/// `POST /sessions/{id}/permissions/{permission}`.
#[utoipa::path(
    post,
    path = "/sessions/{id}/permissions/{permission}",
    operation_id = "answer_permission",
    tag = "permissions",
    params(("id" = String, Path, description = "The session: its id, its name, or a unique beginning of either"), ("permission" = PermissionId, Path, description = "The request")),
    request_body = AnswerRequest,
    responses((status = 200, description = "Answered", body = AnswerAccepted)),
)]
pub(crate) async fn answer(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    By(caller): By,
    Body(request): Body<AnswerRequest>,
) -> Result<Json<AnswerAccepted>, Failure> {
    let permission = names.second()?;
    asker.must_be_outside("answer a permission request").await?;
    let session = app.engine.session(names.first()).await?;
    Ok(Json(app.engine.answer(session.id, permission, request, &caller).await?))
}
