//! A user's own keys and settings: an agent finds them as if its client had started it by hand, and they are in no file,
//! log or process of skep.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use skep_tests::cmd::Cmd;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::wait::wait_for;

/// The key: a text that nothing else contains.
const SECRET: &str = "sk-hunter2-0451-never-write-me-down";

/// The agent `keyed`: writes what it sees of its user into `seen`, a file of its directory, and becomes the fake agent.
fn keyed(more: &str) -> String {
    let script =
        "printf '%s|%s|%s|%s\\n' \"$A_KEY\" \"$EXTRA_1\" \"$TZ\" \"$XDG_CONFIG_HOME\" >>seen; exec \"$0\"";
    format!(
        "[session]\ncapture_env = [\"EXTRA_*\"]\n\
         [agents.keyed]\ncommand = ['/bin/sh', '-c', {}, {}]\nkeys = [\"A_KEY\"]\n{more}\n",
        Value::from(script),
        toml_string(&built("fake-agent"))
    )
}

fn seen(env: &TestEnv) -> Vec<String> {
    let text = fs::read_to_string(env.work().join("seen")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A prompt to the open session `k`.
fn prompt(env: &TestEnv, text: &str) -> Cmd {
    env.skep(["prompt", "k", text])
}

fn run(env: &TestEnv) -> Cmd {
    env.skep(["run", "--agent", "keyed", "--name", "k", "say hi"])
}

/// Where `needle` is, below a directory.
fn files_with(directory: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), needle));
        } else if kind.is_file() && contains(&fs::read(entry.path()).unwrap_or_default(), needle) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// The daemon and its workers.
fn skeps(env: &TestEnv) -> Vec<u32> {
    let workers = env.api().get("/workers").is(200).json();
    let workers = workers["workers"].as_array().unwrap().iter();
    let pids = workers.filter(|worker| worker["process"].is_object()).map(|w| number(&w["process"]["pid"]));
    pids.chain([env.daemon_pid()]).collect()
}

/// Asserts that the key is in no file of skep's and in no command line, nor in the environment of these processes.
#[track_caller]
fn secret_is_nowhere(env: &TestEnv, processes: &[u32]) {
    let files: Vec<String> =
        files_with(&env.state(), SECRET).into_iter().filter(|path| !path.ends_with("config.toml")).collect();
    assert!(files.is_empty(), "the key is in {files:?}");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!contains(&line, SECRET), "the key is in the command line of {}", entry.path().display());
    }
    for pid in processes {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!environ.is_empty() && !contains(&environ, SECRET), "the key is in the environment of {pid}");
    }
}

#[test]
fn an_agent_gets_its_clients_keys_and_settings_and_they_are_nowhere_else() {
    let env = TestEnv::with_config(&format!("{}\n[logs]\nlevel = \"trace\"\ndebug = true\n", keyed("")));
    let _hi = run(&env)
        .env("A_KEY", SECRET)
        .env("EXTRA_1", "extra")
        .env("OTHER", SECRET)
        .env("TZ", "Europe/Vienna")
        .env("XDG_CONFIG_HOME", "/xdg config")
        .run()
        .ok()
        .says("hi");
    assert_eq!(seen(&env), [format!("{SECRET}|extra|Europe/Vienna|/xdg config")]);
    // The daemon was started for this client's sake, and outlives it without its keys.
    secret_is_nowhere(&env, &skeps(&env));
    let events = env.events("k");
    let started = events.iter().find(|event| event["kind"] == "agent_started").unwrap();
    assert_eq!(started["data"]["keys"], json!(["A_KEY", "EXTRA_1"]), "names are told: {started}");
}

#[test]
fn an_agent_is_looked_for_where_its_client_looks() {
    let env = TestEnv::new();
    let dir = env.root().join("client's own bin");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::symlink(built("fake-agent"), dir.join("nowhere-else")).unwrap();
    env.configure("[agents.mine]\ncommand = [\"nowhere-else\"]\n");
    env.start_daemon();
    let _missing = env.skep(["run", "--agent", "mine", "say hi"]).run().exits(1);
    let path = format!("{}:/usr/bin:/bin", dir.display());
    let _hi = env.skep(["run", "--agent", "mine", "say hi"]).env("PATH", path).run().ok().says("hi");
}

