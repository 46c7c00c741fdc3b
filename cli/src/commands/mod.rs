//! The commands, one file each: their options, and what they do.

pub(crate) mod acp;
pub(crate) mod agents;
pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod attach;
pub(crate) mod audit;
pub(crate) mod bg;
pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod doctor;
pub(crate) mod hooks;
pub(crate) mod inbox;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod mcp;
pub(crate) mod open;
pub(crate) mod openapi;
pub(crate) mod password;
pub(crate) mod prompt;
pub(crate) mod ps;
pub(crate) mod release;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod set;
pub(crate) mod token;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod worker;

use crate::cli::Command;
use crate::context::Context;
use crate::error::Outcome;

/// Runs a command that talks to the daemon.
pub(crate) async fn run(ctx: &Context, command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(ctx, args).await,
        Command::Bg(args) => bg::run(ctx, args).await,
        Command::Prompt(args) => prompt::run(ctx, args).await,
        Command::Attach(args) => attach::run(ctx, args).await,
        Command::Ps(args) => ps::run(ctx, &args).await,
        Command::Logs(args) => logs::run(ctx, &args).await,
        Command::Wait(args) => wait::run(ctx, &args).await,
        Command::Inbox(_) => inbox::run(ctx).await,
        Command::Allow(args) => answer::allow(ctx, &args).await,
        Command::Deny(args) => answer::deny(ctx, &args).await,
        Command::Set(args) => set::run(ctx, &args).await,
        Command::Cancel(args) => cancel::run(ctx, &args).await,
        Command::Release(args) => release::run(ctx, &args).await,
        Command::Close(args) => close::run(ctx, &args).await,
        Command::Kill(args) => kill::run(ctx, &args).await,
        Command::Rm(args) => rm::run(ctx, &args).await,
        Command::Worker(args) => worker::run(ctx, args).await,
        Command::Daemon(args) => daemon::run(ctx, args).await,
        Command::Agents(args) => agents::run(ctx, &args).await,
        Command::Open(args) => open::run(ctx, &args).await,
        Command::Token(args) => token::run(ctx, args).await,
        Command::Audit(args) => audit::run(ctx, &args).await,
        Command::Password(args) => password::run(ctx, &args),
        Command::Hooks(args) => hooks::run(ctx, args).await,
        Command::Acp(args) => acp::run(ctx, args).await,
        Command::Mcp(args) => mcp::run(ctx, args).await,
        Command::Api(args) => api::run(ctx, &args).await,
        Command::OpenApi(_) => openapi::run(ctx),
        Command::Config(args) => config::run(ctx, &args),
        Command::Doctor(_) => doctor::run(ctx).await,
        Command::Completions(args) => completions::run(ctx, &args),
        Command::Man(args) => man::run(ctx, &args),
        Command::Version(_) => version::run(ctx).await,
    }
}
