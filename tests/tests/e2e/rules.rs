//! Permission rules of one session, and what its prompts get while a turn runs.

use serde_json::{Value, json};
use skep_tests::env::TestEnv;

fn last(env: &TestEnv, kind: &str) -> Value {
    let found = env.events("s").into_iter().rfind(|event| event["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))["data"].take()
}

#[test]
fn n7_a_sessions_own_rules_come_first_and_the_journal_names_them() {
    let env = TestEnv::with_config(
        "[[permissions.rules]]\ntool = \"execute\"\ncommand = \"cargo *\"\naction = \"deny\"\n",
    );
    let options =
        ["--deny", "execute:cargo publish*", "--allow", "execute:cargo *", "--allow", "edit:src/**"];
    let create = ["bg", "--agent", "fake", "--name", "s"];
    let _first =
        env.skep(create.iter().chain(&options).copied().chain(["ask execute cargo test"])).run().ok();
    let _done = env.skep(["wait", "s"]).run().ok();
    let by =
        |by: &str| assert!(last(&env, "permission_resolved")["by"]["rule"].as_str().unwrap().starts_with(by));
    by("rule 2 of the session: { tool = \"execute\", command = \"cargo *\"");
    for (asked, resolution) in [("cargo publish", "denied"), ("cargo x", "allowed")] {
        let _ran = env.skep(["prompt", "s", &format!("ask execute {asked}")]).run();
        assert_eq!(last(&env, "permission_resolved")["resolution"], resolution, "{asked}");
    }
    let _hostile = env.skep(["prompt", "s", "--no-wait", "ask execute cargo x; rm y"]).run().ok();
    let _denied = env.skep(["wait", "s"]).run();
    by("rule 1 of the configuration: ");
    let shown = env.api().get("/sessions/s").is(200).json();
    assert_eq!(shown["options"]["rules"][2], json!({"tool": "edit", "path": "src/**", "action": "allow"}));
}

#[test]
fn n7_a_bad_rule_is_refused_where_it_enters() {
    let env = TestEnv::new();
    let bad = env.skep(["bg", "--allow", "excute:ls", "true"]).run().exits(2);
    assert!(bad.stderr.contains("did you mean"), "{bad}");
    let rules = json!([{"tool": "execute", "command": "", "action": "allow"}]);
    let body = json!({"cwd": env.work(), "options": {"rules": rules}});
    env.start_daemon();
    let refused = env.api().post("/sessions", &body).is(422).json();
    assert!(refused.to_string().contains("options.rules[0]"), "{refused}");
}

#[test]
fn q6_a_session_says_what_its_prompts_get_while_a_turn_runs() {
    let env = TestEnv::new();
    let create = ["bg", "--agent", "fake", "--name", "s", "--busy-default", "queue"];
    let _first = env.skep(create.iter().copied().chain(["wait"])).run().ok();
    let _running = env.wait_session("s", "a running turn", |session| session["state"] == "running");
    let queued = env.skep(["prompt", "s", "--no-wait", "say two"]).run().ok();
    assert!(queued.stdout.contains("queued"), "{queued}");
    let refused = env.skep(["prompt", "s", "--no-wait", "--when-busy", "refuse", "say three"]).run();
    assert!(refused.code() != 0 && refused.stderr.contains("a turn is running"), "{refused}");
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _done = env.skep(["wait", "s"]).run();
    let said = env.skep(["logs", "s"]).run().ok();
    assert!(said.stdout.contains("two") && !said.stdout.contains("three"), "{said}");
}

#[test]
fn n7_a_session_has_its_own_patience_for_a_person() {
    let env = TestEnv::new();
    let create = ["bg", "--agent", "fake", "--name", "s", "--permission-timeout", "1s", "ask execute ls"];
    let _begun = env.skep(create).run().ok();
    let _ended = env.skep(["wait", "s", "--for", "done"]).run();
    let resolved = last(&env, "permission_resolved");
    assert_eq!((&resolved["resolution"], &resolved["by"]["cause"]), (&"denied".into(), &"timed_out".into()));
}
