//! What skep adds between a person and an agent: to the first token, to a wake, to the answer of a question, in memory.
//! The floor is the same agent driven directly over its pipes in the same run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use skep_tests::api::{Api, EventStream};
use skep_tests::cmd::Cmd;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;

use super::direct::Direct;
use super::table::{Table, Unit, median, millis, since, wall_nanos};

const TRIES: usize = 60;

/// Sessions whose memory is measured.
const MANY: u32 = 40;

/// How long a process that is kept ready may take to be that before it is used; the scripted agent takes some
/// milliseconds.
const READY: Duration = Duration::from_millis(100);

pub(super) fn measure(table: &mut Table) -> Result<()> {
    let mut direct = Direct::start(&bare())?;
    let session = direct.open("/".as_ref())?;
    let mut prompts = Vec::new();
    for _ in 0..TRIES {
        prompts.push(direct.first_token(&session, "say hi")?);
    }
    let floor = median(&mut prompts);
    drop(direct);
    let env = env();
    let api = env.api();
    running(table, &env, &api, floor)?;
    warm(table, &env, &api, floor)?;
    wake(table, &env, &api)?;
    answer(table, &env, &api)?;
    memory(table)
}

/// The scripted agent without skep.
fn bare() -> Cmd {
    Cmd::new(built("fake-agent"), "/")
}

fn env() -> TestEnv {
    let command = toml_string(&built("fake-agent"));
    let env = TestEnv::with_config(&format!(
        "[session]\nmax_open = 500\n[pool.remote-control]\ncapacity = 200\n\
         [agents.ready]\ncommand = [{command}]\nwarm = 1\n"
    ));
    env.start_daemon();
    env
}

/// A prompt to a session whose agent runs.
fn running(table: &mut Table, env: &TestEnv, api: &Api, floor: f64) -> Result<()> {
    open(env, api, "running", "fake");
    let mut samples = Vec::new();
    for _ in 0..TRIES {
        samples.push(first_token(api, "running", "say hi")?);
    }
    let added = median(&mut samples[1..]) - floor;
    table.add(
        "added time to first token, agent running, median",
        Unit::Millis,
        added,
        Some(2.0),
        Some(floor),
    );
    Ok(())
}

/// The first prompt of a new session, with an agent that was ready and with one that was not.
fn warm(table: &mut Table, env: &TestEnv, api: &Api, floor: f64) -> Result<()> {
    let of = |agent: &str| -> Result<f64> {
        let mut samples = Vec::new();
        for n in 0..TRIES {
            std::thread::park_timeout(READY);
            let name = format!("{agent}{n}");
            let begun = Instant::now();
            open(env, api, &name, agent);
            let opened = millis(begun.elapsed());
            samples.push(opened + first_token(api, &name, "say hi")?);
            let _closed = api.post(&format!("/sessions/{name}/close"), &json!({})).is(200);
        }
        // The first one finds nothing ready.
        Ok(median(&mut samples[1..]) - floor)
    };
    let (cold, warm) = (of("fake")?, of("ready")?);
    table.add("skep's share, new session, warm, median", Unit::Millis, warm, Some(5.0), Some(floor));
    table.add("the same, cold: with the agent's start", Unit::Millis, cold, None, Some(floor));
    Ok(())
}

/// A prompt to a session whose agent was stopped, beside the agent's own start and load.
fn wake(table: &mut Table, env: &TestEnv, api: &Api) -> Result<()> {
    let mut loads = Vec::new();
    for _ in 0..TRIES {
        let begun = Instant::now();
        let mut direct = Direct::start(&bare())?;
        direct.load("s", "/".as_ref())?;
        let started = millis(begun.elapsed());
        loads.push(started + direct.first_token("s", "say hi")?);
    }
    open(env, api, "sleeper", "fake");
    let mut samples = Vec::new();
    for _ in 0..TRIES {
        let _served = first_token(api, "sleeper", "say hi")?;
        env.wait_session("sleeper", "the turn's end", |session| session["turn"].is_null());
        let agent = env.wait_session("sleeper", "its agent", |session| session["agent_process"].is_object());
        procs::signal(number(&agent["agent_process"]["process"]["pid"]), nix::sys::signal::Signal::SIGKILL);
        env.wait_session("sleeper", "no agent", |session| session["agent_process"].is_null());
        samples.push(first_token(api, "sleeper", "say hi")?);
        env.wait_session("sleeper", "the turn's end", |session| session["turn"].is_null());
    }
    let floor = median(&mut loads);
    table.add(
        "wake to first token; waits 300 ms for history, as with any agent that skep does not know",
        Unit::Millis,
        median(&mut samples),
        None,
        Some(floor),
    );
    Ok(())
}

