//! `cargo xtask demo`: shows a promise to a person, with the real binary in a temporary home.

mod agents;
mod api;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use nix::sys::signal::Signal;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

use crate::run::{cargo, run, say};

/// What can be shown.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Demo {
    /// A session in the background survives the death of its worker and of the daemon, with every event.
    Spine,
    /// Agents that others wrote ask, are denied, killed in mid-turn, and resumed with their memory: a table.
    Agents {
        /// Only the agents whose name contains this.
        only: Option<String>,
    },
    /// A stranger with curl works with sessions over TCP, and is refused where it ought to be.
    Api,
}

impl Demo {
    /// Shows it.
    pub(crate) fn run(self) -> Result<()> {
        run(cargo().args(["build", "--package", "skep", "--package", "skep-tests", "--bins"]))?;
        match self {
            Self::Spine => spine(),
            Self::Agents { only } => agents::show(only.as_deref()),
            Self::Api => api::show(),
        }
    }
}

fn spine() -> Result<()> {
    let env = TestEnv::new();
    let count = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo \"line $i\"; sleep 0.05; done";
    shell(&env, &["bg", "-y", "--name", "build", count]);
    shell(&env, &["daemon"]);

    say("\nTwo seconds of output, then SIGKILL to its worker.");
    let seen = watch(&env, 40);
    let workers = env.api().get("/workers").json();
    let session = env.wait_session("build", "the session's worker", |session| session["worker"].is_string());
    let worker =
        workers["workers"].as_array().into_iter().flatten().find(|worker| worker["id"] == session["worker"]);
    let pid = number(&worker.context("the session's worker is listed")?["process"]["pid"]);
    say(&format!("$ kill -9 {pid}     # {}", session["worker"].as_str().unwrap_or_default()));
    procs::signal(pid, Signal::SIGKILL);
    env.wait_session("build", "the turn's end", |session| session["turn"].is_null());
    verify(&env, &seen)?;

    say("\nAnother turn, then SIGKILL to the daemon itself.");
    let body = serde_json::json!({"content": [{"type": "text", "text": count}]});
    let accepted = env.api().post("/sessions/build/prompts", &body);
    anyhow::ensure!(accepted.status == 202, "{}", accepted.text());
    let seen = watch(&env, 80);
    let pid = env.daemon_pid();
    say(&format!("$ kill -9 {pid}     # the daemon"));
    procs::signal(pid, Signal::SIGKILL);
    wait_until("the daemon's death", || !procs::is_running(pid));
    shell(&env, &["daemon", "status"]);
    shell(&env, &["daemon", "start"]);
    verify(&env, &seen)?;
    shell(&env, &["logs", "build", "--tail", "3"]);
    shell(&env, &["ps"]);
    say("\nEverything that was seen is still there, and nothing runs on unseen:");
    shell(&env, &["daemon", "stop"]);
    env.nothing_remains();
    Ok(())
}

/// Runs `skep` and shows what a person would see.
fn shell(env: &TestEnv, words: &[&str]) {
    say(&format!("\n$ skep {}", words.join(" ")));
    let output = env.skep(words.iter().copied()).run();
    say(output.stdout.trim_end());
    if !output.stderr.trim().is_empty() {
        say(output.stderr.trim_end());
    }
}

/// Follows the session until so many updates were seen, and gives every event's number and data.
fn watch(env: &TestEnv, updates: usize) -> Vec<(u64, serde_json::Value)> {
    let mut stream = env.api().stream("/sessions/build/events", None);
    let (mut seen, mut count) = (Vec::new(), 0);
    while count < updates {
        let Some(event) = stream.next_event() else { break };
        count += usize::from(event.kind == "update");
        let record = event.record();
        seen.extend(event.id.map(|id| (id, record["data"].clone())));
    }
    seen
}

fn verify(env: &TestEnv, seen: &[(u64, serde_json::Value)]) -> Result<()> {
    let kept = env.events("build");
    for (seq, data) in seen {
        let event = kept.iter().find(|event| event["seq"] == *seq);
        anyhow::ensure!(event.is_some_and(|event| &event["data"] == data), "event {seq} is lost");
    }
    let ended = kept.iter().rfind(|event| event["kind"] == "turn_ended").context("the turn has an end")?;
    say(&format!(
        "all {} events that a client had seen are in the journal; the turn ended: {}",
        seen.len(),
        ended["data"]
    ));
    Ok(())
}
