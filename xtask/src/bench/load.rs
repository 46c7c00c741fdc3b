//! Many clients at once over TCP: readers of one streaming session, and requests for the status. Beside them, in the
//! same run, the same load on a daemon from npm that has such an API: opencode's server.

mod client;
mod peer;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use skep_tests::env::TestEnv;
use skep_tests::procs;

use self::client::{Readers, Seen, Target, requests};
use self::peer::Opencode;
use super::table::{Table, Unit, quantile};

/// Clients that follow one session.
const READERS: usize = 1_000;

/// Events in one run, ten a second.
const EVENTS: usize = 150;

/// How long events are apart, in microseconds.
const APART: u32 = 100_000;

/// Requests a second, over how many connections, for how long.
const RATE: u32 = 5_000;
const CONNECTIONS: u32 = 50;
const LONG: Duration = Duration::from_secs(10);

/// What the readers of one server saw, and what they cost it.
struct Stream {
    latencies: Vec<f64>,
    kib_per_reader: f64,
    micros_per_delivery: f64,
}

pub(super) fn measure(table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let peer = Opencode::start()?;
    let (mut theirs, mut their_answers) = (peer_stream(&runtime, &peer)?, peer_requests(&runtime, &peer)?);
    drop(peer);
    let env = TestEnv::with_config(&format!(
        "[api]\nmax_connections = {most}\n[api.limits]\nconnections_per_address = {most}\nstreams_per_client = {most}\n",
        most = READERS + 100
    ));
    let target = start(&env)?;
    let mut ours = stream(&runtime, &env, &target)?;
    let mut answers = runtime.block_on(requests(&target, "/api/v1/daemon", RATE, CONNECTIONS, LONG))?;
    let p99 = |samples: &mut [f64]| quantile(samples, 0.99);
    let (peer_p99, peer_answer) = (p99(&mut theirs.latencies), p99(&mut their_answers));
    let rows = [
        (
            "event to 1,000 SSE readers, p99 (floor: opencode)",
            Unit::Millis,
            p99(&mut ours.latencies),
            40.0,
            peer_p99,
        ),
        (
            "memory for each reader (floor: opencode)",
            Unit::Kib,
            ours.kib_per_reader,
            32.0,
            theirs.kib_per_reader,
        ),
        (
            "CPU for each delivery (floor: opencode)",
            Unit::Micros,
            ours.micros_per_delivery,
            15.0,
            theirs.micros_per_delivery,
        ),
        (
            "status, 5,000 requests a second, p99 (floor: opencode)",
            Unit::Millis,
            p99(&mut answers),
            10.0,
            peer_answer,
        ),
    ];
    for (what, unit, measured, target, floor) in rows {
        table.add(what, unit, measured, Some(target), Some(floor));
    }
    Ok(())
}

fn start(env: &TestEnv) -> Result<Target> {
    let _started = env.skep(["daemon", "start", "--port", "0"]).run().ok();
    let status = env.skep(["daemon", "status", "--json"]).run().ok().json();
    let endpoint =
        status["endpoint"].as_str().and_then(|url| url.split_once("://")).context("an endpoint")?;
    let at: SocketAddr = endpoint.1.parse()?;
    Ok(Target { at, authorization: Some(format!("Bearer {}", env.token())), pid: env.daemon_pid() })
}

/// One session of the scripted agent, which says the time ten times a second.
fn stream(runtime: &tokio::runtime::Runtime, env: &TestEnv, target: &Target) -> Result<Stream> {
    let gate = env.work().join("gate");
    let script = format!("gate {}\nstamps {EVENTS} {APART}", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    env.wait_session("s", "its agent", |session| session["agent_process"].is_object());
    let before = procs::memory_kib(target.pid);
    let readers =
        runtime.block_on(Readers::connect(target, "/api/v1/sessions/s/events", READERS, "\"text\":\""))?;
    let worked = procs::cpu(target.pid);
    std::fs::write(gate, "")?;
    let seen = runtime.block_on(readers.until("event: turn_ended"))?;
    figures(target, before, worked, seen)
}

fn figures(target: &Target, before: u64, worked: Duration, seen: Seen) -> Result<Stream> {
    let latencies = &seen.latencies;
    ensure!(latencies.len() >= READERS * EVENTS, "{} of {} came", latencies.len(), READERS * EVENTS);
    let took = procs::cpu(target.pid).saturating_sub(worked);
    let grown = procs::memory_kib(target.pid).saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "figures of some thousands")]
    Ok(Stream {
        kib_per_reader: grown as f64 / READERS as f64,
        micros_per_delivery: took.as_secs_f64() * 1e6 / latencies.len() as f64,
        latencies: seen.latencies,
    })
}

/// The peer's events are notices for its terminal, which say the time.
fn peer_stream(runtime: &tokio::runtime::Runtime, peer: &Opencode) -> Result<Stream> {
    let target = peer.target();
    let before = procs::memory_kib(target.pid);
    let readers = runtime.block_on(Readers::connect(&target, "/event", READERS, "\"message\":\""))?;
    let worked = procs::cpu(target.pid);
    let seen = runtime.block_on(async {
        let read = readers.until("\"message\":\"end\"");
        let (told, read) = tokio::join!(peer.tell(EVENTS, Duration::from_micros(APART.into())), read);
        told.and(read)
    })?;
    figures(&target, before, worked, seen)
}

fn peer_requests(runtime: &tokio::runtime::Runtime, peer: &Opencode) -> Result<Vec<f64>> {
    runtime.block_on(requests(&peer.target(), "/global/health", RATE, CONNECTIONS, LONG))
}
