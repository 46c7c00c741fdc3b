//! What an idle skep holds, and how often it wakes.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;

use super::table::{Table, Unit};

/// Heartbeats come every 10 s; the rest of this time nothing should happen.
const WATCH: Duration = Duration::from_secs(20);

pub(super) fn measure(table: &mut Table) -> Result<()> {
    let env = TestEnv::new();
    env.start_daemon();
    let worker = idle_worker(&env);
    let daemon = env.daemon_pid();
    let before = (procs::wake_ups(daemon), procs::wake_ups(worker));
    settle(WATCH);
    let after = (procs::wake_ups(daemon), procs::wake_ups(worker));
    let fresh = mib(procs::memory_kib(daemon));
    table.add("idle supervisor, PSS", Unit::Mib, fresh, Some(12.0), None);
    let _listens = env.skep(["daemon", "start", "--port", "0"]).run().ok();
    let with_tcp = mib(procs::memory_kib(daemon));
    table.add("the same, with a TCP listener", Unit::Mib, with_tcp, Some(14.0), None);
    table.add("worker without sessions, PSS", Unit::Mib, mib(procs::memory_kib(worker)), Some(6.0), None);
    // One heartbeat wakes each side a few times: a timer, a pipe, a thread.
    table.add(
        "wake-ups of the idle supervisor in 20 s",
        Unit::Count,
        difference(before.0, after.0),
        None,
        None,
    );
    table.add("wake-ups of an idle worker in 20 s", Unit::Count, difference(before.1, after.1), None, None);

    let api = env.api();
    let cwd = env.work();
    for _ in 0..1_000 {
        let created: Value = api.post("/sessions", &json!({"cwd": cwd.to_string_lossy()})).is(201).json();
        let id = created["id"].as_str().unwrap_or_default();
        let _closed = api.post(&format!("/sessions/{id}/close"), &json!({})).is(200);
    }
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    idle_worker(&env);
    settle(Duration::from_secs(2));
    let full = mib(procs::memory_kib(env.daemon_pid()));
    table.add("what 1,000 stored sessions add", Unit::Mib, full - fresh, Some(2.0), None);
    Ok(())
}

fn idle_worker(env: &TestEnv) -> u32 {
    let workers = env.wait_workers("a running worker", |workers| {
        workers.first().is_some_and(|worker| worker["state"] == "running")
    });
    number(&workers[0]["process"]["pid"])
}

/// Lets time pass: that nothing happens in it is what is measured.
fn settle(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of some thousands")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "figures of some thousands")]
fn difference(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64
}
