//! `POST /runs`: accepted, waited for, streamed; pages of sessions.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::bench::{Bench, Sse, json_of};

fn run(bench: &Bench, name: &str, text: &str) -> Value {
    json!({
        "session": {"name": name, "cwd": bench.cwd(), "continue_open": true},
        "prompt": {"content": [{"type": "text", "text": text}]},
    })
}

#[tokio::test]
async fn c9_a_run_that_is_waited_for_answers_with_the_outcome_and_what_the_agent_said() {
    let bench = Bench::start().await;
    let (status, done) = bench.post("/runs?wait=20", run(&bench, "bot", "2")).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(done["turn"]["outcome"], "completed");
    assert_eq!(done["text"], "line 0 é\nline 1 é\n");
    let (status, again) = bench.post("/runs?wait=20", run(&bench, "bot", "1")).await;
    assert_eq!((status, &again["created"]), (StatusCode::OK, &json!(false)));
    assert_eq!(again["text"], "line 0 é\n", "of this turn only");
    bench.end().await;
}

#[tokio::test]
async fn a_run_that_takes_longer_than_the_wait_is_accepted_and_goes_on() {
    let bench = Bench::start().await;
    let (status, accepted) = bench.post("/runs?wait=1", run(&bench, "s", "hang")).await;
    assert_eq!((status, accepted.get("turn")), (StatusCode::ACCEPTED, None), "{accepted}");
    assert_eq!(bench.get("/sessions/s").await.1["state"], "running");
    for senseless in ["wait=0", "wait=3601", "wait=soon", "wait="] {
        let (status, _) = bench.post(&format!("/runs?{senseless}"), run(&bench, "t", "1")).await;
        assert!(status.is_client_error(), "{senseless}: {status}");
    }
    assert_eq!(bench.get("/sessions/t").await.0, StatusCode::NOT_FOUND, "a refused run starts nothing");
    bench.end().await;
}

#[tokio::test]
async fn a_run_as_a_stream_ends_with_its_turn() {
    let bench = Bench::start().await;
    bench.post("/runs?wait=20", run(&bench, "s", "3")).await;
    let body = serde_json::to_vec(&run(&bench, "s", "2")).unwrap();
    let headers = [("accept", "text/event-stream")];
    let mut stream = Sse::of(bench.send(Method::POST, "/api/v1/runs", &body, &headers).await);
    let first = stream.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.id), ("run", None));
    let accepted: Value = serde_json::from_str(&first.data).unwrap();
    let mut kinds = Vec::new();
    let mut first_seq = None;
    while let Some(message) = stream.next().await {
        first_seq = first_seq.or(message.id);
        kinds.push(message.event);
    }
    assert_eq!(first_seq, accepted["prompt"]["seq"].as_u64());
    assert_eq!(kinds, ["epoch", "prompt_queued", "turn_started", "update", "update", "turn_ended", "end"]);
    let path = "/api/v1/runs?wait=1";
    let (status, _) = json_of(bench.send(Method::POST, path, &body, &headers).await).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "a stream waits anyway");
    bench.end().await;
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_by_what_they_are() {
    let bench = Bench::start().await;
    for name in ["one", "two", "three"] {
        bench.session(name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let sessions = page["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["name"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) = bench.get("/sessions?limit=2").await;
    assert_eq!(names(&first), ["three", "two"]);
    let (_, second) =
        bench.get(&format!("/sessions?limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((names(&second), second.get("next")), (vec![String::from("one")], None));
    assert_eq!(names(&bench.get("/sessions?name_prefix=t&state=idle").await.1), ["three", "two"]);
    assert_eq!(names(&bench.get("/sessions?closed=true").await.1), [""; 0]);
    bench.post("/sessions/one/close", json!({})).await;
    assert_eq!(names(&bench.get("/sessions?closed=true").await.1), ["one"]);
    for senseless in
        ["limit=0", "cursor=x", "state=asleep", "state=unknown", "all=true&closed=true", "colour=1"]
    {
        let (status, _) = bench.get(&format!("/sessions?{senseless}")).await;
        assert!(status.is_client_error(), "{senseless}: {status}");
    }
    bench.end().await;
}

#[tokio::test]
async fn metrics_count_sessions_turns_and_what_waits_as_json_and_for_prometheus() {
    let bench = Bench::start().await;
    bench.post("/runs?wait=20", run(&bench, "a", "1")).await;
    bench.session("b").await;
    let (status, metrics) = bench.get("/metrics").await;
    assert_eq!(status, StatusCode::OK, "{metrics}");
    assert_eq!(metrics["sessions"], json!([{"state": "idle", "count": 2}]));
    assert_eq!(metrics["permissions_waiting"], 0);
    assert_eq!(metrics["workers"][0]["id"], "w1");
    assert!(metrics["daemon"]["memory_bytes"].as_u64() > Some(0), "{metrics}");
    let response = bench.send(Method::GET, "/metrics", b"", &[]).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("skep_sessions{state=\"idle\"} 2.0\n") && text.ends_with("# EOF\n"), "{text}");
    let (status, _) = json_of(bench.send_raw(Method::GET, "/metrics", b"", &[]).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    bench.end().await;
}

#[tokio::test]
async fn readiness_and_health_are_asked_without_a_token() {
    let bench = Bench::start().await;
    for path in ["/health", "/ready"] {
        let response = bench.send_raw(Method::GET, path, b"", &[]).await;
        assert_eq!(json_of(response).await.1["status"], "ok", "{path}");
    }
    bench.end().await;
}
