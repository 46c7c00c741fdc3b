//! Named sessions: what they keep, what they refuse, when they let go (G1, G2, G6, G8–G10, G14, Q6).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use skep_tests::env::{TestEnv, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

#[test]
fn g1_directory_and_variables_live_on_between_prompts() {
    let env = TestEnv::new();
    fs::create_dir(env.work().join("below")).unwrap();
    let _first =
        env.skep(["run", "--name", "s", "cd below; export COLOUR=green; answer() { echo 42; }"]).run().ok();
    let output = env.skep(["prompt", "s", "pwd; echo $COLOUR"]).run().ok();
    assert!(output.stdout.contains("/below\ngreen\n"), "{output}");
}

#[test]
fn g1_prompt_never_creates_and_run_continues_an_open_name() {
    let env = TestEnv::new();
    env.start_daemon();
    let _refused = env.skep(["prompt", "later", "true"]).run().exits(4);
    let _created = env.skep(["run", "--name", "later", "export N=1"]).run().ok();
    let _continued = env.skep(["run", "--name", "later", "echo N is $N"]).run().ok().says("N is 1");
    let open = env.skep(["ps", "--json"]).run().ok().json();
    assert_eq!(open["sessions"].as_array().map(Vec::len), Some(1), "{open}");
}

#[test]
fn g1_a_name_with_another_directory_or_agent_is_a_conflict() {
    let env = TestEnv::new();
    let _created = env.skep(["run", "--name", "mine", "true"]).run().ok();
    let elsewhere = env.home();
    let other_dir = env.skep(["run", "--name", "mine", "-C", elsewhere.to_str().unwrap(), "true"]).run();
    let other_agent = env.skep(["run", "--name", "mine", "--agent", "fake", "say hi"]).run();
    for output in [other_dir, other_agent] {
        assert_ne!(output.code(), 0, "{output}");
        assert!(output.stderr.contains("mine"), "{output}");
    }
}

#[test]
fn g9_a_second_prompt_is_refused_with_409_or_queued_and_never_interleaved() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let script = format!("say one\ngate {}\nsay two", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    env.wait_session("s", "a running turn", |session| session["state"] == "running");
    let api = env.api();
    let prompt = |when_busy: &str, text: &str| {
        api.post(
            "/sessions/s/prompts",
            &json!({"content": [{"type": "text", "text": text}], "when_busy": when_busy}),
        )
    };
    let _refused = prompt("refuse", "say never").refuses(409, "session_busy");
    let queued = prompt("queue", "say three").is(202).json();
    assert_eq!(queued["queued"], true, "{queued}");
    fs::write(&gate, "").unwrap();
    let _done = env.skep(["wait", "s"]).run().ok();
    env.wait_session("s", "an empty queue", |session| {
        session["state"] == "idle" && session["queued"] == json!([])
    });
    let text = said(&env, "s");
    assert_eq!(text, ["one", "two", "three"]);
}

/// What the agent said in a session, chunk by chunk.
fn said(env: &TestEnv, session: &str) -> Vec<String> {
    let events = env.events(session);
    let updates = events.iter().filter(|event| event["kind"] == "update");
    updates.filter_map(|event| event["data"]["content"]["text"].as_str().map(str::to_owned)).collect()
}

#[test]
fn g9_no_sessions_output_appears_in_anothers() {
    let env = TestEnv::new();
    let names = ["left", "right"];
    let runs = names.map(|name| {
        let script = format!("for i in $(seq 300); do echo {name} $i; done");
        env.skep(["run", "--name", name, &script]).start()
    });
    for (name, run) in names.into_iter().zip(runs) {
        let output = run.finish().ok();
        let expected = (1..=300).map(|i| format!("{name} {i}\n")).collect::<String>();
        assert_eq!(output.stdout, expected);
    }
}

#[test]
fn g9_characters_split_between_two_reads_survive() {
    let env = TestEnv::new();
    let script = r"printf '\303'; sleep 0.2; printf '\244\342\202'; sleep 0.2; printf '\254\n'";
    let _whole = env.skep(["run", script]).run().ok().says("ä€\n");
}

#[test]
fn g10_an_idle_session_is_released_and_wakes_with_its_context() {
    let env = TestEnv::with_config("[session]\nidle_timeout = \"1s\"\n");
    let _begun = env.skep(["run", "--name", "sleepy", "export DREAM=sheep"]).run().ok();
    let asleep = env.wait_session("sleepy", "hibernation", |session| session["state"] == "hibernated");
    assert!(asleep["agent_process"].is_null(), "{asleep}");
    let marked =
        |pid: u32| procs::environment(pid).unwrap_or_default().iter().any(|v| v.starts_with("SKEP_SESSION="));
    wait_until("the agent to be gone", || !procs::carrying(env.root()).iter().any(|trace| marked(trace.pid)));
    let _awake = env.skep(["prompt", "sleepy", "echo of $DREAM"]).run().ok().says("of sheep");
}

#[test]
fn g6_the_directory_is_checked() {
    let env = TestEnv::new();
    env.start_daemon();
    let file = env.work().join("file");
    fs::write(&file, "").unwrap();
    let api = env.api();
    for cwd in [file.to_str().unwrap(), "/no/such/directory", "relative", ""] {
        let response = api.post("/sessions", &json!({"cwd": cwd}));
        let _refused = response.refuses(422, "directory_not_allowed");
    }
    let missing = env.skep(["run", "-C", "/no/such/directory", "true"]).run();
    assert_ne!(missing.code(), 0, "{missing}");
}

