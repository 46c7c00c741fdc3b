//! `skep hooks`: who is told of what happens, what waits to be told, and trying again.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use skep_common::api::{DeliveryInfo, DeliveryList, HookList, HookTested};
use skep_common::ids::DeliveryId;
use skep_common::sanitise::one_line;

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::hooks;

/// See who is told of what happens (`[hooks.NAME]` in the configuration), try a hook, and what it had to tell.
#[derive(Debug, Clone, Args)]
pub(crate) struct HooksArgs {
    #[command(subcommand)]
    command: HooksCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum HooksCommand {
    /// List the hooks, and how they do.
    #[command(visible_alias = "list")]
    Ls,
    /// Send an event of its own to a hook, once, and say what came of it.
    Test(TestArgs),
    /// List what waits to be told, was given up, or arrived since the daemon's start, the latest first.
    Deliveries(DeliveriesArgs),
    /// Try deliveries again: now if they wait, from the beginning if they were given up.
    Retry(WhichArgs),
    /// Forget deliveries that wait, or were given up and need nobody any more.
    Dismiss(WhichArgs),
}

#[derive(Debug, Clone, Args)]
struct TestArgs {
    /// The hook.
    #[arg(value_name = "NAME")]
    hook: HookName,
}

#[derive(Debug, Clone, Args)]
struct DeliveriesArgs {
    /// Only those of this hook.
    #[arg(long, value_name = "NAME")]
    hook: Option<HookName>,
    /// Only those that stand so.
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<StateWord>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Clone, Args)]
struct WhichArgs {
    /// The deliveries: their ids, as `skep hooks deliveries` shows them.
    #[arg(value_name = "ID", required_unless_present = "dead")]
    ids: Vec<DeliveryId>,
    /// All that were given up.
    #[arg(long, conflicts_with = "ids")]
    dead: bool,
}

/// A delivery's state, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateWord {
    /// It waits for its next attempt, or is on its way.
    Pending,
    /// It was given up.
    Dead,
    /// It arrived.
    Delivered,
}

/// A hook's name: it goes into a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HookName(String);

impl FromStr for HookName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(String::from("a name is letters, digits, `_` or `-`"))
        }
    }
}

/// Runs the subcommand.
pub(crate) async fn run(ctx: &Context, args: HooksArgs) -> Outcome {
    match args.command {
        HooksCommand::Ls => list(ctx).await,
        HooksCommand::Test(args) => test(ctx, &args.hook.0).await,
        HooksCommand::Deliveries(args) => deliveries(ctx, &args).await,
        HooksCommand::Retry(args) => retry(ctx, args).await,
        HooksCommand::Dismiss(args) => dismiss(ctx, args).await,
    }
}

async fn list(ctx: &Context) -> Outcome {
    let list: HookList = ctx.client().get("/hooks").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
        return Ok(Exit::Completed);
    }
    ctx.screen.line(hooks::table(&list.hooks, Timestamp::now(), ctx.screen.out))?;
    for hook in &list.hooks {
        if let Some(error) = &hook.last_error {
            ctx.screen.line(format!("{}: {}", hook.name, one_line(error)))?;
        }
    }
    if let Some(problem) = &list.problem {
        ctx.screen.line(one_line(problem))?;
    }
    Ok(Exit::Completed)
}

async fn test(ctx: &Context, hook: &str) -> Outcome {
    let tested: HookTested = ctx.client().post(&format!("/hooks/{hook}/test"), &json!({})).await?;
    if ctx.screen.json() {
        ctx.screen.value(&tested)?;
    } else {
        let word = if tested.delivered { "arrived" } else { "did not arrive" };
        ctx.screen.line(format!("{word}: {} ({} ms)", one_line(&tested.detail), tested.took_ms))?;
    }
    Ok(if tested.delivered { Exit::Completed } else { Exit::Failed })
}

async fn deliveries(ctx: &Context, args: &DeliveriesArgs) -> Outcome {
    let mut path = format!("/deliveries?limit={}", args.limit);
    if let Some(HookName(hook)) = &args.hook {
        path = format!("{path}&hook={hook}");
    }
    if let Some(state) = args.state {
        let word = match state {
            StateWord::Pending => "pending",
            StateWord::Dead => "dead",
            StateWord::Delivered => "delivered",
        };
        path = format!("{path}&state={word}");
    }
    let list: DeliveryList = ctx.client().get(&path).await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        ctx.screen.line(hooks::deliveries(&list.deliveries, Timestamp::now(), ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}

async fn retry(ctx: &Context, args: WhichArgs) -> Outcome {
    for id in which(ctx, args).await? {
        let delivery: DeliveryInfo =
            ctx.client().post(&format!("/deliveries/{id}/retry"), &json!({})).await?;
        if ctx.screen.json() {
            ctx.screen.value(&delivery)?;
        } else {
            ctx.screen.line(format!("tried again: {id}"))?;
        }
    }
    Ok(Exit::Completed)
}

async fn dismiss(ctx: &Context, args: WhichArgs) -> Outcome {
    for id in which(ctx, args).await? {
        ctx.client().delete(&format!("/deliveries/{id}")).await?;
        if ctx.screen.json() {
            ctx.screen.value(&json!({"delivery": id, "dismissed": true}))?;
        } else {
            ctx.screen.line(format!("dismissed: {id}"))?;
        }
    }
    Ok(Exit::Completed)
}

/// The deliveries that are meant.
async fn which(ctx: &Context, args: WhichArgs) -> Result<Vec<DeliveryId>, CliError> {
    if !args.dead {
        return Ok(args.ids);
    }
    let list: DeliveryList = ctx.client().get("/deliveries?state=dead&limit=1000").await?;
    Ok(list.deliveries.into_iter().map(|delivery| delivery.id).collect())
}
