//! Agents as data (N1): built in, changed and added by configuration alone, and looked at before they are used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::cmd::Cmd;
use skep_tests::env::{TestEnv, built, toml_string};
use skep_tests::procs;
use skep_tests::wait::wait_until;

/// Where no model agent is installed, so that a test never starts one.
const BARE_PATH: &str = "/usr/bin:/bin";

fn skep<'a>(env: &TestEnv, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    env.skep(args).env("PATH", BARE_PATH)
}

fn fake() -> String {
    toml_string(&built("fake-agent"))
}

/// A shell script that becomes the fake agent; `$0` is that agent.
fn scripted(script: &str) -> String {
    format!("command = ['/bin/sh', '-c', {}, {}]", Value::from(script), fake())
}

fn agent<'a>(list: &'a Value, name: &str) -> &'a Value {
    let agents = list["agents"].as_array().expect("a list of agents");
    agents.iter().find(|agent| agent["name"] == name).unwrap_or_else(|| panic!("no agent `{name}`"))
}

fn any_file_has(directory: &Path, needle: &str) -> Option<String> {
    fs::read_dir(directory).unwrap().flatten().find_map(|entry| {
        if entry.file_type().unwrap().is_dir() {
            return any_file_has(&entry.path(), needle);
        }
        let bytes = fs::read(entry.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(needle).then(|| entry.path().display().to_string())
    })
}

#[test]
fn n1_every_built_in_agent_is_listed_with_what_to_do_where_it_is_missing() {
    let env = TestEnv::new();
    let list = skep(&env, ["agents", "--json"]).run().ok().json();
    for name in ["gemini", "qwen", "opencode", "kilo", "claude", "claude-cli", "codex", "pi", "cline"] {
        let agent = agent(&list, name);
        assert_eq!(agent["found"], false, "{agent}");
        assert!(agent["hint"].as_str().unwrap().contains("npm install"), "{agent}");
        assert!(agent["tested"].is_string() && agent["driver"].is_string(), "{agent}");
        assert!(agent["probe"].is_null(), "nothing is probed unasked: {agent}");
    }
    assert_eq!(agent(&list, "shell")["found"], true);
    let refused = skep(&env, ["run", "--agent", "qwen", "hello"]).run().exits(1);
    assert!(refused.stderr.contains("npm install -g @qwen-code/qwen-code"), "{refused}");
    let unknown = skep(&env, ["run", "--agent", "gemni", "hello"]).run().exits(4);
    assert!(unknown.stderr.contains("did you mean `gemini`?"), "{unknown}");
}

#[test]
fn n1_an_agent_that_nobody_ever_saw_works_from_five_lines() {
    let env = TestEnv::new();
    env.configure(&format!("[agents.newcomer]\ncommand = [{}]\n", fake()));
    let _said = skep(&env, ["run", "--agent", "newcomer", "say hello there"]).run().ok().says("hello there");
    env.configure(&format!("[agents.newcomer]\ncommand = [{}]\nprivate_hom = true\n", fake()));
    let refused = skep(&env, ["config", "check"]).run().exits(2);
    assert!(
        refused.stderr.contains("config.toml:3:1") && refused.stderr.contains("`private_home`"),
        "{refused}"
    );
}

#[test]
fn n1_an_agent_gets_its_declared_keys_and_what_its_mode_sets_and_they_are_logged_nowhere() {
    let env = TestEnv::new();
    let seen = |agent: &str| env.work().join(format!("seen by {agent}"));
    let dump = |agent: &str| {
        let file = seen(agent);
        scripted(&format!("env > '{0}'; echo \"$@\" >> '{0}'; exec \"$0\"", file.display()))
    };
    env.configure(&format!(
        "[agents.keyed]\n{}\nkeys = ['MODEL_KEY', 'NOT_SET']\nenv = {{ QUIET = '1' }}\n\
         mode_args = {{ plan = ['--look'], bypass = ['--yolo'] }}\n\
         mode_env = {{ ask = {{ RULES = 'ask' }}, plan = {{ RULES = 'plan' }} }}\n\
         [agents.keyless]\n{}\nprivate_home = true\n",
        dump("keyed"),
        dump("keyless"),
    ));
    let run = |agent: &str| {
        let _done = skep(&env, ["run", "--agent", agent, "--permission-mode", "plan", "say hi"])
            .env("MODEL_KEY", "s3cret-of-the-model")
            .env("OTHER_KEY", "s3cret-of-others")
            .run()
            .ok();
        fs::read_to_string(seen(agent)).unwrap()
    };
    let keyed = run("keyed");
    for line in ["MODEL_KEY=s3cret-of-the-model", "QUIET=1", "RULES=plan", "--look"] {
        assert!(keyed.lines().any(|seen| seen == line), "{line}: {keyed}");
    }
    let home = format!("HOME={}", env.home().display());
    assert!(keyed.lines().any(|line| line == home), "{keyed}");
    let keyless = run("keyless");
    for seen in [&keyed, &keyless] {
        assert!(!seen.contains("s3cret-of-others"), "{seen}");
    }
    assert!(!keyless.contains("s3cret"), "{keyless}");
    let private = keyless.lines().find_map(|line| line.strip_prefix("HOME=")).unwrap();
    assert!(Path::new(private).starts_with(env.state()) && Path::new(private).is_dir(), "{keyless}");
    assert_eq!(any_file_has(&env.state(), "s3cret"), None);
}

#[test]
fn n1_an_agent_that_cannot_be_brought_back_starts_anew_and_says_so() {
    let env = TestEnv::new();
    env.configure(&format!("[agents.forgetful]\ncommand = [{}]\nresume = 'none'\n", fake()));
    let run = |script: &str| skep(&env, ["run", "--agent", "forgetful", "--name", "s", script]).run();
    let _crashed = run("crash").exits(1);
    let anew = run("count").ok();
    assert_eq!(anew.stdout.trim(), "1", "{anew}");
    let noted = env.events("s").iter().any(|event| event.to_string().contains("its preset says"));
    assert!(noted, "the journal says why the context is gone");
}

#[test]
fn n1_a_probe_tells_version_and_capabilities_and_leaves_nothing_behind() {
    let env = TestEnv::new();
    env.configure(&format!(
        "[agents.good]\n{}\nversion_args = ['-c', 'echo good 3.2.1 >&1; sleep 987651 &']\ntested = '3.2.0'\n\
         [agents.dead]\n{}\n\
         [agents.mute]\n{}\n\
         [agents.words]\ndriver = 'oneshot'\ncommand = ['/bin/cat']\n",
        scripted("setsid sleep 987652 & exec \"$0\""),
        scripted("echo 'no licence' >&2; exec \"$0\" --exit 7"),
        scripted("exec \"$0\" --hang"),
    ));
    let probed = skep(&env, ["agents", "--probe", "--json"]).limit(Duration::from_secs(60)).run().ok();
    let list = probed.json();
    let probe = |name: &str| &agent(&list, name)["probe"];
    assert_eq!(probe("good")["version"], "3.2.1", "{probed}");
    assert_eq!(probe("good")["capabilities"], serde_json::json!(["load"]));
    assert_eq!(probe("fake")["version"], "1.0.0", "an agent says its version itself");
    assert!(probe("shell")["problem"].is_null() && probe("shell")["answered_ms"].is_u64(), "{probed}");
    let problem = |name: &str| probe(name)["problem"].as_str().unwrap_or_else(|| panic!("{name}: {probed}"));
    assert!(problem("dead").contains("exit status 7") && problem("dead").contains("no licence"), "{probed}");
    assert!(problem("mute").contains("within 15 s"), "{probed}");
    assert!(probe("words")["problem"].is_null() && probe("qwen").is_null(), "{probed}");
    left_nothing(&env);
    let sleeps = procs::carrying(env.root()).into_iter().filter(|trace| trace.command.contains("98765"));
    assert_eq!(sleeps.count(), 0, "the trees of probed agents are gone");
}

#[test]
fn n1_a_probe_that_is_interrupted_leaves_nothing_behind() {
    let env = TestEnv::new();
    let script = "trap '' TERM; setsid sleep 987653 & touch \"$HOME/up\"; exec \"$0\" --hang";
    env.configure(&format!("[agents.mute]\n{}\n", scripted(script)));
    let probing = skep(&env, ["agents", "--probe"]).start();
    wait_until("the agent that is probed", || env.home().join("up").exists());
    procs::signal(probing.pid(), Signal::SIGINT);
    let _ended = probing.finish().exits(130);
    left_nothing(&env);
}

fn left_nothing(env: &TestEnv) {
    let names = fs::read_dir(env.state()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("probe-")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!procs::carrying(env.root()).iter().any(|trace| trace.command.contains("98765")));
}
