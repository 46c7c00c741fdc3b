//! Which requests over TCP are let in: hosts, origins, targets, secrets in the query, heads and bodies (R6, G4, G13, Q5).

use std::time::{Duration, Instant};

use super::*;

#[test]
fn g4_over_tcp_nobody_gets_in_without_a_token_and_the_refusal_says_how() {
    let env = TestEnv::new();
    let at = start(&env);
    for headers in
        [&[][..], &["authorization: Bearer wrong"], &["authorization: Basic eDp5"], &["cookie: skep=1"]]
    {
        for path in ["/api/v1/sessions", "/api/v1/daemon", "/api/v1/nowhere", "/api/v1/tokens", "/nowhere"] {
            let refused = ask(at, "GET", path, headers, "").refuses(401, "unauthorized");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{path} {headers:?}");
        }
    }
    let _in = call(at, &token(&env), "GET", "/sessions", &Value::Null).is(200);
    let twice = format!("authorization: Bearer {}", token(&env));
    let _refused = ask(at, "GET", "/api/v1/sessions", &[&twice, &twice], "").refuses(401, "unauthorized");
}

#[test]
fn r6_a_rebound_name_reaches_nothing_not_even_health() {
    let env = TestEnv::new();
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    for path in ["/health", "/", "/login", "/api/v1/sessions"] {
        for host in [
            "evil.example",
            &format!("evil.example:{}", at.port()),
            "localhost.",
            "u@localhost",
            "[::ffff:8.8.8.8]",
        ] {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{bearer}\r\nconnection: close\r\n\r\n");
            let _refused = raw(at, &request).refuses(403, "host_not_allowed");
        }
    }
    let no_host = format!("GET /api/v1/sessions HTTP/1.0\r\n{bearer}\r\n\r\n");
    let _refused = raw(at, &no_host).refuses(403, "host_not_allowed");
    let two =
        format!("GET /health HTTP/1.1\r\nhost: {at}\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    let _refused = raw(at, &two).refuses(403, "host_not_allowed");
    let absolute = format!("GET http://{at}/health HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    let _refused = raw(at, &absolute).refuses(400, "invalid_request");
    // A tunnel's own port is as good as ours.
    let tunnel = "GET /health HTTP/1.1\r\nhost: localhost:9\r\nconnection: close\r\n\r\n";
    let _health = raw(at, tunnel).is(200);
}

#[test]
fn r6_no_page_of_anybody_else_may_call() {
    let env = TestEnv::new();
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    let own = format!("origin: http://{at}");
    let _own = ask(at, "GET", "/api/v1/sessions", &[&bearer, &own], "").is(200);
    let other_port = format!("origin: http://127.0.0.1:{}", at.port().wrapping_add(1));
    for origin in
        ["origin: null", "origin: http://evil.example", "origin: https://localhost", "origin:", &other_port]
    {
        for (method, path) in
            [("GET", "/api/v1/sessions"), ("POST", "/api/v1/daemon/stop"), ("OPTIONS", "/api/v1/sessions")]
        {
            let refused = ask(at, method, path, &[&bearer, origin], "").refuses(403, "origin_not_allowed");
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
        let upgrade =
            [&bearer, origin, "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
        let _refused = ask(at, "GET", "/api/v1/sessions", &upgrade, "").refuses(403, "origin_not_allowed");
    }
    let cross = ["sec-fetch-site: cross-site", "sec-fetch-mode: no-cors"];
    let _refused = ask(at, "GET", "/health", &cross, "").refuses(403, "origin_not_allowed");
}

#[test]
fn r6_a_configured_origin_may_call_and_nobody_else() {
    let env = TestEnv::with_config("[api]\nallowed_origins = ['https://page.example']\n");
    let at = start(&env);
    let preflight = ask(at, "OPTIONS", "/api/v1/sessions", &["origin: https://page.example"], "").is(204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    let other = ask(at, "OPTIONS", "/api/v1/sessions", &["origin: https://other.example"], "");
    let _refused = other.refuses(403, "origin_not_allowed");
}

#[test]
fn q5_a_token_in_the_query_is_refused_with_the_reason() {
    let env = TestEnv::new();
    let at = start(&env);
    for query in ["token=x", "all=true&access_token=x", "TOKEN=x", "token"] {
        let refused = ask(at, "GET", &format!("/api/v1/sessions?{query}"), &[], "");
        assert!(refused.refuses(400, "invalid_request").text().contains("Bearer"), "{query}");
    }
}

#[test]
fn q5_every_answer_carries_the_headers_that_browsers_obey() {
    let env = TestEnv::new();
    let at = start(&env);
    for path in ["/", "/health", "/login", "/api/v1/sessions", "/nowhere"] {
        let answer = ask(at, "GET", path, &[], "");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
}

#[test]
fn q5_what_changes_state_takes_post_and_a_path_leads_nowhere_else() {
    let env = TestEnv::new();
    let at = start(&env);
    let token = token(&env);
    let refused = call(at, &token, "GET", "/daemon/stop", &Value::Null).refuses(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("POST"));
    for path in [
        "/../../etc/passwd",
        "/sessions/..%2f..%2ftoken",
        "/sessions/%2e%2e/events",
        "//sessions",
        "/sessions/\u{0}",
    ] {
        let answer = call(at, &token, "GET", path, &Value::Null);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
}

#[test]
fn g13_a_large_head_and_a_slow_body_are_refused_by_name_and_a_slow_head_is_closed() {
    let config =
        "[api]\nheader_timeout = '300 ms'\n[api.limits]\nmax_head = '4 KiB'\nbody_timeout = '300 ms'\n";
    let env = TestEnv::with_config(config);
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    let long = format!("x-long: {}", "y".repeat(5_000));
    let _refused = ask(at, "GET", "/api/v1/sessions", &[&bearer, &long], "").refuses(431, "head_too_large");
    let slow = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nhost: {at}\r\n{bearer}\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{"
    );
    let _refused = raw(at, &slow).refuses(408, "request_timeout");
    let began = Instant::now();
    let mut loris = connect(at);
    loris.write_all(b"GET /health HTTP/1.1\r\nhost: ").unwrap();
    let _closed = until_closed(loris);
    assert!(began.elapsed() < Duration::from_secs(10));
    let _serves = ask(at, "GET", "/health", &[], "").is(200);
}

#[test]
fn g13_connections_of_one_address_and_streams_of_one_client_have_a_limit_and_places_come_back() {
    let env = TestEnv::with_config("[api.limits]\nconnections_per_address = 3\nstreams_per_client = 1\n");
    let at = start(&env);
    let held: Vec<TcpStream> = (0..3).map(|_| connect(at)).collect();
    let full = Response::read(&mut BufReader::new(connect(at))).unwrap();
    let _refused = full.refuses(429, "too_many_requests");
    // The Unix socket is another door.
    let _serves = env.api().get("/sessions").is(200);
    drop(held);
    skep_tests::wait::wait_until("a place to be free", || ask(at, "GET", "/health", &[], "").status == 200);
    session(&env, "s");
    let stream = env.api().stream("/sessions/s/events", None);
    let bearer = format!("authorization: Bearer {}", token(&env));
    let second = ask(at, "GET", "/api/v1/sessions/s/events", &[&bearer, "accept: text/event-stream"], "");
    let _refused = second.refuses(429, "too_many_requests");
    drop(stream);
}

#[test]
fn r6_forwarded_headers_count_from_a_trusted_proxy_only_and_below_its_base_path() {
    let config =
        "[api]\ntrusted_proxies = ['127.0.0.1']\nallowed_hosts = ['skep.example']\nbase_path = '/skep'\n";
    let env = TestEnv::with_config(config);
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    let proxied = [
        "x-forwarded-host: skep.example",
        "x-forwarded-proto: https",
        "origin: https://skep.example",
        &bearer,
    ];
    let _in = ask(at, "GET", "/api/v1/sessions", &proxied, "").is(200);
    let _in = ask(at, "GET", "/skep/api/v1/sessions", &proxied, "").is(200);
    let stranger = ["x-forwarded-host: evil.example", &bearer];
    let _refused = ask(at, "GET", "/api/v1/sessions", &stranger, "").refuses(403, "host_not_allowed");
    let plain = TestEnv::new();
    let at = start(&plain);
    let bearer = format!("authorization: Bearer {}", token(&plain));
    let claimed = ["x-forwarded-host: evil.example", "x-forwarded-proto: https", &bearer];
    let _ignored = ask(at, "GET", "/api/v1/sessions", &claimed, "").is(200);
}
