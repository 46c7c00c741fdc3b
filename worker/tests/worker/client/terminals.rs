//! Terminals.

use std::time::{Duration, Instant};

use skep_common::ids::AnswerId;
use skep_common::protocol::{Action, Reply};
use skep_common::session::{Cause, TurnOutcome};

use super::*;
use crate::common::{alive, gone};

fn create(command: &str) -> Value {
    json!(["terminal/create", {"command": command}])
}

fn of(method: &str) -> Value {
    json!([format!("terminal/{method}"), {"terminalId": "$t"}])
}

/// A command whose grandchild leaves the session and group, ignores SIGTERM and holds the pipe; it writes both pids.
const FAMILY: &str =
    "setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 1000; done' & echo $$; exec sleep 1000";

/// The text of a terminal's output.
fn output(told: &str) -> String {
    serde_json::from_str::<Value>(told).unwrap()["output"].as_str().unwrap().to_owned()
}

impl World {
    /// Asks for the last terminal's output until so many lines are there; the pids in them.
    fn pids(&mut self, session: SessionId, count: usize) -> Vec<u32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let told = self.ask(session, &json!([of("output")])).concat();
            let pids: Vec<u32> = output(&told).lines().filter_map(|line| line.parse().ok()).collect();
            if pids.len() == count {
                return pids;
            }
            assert!(Instant::now() < deadline, "{told}");
        }
    }
}

