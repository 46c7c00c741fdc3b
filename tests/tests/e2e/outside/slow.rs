//! Readers that do not read.

use std::fs;
use std::io::BufReader;

use super::*;
use skep_tests::api::Response;
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// Memory of its own that a process has in use, in KiB.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    procs::field(&status, "RssAnon:").expect("the kernel tells it")
}

/// The same, when it has not changed for a while.
fn settled_memory(pid: u32) -> u64 {
    let (mut last, mut same) = (0, 0);
    wait_until("memory that does not change", || {
        let now = own_memory(pid);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 20
    });
    last
}

#[test]
fn q2_a_reader_that_does_not_read_costs_the_server_at_most_32_kib_and_loses_nothing() {
    const READERS: u64 = 100;
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 6000"]).run().ok();
    let _closed = env.skep(["close", "s"]).run().ok();
    let (api, pid) = (env.api(), env.daemon_pid());
    let path = "/api/v1/sessions/s/events";
    let open = || {
        let mut connection = api.connect().unwrap();
        api.send(&mut connection, "GET", path, None, &["accept: text/event-stream", "connection: close"])
            .unwrap();
        connection
    };
    // What serving takes once and not for each reader.
    let whole = Response::read(&mut BufReader::new(open())).unwrap().is(200).text();
    let before = settled_memory(pid);
    let readers: Vec<_> = (0..READERS).map(|_| open()).collect();
    let each = settled_memory(pid).saturating_sub(before) / READERS;
    assert!(each <= 32, "a slow reader costs {each} KiB");
    let late = Response::read(&mut BufReader::new(readers.into_iter().next_back().unwrap())).unwrap();
    assert!(late.text() == whole, "a slow reader gets what a quick one got");
}
