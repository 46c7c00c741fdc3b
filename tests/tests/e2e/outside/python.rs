//! Clients in Python: `websockets`, and the parser of OpenMetrics.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use skep_tests::wait::wait_until;

#[test]
fn q2_a_websocket_has_the_cursors_and_payloads_of_server_sent_events() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 40"]).run().ok();
    let relay = relay(&env);
    let url = |query: &str| relay.url().replace("http", "ws") + "/api/v1/sessions/s/events" + query;
    let token = env.token();
    let half = python(&env, "websocket.py").args([url("").as_str(), &token, "20"]).run().ok();
    let mut heard = lines(&half.stdout);
    let seen = numbers(&heard).last().copied().expect("events came");
    let _closed = env.skep(["close", "s"]).run().ok();
    let rest =
        python(&env, "websocket.py").args([url(&format!("?after={seen}")).as_str(), &token]).run().ok();
    heard.extend(lines(&rest.stdout));
    assert_gapless(&numbers(&heard), 40);
    let end = heard.pop().expect("the close is told");
    assert_eq!((end["closed"].as_u64(), end["reason"].as_str()), (Some(1000), Some("complete")), "{end}");
    let mut stream = env.api().stream("/sessions/s/events", None);
    let mut sent = Vec::new();
    while let Some(event) = stream.next_event() {
        sent.push((event.id, event.kind.clone(), event.record()));
    }
    let (_, kind, reason) = sent.pop().expect("the end is told");
    assert_eq!((kind.as_str(), reason["reason"].as_str()), ("end", Some("complete")));
    let numbered = |id: &Option<u64>| id.is_some();
    let heard = heard.into_iter().map(|line| {
        (line["id"].as_u64(), line["event"].as_str().unwrap_or_default().to_owned(), line["data"].clone())
    });
    let heard: Vec<_> = heard.filter(|(id, _, _)| numbered(id)).collect();
    sent.retain(|(id, _, _)| numbered(id));
    assert_eq!(heard, sent, "WebSocket and server-sent events tell the same");
}

#[test]
fn q2_a_websocket_learns_by_its_close_why_there_is_no_more() {
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "wait"]).run().ok();
    let relay = relay(&env);
    let base = relay.url().replace("http", "ws");
    let token = env.token();
    for (path, code, reason) in [
        ("/api/v1/sessions/s/events?after=1000000", 4409, "cursor_invalid"),
        ("/api/v1/sessions/nobody/events", 4404, "session_not_found"),
    ] {
        let output = python(&env, "websocket.py").args([&(base.clone() + path), &token]).run().ok();
        let heard = lines(&output.stdout);
        assert_eq!(heard[0]["data"]["error"]["code"], reason, "{output}");
        let close = &heard[1];
        assert_eq!(
            (close["closed"].as_u64(), close["reason"].as_str()),
            (Some(code), Some(reason)),
            "{output}"
        );
    }
    let all = python(&env, "websocket.py").args([&(base + "/api/v1/sessions"), &token]).start();
    wait_until("the snapshot", || !lines_so_far(&all).is_empty());
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let heard = lines(&all.finish().ok().stdout);
    assert_eq!(heard[0]["event"], "snapshot");
    assert_eq!(heard.last().unwrap()["closed"], 1001, "{heard:?}");
}

#[test]
fn r2_a_parser_of_openmetrics_understands_every_number() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hello\ntokens 7 5"]).run().ok();
    let _waits = env.skep(["bg", "--agent", "fake", "--name", "asks", "ask execute a deed"]).run().ok();
    let _asked = env.wait_session("asks", "its question", |session| session["state"] == "needs_you");
    let text = env.api().request("GET", "/metrics", None).is(200);
    assert!(text.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let parsed = python(&env, "metrics.py").stdin(text.body.clone()).run().ok();
    let samples = lines(&parsed.stdout);
    let value = |name: &str, label: &str, wanted: &str| {
        let found = samples
            .iter()
            .find(|sample| sample["name"] == name && (label.is_empty() || sample["labels"][label] == wanted));
        found
            .and_then(|sample| sample["value"].as_f64())
            .unwrap_or_else(|| panic!("{name} {wanted}: {}", text.text()))
    };
    assert!(value("skep_turns_total", "outcome", "completed") >= 1.0);
    assert!(value("skep_permissions_waiting", "", "") >= 1.0);
    assert!(value("skep_workers", "state", "running") >= 1.0);
    assert!(value("skep_daemon_memory_bytes", "", "") > 1e6);
    assert!(value("skep_tokens_total", "kind", "input") >= 7.0);
    assert!(value("skep_tokens_total", "kind", "output") >= 5.0);
}

#[test]
fn g3_no_moment_of_a_start_under_a_hostile_umask_lets_anybody_at_the_socket() {
    assert!(nix::unistd::geteuid().is_root(), "this test has another user try: run it as root");
    let env = TestEnv::new();
    std::fs::set_permissions(env.root(), Permissions::from_mode(0o755)).unwrap();
    let socket = env.state().join("skepd.sock");
    let mut racer = python(&env, "race.py").arg(&socket).stdin_open().start();
    wait_until("both looks", || racer.stdout_so_far().matches("looks").count() == 2);
    for _ in 0..3 {
        let start = "umask 000; exec \"$0\" daemon start";
        let _started = env.program("/bin/sh".as_ref()).args(["-c", start]).arg(env.bin()).run().ok();
        let _stopped = env.skep(["daemon", "stop"]).run().ok();
    }
    racer.close_stdin();
    let seen = racer.finish().ok();
    assert!(!seen.stdout.contains("connected"), "{seen}");
    let modes =
        |what: &str| seen.stdout.lines().filter_map(|line| line.strip_prefix(what)).collect::<Vec<_>>();
    assert_eq!(modes("directory "), ["700"], "{seen}");
    let sockets = modes("socket ");
    assert!(!sockets.is_empty() && sockets.iter().all(|mode| mode.ends_with("00")), "{seen}");
}
