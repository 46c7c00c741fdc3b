//! `skep acp`: the ACP agent that an editor starts.

use clap::Args;
use skep_common::session::PermissionMode;

use crate::acp::{self, Choice};
use crate::arguments::Mode;
use crate::context::Context;
use crate::error::Outcome;

/// Be an ACP agent for an editor, on standard input and output.
///
/// For the editor's settings, not for the keyboard. The sessions that the editor opens are sessions as any other: they
/// go on when the editor is closed, and are found again in the editor and with `skep ps`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AcpArgs {
    /// The agent of new sessions; `skep agents` lists them. The configured default where none is given.
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// What happens to permission requests in new sessions, until the editor chooses another mode.
    #[arg(long, value_name = "MODE", value_enum)]
    permission_mode: Option<Mode>,
}

/// Serves the editor until it closes standard input.
pub(crate) async fn run(ctx: &Context, args: AcpArgs) -> Outcome {
    let mode = args.permission_mode.map(PermissionMode::from);
    acp::serve(ctx, Choice { agent: args.agent, mode }).await
}
