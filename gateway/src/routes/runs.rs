//! `/runs`: a session and its prompt in one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use skep_common::api::{RunAccepted, RunRequest};

use crate::body::Body;
use crate::error::Failure;
use crate::inside::Asker;
use crate::router::App;
use crate::routes::sessions::{By, check_create, check_prompt};

/// `POST /runs`.
pub(crate) async fn create(
    State(app): State<App>,
    asker: Asker,
    By(caller): By,
    Body(request): Body<RunRequest>,
) -> Result<(StatusCode, Json<RunAccepted>), Failure> {
    check_create(&asker, &request.session).await?;
    check_prompt(&asker, &request.prompt).await?;
    let accepted = app.engine.run(request, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
