//! Agents that are a command for each prompt: text and JSON lines, resumed by the agent's own id, asked for where
//! nothing else keeps them to the session's mode.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use skep_tests::env::{TestEnv, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// A command that remembers what it was told, by session, and writes lines as `claude -p` does.
const SCRIPTED: &str = r#"#!/bin/sh
prompt=$2 id=made-$$ mode=asking
shift 2
while test $# -gt 0; do
    case $1 in
        --resume) id=$2; shift ;;
        --permission-mode) mode=$2; shift ;;
    esac
    shift
done
printf '{"type":"system","subtype":"init","session_id":"%s"}\n' "$id"
case $prompt in
    fail) printf '{"type":"result","subtype":"success","is_error":true,"result":"API Error: 400"}\n'; exit 1 ;;
    hang) printf '{"type":"assistant","message":{"content":[{"type":"text","text":"hanging"}]}}\n'
          setsid sh -c 'trap "" TERM; exec sleep 987654321' & wait; wait ;;
esac
printf '%s;' "$prompt" >>"$HOME/memory-$id"
printf '{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Read","input":{"file_path":"/memory"}}]}}\n'
printf '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"read"}]}}\n'
printf '{"type":"assistant","message":{"content":[{"type":"text","text":"%s knows %s"}]}}\n' "$mode" "$(cat "$HOME/memory-$id")"
printf '{"type":"result","subtype":"success","is_error":false,"usage":{"input_tokens":5,"output_tokens":2},"total_cost_usd":0.25}\n'
"#;

/// The scripted command as the agent `scripted`, and any command as the agent `any`.
fn env(more: &str) -> TestEnv {
    let env = TestEnv::new();
    let script = env.root().join("scripted");
    fs::write(&script, SCRIPTED).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    env.configure(&format!(
        "{more}\n[agents.scripted]\ndriver = \"oneshot\"\ncommand = [{}, \"-p\", \"{{prompt}}\"]\noutput = \"claude\"\n\
         resume_args = [\"--resume\", \"{{session}}\"]\n\
         mode_args = {{ ask = [], accept-edits = [\"--permission-mode\", \"acceptEdits\"] }}\n\
         [agents.any]\ndriver = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"cat; echo done > proof\"]\n",
        toml_string(&script)
    ));
    env
}

fn all(env: &TestEnv, session: &str, kind: &str) -> Vec<Value> {
    let events = env.events(session).into_iter().filter(|event| event["kind"] == kind);
    events.map(|mut event| event["data"].take()).collect()
}

#[test]
fn a_json_agent_is_told_as_an_acp_agent_is_and_has_no_process_in_between() {
    let env = env("");
    let run = env.skep(["run", "--agent", "scripted", "--name", "s", "plum"]).run().ok();
    assert!(run.stdout.contains("asking knows plum;"), "{run}");
    let kinds: Vec<Value> =
        all(&env, "s", "update").into_iter().map(|mut update| update["sessionUpdate"].take()).collect();
    assert_eq!(kinds, ["tool_call", "tool_call_update", "agent_message_chunk", "usage_update"]);
    let ended = &all(&env, "s", "turn_ended")[0];
    assert_eq!((&ended["outcome"], &ended["exit_code"]), (&"completed".into(), &0.into()), "{ended}");
    let idle = env.wait_session("s", "rest", |session| session["state"] == "idle");
    assert!(idle["agent_process"].is_null(), "{idle}");
    let failed = env.skep(["prompt", "s", "fail"]).run().exits(1);
    assert!(failed.stderr.contains("API Error: 400"), "{failed}");
    let edits = ["run", "--agent", "scripted", "--permission-mode", "accept-edits", "pear"];
    let _mode = env.skep(edits).run().ok().says("acceptEdits knows pear;");
}

#[test]
fn p13_a_one_shot_agent_is_resumed_by_its_own_id_after_the_daemon() {
    let env = env("");
    let _first = env.skep(["run", "--agent", "scripted", "--name", "s", "plum"]).run().ok();
    let _second = env.skep(["prompt", "s", "pear"]).run().ok().says("knows plum;pear;");
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    let _third = env.skep(["prompt", "s", "fig"]).run().ok().says("knows plum;pear;fig;");
    let starts = all(&env, "s", "agent_started");
    let contexts: Vec<&str> = starts.iter().map(|start| start["context"].as_str().unwrap()).collect();
    assert_eq!(contexts, ["new", "resumed", "resumed"]);
    assert!(starts.iter().all(|start| start["agent_session"] == starts[0]["agent_session"]), "{starts:?}");
}

#[test]
fn p12_a_cancel_leaves_nothing_of_the_command() {
    let env = env("[session]\nstop_grace = \"500ms\"");
    let _begun = env.skep(["bg", "--agent", "scripted", "--name", "s", "hang"]).run().ok();
    let session = env.wait_session("s", "a running turn", |session| session["agent_process"].is_object());
    let command = number(&session["agent_process"]["process"]["pid"]);
    let sleeps = || procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654321"));
    wait_until("the orphan", sleeps);
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    let _ended = env.skep(["wait", "s"]).run();
    assert!(!procs::is_running(command) && !sleeps(), "{:#?}", env.remains());
    assert_eq!(all(&env, "s", "turn_ended")[0]["outcome"], "cancelled");
    let _goes_on = env.skep(["prompt", "s", "fig"]).run().ok().says("knows fig;");
}

#[test]
fn p12_a_daemon_that_was_killed_leaves_no_command_and_the_turn_is_interrupted() {
    let env = env("");
    let _begun = env.skep(["bg", "--agent", "scripted", "--name", "s", "hang"]).run().ok();
    let sleeps = || procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654321"));
    wait_until("the orphan", sleeps);
    procs::signal(env.daemon_pid(), nix::sys::signal::Signal::SIGKILL);
    wait_until("the orphan's end", || !sleeps());
    env.start_daemon();
    let _goes_on = env.skep(["prompt", "s", "fig"]).run().ok().says("knows fig;");
    assert_eq!(all(&env, "s", "turn_ended")[0]["outcome"], "interrupted");
}

#[test]
fn n7_any_command_is_asked_for_before_it_runs() {
    let env = env("");
    let _begun = env.skep(["bg", "--agent", "any", "--name", "s", "a word"]).run().ok();
    let asks = |session: &Value| session["state"] == "needs_you";
    let session = env.wait_session("s", "a permission request", asks);
    let request = &session["waiting"][0];
    assert_eq!(request["tool_kind"], "execute", "{request}");
    assert!(request["title"].as_str().unwrap().ends_with("sh -c 'cat; echo done > proof'"), "{request}");
    assert!(!env.work().join("proof").exists());
    let _denied = env.skep(["deny"]).run().ok();
    let _ended = env.skep(["wait", "s"]).run();
    assert_eq!(all(&env, "s", "turn_ended")[0]["outcome"], "refused");
    assert!(!env.work().join("proof").exists());
    let _own = env.skep(["run", "--agent", "any", "--name", "own", "typed"]).run().exits(6);
    assert!(!env.work().join("proof").exists(), "a prompt that was typed is no consent to the command");
    let _allowed = env.skep(["allow"]).run().ok();
    let _done = env.skep(["wait", "own", "--for", "done"]).run().ok();
    assert!(env.work().join("proof").exists());
    let _said = env.skep(["logs", "own"]).run().ok().says("typed");
}
