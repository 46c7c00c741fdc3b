//! `/agents`.

use axum::Json;
use axum::extract::State;
use skep_common::api::AgentList;

use crate::error::Failure;
use crate::router::App;

/// `GET /agents`. Looks for programs on disk, so it runs on a blocking thread.
#[utoipa::path(
    get,
    path = "/agents",
    operation_id = "list_agents",
    tag = "agents",
    responses((status = 200, description = "The agents", body = AgentList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<AgentList>, Failure> {
    let engine = app.engine.clone();
    let agents = tokio::task::spawn_blocking(move || engine.agents()).await;
    agents.map(Json).map_err(|error| Failure::internal("the search for agents crashed", &error))
}
