//! `skep completions`: completion scripts.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// Print the completion script for a shell.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(ctx: &Context, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut script);
    ctx.screen.raw(&script)?;
    Ok(Exit::Completed)
}
