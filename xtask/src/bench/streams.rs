//! From the agent's write to a client that follows over SSE.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use skep_tests::env::TestEnv;

use super::table::{Table, Unit, median, millis, quantile, since, wall_nanos};

const FLOOD: u32 = 200_000;

pub(super) fn measure(table: &mut Table) -> Result<()> {
    let floor = median(&mut relay(1_000)?);
    let mut one = latencies(1, "stamps 1000 2000")?;
    table.add(
        "agent's write to SSE client, 1 session, median",
        Unit::Millis,
        median(&mut one),
        Some(0.25),
        Some(floor),
    );
    let mut fifty = latencies(50, "stamps 250 20000")?;
    table.add("the same, 50 sessions streaming, median", Unit::Millis, median(&mut fifty), Some(1.0), None);
    table.add(
        "the same, 50 sessions streaming, p99",
        Unit::Millis,
        quantile(&mut fifty, 0.99),
        Some(3.0),
        None,
    );
    flood(table)
}

/// All latencies of so many sessions that follow the script at once.
fn latencies(sessions: usize, script: &str) -> Result<Vec<f64>> {
    let env = TestEnv::new();
    env.start_daemon();
    let gate = env.work().join("gate");
    let script = format!("gate {}\n{script}", gate.display());
    let mut readers = Vec::new();
    for n in 0..sessions {
        let name = format!("s{n}");
        let _begun = env.skep(["bg", "--agent", "fake", "--name", &name, &script]).run().ok();
        env.wait_session(&name, "its agent", |session| session["agent_process"].is_object());
        let mut stream = env.api().stream(&format!("/sessions/{name}/events"), None);
        readers.push(std::thread::spawn(move || {
            let mut samples = Vec::new();
            while let Some(event) = stream.next_event() {
                let now = wall_nanos();
                if let Some(stamp) = event.text().and_then(|text| text.parse().ok()) {
                    samples.push(since(stamp, now));
                }
                if event.kind == "turn_ended" {
                    break;
                }
            }
            samples
        }));
    }
    std::fs::write(gate, "")?;
    let mut samples = Vec::new();
    for reader in readers {
        let of_one = reader.join().ok().context("a reader failed")?;
        ensure!(of_one.len() >= 250, "a session's updates are missing");
        // The first ones pay for caches and connections.
        samples.extend(of_one.into_iter().skip(20));
    }
    Ok(samples)
}

/// One session that streams as fast as it can, to one reader.
fn flood(table: &mut Table) -> Result<()> {
    let env = TestEnv::new();
    env.start_daemon();
    let gate = env.work().join("gate");
    let script = format!("gate {}\nupdates {FLOOD}", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    env.wait_session("s", "its agent", |session| session["agent_process"].is_object());
    let mut stream = env.api().stream("/sessions/s/events", None);
    std::fs::write(gate, "")?;
    let (mut count, mut last) = (0_u32, 0);
    let mut begun = None;
    while let Some(event) = stream.next_event() {
        // What has no id is about the stream itself.
        let Some(id) = event.id else { continue };
        ensure!(id == last + 1, "event {} is missing", last + 1);
        last = id;
        if event.kind == "update" {
            begun.get_or_insert_with(Instant::now);
            count += 1;
        } else if event.kind == "turn_ended" {
            break;
        }
    }
    ensure!(count == FLOOD, "{count} of {FLOOD} updates came");
    let seconds = begun.context("updates came")?.elapsed().as_secs_f64();
    table.add(
        "updates of one session to one reader",
        Unit::PerSecond,
        f64::from(count) / seconds,
        Some(50_000.0),
        None,
    );
    Ok(())
}

/// The floor: a line through a pipe, a relay, and a Unix socket.
fn relay(lines: usize) -> Result<Vec<f64>> {
    let (from_agent, mut agent) = std::io::pipe()?;
    let (mut to_client, client) = UnixStream::pair()?;
    let relay = std::thread::spawn(move || -> std::io::Result<()> {
        for line in BufReader::new(from_agent).lines() {
            to_client.write_all(format!("{}\n", line?).as_bytes())?;
        }
        Ok(())
    });
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(client).lines();
        let stamps = lines.map_while(|line| line.ok()?.parse::<u128>().ok());
        stamps.map(|stamp| since(stamp, wall_nanos())).collect::<Vec<_>>()
    });
    for _ in 0..lines {
        let begun = Instant::now();
        agent.write_all(format!("{}\n", wall_nanos()).as_bytes())?;
        while millis(begun.elapsed()) < 1.0 {
            std::thread::park_timeout(std::time::Duration::from_micros(200));
        }
    }
    drop(agent);
    relay.join().ok().context("the relay failed")??;
    reader.join().ok().context("the reader failed")
}
