//! The command line: what it refuses, what it prints, and how it ends.

use skep_tests::cmd::Output;
use skep_tests::env::TestEnv;

fn skep<const N: usize>(env: &TestEnv, words: [&str; N]) -> Output {
    env.skep(words).run()
}

#[test]
fn g16_senseless_options_are_refused_with_2() {
    let env = TestEnv::new();
    for words in [
        &["close"][..],
        &["prompt"],
        &["run", "--no-such-option", "true"],
        &["run", "--timeout", "soon", "true"],
        &["run", "--permission-mode", "sometimes", "true"],
        &["wait", "x", "--for", "godot"],
        &["worker", "restart"],
    ] {
        let output = env.skep(words.iter().copied()).run().exits(2);
        assert!(!output.stderr.is_empty(), "{output}");
    }
    assert!(!env.state().join("daemon.json").exists(), "a refused command starts no daemon");
}

#[test]
fn g1_a_name_outside_the_pattern_is_refused() {
    let env = TestEnv::new();
    for name in ["", "a b", "../x", "ä", &"x".repeat(65)] {
        let _refused = skep(&env, ["run", "--name", name, "true"]).exits(2);
    }
}

#[test]
fn exit_3_when_the_daemon_cannot_be_reached() {
    let env = TestEnv::new();
    let _status = skep(&env, ["daemon", "status"]).exits(3);
    let _logs = skep(&env, ["logs", "anything"]).exits(3);
    let _prompt = skep(&env, ["prompt", "anything", "true"]).exits(3);
    let _stop = skep(&env, ["daemon", "stop"]).exits(0);
}

#[test]
fn exit_4_when_there_is_no_such_session() {
    let env = TestEnv::new();
    env.start_daemon();
    for words in [
        &["logs", "nobody"][..],
        &["prompt", "nobody", "true"],
        &["cancel", "nobody"],
        &["close", "nobody"],
        &["kill", "nobody"],
        &["rm", "nobody"],
        &["wait", "nobody"],
        &["worker", "park", "nobody"],
    ] {
        let output = env.skep(words.iter().copied()).run().exits(4);
        assert!(output.stderr.contains("nobody"), "{output}");
    }
}

#[test]
fn exit_5_when_the_session_is_busy() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["bg", "-y", "--name", "busy", "sleep 1000"]).ok();
    env.wait_session("busy", "a running turn", |session| session["state"] == "running");
    let _refused = skep(&env, ["prompt", "busy", "true"]).exits(5);
}

#[test]
fn exit_124_at_a_time_out_and_the_cause_is_kept() {
    let env = TestEnv::new();
    let _late = skep(&env, ["run", "--name", "late", "--timeout", "1s", "sleep 1000"]).exits(124);
    let ended = env.events("late").into_iter().rfind(|event| event["kind"] == "turn_ended").unwrap();
    assert_eq!(ended["data"]["cause"], "timed_out", "{ended}");
    assert_eq!(ended["data"]["outcome"], "limit", "n11: {ended}");
    assert_eq!(ended["data"]["detail"], "1s", "{ended}");
}

#[test]
fn exit_130_when_another_client_cancels() {
    let env = TestEnv::new();
    let run = env.skep(["run", "--name", "victim", "echo begun; sleep 1000"]).start();
    run.wait_stdout("begun");
    let _cancelled = skep(&env, ["cancel", "victim"]).ok();
    let _ended = run.finish().exits(130);
}

#[test]
fn a_session_is_found_by_name_id_and_unique_prefix() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["run", "--name", "alpha-one", "echo found me"]).ok();
    let _other = skep(&env, ["run", "--name", "alpha-two", "true"]).ok();
    let sessions = skep(&env, ["ps", "--json"]).ok().json();
    let one = sessions["sessions"].as_array().unwrap().iter().find(|s| s["name"] == "alpha-one").unwrap();
    let id = one["id"].as_str().unwrap();
    for key in ["alpha-one", id, &id[..8], "alpha-o"] {
        let _found = skep(&env, ["logs", key]).ok().says("found me");
    }
    for words in [&["close", "alpha-o"][..], &["kill", "alpha-o"], &["rm", "-f", "alpha-o"]] {
        let _refused = env.skep(words.iter().copied()).run().exits(4).warns("say its whole name");
    }
    let ambiguous = skep(&env, ["logs", "alpha"]);
    assert_ne!(ambiguous.code(), 0);
    assert!(ambiguous.stderr.contains("alpha-one") && ambiguous.stderr.contains("alpha-two"), "{ambiguous}");
}

