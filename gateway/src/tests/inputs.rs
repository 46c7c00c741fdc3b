//! Bad input, each kind with its code and its status (G13, issue rows).

use std::os::unix::fs::symlink;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::bench::{Bench, SOON, TOKEN, json_of};

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    (answer.0.as_u16(), answer.1["error"]["code"].as_str().unwrap_or("none"))
}

#[tokio::test]
async fn g4_a_missing_or_wrong_token_is_refused_everywhere_but_at_health() {
    let bench = Bench::start().await;
    for path in ["/api/v1/sessions", "/api/v1/daemon", "/nowhere", "/api/v1/agents"] {
        for header in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic x"), Some("")] {
            let headers: Vec<_> = header.iter().map(|value| ("authorization", (*value).to_owned())).collect();
            let response = bench.send_raw(Method::GET, path, b"", &headers).await;
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(code(&json_of(response).await), (401, "unauthorized"), "{path} {header:?}");
        }
    }
    for path in ["/health", "/api/v1/health"] {
        let (status, health) = json_of(bench.send_raw(Method::GET, path, b"", &[]).await).await;
        assert_eq!((status, health["status"].as_str()), (StatusCode::OK, Some("ok")));
        assert_eq!(health["process"]["pid"], std::process::id());
    }
    bench.end().await;
}

