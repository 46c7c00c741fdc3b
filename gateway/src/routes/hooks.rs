//! `/hooks` and `/deliveries`: who is told of what happens, and what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use skep_common::api::{DeliveryInfo, DeliveryList, DeliveryQuery, HookList, HookTested};
use skep_common::code::Code;
use skep_common::ids::DeliveryId;

use crate::body::{Body, Names, Params};
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::App;
use crate::routes::sessions::NoFields;

/// `GET /hooks`.
#[utoipa::path(
    get,
    path = "/hooks",
    operation_id = "list_hooks",
    tag = "hooks",
    responses((status = 200, description = "The configured hooks, without their secrets", body = HookList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<HookList>, Failure> {
    Ok(Json(app.hooks.list().await?))
}

/// `POST /hooks/{name}/test`: one attempt with an event of its own (`test`), whatever the hook tells of.
#[utoipa::path(
    post,
    path = "/hooks/{name}/test",
    operation_id = "test_hook",
    tag = "hooks",
    params(("name" = String, Path, description = "The hook's name in the configuration")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "It was tried: arrived or not", body = HookTested)),
)]
pub(crate) async fn test(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<HookTested>, Failure> {
    asker.must_be_outside("try hooks").await?;
    Ok(Json(app.hooks.test(names.first()).await?))
}

/// `GET /deliveries`.
#[utoipa::path(
    get,
    path = "/deliveries",
    operation_id = "list_deliveries",
    tag = "hooks",
    params(DeliveryQuery),
    responses((status = 200, description = "What hooks had to tell, the latest first", body = DeliveryList)),
)]
pub(crate) async fn deliveries(
    State(app): State<App>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<DeliveryList>, Failure> {
    Ok(Json(DeliveryList { deliveries: app.hooks.deliveries(query).await? }))
}

/// `POST /deliveries/{id}/retry`: one that waits is tried now, one that was given up from the beginning.
#[utoipa::path(
    post,
    path = "/deliveries/{id}/retry",
    operation_id = "retry_delivery",
    tag = "hooks",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    request_body = Option<NoFields>,
    responses((status = 200, description = "It is tried again", body = DeliveryInfo)),
)]
pub(crate) async fn retry(
    State(app): State<App>,
    asker: Asker,
    names: Names,
    Body(NoFields {}): Body<NoFields>,
) -> Result<Json<DeliveryInfo>, Failure> {
    asker.must_be_outside("retry deliveries").await?;
    Ok(Json(app.hooks.retry(id(&names)?).await?))
}

/// `DELETE /deliveries/{id}`: what waits, or was given up and needs nobody any more.
#[utoipa::path(
    delete,
    path = "/deliveries/{id}",
    operation_id = "dismiss_delivery",
    tag = "hooks",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 204, description = "It is forgotten")),
)]
pub(crate) async fn dismiss(
    State(app): State<App>,
    asker: Asker,
    names: Names,
) -> Result<StatusCode, Failure> {
    asker.must_be_outside("dismiss deliveries").await?;
    app.hooks.dismiss(id(&names)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn id(names: &Names) -> Result<DeliveryId, Failure> {
    names.first().parse().map_err(|_| Failure::new(Code::InvalidValue, "a delivery's id is a UUID"))
}