#[test]
fn json_is_there_for_everything_that_prints_facts() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["run", "--name", "facts", "true"]).ok();
    for words in [
        &["ps", "--json"][..],
        &["daemon", "--json"],
        &["daemon", "status", "--json"],
        &["inbox", "--json"],
        &["worker", "ls", "--json"],
        &["agents", "--json"],
        &["version", "--json"],
        &["doctor", "--json"],
        &["config", "show", "--json"],
        &["config", "path", "--json"],
    ] {
        let output = env.skep(words.iter().copied()).run().ok();
        assert!(!output.json().is_null(), "{output}");
    }
}

#[test]
fn piped_output_is_plain_and_no_color_is_honoured() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["run", "--name", "plain", "true"]).ok();
    for words in [&["ps"][..], &["daemon"], &["agents"], &["doctor"]] {
        let output = env.skep(words.iter().copied()).run();
        assert!(!output.stdout.contains('\u{1b}'), "{output}");
    }
}

#[test]
fn s3_what_is_not_built_yet_is_refused_and_never_ignored() {
    let env = TestEnv::new();
    env.start_daemon();
    for words in [
        &["run", "--sandbox", "true"][..],
        &["run", "--spawn-mode", "worktree", "true"],
        &["run", "--spawn-mode=worktree", "true"],
    ] {
        let output = env.skep(words.iter().copied()).run();
        assert_ne!(output.code(), 0, "{output}");
        assert!(output.stderr.contains("not supported"), "{output}");
    }
}

#[test]
fn c2_sessions_ps_bg_logs_and_kill_exist_below_daemon_too() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["daemon", "bg", "-y", "--name", "below", "echo from below; sleep 1000"]).ok();
    let _listed = skep(&env, ["daemon", "ps"]).ok().says("below");
    let _sessions = skep(&env, ["daemon", "sessions"]).ok().says("below");
    env.wait_session("below", "a running turn", |session| session["state"] == "running");
    let _killed = skep(&env, ["daemon", "kill", "below"]).ok();
    let _logged = skep(&env, ["daemon", "logs"]).ok();
}

#[test]
fn a_prompt_comes_from_an_argument_or_from_standard_input() {
    let env = TestEnv::new();
    let _piped = env.skep(["run", "-y"]).stdin("echo piped in\n").run().ok().says("piped in");
    let _dash = env.skep(["run", "-y", "-"]).stdin("echo dashed in\n").run().ok().says("dashed in");
}

#[test]
fn s3_both_spellings_of_an_option_work_and_dir_is_the_sessions_directory() {
    let env = TestEnv::new();
    let there = env.root().join("there");
    std::fs::create_dir(&there).unwrap();
    let dir = there.to_str().unwrap();
    for words in [
        ["--dir".to_owned(), dir.to_owned()].to_vec(),
        vec![format!("--dir={dir}")],
        vec!["-C".to_owned(), dir.to_owned()],
    ] {
        let _there = env.skep(["run"]).args(&words).arg("pwd").run().ok().says(dir);
    }
}

#[test]
fn version_and_completions_and_help_need_no_daemon() {
    let env = TestEnv::new();
    let _version = skep(&env, ["version"]).ok().says(env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        let _script = skep(&env, ["completions", shell]).ok().says("skep");
    }
    let _help = skep(&env, ["--help"]).ok().says("Usage");
    assert!(!env.state().join("daemon.json").exists());
}

#[test]
fn c2_a_killed_session_stays_closed_and_its_name_is_free_again() {
    let env = TestEnv::new();
    let _begun = skep(&env, ["bg", "-y", "--name", "reused", "sleep 1000"]).ok();
    env.wait_session("reused", "a running turn", |session| session["state"] == "running");
    let _killed = skep(&env, ["kill", "reused"]).ok();
    let _again = skep(&env, ["run", "--name", "reused", "echo second life"]).ok().says("second life");
    let refused = skep(&env, ["rm", "reused"]);
    assert_ne!(refused.code(), 0, "an open session is removed only with -f: {refused}");
    let _removed = skep(&env, ["rm", "-f", "reused"]).ok();
}
