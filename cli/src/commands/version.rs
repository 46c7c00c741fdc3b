//! `skep version`: the version of this binary and of the daemon.

use clap::Args;

use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// Print the version, and the running daemon's.
#[derive(Debug, Clone, Args)]
pub(crate) struct VersionArgs {}

/// This binary's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the versions. That no daemon runs is no error here.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let daemon = ctx.client().health().await.ok().map(|health| health.version);
    if ctx.screen.json() {
        ctx.screen.value(
            &serde_json::json!({"version": VERSION, "daemon": daemon, "api": skep_common::api::API}),
        )?;
        return Ok(Exit::Completed);
    }
    ctx.screen.line(format!("skep {VERSION}"))?;
    match daemon {
        Some(version) if version != VERSION => {
            ctx.screen.line(format!("daemon {version} (`skep daemon restart` starts {VERSION})"))?;
        }
        Some(version) => ctx.screen.line(format!("daemon {version}"))?,
        None => {}
    }
    Ok(Exit::Completed)
}
