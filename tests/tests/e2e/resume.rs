//! What brings a session back whose agent, worker or machine died, and the turn that was cut off (N2).

use std::fs;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use skep_tests::cmd::pid;
use skep_tests::env::{TestEnv, number};
use skep_tests::wait::wait_for;

use crate::environment::kill_everything;

fn texts(env: &TestEnv, name: &str) -> Vec<String> {
    let events = env.events(name);
    let said = events.iter().filter_map(|event| event["data"]["content"]["text"].as_str().map(str::to_owned));
    said.collect()
}

/// What each agent of the session knew when it was started.
fn contexts(env: &TestEnv, name: &str) -> Vec<Value> {
    let events = env.events(name);
    let started = events.iter().filter(|event| event["kind"] == "agent_started");
    started.map(|event| event["data"]["context"].clone()).collect()
}

/// How the session's turns ended.
fn outcomes(env: &TestEnv, name: &str) -> Vec<Value> {
    let events = env.events(name);
    let ended = events.iter().filter(|event| event["kind"] == "turn_ended");
    ended.map(|event| event["data"]["outcome"].clone()).collect()
}

/// A session of this policy in the middle of its second turn.
fn in_mid_turn(env: &TestEnv, name: &str, policy: &str) {
    let _hi = env.skep(["run", "--agent", "fake", "--name", name, "--resume", policy, "say hi"]).run().ok();
    let _cut = env.skep(["prompt", name, "--no-wait", "say begun\nwait"]).run().ok();
    wait_for("it has begun", || texts(env, name).contains(&"begun".to_owned()).then_some(()));
}

/// Waits until the prompt that waited has run, in an agent that had loaded its session.
fn its_queue_went_on(env: &TestEnv, name: &str) {
    wait_for("what waited has run", || texts(env, name).contains(&"101".to_owned()).then_some(()));
    env.wait_session(name, "its turn ended", |session| session["state"] == "idle");
}

fn kill_worker_of(env: &TestEnv, name: &str) {
    let session = env.wait_session(name, "its worker", |session| session["worker"].is_string());
    let workers = env.wait_workers("the worker runs", |workers| !workers.is_empty());
    let worker = workers.iter().find(|worker| worker["id"] == session["worker"]).unwrap();
    kill(pid(number(&worker["process"]["pid"])), Signal::SIGKILL).unwrap();
}

#[test]
fn n02_a_turn_that_was_cut_off_is_run_again_only_when_asked_and_names_what_it_repeats() {
    let env = TestEnv::new();
    env.start_daemon();
    let nothing = env.skep(["run", "--agent", "fake", "--name", "k", "say hi"]).run().ok();
    drop(nothing);
    let refused = env.skep(["prompt", "k", "--retry-interrupted"]).run().exits(4);
    assert!(refused.stderr.contains("nothing to run again"), "{refused}");
    let cut = format!("say begun\ngate {}\nsay done", env.work().join("gate").display());
    let _running = env.skep(["prompt", "k", "--no-wait", &cut]).run().ok();
    env.wait_session("k", "the turn runs", |session| session["state"] == "running");
    wait_for("it has begun", || texts(&env, "k").contains(&"begun".to_owned()).then_some(()));
    kill_everything(&env);
    fs::write(env.work().join("gate"), "").unwrap();
    env.start_daemon();
    let session = env.wait_session("k", "it was cut off", |session| session["state"] == "interrupted");
    assert_eq!(texts(&env, "k"), ["hi", "begun"], "nothing is run again by itself");
    let _named = env.skep(["logs", "k"]).run().ok().says("--retry-interrupted");
    let _done = env.skep(["prompt", "k", "--retry-interrupted"]).run().ok().says("done");
    let events = env.events("k");
    let last = events.iter().rfind(|event| event["kind"] == "prompt_queued").unwrap();
    assert_eq!(last["data"]["retry_of"], session["last_turn"]["prompt"]);
    assert_eq!(last["data"]["content"][0]["text"], json!(cut));
    let refused = env.skep(["prompt", "k", "--retry-interrupted"]).run().exits(4);
    assert!(refused.stderr.contains("nothing to run again"), "{refused}");
}