#[tokio::test]
async fn g13_unknown_routes_and_methods_are_our_errors() {
    let bench = Bench::start().await;
    for (method, path) in [
        (Method::GET, "/nothing"),
        (Method::POST, "/sessions/x/y"),
        (Method::GET, "/"),
        (Method::GET, "/sessions/"),
    ] {
        assert_eq!(code(&bench.call(method, path, &Value::Null).await), (404, "route_not_found"), "{path}");
    }
    for (method, path) in [
        (Method::DELETE, "/sessions"),
        (Method::GET, "/daemon/stop"),
        (Method::PUT, "/daemon"),
        (Method::GET, "/sessions/x/prompts"),
        (Method::PATCH, "/workers/x"),
    ] {
        assert_eq!(
            code(&bench.call(method, path, &Value::Null).await),
            (405, "method_not_allowed"),
            "{path}"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn g13_each_wrong_field_of_a_body_or_query_is_named() {
    let bench = Bench::start().await;
    bench.session("s").await;
    let cases = [
        ("/sessions", json!({"cwd": 5}), 400, "cwd"),
        ("/sessions", json!({}), 400, "cwd"),
        ("/sessions", json!({"cwd": "/", "name": "a b"}), 422, "name"),
        ("/sessions", json!({"cwd": "/", "name": 7}), 400, "name"),
        ("/sessions", json!({"cwd": "/", "id": "7"}), 422, "id"),
        ("/sessions", json!({"cwd": "/", "spawn_mode": "moon"}), 422, "spawn_mode"),
        ("/sessions", json!({"cwd": "/", "x": 1}), 400, "`x`"),
        ("/sessions", json!([]), 400, ""),
        ("/sessions/s/prompts", json!({"content": 1}), 400, "content"),
        ("/sessions/s/prompts", json!({"content": []}), 422, "content"),
        ("/sessions/s/prompts", json!({"content": [{"type": "text"}]}), 400, "text"),
        (
            "/sessions/s/prompts",
            json!({"content": [{"type": "text", "text": "x"}], "timeout_seconds": 0}),
            422,
            "timeout_seconds",
        ),
        ("/sessions/s/cancel", json!({"prompt": "x"}), 422, "prompt"),
        ("/sessions/s/cancel", json!({"cause": "killed"}), 422, "cause"),
        ("/sessions/s/close", json!({"force": "yes"}), 400, "force"),
        ("/runs", json!({"session": {"cwd": false}, "prompt": {"content": []}}), 400, "session.cwd"),
        ("/runs", json!({"session": {"cwd": "/"}}), 400, "prompt"),
        ("/workers", json!({"capacity": "many"}), 400, "capacity"),
        ("/daemon/stop", json!({"now": true}), 400, "`now`"),
        ("/sessions/s/permissions/x", json!({"decision": {"type": "allow"}}), 422, "PermissionId"),
        (
            "/sessions/s/permissions/00000000-0000-4000-8000-000000000000",
            json!({"decision": "allow"}),
            400,
            "decision",
        ),
    ];
    for (path, body, status, field) in cases {
        let answer = bench.post(path, body.clone()).await;
        assert_eq!(answer.0.as_u16(), status, "{path} {body}: {}", answer.1);
        let message = answer.1["error"]["message"].as_str().unwrap();
        assert!(message.contains(field), "{path} {body}: {message}");
        assert!(!message.ends_with('\n'));
    }
    for query in
        ["after=x", "after=-1", "limit=0", "limit=1001", "after=1&tail_turns=1", "colour=red", "epoch=1.5"]
    {
        let answer = bench.get(&format!("/sessions/s/events?{query}")).await;
        assert!(matches!(answer.0.as_u16(), 400 | 422), "{query}: {answer:?}");
    }
    for path in [
        "/sessions?all=maybe",
        "/sessions/s/logs?type=secret",
        "/sessions/s/logs?tail=-1",
        "/daemon/logs?tail=999999",
    ] {
        let answer = bench.get(path).await;
        assert!(matches!(answer.0.as_u16(), 400 | 422), "{path}: {answer:?}");
    }
    bench.end().await;
}

#[tokio::test]
async fn g13_a_body_over_the_limit_is_refused_and_the_daemon_serves_on() {
    let bench = Bench::configured("api.max_body = '64 KiB'").await;
    let big = vec![b'x'; 65 * 1024];
    let answer = json_of(bench.send(Method::POST, "/api/v1/sessions", &big, &[]).await).await;
    assert_eq!(code(&answer), (413, "too_large"));
    // Chunked: nobody says how long it will be.
    let mut stream = bench.connect().await;
    let head = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, "y".repeat(32 * 1024));
    for _ in 0..4 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    assert_eq!(bench.get("/sessions").await.0, StatusCode::OK);
    bench.end().await;
}

#[tokio::test]
async fn g6_a_directory_that_is_a_file_missing_or_outside_the_roots_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let toml = format!("session.allowed_roots = [{:?}]", root.path().to_str().unwrap());
    let bench = Bench::configured(&toml).await;
    std::fs::write(root.path().join("file"), "").unwrap();
    symlink("/", root.path().join("escape")).unwrap();
    for below in ["file", "missing", "escape", "escape/tmp", "../"] {
        let cwd = root.path().join(below);
        let answer = bench.post("/sessions", json!({ "cwd": cwd })).await;
        assert_eq!(code(&answer), (422, "directory_not_allowed"), "{below}");
    }
    assert_eq!(bench.post("/sessions", json!({ "cwd": root.path() })).await.0, StatusCode::CREATED);
    bench.end().await;
}

#[tokio::test]
async fn prompts_to_busy_closed_and_unknown_sessions_are_told_apart() {
    let bench = Bench::start().await;
    bench.session("busy").await;
    assert_eq!(bench.prompt("busy", "hang").await.0, StatusCode::ACCEPTED);
    assert_eq!(code(&bench.prompt("busy", "1").await), (409, "session_busy"));
    bench.session("done").await;
    let (status, info) = bench.post("/sessions/done/close", json!({})).await;
    assert_eq!((status, info["state"].as_str()), (StatusCode::OK, Some("closed")));
    assert_eq!(code(&bench.prompt("done", "1").await), (409, "session_closed"));
    assert_eq!(code(&bench.prompt("nobody", "1").await), (404, "session_not_found"));
    assert_eq!(code(&bench.get("/sessions/nobody").await), (404, "session_not_found"));
    assert_eq!(code(&bench.get("/workers/nobody").await), (404, "worker_not_found"));
    let (status, info) = bench.post("/sessions/busy/cancel", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{info}");
    assert_eq!(
        code(&bench.call(Method::DELETE, "/sessions/busy", &Value::Null).await),
        (409, "session_busy")
    );
    let removed = bench.call(Method::DELETE, "/sessions/busy?force=true", &Value::Null).await;
    assert_eq!(removed.0, StatusCode::NO_CONTENT);
    assert_eq!(code(&bench.get("/sessions/busy").await), (404, "session_not_found"));
    bench.end().await;
}

#[tokio::test]
async fn limits_names_and_ids_that_are_taken() {
    let bench = Bench::configured("session.max_open = 1").await;
    let id = bench.session("one").await;
    let again = json!({"name": "one", "cwd": bench.cwd()});
    assert_eq!(code(&bench.post("/sessions", again).await), (409, "session_exists"));
    let taken = json!({"id": id, "cwd": bench.cwd()});
    assert_eq!(code(&bench.post("/sessions", taken).await), (409, "session_exists"));
    let more = json!({"cwd": bench.cwd()});
    assert_eq!(code(&bench.post("/sessions", more).await), (429, "too_many_sessions"));
    let (status, found) =
        bench.post("/sessions", json!({"name": "one", "cwd": bench.cwd(), "continue_open": true})).await;
    assert_eq!((status, found["id"].as_str()), (StatusCode::OK, Some(id.to_string().as_str())));
    let sandbox = json!({"cwd": bench.cwd(), "sandbox": true});
    assert_eq!(code(&bench.post("/sessions", sandbox).await), (422, "not_supported"));
    bench.end().await;
}

#[tokio::test]
async fn a_full_pool_queues_and_then_refuses() {
    let toml = "pool.max_waiting = 1\n[pool.remote-control]\nmax_workers = 1";
    let bench = Bench::configured(toml).await;
    bench.pool.refuse_growth();
    for at in 0..8 {
        bench.session(&format!("s{at}")).await;
        assert_eq!(bench.prompt(&format!("s{at}"), "hang").await.0, StatusCode::ACCEPTED);
    }
    let (status, info) = bench.post("/sessions", json!({"cwd": bench.cwd()})).await;
    assert_eq!((status, info["state"].as_str()), (StatusCode::CREATED, Some("queued")));
    assert_eq!(code(&bench.post("/sessions", json!({"cwd": bench.cwd()})).await), (429, "pool_full"));
    bench.end().await;
}

#[tokio::test]
async fn g19_a_connection_stays_usable_after_a_refusal_and_a_silent_one_is_closed() {
    let bench = Bench::configured("api.header_timeout = '300 ms'").await;
    let mut stream = bench.connect().await;
    let head = format!("GET /api/v1/nothing HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    for _ in 0..2 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2048];
        let read = timeout(SOON, stream.read(&mut answer)).await.unwrap().unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"));
    }
    let mut half = bench.connect().await;
    half.write_all(b"GET /health HT").await.unwrap();
    let mut rest = Vec::new();
    timeout(SOON, half.read_to_end(&mut rest))
        .await
        .expect("a head that never ends is not waited for")
        .unwrap();
    bench.end().await;
}

#[tokio::test]
async fn connections_over_the_cap_are_told_so() {
    let bench = Bench::configured("api.max_connections = 2").await;
    let mut held = [bench.connect().await, bench.connect().await];
    for stream in &mut held {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 2048];
        timeout(SOON, stream.read(&mut answer)).await.unwrap().unwrap();
    }
    let mut third = bench.connect().await;
    let mut answer = String::new();
    timeout(SOON, third.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("queue_full"), "{answer}");
    drop(held);
    bench.end().await;
}

#[tokio::test]
async fn q7_the_stop_ends_idle_connections_and_open_streams_at_once() {
    let bench = Bench::start().await;
    bench.session("s").await;
    let mut stream = bench.follow("s", "", None).await;
    stream.until("writer_opened").await;
    let mut idle = bench.connect().await;
    let answer = bench.post("/daemon/stop", Value::Null).await;
    assert_eq!((answer.0, answer.1["status"].as_str()), (StatusCode::ACCEPTED, Some("stopping")));
    timeout(SOON, bench.engine.stop_requested()).await.unwrap();
    bench.stop.cancel();
    while stream.next().await.is_some() {}
    let mut rest = Vec::new();
    timeout(SOON, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    bench.end().await;
}
