//! `skep set`: a person changes the settings of a session that is open.

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;

fn changes(env: &TestEnv, session: &str) -> Vec<Value> {
    let events = env.events(session).into_iter();
    events.filter(|event| event["kind"] == "session_changed").map(|event| event["data"].clone()).collect()
}

#[test]
fn n2_changed_settings_are_shown_journalled_and_outlive_worker_and_daemon() {
    let env = TestEnv::new();
    let _run = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    let set = ["set", "s", "--permission-mode", "plan", "--max-turns", "2", "--idle-timeout", "2h"];
    let done = env.skep(set).run().ok();
    for line in ["permission_mode = plan: from now on", "limits.max_turns = 2", "idle_timeout_seconds = 7200"]
    {
        assert!(done.stdout.contains(line), "{line}: {done}");
    }
    let again = env.skep(set).run().ok();
    assert!(again.stdout.contains("permission_mode = plan: as it was"), "{again}");
    let changed = changes(&env, "s");
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["changes"]["permission_mode"], "plan", "{changed:?}");
    assert!(changed[0]["by"].as_str().unwrap().contains("cli uid="), "{changed:?}");
    let logs = env.skep(["logs", "s"]).run().ok();
    assert!(format!("{}{}", logs.stdout, logs.stderr).contains("settings changed by skep-cli"), "{logs}");

    let worker = env.skep(["--json", "worker", "ls"]).run().ok().json();
    let worker = worker["workers"][0]["process"]["pid"].clone();
    procs::signal(env.daemon_pid(), Signal::SIGKILL);
    procs::signal(number(&worker), Signal::SIGKILL);
    let _again = env.skep(["daemon", "start"]).run().ok();
    let shown = env.skep(["ps", "--long"]).run().ok();
    assert!(shown.stdout.contains("plan"), "{shown}");
    let session = env.wait_session("s", "the session", |_| true);
    assert_eq!(session["permission_mode"], "plan", "{session}");
    assert_eq!(session["options"]["idle_timeout_seconds"], 7200, "{session}");
    let denied = env.skep(["prompt", "s", "ask edit it"]).run();
    assert!(!denied.stdout.contains("needs you"), "the mode decides: {denied}");
    let used_up = env.skep(["prompt", "s", "say more"]).run().exits(1);
    assert!(used_up.stderr.contains("limit of 2 turns is used up; `skep set` raises it"), "{used_up}");
    let _raised = env.skep(["set", "s", "--reset", "max-turns"]).run().ok().says("default");
    let _on = env.skep(["prompt", "s", "say more"]).run().ok();
    let _closed = env.skep(["close", "s"]).run().ok();
    let _closed = env.skep(["set", "s", "--max-turns", "9"]).run().exits(4);
}

#[test]
fn g5_no_process_inside_a_session_changes_settings() {
    let env = TestEnv::new();
    let _begun = env.skep(["run", "--name", "outer", "--permission-mode", "deny", "true"]).run();
    for what in
        ["set outer --permission-mode bypass", "set inner --max-turns 99", "set outer --allow execute"]
    {
        let script = format!(
            "export SKEP_HOME='{}'; '{}' {what} && echo inside=$? || echo inside=$?",
            env.state().display(),
            env.bin().display(),
        );
        let output = env.skep(["run", "-y", "--name", "inner", &script]).run();
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(text.contains("inside=1") && text.contains("a process inside a session"), "{what}: {output}");
    }
    assert!(changes(&env, "outer").is_empty() && changes(&env, "inner").is_empty());
}