#[test]
fn n02_with_resume_never_a_new_agent_knows_nothing_and_says_so() {
    let env = TestEnv::new();
    let _one = env.skep(["run", "--agent", "fake", "--name", "n", "--resume", "never", "say hi"]).run().ok();
    let _crashed = env.skep(["prompt", "n", "crash"]).run().exits(1);
    let _two = env.skep(["prompt", "n", "count"]).run().ok().says("1");
    assert_eq!(contexts(&env, "n"), ["new", "new"]);
    let _said = env.skep(["logs", "n"]).run().ok().says("without the session's context: resume = never");
    // What was stopped on purpose has not died.
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    let _three = env.skep(["prompt", "n", "count"]).run().ok().says("101");
    let other = env.skep(["run", "--agent", "fake", "--name", "n", "--resume", "always", "say hi"]).run();
    assert!(other.stderr.contains("resume"), "{other}");
}

#[test]
fn n02_with_resume_always_a_session_comes_back_when_its_agent_died_and_its_queue_goes_on() {
    let env = TestEnv::new();
    in_mid_turn(&env, "a", "always");
    let _queued = env.skep(["prompt", "a", "--no-wait", "--queue", "count"]).run().ok();
    let session = env.wait_session("a", "its agent", |session| session["agent_process"].is_object());
    kill(pid(number(&session["agent_process"]["process"]["pid"])), Signal::SIGKILL).unwrap();
    its_queue_went_on(&env, "a");
    assert_eq!(contexts(&env, "a"), ["new", "loaded"]);
    assert_eq!(texts(&env, "a"), ["hi", "begun", "101"]);
}

#[test]
fn n02_with_resume_always_a_session_comes_back_by_itself_when_its_worker_died_and_no_other_does() {
    let env = TestEnv::new();
    for (name, policy) in [("back", "always"), ("stays", "on-prompt")] {
        in_mid_turn(&env, name, policy);
    }
    let _queued = env.skep(["prompt", "back", "--no-wait", "--queue", "count"]).run().ok();
    kill_worker_of(&env, "back");
    its_queue_went_on(&env, "back");
    assert_eq!(contexts(&env, "back"), ["new", "loaded"]);
    assert_eq!(outcomes(&env, "back"), ["completed", "interrupted", "completed"]);
    assert_eq!(texts(&env, "back"), ["hi", "begun", "101"], "the turn that was cut off did not run again");
    let stays = env.wait_session("stays", "it was cut off", |session| session["state"] == "interrupted");
    assert_eq!((&stays["worker"], contexts(&env, "stays")), (&Value::Null, vec![json!("new")]));
}

#[test]
fn n02_with_resume_always_a_session_is_back_after_everything_was_killed_and_runs_nothing_by_itself() {
    let env = TestEnv::new();
    in_mid_turn(&env, "back", "always");
    in_mid_turn(&env, "closed", "always");
    let _closed = env.skep(["close", "closed"]).run().ok();
    kill_everything(&env);
    env.start_daemon();
    let back = env.wait_session("back", "its agent is back", |session| session["agent_process"].is_object());
    env.wait_session("back", "it can go on", |session| session["state"] == "idle");
    assert_eq!(back["turn"], Value::Null);
    assert_eq!(contexts(&env, "back"), ["new", "loaded"]);
    assert_eq!(texts(&env, "back"), ["hi", "begun"]);
    let _again = env.skep(["prompt", "back", "count"]).run().ok().says("101");
    assert_eq!(contexts(&env, "back"), ["new", "loaded"], "the agent that came back served the prompt");
    assert_eq!(contexts(&env, "closed"), ["new"]);
    // A stop is no death: what a person stopped wakes with its next prompt.
    in_mid_turn(&env, "stopped", "always");
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    let stopped = env.wait_session("stopped", "it was cut off", |session| session["state"] == "interrupted");
    assert_eq!((&stopped["worker"], contexts(&env, "stopped")), (&Value::Null, vec![json!("new")]));
}

#[test]
fn q4_a_wait_ends_with_its_limit_even_if_the_daemon_does_not_answer() {
    let env = TestEnv::new();
    let _hi = env.skep(["run", "--agent", "fake", "--name", "k", "say hi"]).run().ok();
    let daemon = pid(env.daemon_pid());
    kill(daemon, Signal::SIGSTOP).unwrap();
    let begun = std::time::Instant::now();
    let ended = env.skep(["wait", "k", "--timeout", "1"]).run();
    kill(daemon, Signal::SIGCONT).unwrap();
    assert!(ended.stderr.contains("after 1 s"), "{ended}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "it took {:?}", begun.elapsed());
}
