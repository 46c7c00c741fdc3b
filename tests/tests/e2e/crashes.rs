//! Death in mid-turn, of each process in turn: what a client had seen is still there, the cause is told, and nothing
//! runs on unseen (N2, N4, G20).

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::api::SentEvent;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// A session that streams, the events that a client has seen of it, and the session.
fn streaming(env: &TestEnv) -> (Vec<SentEvent>, Value) {
    let script = "double-fork\nstream 100000 5";
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", script]).run().ok();
    let mut stream = env.api().stream("/sessions/s/events", None);
    let mut seen = Vec::new();
    while seen.iter().filter(|event: &&SentEvent| event.kind == "update").count() < 100 {
        seen.extend(stream.next_event().filter(|event| event.id.is_some()));
    }
    let session = env.wait_session("s", "the agent", |session| session["agent_process"].is_object());
    (seen, session)
}

/// Asserts that a client that comes back misses nothing, that the journal begins with all that was seen, has no gap,
/// and that its turn ended for one of the causes.
fn nothing_is_lost(env: &TestEnv, seen: &[SentEvent], causes: &[&str]) {
    // The client comes back at once, with its cursor.
    let cursor = seen.last().and_then(|event| event.id).unwrap();
    let rest = env.api().stream("/sessions/s/events", Some(cursor)).until("turn_ended");
    assert_eq!(rest.iter().find_map(|event| event.id), Some(cursor + 1), "nothing lost, nothing twice");
    env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    let events = env.events("s");
    for (event, kept) in seen.iter().zip(&events) {
        assert_eq!(event.record()["data"], kept["data"], "event {:?}", event.id);
    }
    assert!(events.len() > seen.len());
    let ends: Vec<_> = events.iter().filter(|event| event["kind"] == "turn_ended").collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0]["data"]["outcome"], "interrupted", "{ends:?}");
    let cause = ends[0]["data"]["cause"].as_str().unwrap();
    assert!(causes.contains(&cause), "{ends:?}");
    let shown = env.skep(["logs", "s"]).run().ok();
    for number in 1..=90 {
        assert!(shown.stdout.contains(&number.to_string()), "{number}: {shown}");
    }
    assert!(
        shown.stdout.contains("interrupted") || shown.stderr.contains("interrupted"),
        "the cause is shown: {shown}"
    );
}

fn marked(env: &TestEnv, session: &Value) -> Vec<procs::Trace> {
    let mark = format!("SKEP_SESSION={}", session["id"].as_str().unwrap());
    let mut traces = procs::carrying(env.root());
    traces.retain(|trace| procs::environment(trace.pid).unwrap_or_default().contains(&mark));
    traces
}

#[test]
fn n2_sigkill_of_the_supervisor_in_mid_turn() {
    let env = TestEnv::new();
    let (seen, session) = streaming(&env);
    procs::signal(env.daemon_pid(), Signal::SIGKILL);
    wait_until("the session's processes to be gone", || marked(&env, &session).is_empty());
    env.start_daemon();
    nothing_is_lost(&env, &seen, &["supervisor_gone"]);
    let _goes_on = env.skep(["prompt", "s", "say onwards"]).run().ok().says("onwards");
}

#[test]
fn n2_sigkill_of_the_worker_in_mid_turn() {
    let env = TestEnv::new();
    let (seen, session) = streaming(&env);
    let worker = session["worker"].as_str().unwrap();
    let info = env.api().get(&format!("/workers/{worker}")).is(200).json();
    procs::signal(number(&info["process"]["pid"]), Signal::SIGKILL);
    nothing_is_lost(&env, &seen, &["worker_crashed"]);
    assert_eq!(marked(&env, &session), [], "the supervisor sweeps a dead worker's sessions");
    let _goes_on = env.skep(["prompt", "s", "say onwards"]).run().ok().says("onwards");
}

#[test]
fn n2_sigkill_of_the_agent_in_mid_turn() {
    let env = TestEnv::new();
    let (seen, session) = streaming(&env);
    procs::signal(number(&session["agent_process"]["process"]["pid"]), Signal::SIGKILL);
    nothing_is_lost(&env, &seen, &["agent_crashed"]);
    wait_until("the orphan to be gone", || marked(&env, &session).is_empty());
    let _goes_on = env.skep(["prompt", "s", "say onwards"]).run().ok().says("onwards");
}

#[test]
fn n2_sigkill_of_everything_at_once() {
    let env = TestEnv::new();
    let (seen, session) = streaming(&env);
    let workers = env.wait_workers("the workers", |_| true);
    procs::signal(env.daemon_pid(), Signal::SIGKILL);
    for worker in &workers {
        procs::signal(number(&worker["process"]["pid"]), Signal::SIGKILL);
    }
    let agent = number(&session["agent_process"]["process"]["pid"]);
    nix::sys::signal::kill(skep_tests::cmd::pid(agent), Signal::SIGKILL).ok();
    env.start_daemon();
    nothing_is_lost(&env, &seen, &["supervisor_gone", "worker_crashed", "unknown"]);
    wait_until("leftovers of the dead to be swept", || marked(&env, &session).is_empty());
}

#[test]
fn queued_prompts_are_held_after_a_crash_until_a_person_goes_on() {
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "say begun\nwait"]).run().ok();
    env.wait_session("s", "a running turn", |session| session["agent_process"].is_object());
    let body = serde_json::json!({"content": [{"type": "text", "text": "say from the queue"}], "when_busy": "queue"});
    let _queued = env.api().post("/sessions/s/prompts", &body).is(202);
    procs::signal(env.daemon_pid(), Signal::SIGKILL);
    env.start_daemon();
    let held = env.wait_session("s", "a held queue", |session| session["queue_held"] == true);
    assert_eq!(held["queued"].as_array().map(Vec::len), Some(1), "{held}");
    let _released = env.api().post("/sessions/s/queue/release", &serde_json::json!({})).is(200);
    env.wait_session("s", "an empty queue", |session| {
        session["queued"].as_array().is_some_and(Vec::is_empty) && session["turn"].is_null()
    });
    let _ran = env.skep(["logs", "s"]).run().ok().says("from the queue");
}

#[test]
fn no_turn_starts_by_itself_after_a_restart() {
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "say begun\nwait"]).run().ok();
    env.wait_session("s", "a running turn", |session| session["agent_process"].is_object());
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let session = env.wait_session("s", "the session", |_| true);
    assert!(session["turn"].is_null() && session["agent_process"].is_null(), "{session}");
    let ends = env.events("s").into_iter().filter(|event| event["kind"] == "turn_ended").collect::<Vec<_>>();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["data"]["cause"], "daemon_stopped", "{ends:?}");
}

#[test]
fn a_killed_daemon_leaves_no_worker_even_when_idle() {
    let env = TestEnv::new();
    env.start_daemon();
    let workers = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    let pids: BTreeSet<_> = workers.iter().map(|worker| number(&worker["process"]["pid"])).collect();
    procs::signal(env.daemon_pid(), Signal::SIGKILL);
    wait_until("the workers' end", || !pids.iter().any(|pid| procs::is_running(*pid)));
}
