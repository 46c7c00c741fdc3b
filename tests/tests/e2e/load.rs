//! Much at once: many sessions, many starts, a flood of output, and a stop in the middle of it.

use serde_json::Value;
use skep_tests::env::TestEnv;
use skep_tests::procs;
use skep_tests::wait::{SOON, wait_up_to};

#[test]
fn load_50_sessions_stream_at_once_and_each_journal_is_whole() {
    let env = TestEnv::new();
    env.start_daemon();
    let names: Vec<_> = (1..=50).map(|n| format!("s{n}")).collect();
    let begun: Vec<_> = names
        .iter()
        .map(|name| {
            env.skep(["bg", "--agent", "fake", "--name", name, "stream 50 20"]).limit(SOON * 2).start()
        })
        .collect();
    for begun in begun {
        let _accepted = begun.finish().ok();
    }
    for name in &names {
        let _done = env.skep(["wait", name]).limit(SOON * 2).run().ok();
        let events = env.events(name);
        let said: Vec<_> = events
            .iter()
            .filter(|event| event["kind"] == "update")
            .filter_map(|event| event["data"]["content"]["text"].as_str())
            .collect();
        let expected: Vec<_> = (1..=50).map(|n| n.to_string()).collect();
        assert_eq!(said, expected, "{name}");
    }
    let list = env.skep(["ps", "--json"]).run().ok().json();
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(50));
}

#[test]
fn load_stop_while_20_turns_run_ends_each_as_interrupted_and_leaves_nothing() {
    let env = TestEnv::new();
    let names: Vec<_> = (1..=20).map(|n| format!("s{n}")).collect();
    for name in &names {
        let script = "double-fork\nstream 100000 20";
        let _begun = env.skep(["bg", "--agent", "fake", "--name", name, script]).limit(SOON).run().ok();
    }
    for name in &names {
        env.wait_session(name, "a running turn", |session| session["agent_process"].is_object());
    }
    let pid = env.daemon_pid();
    let _stopped = env.skep(["daemon", "stop"]).limit(SOON * 2).run().ok();
    assert!(!procs::is_running(pid));
    assert_eq!(env.remains(), [], "when stop returns, all are gone");
    env.start_daemon();
    for name in &names {
        let events = env.events(name);
        let ends: Vec<&Value> = events.iter().filter(|event| event["kind"] == "turn_ended").collect();
        assert_eq!(ends.len(), 1, "{name}: {ends:?}");
        assert_eq!(ends[0]["data"]["outcome"], "interrupted", "{name}: {ends:?}");
        assert_eq!(ends[0]["data"]["cause"], "daemon_stopped", "{name}: {ends:?}");
    }
}

#[test]
fn p18_100_concurrent_starts_give_one_daemon_and_identical_answers() {
    let env = TestEnv::new();
    let starts: Vec<_> =
        (0..100).map(|_| env.skep(["daemon", "start", "--json"]).limit(SOON * 2).start()).collect();
    let answers: Vec<_> = starts.into_iter().map(|start| start.finish().ok().json()).collect();
    let pid = env.daemon_pid();
    for answer in &answers {
        assert_eq!(answer["pid"], pid, "{answer}");
        assert_eq!(answer["startedAt"], answers[0]["startedAt"], "{answer}");
    }
    let daemons = procs::carrying(env.root()).into_iter().filter(|trace| trace.command.contains("daemon"));
    assert_eq!(daemons.count(), 1);
}

#[test]
fn g19_descriptors_and_processes_do_not_grow() {
    let env = TestEnv::new();
    let _warm = env.skep(["run", "true"]).run().ok();
    let daemon = env.daemon_pid();
    let worker = skep_tests::env::number(&env.wait_workers("the worker", |_| true)[0]["process"]["pid"]);
    let count = || (procs::open_files(daemon), procs::open_files(worker));
    let before = count();
    for _ in 0..20 {
        let _ran = env.skep(["run", "true"]).run().ok();
        let _refused = env.api().get("/sessions/nobody").is(404);
    }
    let settled = wait_up_to(SOON, "descriptors to be closed again", || {
        let now = count();
        (now.0 <= before.0 + 3 && now.1 <= before.1 + 3).then_some(now)
    });
    assert!(settled.0 > 0);
    let zombies = procs::children(daemon)
        .into_iter()
        .chain(procs::children(worker))
        .filter(|pid| procs::is_zombie(*pid));
    assert_eq!(zombies.count(), 0);
}

#[test]
fn load_a_flood_of_output_is_cancelled_at_once_and_grows_nothing_but_its_journal() {
    /// Far less than the flood, more than a debug build needs.
    const MOST_KIB: u64 = 64 * 1024;
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "-y", "--name", "s", "yes"]).run().ok();
    let follower = env.skep(["logs", "-f", "s"]).start();
    let flooded = |session: &Value| session["head"]["seq"].as_u64().is_some_and(|seq| seq > 300);
    env.wait_session("s", "a flood", flooded);
    let asked = std::time::Instant::now();
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let ended = env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    // Well under a second where nothing else runs; a stuck flood would take as long as the cancel's grace.
    assert!(asked.elapsed() < SOON / 4, "{:?}", asked.elapsed());
    assert_eq!(ended["last_turn"]["outcome"], "cancelled", "{ended}");
    for process in env.remains() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
        let peak = procs::field(&status, "VmHWM:").unwrap_or_default();
        assert!(peak < MOST_KIB, "{process:?} has needed {peak} KiB");
    }
    follower.signal(nix::sys::signal::Signal::SIGINT);
    let _left = follower.finish();
}
