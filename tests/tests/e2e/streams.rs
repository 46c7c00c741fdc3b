//! A session's events as a stream: resumed by cursor, never twice, never with a hole.

use std::io::{BufReader, Write as _};

use skep_tests::api::{Response, SentEvent};
use skep_tests::env::TestEnv;
use skep_tests::wait::SOON;

#[test]
fn streams_resume_by_last_event_id_and_by_after() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 50"]).run().ok();
    let api = env.api();
    let ids = |events: &[SentEvent]| events.iter().filter_map(|event| event.id).collect::<Vec<_>>();
    let whole = ids(&api.stream("/sessions/s/events", None).until("turn_ended"));
    assert_eq!(whole, (1..=whole.len() as u64).collect::<Vec<_>>());
    let cut = whole[whole.len() / 2];
    let rest = whole[whole.len() / 2 + 1..].to_vec();
    assert_eq!(ids(&api.stream("/sessions/s/events", Some(cut)).until("turn_ended")), rest);
    assert_eq!(ids(&api.stream(&format!("/sessions/s/events?after={cut}"), None).until("turn_ended")), rest);
    let wins = api.stream("/sessions/s/events?after=1", Some(cut)).until("turn_ended");
    assert_eq!(ids(&wins), rest, "Last-Event-ID wins over after");
}

#[test]
fn streams_are_live_and_several_readers_see_the_same() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let script = format!("say one\ngate {}\nsay two", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    let api = env.api();
    let mut readers = [api.stream("/sessions/s/events", None), api.stream("/sessions/s/events", None)];
    for reader in &mut readers {
        while reader.next_of("update").text().as_deref() != Some("one") {}
    }
    std::fs::write(gate, "").unwrap();
    for reader in &mut readers {
        assert_eq!(reader.next_of("update").text().as_deref(), Some("two"));
    }
}

#[test]
fn streams_refuse_a_cursor_beyond_the_head_and_say_where_to_resume() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "true"]).run().ok();
    let refused = env.api().get("/sessions/s/events?after=1000000").refuses(409, "cursor_invalid").json();
    let head = env.wait_session("s", "the session", |_| true)["head"]["seq"].clone();
    assert_eq!(refused["error"]["details"]["resume_from"], head, "{refused}");
}

#[test]
fn a_page_of_events_is_limited_and_names_the_next() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 30"]).run().ok();
    let page = env.api().get("/sessions/s/events?limit=7").is(200).json();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(7));
    assert_eq!(page["next"], 7);
    let _senseless = env.api().get("/sessions/s/events?limit=0").is(422);
}

#[test]
fn the_stream_of_all_sessions_is_a_snapshot_and_then_changes() {
    let env = TestEnv::new();
    env.start_daemon();
    let mut stream = env.api().stream("/sessions", None);
    let snapshot = stream.next_event().expect("a snapshot");
    assert_eq!(snapshot.kind, "snapshot");
    let _ran = env.skep(["run", "--name", "seen", "true"]).run().ok();
    while !stream.next_of("session").data.contains("\"seen\"") {}
}

#[test]
fn g22_a_client_that_goes_away_harms_nobody() {
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "stream 200 5\nsay the end"]).run().ok();
    let api = env.api();
    for _ in 0..20 {
        let mut stream = api.stream("/sessions/s/events", None);
        assert!(stream.next_event().is_some());
    }
    let before = skep_tests::procs::open_files(env.daemon_pid());
    let _done = env.skep(["wait", "s"]).run().ok();
    let _whole = env.skep(["logs", "s"]).run().ok().says("the end");
    assert!(before < 200, "descriptors of dead clients stay open: {before}");
}

#[test]
fn g9_one_connection_serves_many_requests_in_order() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    let mut connection = api.connect().unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    for path in ["/api/v1/sessions", "/api/v1/no-such-route", "/health", "/api/v1/workers"] {
        api.send(&mut connection, "GET", path, None, &[]).unwrap();
        let expected = if path.contains("no-such") { 404 } else { 200 };
        let _answered = Response::read(&mut reader).unwrap().is(expected);
    }
    connection.write_all(b"nonsense\r\n\r\n").unwrap();
    let refused = Response::read(&mut reader).unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[test]
fn logs_follow_to_the_turns_end_and_survive_a_restart_of_the_daemon() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "echo before"]).run().ok();
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let _kept = env.skep(["logs", "s"]).run().ok().says("before");
    let follow = env.skep(["logs", "-f", "s"]).start();
    follow.wait_stdout("before");
    let _more = env.skep(["prompt", "s", "echo after"]).run().ok();
    follow.wait_stdout("after");
    let _closed = env.skep(["close", "s"]).run().ok();
    let _ended = follow.finish().ok();
}

#[test]
fn stopping_the_daemon_ends_every_stream() {
    let env = TestEnv::new();
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "wait"]).run().ok();
    let api = env.api();
    let streams: Vec<_> = (0..5).map(|_| api.stream("/sessions/s/events", None)).collect();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    for stream in streams {
        stream.ends_within(SOON);
    }
}
