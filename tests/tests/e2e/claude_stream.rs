//! Claude Code's JSON lines, both ways, over one long-lived process: the same promises as for an agent that speaks ACP.

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// The scripted `claude` as the agent `stream`, with more in its table.
fn env(more: &str) -> TestEnv {
    let program = toml_string(&built("fake-claude"));
    TestEnv::with_config(&format!(
        "[agents.stream]\ndriver = \"claude-stream\"\ncommand = [{program}]\n\
         resume_args = [\"--resume\", \"{{session}}\"]\neof_grace = \"5 s\"\n\
         mode_args = {{ ask = [\"--permission-mode\", \"default\"], plan = [\"--permission-mode\", \"plan\"] }}\n\
         {more}\n[agents.ends]\ndriver = \"claude-stream\"\ncommand = [{program}, \"--exit\", \"7\"]\n\
         [agents.mute]\ndriver = \"claude-stream\"\ncommand = [{program}, \"--mute\"]\n"
    ))
}

fn all(env: &TestEnv, kind: &str) -> Vec<Value> {
    let events = env.events("s").into_iter().filter(|event| event["kind"] == kind);
    events.map(|mut event| event["data"].take()).collect()
}

fn run(env: &TestEnv, script: &str) -> skep_tests::cmd::Output {
    env.skep(["run", "--agent", "stream", "--name", "s", script]).run()
}

#[test]
fn one_process_serves_every_turn_and_is_told_as_an_acp_agent_is() {
    let env = env("");
    let _first = run(&env, "remember plum\nsay good morning\nnoise").ok().says("good morning");
    let pid = || number(&env.api().get("/sessions/s").is(200).json()["agent_process"]["process"]["pid"]);
    let process = pid();
    let _second = run(&env, "remember pear\nrecall").ok().says("remembered plum;pear;");
    assert_eq!(pid(), process);
    let kinds: Vec<Value> =
        all(&env, "update").into_iter().map(|mut update| update["sessionUpdate"].take()).collect();
    let turn = ["agent_message_chunk", "agent_message_chunk", "usage_update"];
    assert_eq!(kinds[..3], turn, "what came in parts does not come again");
    let failed = run(&env, "fail API Error: 400").exits(1);
    assert!(failed.stderr.contains("API Error: 400"), "{failed}");
    let _closed = env.skep(["close", "s"]).run().ok();
    assert!(!procs::is_running(process));
    let exits = all(&env, "agent_exited");
    assert_eq!(exits[0]["status"], "exit status 0", "the end of its input was enough: {exits:?}");
}

#[test]
fn n7_it_asks_and_each_answer_reaches_it() {
    let env = env("");
    for (answer, said) in [
        (&["allow"][..], "answered allow with 0 rules"),
        (&["allow", "--always"], "answered allow with 1 rules"),
        (&["deny"], "answered deny with 0 rules"),
    ] {
        let _begun = env.skep(["bg", "--agent", "stream", "--name", "s", "ask touch it"]).run().ok();
        let asks = env.wait_session("s", "a question", |session| session["state"] == "needs_you");
        let request = &asks["waiting"][0];
        assert_eq!((&request["tool_kind"], &request["title"]), (&"execute".into(), &"touch it".into()));
        let _answered = env.skep(answer.iter().copied()).run().ok();
        let _done = env.skep(["wait", "s"]).run().ok();
        let _said = env.skep(["logs", "s"]).run().ok().says(said);
    }
    let plan = ["run", "--agent", "stream", "--permission-mode", "plan", "args\nask touch it"];
    let planned = env.skep(plan).run();
    assert!(planned.stdout.contains("--permission-mode plan"), "{planned}");
    assert!(planned.stdout.contains("answered deny"), "its own mode is not all there is: {planned}");
}

#[test]
fn a_turn_is_cancelled_wherever_it_is_and_the_next_one_goes_on() {
    let env = env("");
    for script in ["say begun\nwait", "say begun\nask touch it"] {
        let _begun = env.skep(["bg", "--agent", "stream", "--name", "s", script]).run().ok();
        wait_until("the turn", || env.skep(["logs", "s"]).run().stdout.contains("begun"));
        let _cancelled = env.skep(["cancel", "s"]).run().ok();
        let _ended = env.skep(["wait", "s"]).run();
        assert_eq!(all(&env, "turn_ended").last().unwrap()["outcome"], "cancelled", "{script}");
        let _goes_on = run(&env, "say and on").ok().says("and on");
    }
    assert_eq!(all(&env, "agent_started").len(), 2, "a start, and its session's id: one process");
}

#[test]
fn p13_after_sigkill_it_is_resumed_by_its_own_id() {
    let env = env("");
    let _first = run(&env, "remember plum\nsay good morning").ok();
    let _begun = env.skep(["bg", "--agent", "stream", "--name", "s", "say begun\nwait"]).run().ok();
    wait_until("the turn", || env.skep(["logs", "s"]).run().stdout.contains("begun"));
    let session = env.api().get("/sessions/s").is(200).json();
    procs::signal(number(&session["agent_process"]["process"]["pid"]), Signal::SIGKILL);
    let _ended = env.skep(["wait", "s"]).run().exits(1);
    assert_eq!(all(&env, "turn_ended").last().unwrap()["outcome"], "interrupted");
    let _resumed = run(&env, "recall").ok().says("remembered plum;");
    assert_eq!(all(&env, "agent_started").last().unwrap()["context"], "resumed");
}

#[test]
fn a_session_that_is_lost_begins_anew_with_a_recap_and_says_so() {
    let env = env("");
    let _first = run(&env, "say good morning").ok();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    let _second = run(&env, "recall").ok().says("remembered ");
    let notes = all(&env, "note");
    let said = |words: &str| notes.iter().any(|note| note["text"].as_str().unwrap().contains(words));
    assert!(said("No conversation found with session ID") && said("a recap of this session"), "{notes:?}");
}

#[test]
fn one_that_does_not_start_is_told_with_its_own_words() {
    let env = env("");
    let broken = env.skep(["run", "--agent", "ends", "hi"]).run().exits(1);
    assert!(broken.stderr.contains("exit status 7: no licence"), "{broken}");
    let _begun = env.skep(["bg", "--agent", "mute", "--name", "s", "hi"]).run().ok();
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _ended = env.skep(["wait", "s"]).run();
    assert_eq!(all(&env, "turn_ended")[0]["outcome"], "cancelled");
}
