//! Hostile and careless clients: each gets a typed error, and the daemon serves on (G4, G13, G15, Q5).

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use skep_tests::api::Response;
use skep_tests::env::TestEnv;
use skep_tests::wait::wait_until;

fn session(env: &TestEnv) -> String {
    let _ran = env.skep(["run", "--name", "s", "true"]).run().ok();
    env.wait_session("s", "the session", |_| true)["id"].as_str().unwrap().to_owned()
}

#[test]
fn g4_a_wrong_or_missing_token_is_refused() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    for token in [None, Some(""), Some("wrong"), Some(&env.token()[1..])] {
        let _refused = api.with_token(token).get("/sessions").refuses(401, "unauthorized");
        let _changed_nothing =
            api.with_token(token).post("/daemon/stop", &json!({})).refuses(401, "unauthorized");
    }
    let _served = api.get("/sessions").is(200);
}

#[test]
fn g4_another_user_is_refused_even_where_the_file_permissions_would_let_them_in() {
    assert!(nix::unistd::geteuid().is_root(), "this test drops privileges: run it as root");
    let env = TestEnv::new();
    env.start_daemon();
    let file = env.daemon_file();
    let socket = file["socket"].as_str().unwrap();
    let token = format!("authorization: Bearer {}", env.token());
    let stranger = || {
        env.program("curl".as_ref())
            .args(["-s", "-m", "10", "-H", &token, "--unix-socket", socket, "http://skep/api/v1/sessions"])
            .cwd("/")
            .wrapped(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .run()
    };
    assert_ne!(stranger().code(), 0, "the directory keeps others out");
    for dir in [env.root(), &env.state()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    let output = stranger();
    assert!(!output.stdout.contains("\"sessions\""), "the peer's uid is checked: {output}");
    fs::set_permissions(env.state(), fs::Permissions::from_mode(0o700)).unwrap();
    let _served = env.api().get("/sessions").is(200);
}

#[test]
fn g4_the_client_trusts_no_socket_of_another_user() {
    assert!(nix::unistd::geteuid().is_root(), "this test drops privileges: run it as root");
    let env = TestEnv::new();
    env.start_daemon();
    let socket = env.daemon_file()["socket"].as_str().unwrap().to_owned();
    std::os::unix::fs::chown(&socket, Some(65534), Some(65534)).unwrap();
    let refused = env.skep(["ps"]).run();
    assert_ne!(refused.code(), 0, "{refused}");
    assert!(refused.stderr.contains("belong") || refused.stderr.contains("owne"), "{refused}");
    std::os::unix::fs::chown(&socket, Some(0), Some(0)).unwrap();
}

#[test]
fn g13_a_body_over_the_limit_is_refused() {
    let env = TestEnv::new();
    let id = session(&env);
    let text = "x".repeat(5 * 1024 * 1024);
    let body = json!({"content": [{"type": "text", "text": text}]}).to_string();
    let api = env.api();
    let path = format!("/api/v1/sessions/{id}/prompts");
    let mut connection = api.connect().unwrap();
    // The server may stop reading before all is written.
    api.send(&mut connection, "POST", &path, Some(body.as_bytes()), &[]).ok();
    let _refused = Response::read(&mut BufReader::new(connection)).unwrap().refuses(413, "too_large");
    let _served = api.get("/sessions").is(200);
}

#[test]
fn g13_every_field_of_the_wrong_type_is_refused() {
    let env = TestEnv::new();
    let id = session(&env);
    let api = env.api();
    let cwd = env.work();
    let cwd = cwd.to_str().unwrap();
    let sessions = json!({"id": "0b7ac9b5-8b2c-4c36-9d4e-0d4bbd5c9f10", "name": "n", "agent": "shell", "cwd": cwd,
        "permission_mode": "ask", "kind": "daemon", "ephemeral": false, "continue_open": false, "sandbox": false,
        "spawn_mode": "same-dir"});
    let prompt = json!({"id": "0b7ac9b5-8b2c-4c36-9d4e-0d4bbd5c9f11", "content": [{"type": "text", "text": "true"}],
        "when_busy": "refuse", "consent": "none", "timeout_seconds": 5});
    let paths = [
        ("/sessions".to_owned(), sessions.clone()),
        (format!("/sessions/{id}/prompts"), prompt.clone()),
        (
            format!("/sessions/{id}/cancel"),
            json!({"prompt": "0b7ac9b5-8b2c-4c36-9d4e-0d4bbd5c9f11", "cause": "person"}),
        ),
        (format!("/sessions/{id}/close"), json!({"force": false})),
        (format!("/sessions/{id}/permissions/{id}"), json!({"id": id, "decision": {"type": "allow"}})),
        ("/runs".to_owned(), json!({"session": sessions, "prompt": prompt})),
        (
            "/workers".to_owned(),
            json!({"id": "w", "kind": "background", "dir": cwd, "capacity": 1, "permission_mode": "ask"}),
        ),
    ];
    for (path, good) in paths {
        for field in good.as_object().unwrap().keys() {
            for wrong in [json!({"x": 1}), json!([[]]), json!(-1.5)] {
                let mut body = good.clone();
                body[field] = wrong;
                let response = api.post(&path, &body);
                assert!(
                    matches!(response.status, 400 | 422),
                    "{path} {body}: {} {}",
                    response.status,
                    response.text()
                );
                assert!(response.json()["error"]["code"].is_string());
            }
        }
        let mut unknown = good.clone();
        unknown["surprise"] = json!(1);
        let response = api.post(&path, &unknown);
        assert!(matches!(response.status, 400 | 422), "{path} {unknown}: {}", response.status);
        for raw in ["", "null", "[]", "{", "\u{fffd}", "nonsense"] {
            let response = api.request("POST", &format!("/api/v1{path}"), Some(raw.as_bytes()));
            let empty_is_fine = matches!(raw, "" | "null")
                && (path.ends_with("/cancel") || path.ends_with("/close") || path == "/workers");
            assert!(
                matches!(response.status, 400 | 422) || empty_is_fine,
                "{path} {raw:?}: {} {}",
                response.status,
                response.text()
            );
        }
    }
}

#[test]
fn q5_unknown_routes_are_404_and_wrong_methods_405_in_our_own_words() {
    let env = TestEnv::new();
    let id = session(&env);
    let api = env.api();
    for path in ["/api/v1", "/api/v1/nope", "/api/v2/sessions", "/api/v1/sessions/x/y/z", "/../etc/passwd"] {
        let _unknown = api.request("GET", path, None).refuses(404, "route_not_found");
    }
    for (method, path) in [
        ("GET", format!("/api/v1/sessions/{id}/prompts")),
        ("GET", format!("/api/v1/sessions/{id}/close")),
        ("GET", "/api/v1/daemon/stop".to_owned()),
        ("PUT", "/api/v1/sessions".to_owned()),
        ("DELETE", "/api/v1/daemon".to_owned()),
        ("PUT", format!("/api/v1/sessions/{id}")),
    ] {
        let _refused = api.request(method, &path, None).refuses(405, "method_not_allowed");
    }
    let _unknown_session = api.get("/sessions/no-such-session").refuses(404, "session_not_found");
    let _never_created = api
        .post("/sessions/no-such-session/prompts", &json!({"content": [{"type": "text", "text": "true"}]}))
        .refuses(404, "session_not_found");
    let _ids_are_checked = api.get("/sessions/..%2f..%2fetc").is(404);
}

#[test]
fn g13_what_is_not_http_is_refused_and_the_connection_closed() {
    let env = TestEnv::new();
    env.start_daemon();
    let api = env.api();
    for garbage in [&b"\0\0\0\0\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"{\"action\":\"prompt\"}\n\r\n\r\n"]
    {
        let mut connection = api.connect().unwrap();
        connection.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    }
    let _served = api.get("/sessions").is(200);
}

#[test]
fn g13_a_head_that_never_ends_is_cut_off() {
    let env = TestEnv::with_config("[api]\nheader_timeout = \"500ms\"\n");
    env.start_daemon();
    let api = env.api();
    let mut slow = api.connect().unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: s").unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let mut long = api.connect().unwrap();
    let endless = format!("GET /health HTTP/1.1\r\nx: {}\r\n", "y".repeat(2 * 1024 * 1024));
    long.write_all(endless.as_bytes()).ok();
    let mut answer = Vec::new();
    long.read_to_end(&mut answer).ok();
    let _served = api.get("/sessions").is(200);
}

#[test]
fn connections_are_limited_and_freed() {
    let env = TestEnv::with_config("[api]\nmax_connections = 8\nheader_timeout = \"2s\"\n");
    env.start_daemon();
    let api = env.api();
    let held: Vec<_> = (0..8).map(|_| api.connect().unwrap()).collect();
    drop(held);
    wait_until("the daemon to serve again", || {
        api.try_request("GET", "/health", None).is_ok_and(|response| response.status == 200)
    });
}

#[test]
fn g7_names_and_prompts_are_never_spliced() {
    let env = TestEnv::new();
    env.start_daemon();
    let text = "\"}\n{\"kind\":\"turn_ended\",\"x\":\"\u{1b}[31m\0";
    let created = env
        .api()
        .post("/sessions", &json!({"name": "quoted", "agent": "fake", "cwd": env.work().to_str().unwrap()}));
    let _created = created.is(201);
    let body = json!({"content": [{"type": "text", "text": format!("say {text}")}]});
    let _accepted = env.api().post("/sessions/quoted/prompts", &body).is(202);
    let _ended = env.skep(["wait", "quoted"]).run();
    let events = env.events("quoted");
    let prompt = events.iter().find(|event| event["kind"] == "prompt_queued").unwrap();
    assert_eq!(prompt["data"]["content"][0]["text"], format!("say {text}"));
    let shown = env.skep(["logs", "quoted"]).run().ok();
    assert!(!shown.stdout.contains('\u{1b}'), "control characters reach no terminal raw: {shown}");
}

#[test]
fn g15_an_error_tells_no_internals() {
    let env = TestEnv::new();
    env.start_daemon();
    let response =
        env.api().post("/sessions", &json!({"cwd": env.work().to_str().unwrap(), "agent": "no-such-agent"}));
    let body = response.refuses(422, "agent_not_found").json();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(!message.contains(".rs:") && !message.contains("panicked"), "{message}");
}

#[test]
fn a_prompt_id_delivered_twice_runs_once_even_after_a_restart() {
    let env = TestEnv::new();
    session(&env);
    let body = json!({"id": "5d0c1a1e-4a30-4d4e-9a52-0a4b7c1f9a01",
        "content": [{"type": "text", "text": "echo ran >> count"}], "consent": "own_command"});
    let first = env.api().post("/sessions/s/prompts", &body).is(202).json();
    assert_eq!(first["duplicate"], false);
    let _done = env.skep(["wait", "s"]).run().ok();
    assert_eq!(env.api().post("/sessions/s/prompts", &body).is(202).json()["duplicate"], true);
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let again: Value = env.api().post("/sessions/s/prompts", &body).is(202).json();
    assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &first["seq"]));
    assert_eq!(fs::read_to_string(env.work().join("count")).unwrap(), "ran\n");
}
