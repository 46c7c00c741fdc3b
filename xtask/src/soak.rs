//! `cargo xtask soak`: the promises that only large counts can show, for as long as you like.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use nix::sys::signal::Signal;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

use crate::run::{cargo, run, say};

/// How long, and from which randomness.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Minutes to run.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The seed of the random moments; printed, so that a failure can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

impl Soak {
    /// Runs until the time is over, or a promise breaks.
    pub(crate) fn run(self) -> Result<()> {
        run(cargo().args(["build", "--package", "skep", "--package", "skep-tests", "--bins"]))?;
        let seed = self.seed.unwrap_or_else(|| std::process::id().into());
        say(&format!("seed {seed}"));
        let mut random = Random(seed | 1);
        let deadline = Instant::now() + Duration::from_secs(self.minutes * 60);
        reused_numbers()?;
        let mut rounds = 0;
        while Instant::now() < deadline {
            rounds += 1;
            kill_somebody(&mut random)?;
            if rounds % 5 == 1 {
                many_trees()?;
                steady_state(200)?;
            }
            say(&format!("round {rounds}: nothing lost, nothing left"));
        }
        Ok(())
    }
}

/// A xorshift generator: reproducible, and good enough to choose moments.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Promise 14's core: SIGKILL of daemon, worker or agent at a random event; no event lost, none twice.
fn kill_somebody(random: &mut Random) -> Result<()> {
    let env = TestEnv::new();
    let begun =
        env.skep(["bg", "--agent", "fake", "--name", "s", "double-fork\nstream 1000000 1"]).run().ok();
    drop(begun);
    let mut stream = env.api().stream("/sessions/s/events", None);
    let mut seen = Vec::new();
    for _ in 0..=random.below(400) {
        seen.extend(stream.next_event().filter(|event| event.id.is_some()));
    }
    let session = env.wait_session("s", "the agent", |session| session["agent_process"].is_object());
    let victim = match random.below(3) {
        0 => env.daemon_pid(),
        1 => {
            let worker = session["worker"].as_str().unwrap_or_default();
            number(&env.api().get(&format!("/workers/{worker}")).json()["process"]["pid"])
        }
        _ => number(&session["agent_process"]["process"]["pid"]),
    };
    procs::signal(victim, Signal::SIGKILL);
    wait_until("its death", || !procs::is_running(victim));
    env.start_daemon();
    env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    let kept = env.events("s");
    for (event, kept) in seen.iter().zip(&kept) {
        ensure!(
            event.id == kept["seq"].as_u64() && event.record()["data"] == kept["data"],
            "lost: {event:?}"
        );
    }
    let ends = kept.iter().filter(|event| event["kind"] == "turn_ended").count();
    ensure!(ends == 1, "{ends} ends of one turn");
    drop(env);
    Ok(())
}

/// Promise 13: 10,000 process numbers are given to strangers, and no signal reaches one.
fn reused_numbers() -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--package", "skep-sys", "--test", "it", "--", "--exact"]);
    test.arg("reuse::p13_no_signal_reaches_a_stranger_whose_number_was_ours");
    run(test.env("SKEP_TEST_PID_REUSES", "10000"))?;
    Ok(())
}

/// Promise 11: a tree of 100 double-forked processes leaves no survivor.
fn many_trees() -> Result<()> {
    let env = TestEnv::new();
    let script = "double-fork\n".repeat(100) + "say planted";
    let planted = env.skep(["run", "--agent", "fake", "--name", "wood", &script]).run();
    ensure!(planted.code() == 0, "{planted}");
    let closed = env.skep(["close", "wood"]).run();
    ensure!(closed.code() == 0, "{closed}");
    let left =
        procs::carrying(env.root()).into_iter().filter(|trace| trace.command.contains("sleep")).count();
    ensure!(left == 0, "{left} survivors");
    Ok(())
}

/// Promise 24: open files and memory stay where they are.
fn steady_state(runs: u32) -> Result<()> {
    let env = TestEnv::new();
    let warm = |count: u32| -> Result<()> {
        for _ in 0..count {
            let output = env.skep(["run", "true"]).run();
            ensure!(output.code() == 0, "{output}");
        }
        Ok(())
    };
    warm(20)?;
    let daemon = env.daemon_pid();
    let (files, memory) = (procs::open_files(daemon), procs::memory_kib(daemon));
    warm(runs)?;
    let (files_now, memory_now) = (procs::open_files(daemon), procs::memory_kib(daemon));
    say(&format!("{runs} runs: files {files} → {files_now}, memory {memory} → {memory_now} KiB"));
    ensure!(files_now <= files + 3, "descriptors leak");
    ensure!(memory_now <= memory + 2 * 1024, "memory grows");
    ensure!(procs::children(daemon).into_iter().all(|pid| !procs::is_zombie(pid)), "zombies stay");
    Ok(())
}
