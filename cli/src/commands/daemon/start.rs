//! `skep daemon start`: a daemon in the background. A second start reports the first.

use clap::Args;
use skep_common::api::DaemonStatus;

use super::DaemonOptions;
use crate::autostart;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::first_password;

/// Start the daemon in the background, and wait until it serves. If one runs, report that one.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) options: DaemonOptions,
    /// Stay in the foreground: the same as `daemon run`.
    #[arg(long)]
    pub(crate) foreground: bool,
}

/// Starts the daemon.
pub(crate) async fn run(ctx: &Context, args: &StartArgs) -> Outcome {
    args.options.check()?;
    let (client, _) = autostart::start(ctx, &args.options.words()?, &args.options.hosts).await?;
    let mut status: DaemonStatus = client.get("/daemon").await?;
    if !args.options.hosts.is_empty() {
        // One that ran already may have needed none so far.
        first_password::make_if_needed(ctx, &args.options.hosts)?;
    }
    // One that ran already takes new listeners as well; one that was just started has them (C3).
    for request in args.options.listeners() {
        status = client.post("/daemon/start", &request).await?;
    }
    report(ctx, &status)?;
    Ok(Exit::Completed)
}

/// Says which daemon serves; the same for everybody who asks.
pub(super) fn report(ctx: &Context, status: &DaemonStatus) -> Result<(), crate::error::CliError> {
    if ctx.screen.json() {
        return ctx.screen.value(&serde_json::json!({
            "status": status.status,
            "pid": status.pid,
            "endpoint": status.endpoint,
            "endpoints": status.endpoints,
            "startedAt": status.started_at,
            "version": status.version,
        }));
    }
    ctx.screen.line(format!("running: pid {}, {}", status.pid, status.endpoints.join(", ")))
}
