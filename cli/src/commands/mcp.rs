//! `skep mcp`: the MCP server that an agent starts.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::error::Outcome;
use crate::mcp;

/// Be an MCP server, on standard input and output: tools that open, prompt, watch and close sessions.
///
/// For an agent's settings, not for the keyboard; `skep run --delegate` and `skep bg --delegate` give it to a session's
/// agent. Inside a session it opens sessions of that one and reaches those alone, within the limits of `[delegation]`;
/// none of its tools answers a permission request.
#[derive(Debug, Clone, Args)]
pub(crate) struct McpArgs {
    /// Act under the token in this file, such as `skep token create` makes (also: the token itself in SKEP_TOKEN).
    ///
    /// Without it: inside a session under a token for the sessions of that one, else with the user's own authority.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Serves the agent until it closes standard input.
pub(crate) async fn run(ctx: &Context, args: McpArgs) -> Outcome {
    mcp::serve(ctx, args.token_file.as_deref()).await
}
