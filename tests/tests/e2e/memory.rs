//! What agents take, and idle sessions that hibernate for it (N5).

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::{wait_until, wait_up_to};

#[test]
fn n5_beyond_the_memory_budget_the_session_used_least_recently_hibernates_and_wakes_with_a_prompt() {
    let env = TestEnv::with_config("[session]\nmemory_budget = \"90 MiB\"\n");
    for name in ["old", "new"] {
        let _holds = env.skep(["run", "--agent", "fake", "--name", name, "hold 60\nsay held"]).run().ok();
    }
    let old = env.wait_session("old", "hibernation", |session| session["state"] == "hibernated");
    assert_eq!(old["why"], "idle while memory was short", "{old}");
    assert!(old["agent_process"].is_null() && old["agent_usage"].is_null(), "{old}");
    let new = env.wait_session("new", "its use", |session| session["agent_usage"].is_object());
    assert_eq!(new["state"], "idle", "what is left fits: {new}");
    assert!(new["agent_usage"]["memory_bytes"].as_u64() > Some(60 << 20), "{new}");
    let _told = env.skep(["ps", "--long"]).run().ok().says("hibernated (idle while memory was short)");
    let workers =
        env.wait_workers("what workers use", |workers| workers.iter().any(|w| w["usage"].is_object()));
    let taken: u64 = workers.iter().filter_map(|worker| worker["usage"]["memory_bytes"].as_u64()).sum();
    assert!(taken > 60 << 20, "{workers:?}");
    let _awake = env.skep(["prompt", "old", "count"]).run().ok().says("101");
}

#[test]
fn n5_a_session_with_a_background_process_does_not_hibernate_and_ps_says_why() {
    let env = TestEnv::with_config("[session]\nidle_timeout = \"500 ms\"\n");
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let said = env.skep(["run", "--name", "server", script]).run().ok().stdout;
    let pid: u32 = said.trim().parse().unwrap();
    let _kept = env.wait_session("server", "what keeps it awake", |session| !session["kept_awake"].is_null());
    let _told = env.skep(["ps"]).run().ok().says("kept awake: 1 background process (sleep)");
    assert!(procs::is_running(pid));
    procs::signal(pid, Signal::SIGKILL);
    let _asleep = env.wait_session("server", "hibernation", |session| session["state"] == "hibernated");
}

#[test]
fn n5_a_prompt_that_comes_while_its_session_hibernates_wakes_it() {
    let command = toml_string(&built("fake-agent"));
    // The agent's shell goes half a second after the agent: so long the session is on its way out.
    let slow = format!("command = [\"sh\", \"-c\", '\"$0\"; sleep 0.5', {command}]");
    let settings = "[session]\nidle_timeout = \"200 ms\"";
    let env = TestEnv::with_config(&format!("{settings}\n[agents.slow]\n{slow}\neof_grace = \"5 s\"\n"));
    let said = env.skep(["run", "--agent", "slow", "--name", "x", "pid"]).run().ok().stdout;
    let pid: u32 = said.trim().parse().unwrap();
    wait_until("the agent to be told to go", || !procs::is_running(pid));
    let api = env.api();
    let prompt = json!({"content": [{"type": "text", "text": "count"}]});
    let accepted = api.post("/sessions/x/prompts", &prompt);
    assert!((200..300).contains(&accepted.status), "{accepted:?}");
    let events = wait_up_to(Duration::from_secs(30), "the end of its turn", || {
        let events = env.events("x");
        (events.iter().filter(|event| event["kind"] == "turn_ended").count() == 2).then_some(events)
    });
    let started = events.iter().filter(|event| event["kind"] == "agent_started");
    let pids: Vec<u32> = started.map(|event| number(&event["data"]["pid"])).collect();
    assert_eq!(pids.len(), 2, "it hibernated and woke: {events:#?}");
}
