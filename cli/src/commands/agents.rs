//! `skep agents`: the agents that skep knows, which of them are here, and what they can do.

use std::sync::Arc;

use clap::Args;
use skep_common::api::{AgentInfo, AgentList, AgentProbe};
use skep_config::Settings;
use skep_worker::agent::probe::probe;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::autostart;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::table;
use crate::settings;
use crate::terminal::Signals;

/// List the agents, which of them were found here, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentsArgs {
    /// Start each agent that was found, to see its version and what it can do.
    #[arg(long)]
    probe: bool,
}

/// Lists the agents.
pub(crate) async fn run(ctx: &Context, args: &AgentsArgs) -> Outcome {
    let client = autostart::client(ctx).await?;
    let mut list: AgentList = client.get("/agents").await?;
    if args.probe && !probe_all(ctx, &mut list.agents).await? {
        return Ok(Exit::Cancelled);
    }
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else if args.probe {
        ctx.screen.line(table::probed_agents(&list.agents, ctx.screen.out))?;
    } else {
        ctx.screen.line(table::agents(&list.agents, ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}

/// Probes the agents that were found, a few at once since each takes a processor for a second or more. False if a
/// signal ended it; nothing of the agents is left then either.
async fn probe_all(ctx: &Context, agents: &mut [AgentInfo]) -> Result<bool, CliError> {
    let settings = settings::load(ctx)?;
    let mut signals = Signals::new()?;
    let prober = Prober::new(ctx)?;
    let probes: Vec<_> = agents
        .iter_mut()
        .filter(|agent| agent.found)
        .map(|agent| (prober.start(&settings, &agent.name), agent))
        .collect();
    prober.tracker.close();
    tokio::select! {
        _ = signals.next() => prober.stop.cancel(),
        () = prober.tracker.wait() => {}
    }
    prober.tracker.wait().await;
    for (probe, agent) in probes {
        let crashed =
            |_| AgentProbe { problem: Some(String::from("the probe crashed")), ..AgentProbe::default() };
        agent.probe = Some(probe.await.unwrap_or_else(crashed));
    }
    Ok(!prober.stop.is_cancelled())
}

/// What all probes have in common.
struct Prober {
    exe: Arc<std::path::Path>,
    state_dir: Arc<std::path::Path>,
    places: Arc<Semaphore>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Prober {
    fn new(ctx: &Context) -> Result<Self, CliError> {
        let exe = std::env::current_exe()
            .map_err(|error| CliError::failed(format!("cannot find this program: {error}")))?;
        let at_once = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self {
            exe: exe.into(),
            state_dir: ctx.paths.state_dir().into(),
            places: Arc::new(Semaphore::new(at_once)),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    fn start(&self, settings: &Settings, name: &str) -> JoinHandle<AgentProbe> {
        let preset = settings.agent(name).cloned();
        let (exe, state_dir, stop) = (Arc::clone(&self.exe), Arc::clone(&self.state_dir), self.stop.clone());
        let places = Arc::clone(&self.places);
        self.tracker.spawn(async move {
            let preset = match preset {
                Ok(preset) => preset,
                // The daemon knows an agent that the file does not name any more.
                Err(why) => return AgentProbe { problem: Some(why), ..AgentProbe::default() },
            };
            // The semaphore is never closed, and without a place the probe would only be slower.
            let _place = places.acquire_owned().await;
            probe(&preset, &exe, &state_dir, &stop).await
        })
    }
}
