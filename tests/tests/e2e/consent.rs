//! Consent is a state: what waits for a person is listed, announced and answered once (G5, N7), and an agent never
//! answers itself.

use std::path::Path;

use serde_json::{Value, json};
use skep_tests::cmd::Running;
use skep_tests::env::TestEnv;
use skep_tests::terminal::Terminal;

/// A session in the background whose agent asks for permission, and the request.
fn asking(env: &TestEnv, name: &str) -> Value {
    let script = "ask execute rm -rf everything\nsay carried on";
    let _begun = env.skep(["bg", "--agent", "fake", "--name", name, script]).run().ok();
    let session = env.wait_session(name, "a permission request", |session| session["state"] == "needs_you");
    session["waiting"][0].clone()
}

fn last_of(env: &TestEnv, session: &str, kind: &str) -> Value {
    let events = env.events(session);
    events.into_iter().rfind(|event| event["kind"] == kind).unwrap_or_else(|| panic!("no `{kind}`"))["data"]
        .take()
}

#[test]
fn g5_a_prompt_in_the_background_waits_for_a_person() {
    let env = TestEnv::new();
    let begun = env.skep(["bg", "--name", "asks", "touch proof"]).run().ok();
    let said = format!("{}{}", begun.stdout, begun.stderr);
    assert!(said.contains("ask"), "bg says what its mode will ask: {begun}");
    env.wait_session("asks", "a permission request", |session| session["state"] == "needs_you");
    assert!(!env.work().join("proof").exists());
    let _listed = env.skep(["inbox"]).run().ok().says("touch proof");
    let allowed = env.skep(["allow"]).run().ok();
    assert!(allowed.stdout.contains("touch proof"), "prints what it answered: {allowed}");
    let _done = env.skep(["wait", "asks", "--for", "done"]).run().ok();
    assert!(env.work().join("proof").exists());
    let _empty = env.skep(["inbox", "--json"]).run().ok();
}

#[test]
fn n7_deny_tells_the_agent_and_the_journal_says_who_decided() {
    let env = TestEnv::new();
    let request = asking(&env, "refused");
    assert_eq!(request["title"], "rm -rf everything", "{request}");
    let _denied = env.skep(["deny"]).run().ok();
    let _ended = env.skep(["wait", "refused"]).run();
    let _told = env.skep(["logs", "refused"]).run().ok().says("denied");
    let resolved = last_of(&env, "refused", "permission_resolved");
    assert_eq!(resolved["resolution"], "denied", "{resolved}");
    assert_eq!(resolved["by"]["type"], "client", "{resolved}");
}

#[test]
fn n7_without_an_id_nothing_is_answered_unless_exactly_one_request_waits() {
    let env = TestEnv::new();
    env.start_daemon();
    let nothing = env.skep(["allow"]).run();
    assert_ne!(nothing.code(), 0, "{nothing}");
    let one = asking(&env, "one");
    let two = asking(&env, "two");
    let unclear = env.skep(["allow"]).run();
    assert_ne!(unclear.code(), 0, "{unclear}");
    let _both_wait = env.skep(["inbox"]).run().ok().says("one").says("two");
    let _first = env.skep(["allow", one["id"].as_str().unwrap()]).run().ok();
    let _second = env.skep(["deny", two["id"].as_str().unwrap()]).run().ok();
    let _ended = env.skep(["wait", "one"]).run().ok();
    let _told = env.skep(["logs", "one"]).run().ok().says("allowed");
}

#[test]
fn n7_the_first_answer_wins_and_the_same_answer_gets_the_same_reply() {
    let env = TestEnv::new();
    let request = asking(&env, "raced");
    let api = env.api();
    let path = format!("/sessions/raced/permissions/{}", request["id"].as_str().unwrap());
    let answer =
        |id: &str, decision: &str| api.post(&path, &json!({"id": id, "decision": {"type": decision}}));
    let (mine, theirs) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let first = answer(mine, "allow").is(200).json();
    assert_eq!(first["allowed"], true, "{first}");
    assert_eq!(answer(mine, "allow").is(200).json(), first);
    let refused = answer(theirs, "deny").refuses(409, "already_resolved").json();
    assert!(
        refused["error"]["details"]["by"].is_string() || refused["error"]["details"]["by"].is_object(),
        "{refused}"
    );
    let _done = env.skep(["wait", "raced"]).run().ok();
    let _unknown = api
        .post(
            "/sessions/raced/permissions/33333333-3333-4333-8333-333333333333",
            &json!({"decision": {"type": "allow"}}),
        )
        .refuses(404, "permission_not_found");
}

#[test]
fn n7_wait_for_needs_you_blocks_until_somebody_is_needed() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let script = format!("gate {}\nask execute a deed", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "slow", &script]).run().ok();
    let wait = env.skep(["wait", "slow", "--for", "needs-you"]).start();
    let done = env.skep(["wait", "slow", "--for", "done"]).start();
    std::fs::write(&gate, "").unwrap();
    let _needed = wait.finish().ok();
    let _allowed = env.skep(["allow"]).run().ok();
    let _done = done.finish().ok();
}

