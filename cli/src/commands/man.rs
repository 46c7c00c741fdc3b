//! `skep man`: the manual page, generated from the command line's own help.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;

/// Print the manual page, or write one page per command into a directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Write the pages here.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints or writes the manual.
pub(crate) fn run(ctx: &Context, args: &ManArgs) -> Outcome {
    let command = Cli::command();
    match &args.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            ctx.screen.raw(&page)?;
        }
        Some(dir) => clap_mangen::generate_to(command, dir)
            .map_err(|error| CliError::failed(format!("cannot write to {}: {error}", dir.display())))?,
    }
    Ok(Exit::Completed)
}
