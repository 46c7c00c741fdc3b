//! Files and commands that an agent leaves to skep.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::wait_until;

fn env() -> TestEnv {
    let command = toml_string(&built("fake-agent"));
    TestEnv::with_config(&format!(
        "[agents.helped]\ncommand = [{command}]\nclient_fs = true\nclient_terminal = true\n"
    ))
}

/// The script's line for a request.
fn request(method: &str, params: &serde_json::Value) -> String {
    format!("client {method} {params}")
}

#[test]
fn n7_what_an_agent_writes_through_skep_waits_for_a_person_and_a_rule_may_answer() {
    let env = env();
    let file = env.work().join("notes.txt");
    let write = |name: &str, text: &str| {
        request("fs/write_text_file", &json!({"path": env.work().join(name), "content": text}))
    };
    let read = request("fs/read_text_file", &json!({"path": file}));
    let script = [write("notes.txt", "by the agent\n"), read].join("\n");
    let create = ["bg", "--agent", "helped", "--name", "s", "--allow", "edit:src/**"];
    let _begun = env.skep(create.into_iter().chain([script.as_str()])).run().ok();
    let _waits = env.skep(["wait", "s"]).run().exits(6);
    let _shown = env.skep(["inbox"]).run().ok().says("notes.txt (13 bytes)");
    assert!(!file.exists(), "nothing happens before the answer");
    let _allowed = env.skep(["allow"]).run().ok();
    let _done = env.skep(["wait", "s"]).run().ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "by the agent\n");
    let _told = env.skep(["logs", "s"]).run().ok().says(r#"{"content":"by the agent\n"}"#);
    let _ruled = env.skep(["run", "--name", "s", &write("src/a.rs", "x")]).run().ok().says("{}");
    assert_eq!(fs::read_to_string(env.work().join("src/a.rs")).unwrap(), "x");
    let outside = request("fs/read_text_file", &json!({"path": env.state().join("token")}));
    let _refused = env.skep(["run", "--name", "s", &outside]).run().ok().says("error -32050 outside_roots");
    let decided = env.events("s").into_iter().filter(|event| event["kind"] == "permission_resolved");
    let by: Vec<_> = decided.map(|event| event["data"]["by"]["type"].clone()).collect();
    assert_eq!(by, ["client", "rule"]);
}

#[test]
fn n4_what_runs_in_a_terminal_does_not_outlive_a_worker_that_is_killed() {
    let env = env();
    let command = "setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 1000; done'; exit";
    let create = request("terminal/create", &json!({"command": command}));
    let begin = ["run", "-y", "--agent", "helped", "--name", "s"];
    let _begun = env.skep(begin.into_iter().chain([create.as_str()])).run().ok().says("terminal-1");
    let output = request("terminal/output", &json!({"terminalId": "terminal-1"}));
    let mut pid = None;
    wait_until("the command's pid", || {
        let told = env.skep(["run", "--name", "s", &output]).run().ok().stdout;
        let told: serde_json::Value = serde_json::from_str(told.trim()).unwrap();
        pid = told["output"].as_str().and_then(|output| output.trim().parse::<u32>().ok());
        pid.is_some()
    });
    let pid = pid.unwrap();
    assert!(procs::is_running(pid));
    let worker = number(&env.wait_workers("the worker", |_| true)[0]["process"]["pid"]);
    procs::signal(worker, Signal::SIGKILL);
    wait_until("the command to be found and killed", || !procs::is_running(pid));
    let gone = env.skep(["run", "--name", "s", &output]).run().ok();
    let _none = gone.says("error -32002 no_terminal");
}
