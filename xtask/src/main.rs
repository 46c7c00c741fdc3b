//! Development commands: `cargo xtask check`, `agents`, `install`, `bench`, `demo`, `soak`, `gen`.

mod agents;
mod bench;
mod check;
mod demo;
mod generate;
mod run;
mod soak;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development commands of skep.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check and every test; report all that failed.
    Check,
    /// Run only the tests with real agents from npm, installed at their pinned versions.
    Agents,
    /// Install what others wrote and the tests drive, without running anything.
    Install,
    /// Measure what skep costs, as figures and ratios of one run.
    Bench(bench::Bench),
    /// Show something to a person.
    Demo {
        /// What to show.
        #[command(subcommand)]
        what: demo::Demo,
    },
    /// Run the hard promises for a long time.
    Soak(soak::Soak),
    /// Write the man page and the shell completions to packaging/, and docs/openapi.json.
    Gen,
}

fn main() -> ExitCode {
    let result = match Xtask::parse().command {
        Command::Check => check::run(),
        Command::Agents => agents::test(),
        Command::Install => agents::install(),
        Command::Bench(bench) => bench.run(),
        Command::Demo { what } => what.run(),
        Command::Soak(soak) => soak.run(),
        Command::Gen => generate::run_all(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
