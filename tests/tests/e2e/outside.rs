//! The API as outsiders meet it: clients in other languages, made from its description or from the standards alone, and
//! a tester that believes the description and nothing else. They come over TCP, through a relay whose connections the
//! tests cut.

use std::path::Path;

use serde_json::Value;
use skep_tests::agents;
use skep_tests::cmd::{Cmd, Running};
use skep_tests::env::TestEnv;
use skep_tests::relay::Relay;

mod fuzzed;
mod manual;
mod python;
mod surface;
mod typescript;

/// The daemon over TCP.
fn relay(env: &TestEnv) -> Relay {
    Relay::to(Path::new(env.daemon_file()["socket"].as_str().expect("the daemon names its socket")))
}

/// A program of `tests/clients/` in Python.
fn python(env: &TestEnv, script: &str) -> Cmd {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    env.program(&agents::python()).arg(clients.join(script))
}

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The complete lines of JSON that a running client has printed so far.
fn lines_so_far(client: &Running) -> Vec<Value> {
    let text = client.stdout_so_far();
    lines(text.rsplit_once('\n').map_or("", |(complete, _)| complete))
}

/// The numbers of the events among a client's lines.
fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["id"].as_u64()).collect()
}

/// 1, 2, … as many as there are, and no fewer than `least`.
#[track_caller]
fn assert_gapless(numbers: &[u64], least: usize) {
    assert!(numbers.len() >= least, "{} events of at least {least}", numbers.len());
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a gap or a double: {numbers:?}");
}