/// From a person's answer to the agent that waits for it.
fn answer(table: &mut Table, env: &TestEnv, api: &Api) -> Result<()> {
    open(env, api, "asks", "fake");
    let mut samples = Vec::new();
    for _ in 0..TRIES {
        let mut stream = follow(api, "asks");
        prompt(api, "asks", "ask execute ls\nstamps 1 0");
        let asked = stream.next_of("permission_requested");
        let id = asked.record()["data"]["permission"].as_str().context("a request has an id")?.to_owned();
        let answered = wall_nanos();
        let body = json!({"decision": {"type": "allow"}});
        let _answered = api.post(&format!("/sessions/asks/permissions/{id}"), &body).is(200);
        loop {
            let event = stream.next_event().context("the stream ended")?;
            if let Some(stamp) = event.text().and_then(|text| text.parse().ok()) {
                samples.push(since(answered, stamp));
                break;
            }
        }
        env.wait_session("asks", "the turn's end", |session| session["turn"].is_null());
    }
    table.add("permission answer to agent, median", Unit::Millis, median(&mut samples[1..]), Some(2.0), None);
    Ok(())
}

/// What supervisor and worker hold for each session with a running agent.
fn memory(table: &mut Table) -> Result<()> {
    let env = env();
    let api = env.api();
    let held = |env: &TestEnv| {
        let workers = env.wait_workers("a worker", |workers| !workers.is_empty());
        let worker = number(&workers[0]["process"]["pid"]);
        procs::memory_kib(env.daemon_pid()) + procs::memory_kib(worker)
    };
    let begin = |n: u32| -> Result<()> {
        let name = format!("m{n}");
        open(&env, &api, &name, "fake");
        let _served = first_token(&api, &name, "say hi")?;
        env.wait_session(&name, "the turn's end", |session| session["turn"].is_null());
        Ok(())
    };
    // The first ones pay for threads and tables.
    (0..5).try_for_each(begin)?;
    let before = held(&env);
    (5..5 + MANY).try_for_each(begin)?;
    let each = f64::from(u32::try_from(held(&env).saturating_sub(before))?) / f64::from(MANY);
    table.add("memory that skep adds per session, PSS", Unit::Kib, each, Some(150.0), None);
    Ok(())
}

pub(super) fn open(env: &TestEnv, api: &Api, name: &str, agent: &str) {
    let body = json!({"name": name, "agent": agent, "cwd": env.work().to_string_lossy()});
    let _created = api.post("/sessions", &body).is(201);
}

pub(super) fn prompt(api: &Api, name: &str, text: &str) {
    let body = json!({"content": [{"type": "text", "text": text}]});
    let _accepted = api.post(&format!("/sessions/{name}/prompts"), &body).is(202);
}

/// What happens in a session from now on.
pub(super) fn follow(api: &Api, name: &str) -> EventStream {
    let session = api.get(&format!("/sessions/{name}")).is(200).json();
    api.stream(&format!("/sessions/{name}/events?after={}", session["head"]["seq"]), None)
}

/// From a prompt to its first update at a client that follows.
fn first_token(api: &Api, name: &str, text: &str) -> Result<f64> {
    let mut stream = follow(api, name);
    let begun = Instant::now();
    prompt(api, name, text);
    loop {
        let event = stream.next_event().context("the stream ended")?;
        if event.kind == "update" {
            let took = millis(begun.elapsed());
            let _ended = stream.next_of("turn_ended");
            return Ok(took);
        }
    }
}
