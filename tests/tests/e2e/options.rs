//! What a session's agent is given: its model, its own options, MCP servers.

use std::fs;

use skep_tests::env::TestEnv;

#[test]
fn n11_the_model_reaches_the_agent_and_stays_with_the_session() {
    let env = TestEnv::new();
    env.configure(
        "[agents.echo]\ndriver = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"echo got $1\", \"sh\"]\n\
         model_args = [\"model={model}\"]\nmode_args = { ask = [] }\n\
         [agents.deaf]\ndriver = \"oneshot\"\ncommand = [\"cat\"]\nmode_args = { ask = [] }\n",
    );
    let run = env.skep(["run", "--agent", "echo", "--name", "m", "--model", "big one", "hi"]).run().ok();
    assert!(run.stdout.contains("got model=big one"), "{run}");
    let again = env.skep(["prompt", "m", "hi"]).run().ok();
    assert!(again.stdout.contains("got model=big one"), "{again}");
    let other = env.skep(["run", "--agent", "echo", "--name", "m", "--model", "small", "hi"]).run();
    assert!(other.stderr.contains("another model: `\\\"big one\\\"`"), "{other}");
    let refused = env.skep(["run", "--agent", "deaf", "--model", "x", "hi"]).run().exits(1);
    assert!(refused.stderr.contains("takes no model; its preset needs `model_args`"), "{refused}");
    let options = env.skep(["run", "--agent", "echo", "--set", "a=b", "hi"]).run().exits(1);
    assert!(options.stderr.contains("has no options that could be set"), "{options}");
}

#[test]
fn g13_a_file_of_mcp_servers_with_a_secret_is_refused_before_anything_starts() {
    let env = TestEnv::new();
    let file = env.root().join("mcp servers.json");
    fs::write(&file, r#"{"mcpServers":{"a":{"command":"x","env":{"A_TOKEN":"s3cret"}}}}"#).unwrap();
    let refused = env.skep(["run", "--mcp-config", file.to_str().unwrap(), "true"]).run().exits(2);
    assert!(refused.stderr.contains("`A_TOKEN` looks like a secret"), "{refused}");
    assert!(!refused.stderr.contains("s3cret"), "{refused}");
    fs::write(&file, r#"{"mcpServers":{"a":{"command":"x","env":{"A_TOKEN":"${A_TOKEN:-}"}}}}"#).unwrap();
    let _run = env.skep(["run", "--name", "s", "--mcp-config", file.to_str().unwrap(), "true"]).run().ok();
    let session = env.wait_session("s", "rest", |session| session["state"] == "idle");
    assert_eq!(session["options"]["mcp_servers"]["a"]["env"]["A_TOKEN"], "${A_TOKEN:-}", "{session}");
}
