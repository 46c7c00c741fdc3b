//! `skep worker`: the worker processes.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use skep_common::api::{WorkerInfo, WorkerList};
use skep_common::words;

use crate::arguments::WorkerRef;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::log_stream::{self, LogArgs};
use crate::render::table;

/// Look at workers, and restart, park or unpark them.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    command: WorkerCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum WorkerCommand {
    /// List the workers.
    #[command(visible_alias = "list")]
    Ls,
    /// Restart a worker; its turns are interrupted.
    Restart(OneWorker),
    /// Stop a worker, and keep it stopped until it is unparked.
    Park(OneWorker),
    /// Let a parked worker start again.
    Unpark(OneWorker),
    /// Kill a worker and remove it.
    Kill(OneWorker),
    /// Show what workers wrote, each line with its worker's name.
    Logs(WorkerLogsArgs),
}

#[derive(Debug, Clone, Args)]
struct OneWorker {
    /// The worker: its id or its pid.
    #[arg(value_name = "WORKER")]
    worker: WorkerRef,
}

#[derive(Debug, Clone, Args)]
struct WorkerLogsArgs {
    /// The workers: ids or pids; all of them where none is given.
    #[arg(value_name = "WORKER")]
    workers: Vec<WorkerRef>,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the subcommand.
pub(crate) async fn run(ctx: &Context, args: WorkerArgs) -> Outcome {
    let client = ctx.client();
    match args.command {
        WorkerCommand::Ls => list(ctx, &client).await,
        WorkerCommand::Restart(one) => act(ctx, &client, &one.worker, "restart").await,
        WorkerCommand::Park(one) => act(ctx, &client, &one.worker, "park").await,
        WorkerCommand::Unpark(one) => act(ctx, &client, &one.worker, "unpark").await,
        WorkerCommand::Kill(one) => kill(ctx, &client, &one.worker).await,
        WorkerCommand::Logs(args) => logs(ctx, &client, &args).await,
    }
}

async fn list(ctx: &Context, client: &Client) -> Outcome {
    let list: WorkerList = client.get("/workers").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        ctx.screen.line(table::workers(&list.workers, Timestamp::now(), ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}

async fn act(ctx: &Context, client: &Client, worker: &WorkerRef, action: &str) -> Outcome {
    let before: WorkerInfo = client.get(&format!("/workers/{worker}")).await?;
    let path = format!("/workers/{}", before.id);
    client.post_done(&format!("{path}/{action}"), &serde_json::json!({})).await?;
    let info: WorkerInfo = client.get(&path).await?;
    if ctx.screen.json() {
        ctx.screen.value(&info)?;
    } else {
        ctx.screen.line(format!("{action}: worker {}: {}", info.id, words::worker_state(info.state)))?;
    }
    Ok(Exit::Completed)
}

async fn kill(ctx: &Context, client: &Client, worker: &WorkerRef) -> Outcome {
    let info: WorkerInfo = client.get(&format!("/workers/{worker}")).await?;
    client.delete(&format!("/workers/{}", info.id)).await?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"worker": info.id, "killed": true}))?;
    } else {
        ctx.screen.line(format!("killed: worker {}", info.id))?;
    }
    Ok(Exit::Completed)
}

async fn logs(ctx: &Context, client: &Client, args: &WorkerLogsArgs) -> Outcome {
    let list: WorkerList = client.get("/workers").await?;
    let known = |wanted: &WorkerRef| {
        list.workers
            .iter()
            .find(|worker| {
                worker.id == *wanted
                    || worker.process.as_ref().is_some_and(|p| p.pid.to_string() == wanted.as_str())
            })
            .map(|worker| worker.id.clone())
            .ok_or_else(|| {
                CliError::new(Exit::NotFound, format!("no worker `{wanted}`"))
                    .hint("`skep worker ls` lists the workers")
            })
    };
    let workers = if args.workers.is_empty() {
        list.workers.iter().map(|worker| worker.id.clone()).collect()
    } else {
        args.workers.iter().map(known).collect::<Result<Vec<_>, _>>()?
    };
    let sources = workers
        .iter()
        .map(|id| (id.to_string(), format!("/workers/{id}/logs?{}", args.log.query())))
        .collect();
    log_stream::prefixed(ctx, client, sources).await
}
