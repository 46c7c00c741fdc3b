//! Agents that misbehave: each is contained, its turn ended with the cause, and the session usable again.

use serde_json::Value;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

fn run(env: &TestEnv, script: &str) -> skep_tests::cmd::Output {
    env.skep(["run", "--agent", "fake", "--name", "s", script]).run()
}

fn turn_ended(env: &TestEnv) -> Value {
    env.events("s").into_iter().rfind(|event| event["kind"] == "turn_ended").unwrap()["data"].take()
}

#[test]
fn an_agent_that_dies_in_mid_turn_ends_it_with_the_cause_and_the_session_wakes() {
    let env = TestEnv::new();
    for (script, cause) in [
        ("say before\ncrash", "SIGKILL"),
        ("say before\nexit 3", "exit status 3"),
        ("say before\nhalf-line", "exit status 3"),
        // Nobody cancelled: that is what an agent says that was itself ended.
        ("say before\nlast-words cancelled", "SIGKILL"),
    ] {
        let _failed = run(&env, script).exits(1).says("before");
        let ended = turn_ended(&env);
        assert_eq!(
            (&ended["outcome"], &ended["cause"]),
            (&"interrupted".into(), &"agent_crashed".into()),
            "{ended}"
        );
        let exited = env.events("s").into_iter().rfind(|event| event["kind"] == "agent_exited").unwrap();
        assert!(exited["data"]["status"].as_str().unwrap().contains(cause), "{exited}");
        let _awake = run(&env, "say awake again").ok().says("awake again");
    }
}

#[test]
fn an_agent_that_dies_after_its_turn_has_ended_it() {
    let env = TestEnv::new();
    let _done = run(&env, "say all of it\nlast-words end_turn").ok().says("all of it");
    assert_eq!(turn_ended(&env)["outcome"], "completed");
}

#[test]
fn a_woken_session_is_loaded_where_the_agent_can() {
    let env = TestEnv::new();
    let _failed = run(&env, "crash").exits(1);
    let _loaded = run(&env, "count").ok().says("101");
}

#[test]
fn what_an_agent_may_not_write_is_survived_and_what_we_do_not_know_is_kept() {
    let env = TestEnv::new();
    let _whole =
        run(&env, "noise\nunknown-update\nbad-update\nother-session\nsay the end").ok().says("the end");
    let kept = |kind: &str| {
        env.events("s")
            .iter()
            .any(|event| event["kind"] == "update" && event["data"]["sessionUpdate"] == kind)
    };
    assert!(kept("hologram"), "an update that we do not know is in the journal as it came");
    let shown = env.skep(["logs", "s"]).run().ok();
    assert!(!shown.stdout.contains("who?"), "an update for a stranger is nobody's: {shown}");
}

#[test]
fn a_lone_surrogate_that_javascript_may_write_spoils_nothing() {
    let env = TestEnv::new();
    let _whole = run(&env, "surrogate\nsay the end").ok().says("the end");
    let _shown = env.skep(["logs", "s"]).run().ok().says("the end");
}

#[test]
fn a_request_that_we_do_not_know_is_answered() {
    let env = TestEnv::new();
    let _answered = run(&env, "request craft/drainMidTurnQueue").ok().says("answered -32601");
}

#[test]
fn outcomes_tell_apart_what_agents_mean() {
    let env = TestEnv::new();
    for (script, outcome, code) in [
        ("say done", "completed", 0),
        ("silent", "suspect", 1),
        ("say no\nstop refusal", "refused", 1),
        ("error the model is gone", "failed", 1),
        ("say x\nstop ran_out_of_coffee", "suspect", 1),
    ] {
        let output = run(&env, script);
        let ended = turn_ended(&env);
        assert_eq!(ended["outcome"], outcome, "{script}: {ended}\n{output}");
        let _status = output.exits(code);
    }
    assert!(env.events("s").iter().any(|event| event.to_string().contains("the model is gone")));
}

#[test]
fn a_big_update_passes_whole() {
    let env = TestEnv::new();
    let _big = run(&env, "big 3000000\nsay the end").ok().says("the end");
    let big = env.events("s").into_iter().find(|event| event.to_string().len() > 3_000_000);
    assert!(big.is_some());
}

#[test]
fn an_agent_that_ignores_cancel_and_sigterm_is_gone_soon() {
    let env = TestEnv::with_config("[session]\ncancel_grace = \"500ms\"\nstop_grace = \"500ms\"\n");
    let _begun =
        env.skep(["bg", "--agent", "fake", "--name", "s", "ignore-term\nsay begun\nhang"]).run().ok();
    let session = env.wait_session("s", "a running turn", |session| session["agent_process"].is_object());
    let agent = number(&session["agent_process"]["process"]["pid"]);
    let mut stream = env.api().stream("/sessions/s/events", None);
    stream.next_of("update");
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
    stream.next_of("turn_ended");
    wait_until("the agent's end", || !procs::is_running(agent));
    assert_eq!(turn_ended(&env)["outcome"], "cancelled");
    let _awake = env.skep(["prompt", "s", "say awake"]).run().ok().says("awake");
}

#[test]
fn cancelling_the_shell_agent_kills_the_commands_whole_tree() {
    let env = TestEnv::new();
    let script = "setsid sh -c 'trap \"\" TERM; echo orphan-is-up; sleep 987654321' & sleep 1000";
    let run = env.skep(["run", "--name", "tree", script]).start();
    run.wait_stdout("orphan-is-up");
    let _cancelled = env.skep(["cancel", "tree"]).run().ok();
    let _ended = run.finish().exits(130);
    let sleeps = || procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654321"));
    wait_until("the orphan's end", || !sleeps());
}

#[test]
fn an_agent_that_never_answers_initialize_fails_the_turn() {
    let env = TestEnv::new();
    let fake = skep_tests::env::toml_string(&skep_tests::env::built("fake-agent"));
    env.configure(&format!(
        "[session]\nagent_start_timeout = \"1s\"\n[agents.mute]\ncommand = [{fake}, \"--hang\"]\n\
         [agents.dead]\ncommand = [{fake}, \"--exit\", \"7\"]\n[agents.absent]\ncommand = [\"/no/such/program\"]\n",
    ));
    for (agent, why) in [("mute", "in time"), ("dead", "7"), ("absent", "/no/such/program")] {
        let output = env.skep(["run", "--agent", agent, "--name", agent, "say hi"]).run().exits(1);
        assert!(output.stderr.contains(why), "{agent}: {output}");
    }
    let _works = env.skep(["run", "true"]).run().ok();
}

#[test]
fn p20_a_flood_on_standard_error_is_kept_within_bounds() {
    let env = TestEnv::with_config("[logs]\nmax_bytes = \"1 MiB\"\nfiles = 3\n");
    let _flooded = run(&env, "stderr 20000000\nsay still here").ok().says("still here");
    let _tail = env.skep(["logs", "s", "--type", "process"]).run().ok().says("eeee");
    let mut bytes = 0;
    let mut dirs = vec![env.state()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let data = entry.metadata().unwrap();
            if data.is_dir() { dirs.push(entry.path()) } else { bytes += data.len() }
        }
    }
    assert!(bytes < 6 * 1024 * 1024, "{bytes} bytes are kept");
}
