//! `skep`: one binary, three roles. This is the command line; `skep daemon run` becomes the supervisor, the hidden
//! `skep worker --id …`, `skep shim` and `skep agent shell` are what it starts.
//!
//! Architecture invariant: this crate alone prints, and only `main` ends the process.

#[cfg(windows)]
compile_error!(
    "skep does not run on Windows: it needs Unix sockets with peer credentials and process groups"
);

mod acp;
mod arguments;
mod attachments;
mod autostart;
mod capture;
mod cli;
mod client;
mod commands;
mod context;
mod error;
mod exit;
mod first_password;
mod hidden;
mod hints;
mod log_stream;
mod mcp;
mod notify;
mod outcome;
mod overtake;
mod parse;
mod prompt_input;
mod question;
mod register;
mod render;
mod rule_args;
mod session_options;
mod settings;
mod start;
mod telemetry;
mod terminal;
mod transcript;
mod turn;
mod versions;

use std::process::ExitCode;

use cli::{Cli, Command};
use context::Context;
use error::{CliError, Outcome};

fn main() -> ExitCode {
    if let Some(code) = hidden::dispatch() {
        return code;
    }
    let cli = match parse::command_line() {
        Ok(cli) => cli,
        Err(exit) => return ExitCode::from(exit.status()),
    };
    let screen = context::screen(&cli.globals);
    let exit = run(cli).unwrap_or_else(|error| {
        screen.error(&error);
        error.exit()
    });
    ExitCode::from(exit.status())
}

fn run(cli: Cli) -> Outcome {
    let ctx = Context::new(&cli.globals)?;
    // The daemon settles its process before there is a runtime, and builds its own.
    if let Some(options) = commands::daemon::run::foreground(&cli.command) {
        return commands::daemon::run::run(&ctx, &options);
    }
    block_on(&ctx, cli.command)
}

fn block_on(ctx: &Context, command: Command) -> Outcome {
    telemetry::for_client(ctx);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        match commands::run(ctx, command).await {
            Err(error) => Err(versions::explain(ctx, error).await),
            done @ Ok(_) => done,
        }
    });
    // A thread that waits for a line from the terminal ends with the process.
    runtime.shutdown_background();
    outcome
}