#[test]
fn a_terminal_runs_its_command_and_tells_output_and_end() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    std::fs::create_dir(world.work.join("below")).unwrap();
    let told = world.ask(
        session,
        &json!([
            create("echo out; echo err >&2; exit 3"),
            of("wait_for_exit"),
            of("output"),
            of("release"),
            of("output"),
            of("release"),
            ["terminal/create", {"command": "printf", "args": ["%s|", "a b", "*"], "outputByteLimit": 3}],
            of("wait_for_exit"),
            of("output"),
            ["terminal/create", {"command": "pwd; echo $A-$SKEP_SESSION", "cwd": world.work.join("below"),
                "env": [{"name": "A", "value": "b"}]}],
            of("wait_for_exit"),
            of("output"),
            create("no-such-program"),
            of("wait_for_exit"),
            create("kill -KILL $$"),
            of("wait_for_exit"),
        ]),
    );
    assert_eq!(told[1], r#"{"exitCode":3,"signal":null}"#);
    let shown =
        json!({"output": "out\nerr\n", "truncated": false, "exitStatus": {"exitCode": 3, "signal": null}});
    assert_eq!(serde_json::from_str::<Value>(&told[2]).unwrap(), shown);
    assert_eq!(told[3..6], ["{}", "error -32002 no_terminal", "error -32002 no_terminal"]);
    assert!(told[8].contains(r#""output":"|*|","truncated":true"#), "{}", told[8]);
    let below = world.work.join("below");
    assert_eq!(output(&told[11]), format!("{}\nb-{session}\n", below.display()));
    assert_eq!(told[13], r#"{"exitCode":127,"signal":null}"#);
    assert_eq!(told[15], r#"{"exitCode":null,"signal":"SIGKILL"}"#);
    world.worker.shut_down();
}

#[test]
fn n7_a_command_in_a_terminal_needs_the_consent_of_any_command() {
    let rules = "[[permissions.rules]]\ntool = \"execute\"\ncommand = \"echo *\"\naction = \"allow\"\n\
                 [[permissions.rules]]\ntool = \"execute\"\ncommand = \"rm *\"\naction = \"deny\"\n";
    let mut world = World::new(rules);
    let session = world.open("client", PermissionMode::Plan);
    assert_eq!(world.ask(session, &json!([create("touch made")])), ["error -32050 denied"]);
    world.worker.close(session, Cause::Person);
    let session = world.open("client", PermissionMode::Ask);
    let hidden = json!(["terminal/create", {"command": "rm", "args": ["-r", "x"],
        "env": [{"name": "A", "value": "b"}]}]);
    let told = world.ask(session, &json!([create("echo hi"), hidden]));
    assert_eq!(told, [r#"{"terminalId":"terminal-1"}"#, "error -32050 denied"]);
    for (allow, file) in [(false, "refused"), (true, "made")] {
        let script = json!([create(&format!("touch {file}")), of("wait_for_exit")]);
        let prompt = world.worker.prompt(session, &format!("client {script}"));
        let waiting = world.worker.waiting_anew(session, 1);
        world.worker.answer(session, waiting[0], AnswerId::random(), allow);
        world.worker.ended(session, prompt);
        assert_eq!(world.work.join(file).exists(), allow);
    }
    let outside = json!(["terminal/create", {"command": "ls", "cwd": "/etc"}]);
    let mine = json!(["terminal/create", {"command": "ls", "env": [{"name": "SKEP_SESSION", "value": "x"}]}]);
    let told = world.ask(session, &json!([outside, mine]));
    assert_eq!(told, ["error -32050 outside_roots", "error -32050 reserved"]);
    let titles: Vec<String> = world.decisions(session).into_iter().map(|(title, ..)| title).collect();
    assert_eq!(titles, ["echo hi", "A=b rm -r x", "touch refused", "touch made"]);
    world.worker.shut_down();
}

#[test]
fn n4_kill_and_release_end_the_whole_tree_and_kill_keeps_the_output() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    for end in ["kill", "release"] {
        world.ask(session, &json!([create(FAMILY)]));
        let pids = world.pids(session, 2);
        assert!(pids.iter().all(|pid| alive(*pid)));
        let mut waits = of("wait_for_exit");
        waits.as_array_mut().unwrap().push(json!("on"));
        let told = world.ask(session, &json!([waits, of(end), of("output")]));
        assert!(pids.iter().all(|pid| !alive(*pid)), "all of it is dead once that is answered");
        assert!(told.contains(&String::from("{}")), "{told:?}");
        assert!(told.contains(&String::from(r#"{"exitCode":null,"signal":"SIGKILL"}"#)), "{told:?}");
        match (end, told.iter().find(|answer| answer.contains("output"))) {
            // A shell may say of a child that it was killed before it.
            ("kill", Some(shown)) => {
                let shown = output(shown);
                assert!(pids.iter().all(|pid| shown.lines().any(|line| line == pid.to_string())), "{shown}");
            }
            ("release", None) => assert!(told.contains(&String::from("error -32002 no_terminal"))),
            _ => panic!("{told:?}"),
        }
    }
    world.worker.shut_down();
}

#[test]
fn n4_nothing_of_a_terminal_outlives_its_session_or_its_agent() {
    let mut world = World::new("");
    for end in ["close", "crash", "kill"] {
        let session = world.open("client", PermissionMode::Bypass);
        world.ask(session, &json!([create(FAMILY)]));
        let pids = world.pids(session, 2);
        match end {
            "crash" => {
                let crashed = world.worker.run(session, r#"client [["crash"]]"#);
                assert_eq!(crashed, TurnOutcome::Interrupted);
            }
            "close" => drop(world.worker.close(session, Cause::Person)),
            _ => drop(world.worker.close(session, Cause::Killed)),
        }
        assert!(pids.iter().all(|pid| !alive(*pid)), "{end}");
        if end == "crash" {
            let told = world.ask(session, &json!([["terminal/output", {"terminalId": "terminal-1"}]]));
            assert_eq!(told, ["error -32002 no_terminal"]);
            world.worker.close(session, Cause::Person);
        }
    }
    world.worker.shut_down();
}

#[test]
fn a_cancelled_turn_takes_its_terminals_and_leaves_those_of_earlier_turns() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    world.ask(session, &json!([create(FAMILY)]));
    let earlier = world.pids(session, 2);
    let seen = world.worker.texts(session).len();
    let script = json!([create("echo $$; exec sleep 1000"), of("output"), of("wait_for_exit")]);
    let prompt = world.worker.prompt(session, &format!("client {script}"));
    world.worker.wait_texts(session, seen + 2);
    world.worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(world.worker.ended(session, prompt), TurnOutcome::Cancelled);
    let told = world.ask(session, &json!([["terminal/output", {"terminalId": "terminal-2"}]]));
    assert!(told.concat().contains("SIGKILL"), "its output is still there: {told:?}");
    assert!(earlier.iter().all(|pid| alive(*pid)));
    world.worker.close(session, Cause::Person);
    earlier.into_iter().for_each(gone);
    world.worker.shut_down();
}

#[test]
fn n5_a_command_that_runs_in_a_terminal_keeps_its_session_awake() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    world.ask(session, &json!([create("exec sleep 1000")]));
    let release = || Action::Release { session, cause: Cause::Memory };
    let Reply::Error { error } = world.worker.request(release()) else { panic!("it was let go of") };
    // It may not have become `sleep` yet.
    assert!(error.message.contains("kept awake: 1 background process ("), "{}", error.message);
    assert_eq!(world.ask(session, &json!([of("release")])), ["{}"]);
    assert!(matches!(world.worker.request(release()), Reply::Done { .. }));
    world.worker.shut_down();
}

#[test]
fn g13_a_thousand_terminals_are_a_few_and_refusals() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    let outcome = world.worker.run(session, &format!("client-many 1000 {}", create("exec sleep 1000")));
    assert_eq!(outcome, TurnOutcome::Completed);
    let told = world.worker.texts(session);
    assert_eq!(told.len(), 1000, "each is answered");
    let made = told.iter().filter(|answer| answer.contains("terminalId")).count();
    assert!((1..=32).contains(&made), "{made}");
    assert!(
        told.iter()
            .all(|answer| answer.contains("terminalId") || answer.starts_with("error -32050 too_many"))
    );
    let marked = |session: SessionId| {
        let mark = format!("SKEP_SESSION={session}");
        let has = |entry: &std::fs::DirEntry| {
            let bytes = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            bytes.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        std::fs::read_dir("/proc").unwrap().flatten().filter(has).count()
    };
    assert!(marked(session) > made, "they run, and the agent");
    world.worker.close(session, Cause::Person);
    assert_eq!(marked(session), 0);
    world.worker.shut_down();
}

#[test]
fn g13_a_terminal_that_floods_takes_no_more_than_its_limit_and_can_be_killed() {
    let mut world = World::new("");
    let session = world.open("client", PermissionMode::Bypass);
    let flood =
        json!(["terminal/create", {"command": "yes ä & yes ö & echo $$; wait", "outputByteLimit": 1001}]);
    world.ask(session, &json!([flood]));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let told = world.ask(session, &json!([of("output")])).concat();
        let shown: Value = serde_json::from_str(&told).unwrap();
        let length = shown["output"].as_str().unwrap().len();
        assert!(length <= 1001, "{length}");
        if shown["truncated"] == true && length > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{told}");
    }
    let told = world.ask(session, &json!([of("kill"), of("wait_for_exit"), of("release")]));
    assert_eq!(told, ["{}", r#"{"exitCode":null,"signal":"SIGKILL"}"#, "{}"]);
    world.worker.shut_down();
}
