//! Starting, replacing and stopping workers.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use skep_tests::env::{TestEnv, built, number};
use skep_tests::procs;
use skep_tests::wait::{SOON, wait_for};

use super::table::{Table, Unit, median, millis, since, wall_nanos};
use crate::run::tool;

const TRIES: usize = 60;
const MANY: usize = 100;

/// How often a figure's end is looked for; it must be small beside the figure.
const LOOK: Duration = Duration::from_micros(500);

pub(super) fn measure(table: &mut Table) -> Result<()> {
    replace(table)?;
    start_and_stop(table)
}

/// SIGKILL of a worker without sessions to its replacement's first instruction, with the delay set to 0.
fn replace(table: &mut Table) -> Result<()> {
    let env = TestEnv::with_own_binary(
        "[restart]\nfirst_delay = \"0s\"\nrapid_failures = 1000\nwindow_failures = 10000\nspawns_per_second = 10000\n",
    );
    env.start_daemon();
    let worker = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    let stamps = env.root().join("stamps");
    std::fs::write(env.root().join("worker-script"), format!("stamp {}\nhang", stamps.display()))?;
    env.replace_binary(&built("fake-worker"));
    let mut pid = number(&worker[0]["process"]["pid"]);
    let mut samples = Vec::new();
    for n in 1..=TRIES {
        let killed = wall_nanos();
        procs::signal(pid, Signal::SIGKILL);
        let stamp = wait_for("the replacement", || read_stamps(&stamps).get(n - 1).copied());
        samples.push(since(killed, stamp));
        let before = pid;
        let workers = env.wait_workers("the new pid", |workers| {
            workers[0]["process"]["pid"].as_u64().is_some_and(|pid| pid != u64::from(before))
        });
        pid = number(&workers[0]["process"]["pid"]);
    }
    // The first kill is that of the real worker.
    let floor = median(&mut bare_replacements(&env)?);
    table.add(
        "SIGKILL to the replacement's first instruction, median",
        Unit::Millis,
        median(&mut samples[1..]),
        Some(1.0),
        Some(floor),
    );
    Ok(())
}

fn read_stamps(file: &Path) -> Vec<u128> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect()
}

/// The floor: kill, wait, spawn.
fn bare_replacements(env: &TestEnv) -> Result<Vec<f64>> {
    let stamps = env.root().join("floor-stamps");
    std::fs::write(env.root().join("worker-script"), format!("stamp {}\nhang", stamps.display()))?;
    let spawn = || tool(built("fake-worker")).args(["worker", "--state-dir"]).arg(env.state()).spawn();
    let mut child = spawn()?;
    let mut samples = Vec::new();
    for n in 1..=TRIES {
        wait_for("the first instruction", || (read_stamps(&stamps).len() == n).then_some(()));
        let killed = wall_nanos();
        child.kill()?;
        child.wait()?;
        child = spawn()?;
        let stamp = wait_for("the replacement", || read_stamps(&stamps).get(n).copied());
        samples.push(since(killed, stamp));
    }
    child.kill()?;
    child.wait()?;
    Ok(samples)
}

/// 100 workers from the command to all of them at work, and from the stop to all of them gone.
fn start_and_stop(table: &mut Table) -> Result<()> {
    let floor = bare_loop()?;
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let config =
            "[pool.background]\ncount = 99\nmax_workers = 200\n[restart]\nspawns_per_second = 10000\n";
        let env = TestEnv::with_config(config);
        let begun = Instant::now();
        let start = env.skep(["daemon", "start"]).start();
        while env.find_daemon_pid().is_none_or(|daemon| procs::children(daemon).len() < MANY) {
            ensure!(begun.elapsed() < SOON, "100 workers do not start");
            std::thread::park_timeout(LOOK);
        }
        starts.push(millis(begun.elapsed()));
        let _started = start.finish().ok();
        env.wait_workers("100 running workers", |workers| {
            workers.iter().filter(|worker| worker["state"] == "running").count() == MANY
        });
        let begun = Instant::now();
        let _stopped = env.skep(["daemon", "stop"]).limit(Duration::from_secs(60)).run().ok();
        stops.push(millis(begun.elapsed()));
    }
    table.add(
        "start of 100 workers, from the command",
        Unit::Millis,
        median(&mut starts),
        Some(130.0),
        Some(floor.0),
    );
    table.add("stop of 100 workers", Unit::Millis, median(&mut stops), Some(20.0), Some(floor.1));
    Ok(())
}

/// The floor: a loop that spawns 100 processes, and one that kills and reaps them.
fn bare_loop() -> Result<(f64, f64)> {
    let begun = Instant::now();
    let mut children = (0..MANY)
        .map(|_| tool("sleep").arg("1000").spawn())
        .collect::<Result<Vec<_>, _>>()
        .context("a process could not be started")?;
    let started = millis(begun.elapsed());
    let begun = Instant::now();
    for child in &mut children {
        child.kill()?;
    }
    for child in &mut children {
        child.wait()?;
    }
    Ok((started, millis(begun.elapsed())))
}
