//! Agents that were built on the SDKs of others, each driven by skep: what one side understands by the protocol, the
//! other must understand, too.

use std::path::Path;

use serde_json::Value;
use skep_tests::agents;
use skep_tests::env::{TestEnv, built};
use skep_tests::wait::SOON;

/// A home with the agent `peer`.
fn env_with(command: &[&Path]) -> TestEnv {
    let words: Vec<&str> = command.iter().map(|word| word.to_str().expect("a path in UTF-8")).collect();
    TestEnv::with_config(&format!("[agents.peer]\ncommand = {}\n", Value::from(words)))
}

/// A prompt to the agent that ends by itself or by asking; gives the exit status of the wait.
fn prompt(env: &TestEnv, text: &str) -> i32 {
    let _begun = env.skep(["bg", "--agent", "peer", "--name", "s", text]).run().ok();
    env.skep(["wait", "s"]).limit(SOON * 2).run().code()
}

#[test]
fn the_javascript_sdks_example_agent_asks_is_denied_and_cancelled() {
    let example = agents::programs().join("../@agentclientprotocol/sdk/dist/examples/agent.js");
    let env = env_with(&[&agents::programs().join("node"), &example]);
    assert_eq!(prompt(&env, "hello"), 6, "it asks");
    let inbox = env.skep(["inbox"]).run().ok();
    assert!(inbox.stdout.contains("Modifying critical configuration file"), "{inbox}");
    let _denied = env.skep(["deny"]).run().ok();
    let _done = env.skep(["wait", "s"]).run();
    let _told = env.skep(["logs", "s"]).run().ok().says("you prefer not to make that change");

    let running = env.skep(["run", "--name", "s", "again"]).start();
    running.wait_stdout("Let me start by reading");
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _ended = running.finish().exits(130);
}

/// The agents that are written for this test, each on another SDK, behave alike.
#[track_caller]
fn answers_asks_and_is_cancelled(env: &TestEnv) {
    let _answered =
        env.skep(["run", "--agent", "peer", "--name", "s", "hello"]).run().ok().says("hello, prompt 1");
    assert_eq!(prompt(env, "ask to sing"), 6, "it asks");
    let _allowed = env.skep(["allow"]).run().ok();
    let _done = env.skep(["wait", "s"]).run().ok();
    assert_eq!(prompt(env, "ask to dance"), 6, "it asks");
    let _denied = env.skep(["deny"]).run().ok();
    let _done = env.skep(["wait", "s"]).run();
    let _told = env.skep(["logs", "s"]).run().ok().says("allowed to sing").says("denied to dance");

    let running = env.skep(["run", "--name", "s", "wait"]).start();
    running.wait_stdout("waiting");
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _ended = running.finish().exits(130);
    let _on = env.skep(["run", "--name", "s", "hello"]).run().ok().says("hello, prompt 5");
}

#[test]
fn an_agent_on_the_rust_sdk_answers_asks_and_is_cancelled() {
    answers_asks_and_is_cancelled(&env_with(&[&built("sdk-agent")]));
}

#[test]
fn an_agent_on_the_python_sdk_answers_asks_and_is_cancelled() {
    answers_asks_and_is_cancelled(&env_with(&[&agents::python(), &agents::python_dir().join("agent.py")]));
}
