//! What a person waits for: the list of sessions, and a prompt's acceptance.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use skep_tests::env::TestEnv;

use super::table::{Table, Unit, median, millis, quantile};

/// `skep ps` as a cold process, with 100 open sessions.
pub(super) fn list(table: &mut Table) -> Result<()> {
    let env = TestEnv::with_config("[session]\nmax_open = 200\n[pool.remote-control]\ncapacity = 50\n");
    env.start_daemon();
    let api = env.api();
    let cwd = env.work();
    for n in 0..100 {
        let body = json!({"name": format!("s{n}"), "cwd": cwd.to_string_lossy()});
        let _created = api.post("/sessions", &body).is(201);
    }
    let mut floor = time(60, || drop(env.program("true".as_ref()).run().ok()));
    let mut cold = time(60, || drop(env.skep(["ps"]).run().ok().says("s99")));
    table.add(
        "`skep ps`, cold, 100 sessions, median",
        Unit::Millis,
        median(&mut cold),
        Some(5.0),
        Some(median(&mut floor)),
    );
    Ok(())
}

/// A prompt accepted and synced.
pub(super) fn accept(table: &mut Table) -> Result<()> {
    let env = TestEnv::new();
    let _warm = env.skep(["run", "--agent", "fake", "--name", "s", "say ready"]).run().ok();
    let api = env.api();
    let body = json!({"content": [{"type": "text", "text": "say hi"}]});
    let mut samples = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let _accepted = api.post("/sessions/s/prompts", &body).is(202);
        samples.push(millis(begun.elapsed()));
        env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    }
    let file = env.state().join("sync-floor");
    let mut floor = time(200, || sync_once(&file));
    let floor = median(&mut floor);
    table.add(
        "prompt accepted and synced, median",
        Unit::Millis,
        median(&mut samples),
        Some(5.0),
        Some(floor),
    );
    table.add("prompt accepted and synced, p99", Unit::Millis, quantile(&mut samples, 0.99), None, None);
    Ok(())
}

/// What the disk takes for one appended and synced line.
fn sync_once(file: &std::path::Path) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
    file.and_then(|mut file| file.write_all(&[b'x'; 400]).and_then(|()| file.sync_data()))
        .expect("the disk works");
}

fn time(times: usize, mut job: impl FnMut()) -> Vec<f64> {
    let once = |_| {
        let begun = Instant::now();
        job();
        millis(begun.elapsed())
    };
    (0..times).map(once).collect()
}
