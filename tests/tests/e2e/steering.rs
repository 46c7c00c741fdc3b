//! Prompts that go into the turn that runs: every way in which they can meet it, with an agent that takes them.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use skep_tests::cmd::Output;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// The scripted `claude` as the agent `stream`; as `silent`, which reports nothing of prompts; as `mute`, which never
/// gets ready.
fn env() -> TestEnv {
    let program = toml_string(&built("fake-claude"));
    let agent = |name: &str, arg: &str| {
        format!(
            "[agents.{name}]\ndriver = \"claude-stream\"\ncommand = [{program}{arg}]\neof_grace = \"5 s\"\n\
             resume_args = [\"--resume\", \"{{session}}\"]\n"
        )
    };
    let silent = agent("silent", ", \"--no-reports\"");
    TestEnv::with_config(&(agent("stream", "") + &silent + &agent("mute", ", \"--mute\"")))
}

fn all(env: &TestEnv, kind: &str) -> Vec<Value> {
    let events = env.events("s").into_iter().filter(|event| event["kind"] == kind);
    events.map(|mut event| event["data"].take()).collect()
}

/// A turn that has said `begun`.
fn begin(env: &TestEnv, agent: &str, script: &str) {
    let script = format!("say begun\n{script}");
    let _begun = env.skep(["bg", "--agent", agent, "--name", "s", &script]).run().ok();
    wait_until("the turn", || env.skep(["logs", "s"]).run().stdout.contains("begun"));
}

fn steer(env: &TestEnv, text: &str) -> Output {
    env.skep(["prompt", "s", "--steer", text]).run()
}

/// The prompt that was steered, and the turn's end, which is also its own.
fn ended_with(env: &TestEnv, outcome: &str) -> (Value, Value) {
    let (steered, ended) = (all(env, "prompt_steered"), all(env, "turn_ended"));
    assert_eq!((steered.len(), ended.len()), (1, 1), "one turn: {steered:?} {ended:?}");
    assert_eq!((&ended[0]["outcome"], &ended[0]["prompt"]), (&outcome.into(), &steered[0]["turn"]));
    assert_eq!(ended[0]["steered"], json!([steered[0]["prompt"]]));
    (steered[0].clone(), ended[0].clone())
}

#[test]
fn g9_a_steered_prompt_is_taken_into_the_turn_that_runs_and_ends_with_it() {
    let env = env();
    begin(&env, "stream", "take\nsay and over");
    let output = steer(&env, "say taken").ok().says("taken").says("and over");
    assert!(!output.stdout.contains("begun"), "what was said before it is another's: {output}");
    let (steered, ended) = ended_with(&env, "completed");
    let kinds: Vec<String> =
        env.events("s").iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    let at = |kind: &str| kinds.iter().position(|other| other == kind).unwrap();
    assert!(at("turn_started") < at("prompt_steered") && at("prompt_steered") < at("turn_ended"));
    assert_eq!(ended["usage"]["tokens"]["total"], 7, "{ended}");
    let _told = env.skep(["logs", "s"]).run().ok().says("begun\n> say taken\ntaken");
    let again = json!({"id": steered["prompt"], "content": steered["content"], "when_busy": "steer"});
    let again = env.api().post("/sessions/s/prompts", &again).is(202).json();
    assert_eq!(again["duplicate"], true, "{again}");
    assert_eq!(all(&env, "prompt_steered").len(), 1);
}

#[test]
fn g9_one_that_the_agent_takes_up_only_after_its_turn_is_still_part_of_it() {
    let env = env();
    begin(&env, "stream", "queues\nsay first");
    let _both = steer(&env, "say second").ok().says("first").says("second");
    let (_, ended) = ended_with(&env, "completed");
    assert_eq!(ended["usage"]["tokens"]["total"], 14, "both of the agent's turns: {ended}");
    let _goes_on = env.skep(["prompt", "s", "say third"]).run().ok().says("third");
}

#[test]
fn an_agent_that_reports_nothing_ends_the_turn_by_itself() {
    let env = env();
    begin(&env, "silent", "queues\nsay first");
    let _first = steer(&env, "remember it").ok().says("first");
    let (_, ended) = ended_with(&env, "completed");
    assert_eq!(ended["usage"]["tokens"]["total"], 7);
}

#[test]
fn a_cancel_ends_the_turn_and_what_was_steered_into_it() {
    let env = env();
    begin(&env, "stream", "queues\nwait");
    let watch = env.skep(["prompt", "s", "--steer", "say never"]).start();
    wait_until("the prompt", || !all(&env, "prompt_steered").is_empty());
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _told = watch.finish().exits(130);
    let (_, ended) = ended_with(&env, "cancelled");
    assert_eq!(ended["cause"], "person");
    let _goes_on = env.skep(["prompt", "s", "say and on"]).run().ok().says("and on");
    let logs = env.skep(["logs", "s"]).run().ok();
    assert!(!logs.stdout.contains("\nnever"), "it was withdrawn: {logs}");
    assert_eq!(all(&env, "agent_exited").len(), 0, "by the agent's own means");
}