#[test]
fn s3_a_permission_mode_decides_without_a_person() {
    let env = TestEnv::new();
    for (mode, reads, executes) in
        [("bypass", "allowed", "allowed"), ("plan", "allowed", "denied"), ("deny", "denied", "denied")]
    {
        let words =
            ["run", "--agent", "fake", "--permission-mode", mode, "ask read a file\nask execute a deed"];
        let output = env.skep(words).run();
        let expected = format!("{reads}{executes}");
        assert_eq!(output.stdout.split_whitespace().collect::<String>(), expected, "{mode}: {output}");
    }
}

#[test]
fn n7_a_rule_answers_and_the_journal_names_it() {
    let env = TestEnv::with_config(
        "[[permissions.rules]]\ntool = \"execute\"\ncommand = \"cargo *\"\naction = \"allow\"\n",
    );
    let script = "ask execute cargo test\nsay done";
    let _ran = env.skep(["run", "--agent", "fake", "--name", "ruled", script]).run().ok().says("allowed");
    let resolved = last_of(&env, "ruled", "permission_resolved");
    assert_eq!(resolved["by"]["type"], "rule", "{resolved}");
}

#[test]
fn a_persons_own_command_is_their_consent_but_piped_text_is_not() {
    let env = TestEnv::new();
    let _argument = env.skep(["run", "--name", "own", "touch argument"]).run().ok();
    assert!(env.work().join("argument").exists());
    let resolved = last_of(&env, "own", "permission_resolved");
    assert_eq!(resolved["by"]["type"], "own_command", "{resolved}");
    let piped = env.skep(["run", "--name", "piped"]).stdin("touch piped\n").run().exits(6);
    assert!(piped.stderr.contains("allow"), "says how to answer: {piped}");
    assert!(!env.work().join("piped").exists());
}

#[test]
fn a_persons_own_command_is_no_consent_for_any_other_agent() {
    let env = TestEnv::new();
    let output = env.skep(["run", "--agent", "fake", "--name", "other", "ask execute a deed"]).run();
    let _needs_a_person = output.exits(6);
}

/// Runs `skep` from inside a session: the shell agent's command is the one who asks.
fn from_inside(env: &TestEnv, command: &str) -> Running {
    let script = format!(
        "export SKEP_HOME='{}'; '{}' {command} && echo inside=$? || echo inside=$?",
        env.state().display(),
        env.bin().display(),
    );
    env.skep(["run", "-y", "--name", "inner", &script]).start()
}

#[test]
fn an_agent_cannot_approve_itself_whatever_token_it_shows() {
    let env = TestEnv::new();
    asking(&env, "outer");
    let output = from_inside(&env, "allow").finish();
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(!text.contains("inside=0") && text.contains("inside"), "{output}");
    let session = env.wait_session("outer", "the session", |_| true);
    assert_eq!(session["state"], "needs_you", "{session}");
    let _by_a_person = env.skep(["allow"]).run().ok();
}

#[test]
fn an_orphan_of_a_session_cannot_approve_either_nor_administer() {
    let env = TestEnv::new();
    let request = asking(&env, "outer");
    let path = format!("/api/v1/sessions/outer/permissions/{}", request["id"].as_str().unwrap());
    let curl = |path: &str, body: &str, result: &Path| {
        format!(
            "setsid curl -s --unix-socket '{}' -H 'authorization: Bearer {}' -H 'content-type: application/json' \
             -d '{body}' http://skep{path} > '{}'",
            env.daemon_file()["socket"].as_str().unwrap(),
            env.token(),
            result.display(),
        )
    };
    let (answer, stop) = (env.work().join("answer"), env.work().join("stop"));
    let script = [
        curl(&path, "{\"decision\":{\"type\":\"allow\"}}", &answer),
        curl("/api/v1/daemon/stop", "{}", &stop),
    ]
    .join("; ");
    let _ran = env.skep(["run", "-y", &script]).run().ok();
    for file in [answer, stop] {
        let refused: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(refused["error"]["code"], "inside_session", "{refused}");
    }
    let _by_a_person = env.skep(["deny"]).run().ok();
}

#[test]
fn consent_of_ones_own_command_does_not_hold_inside_a_session() {
    let env = TestEnv::new();
    env.start_daemon();
    let output = from_inside(&env, "run --name nested 'touch smuggled'").finish();
    assert!(!env.work().join("smuggled").exists(), "{output}");
}

#[test]
fn n7_a_request_whose_agent_died_is_withdrawn() {
    let env = TestEnv::new();
    asking(&env, "orphaned");
    let session = env.wait_session("orphaned", "the agent", |session| session["agent_process"].is_object());
    let agent = skep_tests::env::number(&session["agent_process"]["process"]["pid"]);
    skep_tests::procs::signal(agent, nix::sys::signal::Signal::SIGKILL);
    env.wait_session("orphaned", "the turn's end", |session| session["turn"].is_null());
    let resolved = last_of(&env, "orphaned", "permission_resolved");
    assert_eq!(resolved["resolution"], "withdrawn", "{resolved}");
    let inbox = env.skep(["inbox", "--json"]).run().ok().json();
    assert_eq!(inbox["permissions"], json!([]), "{inbox}");
}

#[test]
fn a_person_at_a_terminal_answers_while_the_run_goes_on() {
    let env = TestEnv::new();
    let mut run = Terminal::start(env.skep([
        "run",
        "--agent",
        "fake",
        "--name",
        "live",
        "ask execute a deed\nsay went on",
    ]));
    run.shows("a deed");
    let _answered = env.skep(["allow"]).run().ok();
    run.shows("went on");
    assert_eq!(run.exit_code(), 0, "{}", run.text());
}
