//! Rows that concern every part: one engine behind every front end, one truth for everybody who looks, a daemon that died
//! or is slow, what a start that failed leaves.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use skep_tests::env::TestEnv;
use skep_tests::procs;
use skep_tests::wait::wait_until;

use crate::editors::Editor;

/// The kinds of the events of each turn, from its prompt to its end.
fn turns(events: &[Value]) -> Vec<Vec<&str>> {
    let mut turns: Vec<Vec<&str>> = Vec::new();
    for event in events {
        let kind = event["kind"].as_str().unwrap();
        if kind == "prompt_queued" {
            turns.push(Vec::new());
        }
        if let Some(turn) = turns.last_mut().filter(|turn| turn.last() != Some(&"turn_ended")) {
            turn.push(kind);
        }
    }
    turns
}

#[test]
fn g11_the_command_line_http_and_an_editor_are_served_by_one_turn_engine() {
    let env = TestEnv::new();
    env.start_daemon();
    let mut editor = Editor::lines(&env).introduced();
    let session = editor.new_session(&env);
    for _ in 0..2 {
        let prompted = editor.prompt(&session, "say hi");
        assert!(editor.answer_to(prompted)["error"].is_null());
    }
    let _prompted = env.skep(["prompt", &session, "say hi"]).run().ok();
    let body = json!({"session": {"id": session, "cwd": env.work(), "agent": "fake", "continue_open": true}, "prompt": {"content": [{"type": "text", "text": "say hi"}]}});
    let _run = env.api().post("/runs?wait=60", &body).is(200);
    let events = env.events(&session);
    // The first one starts the agent; those after it differ in nothing but their ids.
    let [_, editors, command_lines, https] =
        turns(&events).try_into().unwrap_or_else(|_| panic!("{events:?}"));
    assert_eq!(editors, command_lines);
    assert_eq!(editors, https);
    assert_eq!(editors.last(), Some(&"turn_ended"));
}

#[test]
fn r4_a_prompt_from_anywhere_appears_everywhere_and_everybody_sees_the_same() {
    let env = TestEnv::new();
    let _first = env.skep(["run", "--agent", "fake", "--name", "s", "say one"]).run().ok();
    let watch = env.skep(["logs", "-f", "s"]).start();
    let mut others = [0, 1].map(|_| env.api().stream("/sessions/s/events", None));
    let _second = env.skep(["prompt", "s", "say two"]).run().ok();
    let body = json!({"content": [{"type": "text", "text": "say three"}]});
    let _third = env.api().post("/sessions/s/prompts", &body).is(202);
    env.wait_session("s", "three turns", |session| {
        session["used"]["turns"] == 3 && session["turn"].is_null()
    });
    let _closed = env.skep(["close", "s"]).run().ok();
    let seen = others.each_mut().map(|stream| {
        let events = stream.until("end");
        events.into_iter().filter(|event| event.id.is_some()).map(|event| event.record()).collect::<Vec<_>>()
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], env.events("s"));
    let watched = watch.finish();
    for said in ["one", "two", "three"] {
        assert_eq!(watched.stdout.matches(&format!("say {said}")).count(), 1, "{watched}");
    }
}

#[test]
fn g20_a_daemon_that_died_is_told_from_one_that_is_slow() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    procs::signal(pid, Signal::SIGSTOP);
    let slow = env.skep(["daemon", "status"]).run();
    procs::signal(pid, Signal::SIGCONT);
    assert!(slow.stderr.contains(&format!("the daemon (pid {pid}) does not answer")), "{slow}");
    assert!(procs::is_running(pid), "a slow daemon is left alone");
    let _well = env.skep(["daemon", "status"]).run().ok();
    procs::signal(pid, Signal::SIGKILL);
    wait_until("the daemon's death", || !procs::is_running(pid));
    let dead = env.skep(["daemon", "status"]).run();
    assert!(dead.stdout.contains(&format!("pid {pid} died")), "{dead}");
}

#[test]
fn g8_a_session_that_could_not_be_made_leaves_its_name_and_its_place_free() {
    let env = TestEnv::with_config("[session]\nmax_open = 1\n");
    env.start_daemon();
    let wanted = |agent: &str| json!({"name": "only", "agent": agent, "cwd": env.work()});
    let refused = env.api().post("/sessions", &wanted("nobody"));
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    // The one place is for whoever can be made.
    let _made = env.api().post("/sessions", &wanted("fake")).is(201);
    let full = json!({"name": "more", "agent": "fake", "cwd": env.work()});
    let _full = env.api().post("/sessions", &full).refuses(429, "too_many_sessions");
}

#[test]
fn g12_what_cannot_go_on_is_said_and_ends_with_mains_own_exit_code() {
    let env = TestEnv::new();
    let blocked = env.work().join("file");
    std::fs::write(&blocked, "").unwrap();
    let daemon = env.skep(["daemon", "run"]).env("SKEP_HOME", blocked.join("home")).run();
    assert!(daemon.code() != 0 && daemon.stderr.starts_with("error: "), "{daemon}");
    let home = blocked.join("home");
    let worker = env.skep(["worker", "--id", "w-1", "--state-dir", home.to_str().unwrap()]).run();
    assert!(worker.code() != 0, "{worker}");
}

#[test]
fn r5_the_branch_of_git_is_shown_and_a_change_of_it_is_an_event() {
    let env = TestEnv::new();
    let git = env.work().join(".git");
    std::fs::create_dir(&git).unwrap();
    let checked_out =
        |name: &str| std::fs::write(git.join("HEAD"), format!("ref: refs/heads/{name}\n")).unwrap();
    checked_out("main");
    let _first = env.skep(["run", "--agent", "fake", "--name", "s", "say one"]).run().ok();
    assert_eq!(env.api().get("/sessions/s").is(200).json()["git_branch"], "main");
    // What a turn does is seen when it ends, what a person does when the next begins.
    let gate = env.work().join("gate");
    let _runs = env.skep(["bg", "--name", "s", &format!("gate {}", gate.display())]).run().ok();
    env.wait_session("s", "the turn", |session| session["state"] == "running");
    checked_out("fix");
    std::fs::write(&gate, "").unwrap();
    env.wait_session("s", "the other branch", |session| {
        session["git_branch"] == "fix" && session["turn"].is_null()
    });
    let _third = env.skep(["prompt", "s", "say three"]).run().ok();
    let events = env.events("s");
    let changes: Vec<&Value> = events.iter().filter(|event| event["kind"] == "git_branch").collect();
    assert_eq!(changes.iter().map(|event| &event["data"]["branch"]).collect::<Vec<_>>(), ["main", "fix"]);
    let listed = env.skep(["ps", "--long"]).run().ok();
    assert!(listed.stdout.contains("work (fix)"), "{listed}");
}