#[test]
fn what_no_client_gives_comes_from_the_daemon_and_what_a_client_gives_does_not() {
    let env = TestEnv::with_config(&keyed(""));
    let _started = env.skep(["daemon", "start"]).env("A_KEY", SECRET).env("TZ", "UTC").run().ok();
    let create = json!({"name": "k", "agent": "keyed", "cwd": env.work()});
    let _done = env.api().post("/sessions", &create).is(201);
    let hi = json!({"content": [{"type": "text", "text": "say hi"}]});
    let _done = env.api().post("/sessions/k/prompts", &hi).is(202);
    wait_for("the agent started", || (!seen(&env).is_empty()).then_some(()));
    assert_eq!(seen(&env), [format!("{SECRET}||UTC|")]);
    env.wait_session("k", "the turn is over", |session| session["state"] == "idle");
    let _by_client = env.skep(["run", "--agent", "keyed", "say hi"]).env("EXTRA_1", "mine").run().ok();
    assert_eq!(seen(&env)[1], "|mine||");
    // Whoever starts a daemon with a key has put it there; nothing else has it.
    secret_is_nowhere(&env, &[]);
}

#[test]
fn an_env_file_that_others_can_read_is_refused_and_a_private_one_is_used_by_whoever_prompts() {
    let env = TestEnv::new();
    let file = env.home().join("keys.env");
    fs::write(&file, format!("# the key\nA_KEY='{SECRET}'\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    env.configure(&keyed("env_file = \"~/keys.env\"\nenv = { EXTRA_1 = \"by env\" }"));
    let refused = run(&env).run().exits(1);
    assert!(refused.stderr.contains("env_file") && refused.stderr.contains("chmod 600"), "{refused}");
    assert!(seen(&env).is_empty());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let _hi = prompt(&env, "say hi").env("A_KEY", "another").env("EXTRA_1", "x").run().ok().says("hi");
    assert_eq!(seen(&env), [format!("{SECRET}|by env||")], "env_file and env win over the client");
    secret_is_nowhere(&env, &skeps(&env));
}

#[test]
fn g13_an_environment_that_is_not_listed_is_refused() {
    let env = TestEnv::with_config(&keyed(""));
    env.start_daemon();
    let _done =
        env.api().post("/sessions", &json!({"name": "k", "agent": "keyed", "cwd": env.work()})).is(201);
    let with = |environment: Value| json!({"content": [{"type": "text", "text": "say hi"}], "environment": environment});
    for wrong in [json!({"LD_PRELOAD": SECRET}), json!({"A_KEY": 5}), json!({"A=B": SECRET}), json!([SECRET])]
    {
        let refused = env.api().post("/sessions/k/prompts", &with(wrong));
        assert!(matches!(refused.status, 400 | 422), "{}", refused.text());
        assert!(!refused.json().to_string().contains(SECRET));
    }
    assert!(seen(&env).is_empty());
    let _done = env.api().post("/sessions/k/prompts", &with(json!({"A_KEY": SECRET}))).is(202);
    wait_for("the agent started", || (!seen(&env).is_empty()).then_some(()));
    assert_eq!(seen(&env), [format!("{SECRET}|||")]);
    secret_is_nowhere(&env, &skeps(&env));
}

/// Kills the daemon, its workers and all that they started, and waits until it is gone.
pub(crate) fn kill_everything(env: &TestEnv) {
    let kill = |number| nix::sys::signal::kill(skep_tests::cmd::pid(number), Signal::SIGKILL);
    for number in skeps(env) {
        kill(number).unwrap();
    }
    // A socket is listed without a process.
    for trace in env.remains().into_iter().filter(|trace| trace.pid != 0) {
        // It may have ended meanwhile.
        kill(trace.pid).ok();
    }
    env.nothing_remains();
}

fn texts(env: &TestEnv) -> Vec<String> {
    let events = env.events("k");
    let said = events.iter().filter_map(|event| event["data"]["content"]["text"].as_str().map(str::to_owned));
    said.collect()
}

#[test]
fn n02_after_everything_died_a_session_needs_you_for_its_keys_and_goes_on_when_somebody_has_them() {
    let env = TestEnv::with_config(&keyed(""));
    let _hi = run(&env).env("A_KEY", SECRET).run().ok().says("hi");
    kill_everything(&env);
    env.start_daemon();
    let waits = prompt(&env, "say two").run().exits(6);
    assert!(waits.stderr.contains("A_KEY") && !waits.stderr.contains(SECRET), "{waits}");
    let session = env.wait_session("k", "it needs its keys", |session| session["state"] == "needs_you");
    assert_eq!(session["why"], "credentials: A_KEY");
    assert_eq!(
        (&session["queue_held"], seen(&env).len()),
        (&json!(true), 1),
        "no agent was started: {session}"
    );
    let _shown = env.skep(["ps"]).run().ok().says("needs you (credentials: A_KEY)");
    let _listed = env.skep(["inbox"]).run().ok().says("credentials: A_KEY");
    let _told = env.skep(["logs", "k"]).run().ok().says("needs you: credentials: A_KEY");
    // Nobody's death makes it forget.
    kill_everything(&env);
    env.start_daemon();
    env.wait_session("k", "it still needs its keys", |session| session["why"] == "credentials: A_KEY");
    let _three = prompt(&env, "say three").env("A_KEY", SECRET).run().ok().says("three");
    assert_eq!(texts(&env), ["hi", "two", "three"]);
    let events = env.events("k");
    let contexts: Vec<&Value> = events
        .iter()
        .filter(|event| event["kind"] == "agent_started")
        .map(|event| &event["data"]["context"])
        .collect();
    assert_eq!(contexts, ["new", "loaded"]);
    secret_is_nowhere(&env, &skeps(&env));
}

