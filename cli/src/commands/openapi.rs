//! `skep openapi`: the API's description, without a daemon.

use clap::Args;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// Print the OpenAPI document of the HTTP API.
#[derive(Debug, Clone, Args)]
pub(crate) struct OpenApiArgs {}

/// Prints it.
pub(crate) fn run(ctx: &Context) -> Outcome {
    ctx.screen.raw(skep_gateway::openapi_json().as_bytes())?;
    Ok(Exit::Completed)
}