#[test]
fn g6_a_symlink_out_of_the_allowed_roots_is_refused() {
    let env = TestEnv::new();
    let root = env.root().join("allowed");
    fs::create_dir(&root).unwrap();
    symlink(env.home(), root.join("way-out")).unwrap();
    fs::create_dir(root.join("inside")).unwrap();
    env.configure(&format!("[session]\nallowed_roots = [{}]\n", skep_tests::env::toml_string(&root)));
    env.start_daemon();
    let api = env.api();
    let create = |dir: &std::path::Path| api.post("/sessions", &json!({"cwd": dir.to_str().unwrap()}));
    let _outside = create(&root.join("way-out")).refuses(422, "directory_not_allowed");
    let _above = create(&root.join("inside/../../home")).refuses(422, "directory_not_allowed");
    let _inside = create(&root.join("inside")).is(201);
}

#[test]
fn g14_a_clients_id_is_honoured_once() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    let cwd = env.work();
    let id = "0b7ac9b5-8b2c-4c36-9d4e-0d4bbd5c9f10";
    let create = |id: &str| api.post("/sessions", &json!({"id": id, "cwd": cwd.to_str().unwrap()}));
    assert_eq!(create(id).is(201).json()["id"], id);
    assert_eq!(create(id).status, 409);
    assert_eq!(create("../../etc/passwd").status, 422);
}

#[test]
fn g17_the_limit_of_sessions_is_configuration() {
    let env = TestEnv::with_config("[session]\nmax_open = 2\n");
    for name in ["one", "two"] {
        let _open = env.skep(["run", "--name", name, "true"]).run().ok();
    }
    let _full = env.skep(["run", "--name", "three", "true"]).run().exits(5);
    let _closed = env.skep(["close", "one"]).run().ok();
    let _free = env.skep(["run", "--name", "three", "true"]).run().ok();
}

#[test]
fn a_full_pool_is_a_typed_refusal_and_a_place_that_was_freed_is_used() {
    let env = TestEnv::with_config(
        "[pool]\nmax_waiting = 0\n[pool.remote-control]\ncount = 1\nmax_workers = 1\ncapacity = 1\n",
    );
    let held = env.skep(["run", "--name", "first", "--agent", "fake", "say up\nwait"]).start();
    held.wait_stdout("up");
    let _full = env.skep(["run", "--name", "second", "--agent", "fake", "say hi"]).run().exits(5);
    let _closed = env.skep(["close", "first"]).run().ok();
    let _interrupted = held.finish().exits(1);
    let _placed = env.skep(["run", "--name", "second", "--agent", "fake", "say hi"]).run().ok().says("hi");
}

#[test]
fn a_closed_session_takes_no_prompts_and_keeps_its_history() {
    let env = TestEnv::new();
    let _begun = env.skep(["run", "--name", "over", "echo kept for later"]).run().ok();
    let id = env.wait_session("over", "the session", |_| true)["id"].as_str().unwrap().to_owned();
    let _closed = env.skep(["close", "over"]).run().ok();
    let content = json!({"content": [{"type": "text", "text": "true"}]});
    let _refused =
        env.api().post(&format!("/sessions/{id}/prompts"), &content).refuses(409, "session_closed");
    let _kept = env.skep(["logs", "over"]).run().ok().says("kept for later");
    let _removed = env.skep(["rm", &id]).run().ok();
    let _gone = env.skep(["logs", "over"]).run().exits(4);
}

#[test]
fn n4_close_leaves_no_process_of_the_session() {
    let env = TestEnv::new();
    let _begun = env.skep(["run", "--agent", "fake", "--name", "messy", "fork\ndouble-fork\npid"]).run().ok();
    let session = env.wait_session("messy", "the agent", |session| session["agent_process"].is_object());
    let agent = number(&session["agent_process"]["process"]["pid"]);
    let id = session["id"].as_str().unwrap();
    let mark = format!("SKEP_SESSION={id}");
    let marked = || {
        procs::carrying(env.root())
            .into_iter()
            .filter(|trace| procs::environment(trace.pid).unwrap_or_default().contains(&mark))
            .count()
    };
    assert!(marked() >= 3, "the agent, its child and its orphan");
    let _closed = env.skep(["close", "messy"]).run().ok();
    assert_eq!(marked(), 0);
    assert!(!procs::is_running(agent));
}

#[test]
fn c7_kind_name_and_log_path_are_visible_to_the_process() {
    let env = TestEnv::new();
    let output = env.skep(["bg", "-y", "--name", "told", "env"]).run().ok();
    drop(output);
    let _done = env.skep(["wait", "told"]).run().ok();
    let output = env.skep(["logs", "told"]).run().ok();
    for variable in ["SKEP_SESSION_NAME=told", "SKEP_SESSION_KIND=bg", "SKEP_LOG_PATH=/"] {
        assert!(output.stdout.contains(variable), "{variable}: {output}");
    }
}

#[test]
fn p21_an_agent_gets_the_declared_environment_and_nothing_of_the_terminal_that_started_the_daemon() {
    let env = TestEnv::new();
    let _started = env.skep(["daemon", "start"]).env("SECRET_OF_THE_TERMINAL", "1").run().ok();
    let output = env.skep(["run", "--agent", "fake", "env"]).env("SECRET_OF_THE_CLIENT", "1").run().ok();
    assert!(!output.stdout.contains("SECRET_OF"), "{output}");
    assert!(output.stdout.contains("SKEP_SESSION="), "{output}");
}
