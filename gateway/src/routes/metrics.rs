//! Numbers: `/api/v1/metrics` as JSON, `/metrics` for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use skep_common::api::Metrics;

use crate::error::Failure;
use crate::prometheus;
use crate::router::App;

/// `GET /metrics` below `/api/v1`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "metrics",
    responses((status = 200, description = "The numbers", body = Metrics)),
)]
pub(crate) async fn show(State(app): State<App>) -> Result<Json<Metrics>, Failure> {
    Ok(Json(all(&app).await?))
}

/// The engine's numbers, and those of the hooks.
async fn all(app: &App) -> Result<Metrics, Failure> {
    Ok(Metrics { hooks: app.hooks.uses().await?, ..app.engine.metrics().await? })
}

/// `GET /metrics`, in the text format that Prometheus reads.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "prometheus_metrics",
    tag = "metrics",
    responses((status = 200, description = "The numbers", body = String, content_type = "application/openmetrics-text")),
)]
pub(crate) async fn text(State(app): State<App>) -> Result<Response, Failure> {
    let metrics = all(&app).await?;
    let text =
        prometheus::text(&metrics).map_err(|error| Failure::internal("metrics cannot be written", &error))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(prometheus::TYPE))], text).into_response())
}
