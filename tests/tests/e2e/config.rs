//! Configuration: refused with a place and a suggestion, reloaded without harm (promise 23).

use std::fs;

use nix::sys::signal::Signal;
use skep_tests::env::TestEnv;
use skep_tests::procs;
use skep_tests::wait::wait_until;

#[test]
fn unknown_keys_and_wrong_types_are_refused_with_line_column_and_a_suggestion() {
    let env = TestEnv::new();
    for (text, place, hint) in [
        ("[session]\nmax_opne = 3\n", ":2:1", "max_open"),
        ("[session]\nmax_open = \"three\"\n", ":2:12", "max_open"),
        ("[sesion]\n", ":1:2", "session"),
    ] {
        fs::write(env.config_file(), text).unwrap();
        for words in [&["config", "check"][..], &["daemon", "start"]] {
            let output = env.skep(words.iter().copied()).run();
            assert_ne!(output.code(), 0, "{output}");
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains("config.toml") && said.contains(place) && said.contains(hint), "{output}");
        }
    }
}

#[test]
fn config_init_writes_every_key_documented_and_never_overwrites() {
    let env = TestEnv::new();
    fs::remove_file(env.config_file()).unwrap();
    let _written = env.skep(["config", "init"]).run().ok();
    let text = fs::read_to_string(env.config_file()).unwrap();
    for key in ["idle_timeout", "max_open", "first_delay", "capacity", "max_body", "when_busy"] {
        assert!(text.contains(key), "{key}");
    }
    let _valid = env.skep(["config", "check"]).run().ok();
    let again = env.skep(["config", "init"]).run();
    assert_ne!(again.code(), 0, "{again}");
    let _shown = env.skep(["config", "path"]).run().ok().says("config.toml");
}

#[test]
fn p23_an_invalid_configuration_changes_nothing_and_says_why() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let worker =
        env.wait_workers("a running worker", |workers| workers[0]["state"] == "running")[0]["process"]
            .clone();
    fs::write(env.config_file(), "[session]\nmax_opne = 1\n").unwrap();
    let refused = env.skep(["daemon", "reload"]).run();
    assert_ne!(refused.code(), 0, "{refused}");
    procs::signal(pid, Signal::SIGHUP);
    let api = env.api();
    wait_until("the problem in the status", || {
        api.get("/daemon").is(200).json()["config_error"].as_str().is_some_and(|why| why.contains("max_opne"))
    });
    assert_eq!(env.daemon_pid(), pid);
    assert_eq!(env.wait_workers("the worker", |_| true)[0]["process"], worker);
    let _works = env.skep(["run", "true"]).run().ok();
}

#[test]
fn p23_a_valid_reload_restarts_only_the_workers_that_it_changes() {
    let env = TestEnv::with_config("[pool.background]\ncount = 1\n");
    env.start_daemon();
    let running = |workers: &[serde_json::Value]| {
        workers.len() == 2 && workers.iter().all(|worker| worker["state"] == "running")
    };
    let process = |workers: &[serde_json::Value], kind: &str| {
        workers.iter().find(|worker| worker["kind"] == kind).map(|worker| worker["process"].clone())
    };
    let before = env.wait_workers("two running workers", running);
    env.configure("[pool.background]\ncount = 1\ncapacity = 7\n");
    procs::signal(env.daemon_pid(), Signal::SIGHUP);
    let after = env.wait_workers("the changed worker", |workers| {
        running(workers) && workers.iter().any(|worker| worker["capacity"] == 7)
    });
    assert_eq!(process(&before, "remote-control"), process(&after, "remote-control"));
    let background = after.iter().find(|worker| worker["kind"] == "background").unwrap();
    assert_eq!(background["capacity"], 7);
}

#[test]
fn a_new_agent_is_known_after_a_reload() {
    let env = TestEnv::new();
    env.start_daemon();
    let unknown = env.skep(["run", "--agent", "newcomer", "say hi"]).run();
    assert_ne!(unknown.code(), 0, "{unknown}");
    let fake = skep_tests::env::toml_string(&skep_tests::env::built("fake-agent"));
    env.configure(&format!("[agents.newcomer]\ncommand = [{fake}]\n"));
    let _reloaded = env.skep(["daemon", "reload"]).run().ok();
    let _known = env.skep(["run", "--agent", "newcomer", "say hello there"]).run().ok().says("hello there");
}

#[test]
fn environment_and_flags_win_over_the_file() {
    let env = TestEnv::new();
    env.configure("[session]\ndefault_agent = \"fake\"\n");
    let agent = |variable: &str| {
        let shown = env.skep(["config", "show"]).env("SKEP_AGENT", variable).run().ok();
        shown.stdout.lines().find(|line| line.starts_with("default_agent")).map(str::to_owned)
    };
    assert_eq!(agent("shell").as_deref(), Some("default_agent = \"shell\""));
    let _from_the_file = env.skep(["config", "show"]).run().ok().says("default_agent = \"fake\"");
    let _flag =
        env.skep(["run", "--agent", "shell", "echo from the shell"]).run().ok().says("from the shell");
}
