//! What the API offers beyond the commands of the CLI: pages and filters, runs that wait or stream, searches in logs,
//! calls by hand.

use std::io::BufReader;

use serde_json::json;

use super::*;
use skep_tests::api::Response;
use skep_tests::wait::{SOON, wait_until};

fn names(page: &Value) -> Vec<&str> {
    page["sessions"].as_array().unwrap().iter().filter_map(|session| session["name"].as_str()).collect()
}

fn run(env: &TestEnv, name: &str, script: &str) -> Value {
    json!({
        "session": {"name": name, "cwd": env.work(), "agent": "fake", "continue_open": true},
        "prompt": {"content": [{"type": "text", "text": script}]},
    })
}

#[test]
fn r1_sessions_are_found_by_filters_and_in_pages_that_hold_each_once() {
    let env = TestEnv::new();
    for name in ["one", "two", "three", "four", "five"] {
        let _ran = env.skep(["run", "--agent", "fake", "--name", name, "say hello"]).run().ok();
    }
    let _waits = env.skep(["bg", "--agent", "fake", "--name", "asks", "ask execute a deed"]).run().ok();
    let _asked = env.wait_session("asks", "its question", |session| session["state"] == "needs_you");
    let _closed = env.skep(["close", "two"]).run().ok();
    let api = env.api();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/sessions?limit=2{cursor}")).is(200).json();
        found.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ["asks", "five", "four", "three", "one"], "the latest first, each once");
    for (query, expected) in [
        ("closed=true", &["two"][..]),
        ("name_prefix=t", &["three"]),
        ("name_prefix=t&all=true", &["three", "two"]),
        ("needs_you=true", &["asks"]),
        ("agent=shell", &[]),
        ("agent=fake&limit=1", &["asks"]),
    ] {
        assert_eq!(names(&api.get(&format!("/sessions?{query}")).is(200).json()), expected, "{query}");
    }
}

#[test]
fn q3_a_run_that_is_waited_for_answers_with_its_outcome_and_words() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    let ended = api.post("/runs?wait=60", &run(&env, "s", "say hello\nsay there")).is(200).json();
    assert_eq!(
        (&ended["turn"]["outcome"], &ended["text"]),
        (&"completed".into(), &"hellothere".into()),
        "{ended}"
    );
    let running = api.post("/runs?wait=1", &run(&env, "s", "wait")).is(202).json();
    assert_eq!(running["turn"], Value::Null, "it still runs: {running}");
    let _cancelled = env.skep(["cancel", "s"]).run().ok();
}

#[test]
fn g22_a_run_goes_on_when_the_client_that_waited_for_it_leaves() {
    let env = TestEnv::new();
    env.start_daemon();
    let gate = env.work().join("gate");
    let script = format!("say begun\ngate {}\nsay done", gate.display());
    let api = env.api();
    let mut waiting = api.connect().unwrap();
    let body = run(&env, "s", &script).to_string();
    api.send(&mut waiting, "POST", "/api/v1/runs?wait=60", Some(body.as_bytes()), &[]).unwrap();
    let _runs = env.wait_session("s", "its turn", |session| session["state"] == "running");
    drop(waiting);
    std::fs::write(gate, "").unwrap();
    let ended = env.wait_session("s", "the turn's end", |session| session["last_turn"] != Value::Null);
    assert_eq!(ended["last_turn"]["outcome"], "completed");
    let _said = env.skep(["logs", "s"]).run().ok().says("done");
}

#[test]
fn q3_a_run_as_a_stream_begins_with_the_run_and_ends_with_its_turn() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    let body = run(&env, "s", "updates 3").to_string();
    let mut connection = api.connect().unwrap();
    let headers = ["accept: text/event-stream", "connection: close"];
    api.send(&mut connection, "POST", "/api/v1/runs", Some(body.as_bytes()), &headers).unwrap();
    let text = Response::read(&mut BufReader::new(connection)).unwrap().is(200).text();
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds.first(), Some(&"run"), "{text}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "update").count(), 3, "{text}");
    assert_eq!(&kinds[kinds.len() - 2..], ["turn_ended", "end"], "{text}");
}

