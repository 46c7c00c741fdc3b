//! Requests that are written so as to be taken for others: what a check reads must be what the handler reads.

use super::*;

#[test]
fn g13_who_is_not_signed_in_may_send_little() {
    let env = TestEnv::new();
    let at = start(&env);
    let origin = format!("origin: http://{at}");
    for kind in ["application/x-www-form-urlencoded", "application/json"] {
        let head = format!("POST /login HTTP/1.1\r\nhost: {at}\r\n{origin}\r\ncontent-type: {kind}\r\n");
        let said = raw(at, &format!("{head}content-length: 100000\r\n\r\n{{"));
        assert_eq!(said.status, 413, "{kind}: {said:?}");
        // Nobody says how long this one becomes.
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        let unsaid = raw(at, &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}"));
        assert_eq!(unsaid.status, 413, "{kind}: {unsaid:?}");
    }
}

#[test]
fn g13_a_log_is_a_stream_of_its_client_however_its_query_is_written() {
    let env = TestEnv::with_config("[api.limits]\nstreams_per_client = 1\n");
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    for follow in ["follow=true", "follow=%74rue", "%66ollow=true"] {
        let mut first = connect(at);
        let path = format!("/api/v1/daemon/logs?type=process&{follow}");
        write!(first, "GET {path} HTTP/1.1\r\nhost: {at}\r\n{bearer}\r\n\r\n").unwrap();
        let mut reader = BufReader::new(first);
        let mut status = String::new();
        std::io::BufRead::read_line(&mut reader, &mut status).unwrap();
        assert!(status.contains("200"), "{follow}: {status}");
        let _refused = ask(at, "GET", &path, &[&bearer], "").refuses(429, "too_many_requests");
        drop(reader);
        skep_tests::wait::wait_until("the place to be free", || {
            ask(at, "GET", "/api/v1/daemon/logs?type=process", &[&bearer], "").status == 200
        });
    }
}

#[test]
fn q5_a_token_in_the_query_is_seen_through_its_percent_signs() {
    let env = TestEnv::new();
    let at = start(&env);
    for query in ["%74oken=x", "all=true&access%5Ftoken=x", "a=b&&TOKE%4E"] {
        let refused = ask(at, "GET", &format!("/api/v1/sessions?{query}"), &[], "");
        assert!(refused.refuses(400, "invalid_request").text().contains("Bearer"), "{query}");
    }
}

#[test]
fn r6_a_whole_url_as_the_target_is_refused_below_a_base_path_too() {
    let env = TestEnv::with_config("[api]\nbase_path = '/skep'\n");
    let at = start(&env);
    for target in ["http://evil.example/skep/health", "http://evil.example/health"] {
        let _refused = ask(at, "GET", target, &[], "").refuses(400, "invalid_request");
    }
    let _serves = ask(at, "GET", "/skep/health", &[], "").is(200);
}

#[test]
fn g13_nothing_hides_behind_a_body_of_two_lengths() {
    let env = TestEnv::new();
    let at = start(&env);
    let bearer = format!("authorization: Bearer {}", token(&env));
    let hidden = format!("GET /health HTTP/1.1\r\nhost: {at}\r\n\r\n");
    let lengths = [
        format!("content-length: {}\r\ntransfer-encoding: chunked", hidden.len() + 7),
        format!("transfer-encoding: chunked\r\ncontent-length: {}", hidden.len() + 7),
        format!("content-length: 2\r\ncontent-length: {}", hidden.len() + 2),
        String::from("transfer-encoding: chunked, identity"),
    ];
    for lengths in lengths {
        let mut stream = connect(at);
        let head =
            format!("POST /api/v1/daemon/reload HTTP/1.1\r\nhost: {at}\r\n{bearer}\r\n{lengths}\r\n\r\n");
        write!(stream, "{head}2\r\n{{}}\r\n0\r\n\r\n{hidden}").unwrap();
        let answers = until_closed(stream);
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answers}");
        assert!(!answers.contains("\"version\""), "{lengths}: {answers}");
    }
}

#[test]
fn q3_who_may_only_prompt_chooses_no_programs_and_no_options_that_end_an_agents_questions() {
    let env = TestEnv::new();
    let at = start(&env);
    let body = json!({"scopes": ["prompt"]});
    let made = call(at, &token(&env), "POST", "/tokens", &body).is(201).json();
    let prompter = made["token"].as_str().unwrap();
    for options in [
        json!({"mcp_servers": {"x": {"command": "sh", "args": ["-c", "true"]}}}),
        json!({"set": {"mode": "bypassPermissions"}}),
    ] {
        let wanted = json!({"cwd": env.work(), "options": options});
        let _refused = call(at, prompter, "POST", "/sessions", &wanted).refuses(403, "forbidden");
        let run = json!({"session": wanted, "prompt": {"content": [{"type": "text", "text": "echo hi"}]}});
        let _refused = call(at, prompter, "POST", "/runs", &run).refuses(403, "forbidden");
    }
    let _plain = call(at, prompter, "POST", "/sessions", &json!({"cwd": env.work()})).is(201);
}