#[test]
fn ctrl_c_on_a_steered_prompt_cancels_its_turn() {
    let env = env();
    begin(&env, "stream", "take\nwait");
    let watch = env.skep(["prompt", "s", "--steer", "say taken"]).start();
    watch.wait_stdout("taken");
    watch.signal(Signal::SIGINT);
    let _told = watch.finish().exits(130);
    let _ended = ended_with(&env, "cancelled");
}

#[test]
fn p13_when_the_agent_dies_a_steered_prompt_is_interrupted_and_run_again_with_its_turn() {
    let env = env();
    begin(&env, "stream", "remember plum\nqueues\nwait");
    let watch = env.skep(["prompt", "s", "--steer", "say never"]).start();
    wait_until("the prompt", || !all(&env, "prompt_steered").is_empty());
    let session = env.api().get("/sessions/s").is(200).json();
    procs::signal(number(&session["agent_process"]["process"]["pid"]), Signal::SIGKILL);
    let _told = watch.finish().exits(1);
    let _ended = ended_with(&env, "interrupted");
    let _again = env.skep(["prompt", "s", "--retry-interrupted", "--no-wait"]).run().ok();
    let again = all(&env, "prompt_queued").pop().unwrap();
    let texts: Vec<&Value> =
        again["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect();
    assert_eq!(texts, ["say begun\nremember plum\nqueues\nwait", "say never"]);
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
}

#[test]
fn p1_when_the_worker_dies_a_steered_prompt_ends_with_its_turn() {
    let env = env();
    begin(&env, "stream", "queues\nwait");
    let watch = env.skep(["prompt", "s", "--steer", "say never"]).start();
    wait_until("the prompt", || !all(&env, "prompt_steered").is_empty());
    let workers = env.wait_workers("a worker", |workers| !workers[0]["process"]["pid"].is_null());
    procs::signal(number(&workers[0]["process"]["pid"]), Signal::SIGKILL);
    let _told = watch.finish().exits(1);
    let (steered, _) = ended_with(&env, "interrupted");
    let again = json!({"id": steered["prompt"], "content": steered["content"], "when_busy": "steer"});
    let again = env.api().post("/sessions/s/prompts", &again).is(202).json();
    assert_eq!((&again["duplicate"], &again["queued"]), (&true.into(), &false.into()), "it never runs twice");
}

#[test]
fn g9_while_nothing_runs_or_the_agent_only_starts_it_is_a_prompt_like_any_other() {
    let env = env();
    let _first = env.skep(["run", "--agent", "stream", "--name", "s", "say one"]).run().ok();
    let _second = steer(&env, "say two").ok().says("two");
    assert!(all(&env, "prompt_steered").is_empty());
    let _begun = env.skep(["bg", "--agent", "mute", "--name", "slow", "say never"]).run().ok();
    let queued = env.skep(["prompt", "slow", "--steer", "--no-wait", "say later"]).run().ok();
    assert!(queued.stdout.starts_with("queued"), "{queued}");
    let _killed = env.skep(["kill", "slow"]).run().ok();
}

#[test]
fn g15_an_agent_that_cannot_be_steered_has_it_refused_with_what_to_do_instead() {
    let env = env();
    let gate = env.work().join("gate");
    let script = format!("gate {}\nsay done", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    env.wait_session("s", "a running turn", |session| session["state"] == "running");
    let refused = steer(&env, "say never").exits(2);
    assert!(refused.stderr.contains("queue"), "{refused}");
    let prompt = json!({"content": [{"type": "text", "text": "say never"}], "when_busy": "steer"});
    let _refused = env.api().post("/sessions/s/prompts", &prompt).refuses(422, "not_supported");
    let new = ["run", "--agent", "fake", "--name", "t", "--busy-default", "steer", "say never"];
    let refused = env.skep(new).run().exits(2);
    assert!(refused.stderr.contains("queue"), "{refused}");
    std::fs::write(gate, "").unwrap();
    let _done = env.skep(["wait", "s"]).run().ok();
    let _idle = steer(&env, "say welcome").ok().says("welcome");
}

#[test]
fn a_session_can_steer_by_default_and_whoever_waits_for_a_run_hears_its_turns_end() {
    let env = env();
    let new = ["bg", "--agent", "stream", "--name", "s", "--busy-default", "steer", "--max-turns", "1"];
    let _begun = env.skep(new.into_iter().chain(["say begun\ntake\nsay over"])).run().ok();
    wait_until("the turn", || env.skep(["logs", "s"]).run().stdout.contains("begun"));
    let run = json!({
        "session": {"name": "s", "agent": "stream", "cwd": env.work(), "continue_open": true},
        "prompt": {"content": [{"type": "text", "text": "say taken"}]},
    });
    let done = env.api().post("/runs?wait=60", &run).is(200).json();
    let (steered, _) = ended_with(&env, "completed");
    let (prompt, turn) = (&done["prompt"], &done["turn"]);
    assert_eq!(
        (&prompt["prompt"], &prompt["steered_into"]),
        (&steered["prompt"], &steered["turn"]),
        "{done}"
    );
    assert_eq!((&turn["prompt"], &turn["outcome"]), (&steered["turn"], &"completed".into()), "{done}");
    assert_eq!(done["text"], "takenover", "{done}");
    let refused = env.skep(["prompt", "s", "say more"]).run();
    assert!(refused.code() != 0, "it took no turn of its own, but the first one is used up: {refused}");
}