#[test]
fn c5_logs_are_searched_before_their_tail_is_cut() {
    let env = TestEnv::new();
    let _ran =
        env.skep(["run", "--name", "s", "seq 100 150; echo Needle 1; seq 30; echo needle 2"]).run().ok();
    let api = env.api();
    let found = api.get("/sessions/s/logs?type=transcript&grep=NEEDLE%20&tail=1").is(200).text();
    let hits: Vec<&str> = found.lines().filter(|line| line.contains("needle 2")).collect();
    assert_eq!((hits.len(), found.lines().count()), (1, 1), "{found}");
    assert_eq!(api.get("/sessions/s/logs?type=transcript&grep=haystack").is(200).text(), "");
    let _refused = api.get("/sessions/s/logs?grep=").refuses(422, "invalid_value");
}

#[test]
fn n9_skep_api_calls_by_hand() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hello"]).run().ok();
    let listed = env.skep(["api", "GET", "sessions", "-f", "state=idle"]).run().ok().json();
    assert_eq!(names(&listed), ["s"]);
    let prompt = json!({"content": [{"type": "text", "text": "say by hand"}]}).to_string();
    let _prompted = env.skep(["api", "POST", "sessions/s/prompts", "--input", "-"]).stdin(prompt).run().ok();
    let _done = env.skep(["wait", "s"]).run().ok();
    let streamed = env.skep(["api", "GET", "sessions/s/events", "--stream"]).start();
    streamed.wait_stdout("by hand");
    let refused = env.skep(["api", "GET", "sessions/nobody"]).run();
    assert!(refused.code() != 0 && refused.stdout.contains("session_not_found"), "{refused}");
    let numbers = env.skep(["api", "GET", "/metrics"]).run().ok().says("# EOF");
    assert!(numbers.stdout.contains("skep_sessions"), "{numbers}");
}

#[test]
fn q2_curl_resumes_a_stream_by_last_event_id_and_hears_its_end() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 20"]).run().ok();
    let _closed = env.skep(["close", "s"]).run().ok();
    let relay = relay(&env);
    let curl = |last: u64| {
        let output = env
            .program("curl".as_ref())
            .args(["-sSN", "--fail-with-body", "-m", "20", "-H", "accept: text/event-stream"])
            .args(["-H", &format!("authorization: Bearer {}", env.token())])
            .args(["-H", &format!("last-event-id: {last}")])
            .arg(format!("{}/api/v1/sessions/s/events", relay.url()))
            .limit(SOON)
            .run()
            .ok();
        assert!(output.stdout.ends_with("event: end\ndata: {\"reason\":\"complete\"}\n\n"), "{output}");
        let ids = output.stdout.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().unwrap()).collect::<Vec<u64>>()
    };
    let whole = curl(0);
    assert_gapless(&whole, 20);
    assert_eq!(curl(11), whole[11..]);
}

#[test]
fn r2_the_count_of_turns_misses_none_however_quick_they_are() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    let text = |script: &str| json!({"content": [{"type": "text", "text": script}], "when_busy": "queue"});
    let _opened = api.post("/sessions", &json!({"name": "s", "cwd": env.work(), "agent": "fake"})).is(201);
    for _ in 0..8 {
        let _queued = api.post("/sessions/s/prompts", &text("tokens 3 2")).is(202);
    }
    let _done = env.skep(["wait", "s"]).run();
    for _ in 0..3 {
        let failed = api.post("/runs?wait=60", &run(&env, "s", "error no")).is(200).json();
        assert_eq!(failed["turn"]["outcome"], "failed", "{failed}");
    }
    let count = |outcome: Option<&str>| {
        let metrics = api.get("/metrics").is(200).json();
        let turns = metrics["turns"].as_array().unwrap().clone();
        let wanted = turns.iter().filter(|turn| outcome.is_none_or(|outcome| turn["outcome"] == outcome));
        wanted.filter_map(|turn| turn["count"].as_u64()).sum::<u64>()
    };
    wait_until("eleven turns", || count(None) == 11);
    assert_eq!(count(Some("failed")), 3);
    let metrics = api.get("/metrics").is(200).json();
    assert_eq!(
        (&metrics["tokens"]["input"], &metrics["tokens"]["output"]),
        (&24.into(), &16.into()),
        "{metrics}"
    );
}
