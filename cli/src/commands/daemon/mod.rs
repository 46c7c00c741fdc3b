//! `skep daemon`: the supervisor process.

pub(crate) mod run;

mod foreground;
mod logs;
mod options;
mod reload;
mod restart;
mod start;
mod state;
mod status;
mod stop;

use clap::{Args, Subcommand};

use crate::commands::{attach, bg, kill, ps};
use crate::context::Context;
use crate::error::Outcome;

pub(crate) use options::DaemonOptions;

/// Start, stop and look at the daemon. Without a subcommand: its status.
#[derive(Debug, Clone, Args)]
pub(crate) struct DaemonArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DaemonCommand>,
}

/// The subcommands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DaemonCommand {
    Start(start::StartArgs),
    Stop(stop::StopArgs),
    Restart(restart::RestartArgs),
    Reload(reload::ReloadArgs),
    /// Show the daemon, its workers and its sessions.
    #[command(visible_alias = "ps")]
    Status,
    Run(run::DaemonRunArgs),
    Logs(logs::DaemonLogsArgs),
    /// List the sessions.
    Sessions(ps::PsArgs),
    Bg(Box<bg::BgArgs>),
    Attach(attach::AttachArgs),
    Kill(kill::KillArgs),
}

impl DaemonArgs {
    /// Whether it can run inside another foreground command.
    pub(crate) const fn fits_inside(&self) -> bool {
        !matches!(&self.command, Some(DaemonCommand::Run(_) | DaemonCommand::Attach(_)))
            && !matches!(&self.command, Some(DaemonCommand::Start(args)) if args.foreground)
    }
}

/// Runs the subcommand. The foreground daemon is dispatched before, in `main`.
pub(crate) async fn run(ctx: &Context, args: DaemonArgs) -> Outcome {
    match args.command {
        None | Some(DaemonCommand::Status) => status::run(ctx).await,
        Some(DaemonCommand::Start(args)) => start::run(ctx, &args).await,
        Some(DaemonCommand::Stop(_)) => stop::run(ctx).await,
        Some(DaemonCommand::Restart(args)) => restart::run(ctx, &args).await,
        Some(DaemonCommand::Reload(_)) => reload::run(ctx).await,
        Some(DaemonCommand::Run(_)) => Err(crate::error::CliError::usage("`daemon run` does not work here")),
        Some(DaemonCommand::Logs(args)) => logs::run(ctx, args).await,
        Some(DaemonCommand::Sessions(args)) => ps::run(ctx, &args).await,
        Some(DaemonCommand::Bg(args)) => bg::run(ctx, *args).await,
        Some(DaemonCommand::Attach(args)) => attach::run(ctx, args).await,
        Some(DaemonCommand::Kill(args)) => kill::run(ctx, &args).await,
    }
}