#[test]
fn n02_a_key_that_is_set_to_nothing_is_not_missed() {
    let env = TestEnv::with_config(&keyed(""));
    let _hi = run(&env).env("A_KEY", SECRET).run().ok().says("hi");
    kill_everything(&env);
    env.start_daemon();
    let _without = prompt(&env, "say two").env("A_KEY", "").run().ok().says("two");
    assert_eq!(seen(&env)[1], "|||");
}

#[test]
fn n02_a_retry_that_waited_for_its_keys_runs_once_and_what_nobody_wants_any_more_needs_nobody() {
    let env = TestEnv::with_config(&keyed(""));
    let _hi = run(&env).env("A_KEY", SECRET).run().ok().says("hi");
    let _cut = prompt(&env, "say begun\nwait").arg("--no-wait").run().ok();
    wait_for("it has begun", || texts(&env).contains(&"begun".to_owned()).then_some(()));
    kill_everything(&env);
    env.start_daemon();
    let retry = || env.skep(["prompt", "k", "--retry-interrupted", "--timeout", "2"]);
    let _waits = retry().run().exits(6);
    let session = env.wait_session("k", "it needs its keys", |session| session["state"] == "needs_you");
    let waiting = session["queued"][0].as_str().unwrap().to_owned();
    // A second wish for the same replaces the first.
    let _waits = retry().run().exits(6);
    let session =
        env.wait_session("k", "the other waits", |session| session["queued"][0] != waiting.as_str());
    assert_eq!(session["queued"].as_array().unwrap().len(), 1, "{session}");
    assert_eq!(seen(&env).len(), 1, "no agent was started");
    let queued = session["queued"][0].as_str().unwrap();
    let _dropped = env.api().post("/sessions/k/cancel", &json!({ "prompt": queued })).is(200);
    let session = env.wait_session("k", "nobody is needed", |session| session["state"] == "idle");
    assert!(session["why"].is_null() && session["queue_held"] == false, "{session}");
    let _again = retry().env("A_KEY", SECRET).run().exits(124);
    assert_eq!(texts(&env).iter().filter(|text| *text == "begun").count(), 2, "once before, once again");
}

/// A soft limit in the text of a `/proc/PID/limits`.
fn soft<'a>(table: &'a str, name: &str) -> &'a str {
    let line = table.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{table}"));
    line.split_whitespace().next().unwrap()
}

#[test]
fn p21_an_agent_has_its_users_limits_and_skep_itself_leaves_no_core_dump_with_keys_in_it() {
    const FILES: &str = "Max open files";
    const CORE: &str = "Max core file size";
    let env = TestEnv::new();
    // Where the machine forbids core dumps, the user has none.
    let start = "ulimit -S -n 300; ulimit -S -c 4096; cat /proc/$$/limits >limits; exec \"$0\" daemon start";
    let skep = env.bin().to_str().unwrap();
    let _started = env.program("/bin/sh".as_ref()).args(["-c", start, skep]).run().ok();
    let own = fs::read_to_string(env.work().join("limits")).unwrap();
    assert_eq!(soft(&own, FILES), "300");
    let told = env.skep(["run", "-y", "--name", "s", "cat /proc/$$/limits"]).run().ok();
    for limit in [FILES, CORE] {
        assert_eq!(soft(&told.stdout, limit), soft(&own, limit));
    }
    let running = |worker: &Value| worker["state"] == "running";
    let workers = env.wait_workers("a running worker", |workers| workers.iter().any(running));
    let worker = workers.iter().find(|worker| running(worker)).unwrap();
    for pid in [env.daemon_pid(), number(&worker["process"]["pid"])] {
        let table = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        assert_eq!(soft(&table, CORE), "0");
        assert!(soft(&table, FILES).parse::<u64>().unwrap() > 300, "{table}");
    }
}
