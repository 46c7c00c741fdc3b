//! Agents that were built on the SDKs of others, each driven by skep: what one side understands by the protocol, the
//! other must understand, too.

use std::path::Path;

use serde_json::Value;
use skep_tests::agents;
use skep_tests::env::TestEnv;
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
