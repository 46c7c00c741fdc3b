//! `skep config`: the configuration file, and what it comes to.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use skep_config::DEFAULT_TOML;

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::settings;

/// Show, check or write the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// Print the settings as they are after defaults, file and environment.
    Show,
    /// Check the configuration file, or another file.
    Check {
        /// Check this file instead.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print where the configuration file is.
    Path,
    /// Write the default configuration file, every key documented.
    Init {
        /// Replace a file that is there.
        #[arg(short, long)]
        force: bool,
    },
}

/// Runs the subcommand.
pub(crate) fn run(ctx: &Context, args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Show => show(ctx),
        ConfigCommand::Check { file } => check(ctx, file.as_deref()),
        ConfigCommand::Path => path(ctx),
        ConfigCommand::Init { force } => init(ctx, *force),
    }
}

fn show(ctx: &Context) -> Outcome {
    let text = settings::load(ctx)?.to_toml();
    if ctx.screen.json() {
        let value: toml::Table =
            text.parse().map_err(|error| CliError::failed(format!("cannot show the settings: {error}")))?;
        ctx.screen.value(&value)?;
    } else {
        ctx.screen.raw(text.as_bytes())?;
    }
    Ok(Exit::Completed)
}

fn check(ctx: &Context, file: Option<&std::path::Path>) -> Outcome {
    let shown = match file {
        None => {
            settings::load(ctx)?;
            ctx.paths.config_file().display().to_string()
        }
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| CliError::usage(format!("cannot read {}: {error}", file.display())))?;
            let origin = file.display().to_string();
            skep_config::parse(&text, &origin).map_err(settings::invalid)?;
            origin
        }
    };
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"valid": true, "file": shown}))?;
    } else if file.is_none() && !ctx.paths.config_file().exists() {
        ctx.screen.line(format!("{shown}: there is no such file; the defaults hold"))?;
    } else {
        ctx.screen.line(format!("{shown}: valid"))?;
    }
    Ok(Exit::Completed)
}

fn path(ctx: &Context) -> Outcome {
    let path = ctx.paths.config_file();
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"path": path, "exists": path.exists()}))?;
    } else {
        ctx.screen.line(path.display().to_string())?;
    }
    Ok(Exit::Completed)
}

fn init(ctx: &Context, force: bool) -> Outcome {
    let path = ctx.paths.config_file();
    if path.exists() && !force {
        return Err(
            CliError::usage(format!("{} is there already", path.display())).hint("`--force` replaces it")
        );
    }
    let failed =
        |error: std::io::Error| CliError::failed(format!("cannot write {}: {error}", path.display()));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    skep_sys::statefile::write_atomic(path, DEFAULT_TOML.as_bytes()).map_err(failed)?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"path": path, "written": true}))?;
    } else {
        ctx.screen.line(format!("written: {}", path.display()))?;
    }
    Ok(Exit::Completed)
}
