//! Scoped tokens and signed-in browsers (Q3, G4), and what an agent may not do over TCP either (G5).

use super::*;

fn make(at: SocketAddr, owner: &str, body: Value) -> (String, String) {
    let made = call(at, owner, "POST", "/tokens", &body).is(201).json();
    (made["token"].as_str().unwrap().to_owned(), made["info"]["id"].as_str().unwrap().to_owned())
}

#[test]
fn q3_a_token_of_one_session_reaches_that_session_and_does_what_its_scope_says() {
    let env = TestEnv::new();
    let at = start(&env);
    let owner = token(&env);
    let (own, other) = (session(&env, "own"), session(&env, "other"));
    let (reader, _) = make(at, &owner, json!({"scopes": ["read"], "session": "own"}));
    let (writer, _) = make(at, &owner, json!({"scopes": ["prompt"], "session": "own"}));
    let prompt = json!({"content": [{"type": "text", "text": "echo hi"}]});
    for name in [own.as_str(), "own"] {
        let _read = call(at, &reader, "GET", &format!("/sessions/{name}"), &Value::Null).is(200);
        let _read = call(at, &reader, "GET", &format!("/sessions/{name}/events"), &Value::Null).is(200);
        let refused = call(at, &reader, "POST", &format!("/sessions/{name}/prompts"), &prompt);
        let _refused = refused.refuses(403, "forbidden");
    }
    for name in [other.as_str(), "other", "nobody", "..", "own2"] {
        let refused = call(at, &reader, "GET", &format!("/sessions/{name}"), &Value::Null);
        let _refused = refused.refuses(403, "forbidden");
    }
    for (method, path) in [
        ("GET", "/sessions"),
        ("GET", "/permissions"),
        ("GET", "/daemon"),
        ("GET", "/tokens"),
        ("POST", "/daemon/stop"),
        ("POST", "/runs"),
        ("POST", "/tokens"),
        ("POST", "/login-links"),
        ("GET", "/workers"),
    ] {
        let _refused = call(at, &writer, method, path, &Value::Null).refuses(403, "forbidden");
    }
    let _accepted = call(at, &writer, "POST", "/sessions/own/prompts", &prompt).is(202);
    // Consent to one's own command is a person's at a terminal, never a token's.
    let consent = json!({"content": [{"type": "text", "text": "echo hi"}], "consent": "own_command", "when_busy": "queue"});
    for token in [&writer, &owner] {
        let _refused = call(at, token, "POST", "/sessions/own/prompts", &consent).refuses(403, "forbidden");
    }
    let listed = call(at, &owner, "GET", "/tokens", &Value::Null).is(200).text();
    assert!(!listed.contains(&reader) && !listed.contains(&writer) && listed.contains("prompt"), "{listed}");
}

#[test]
fn q3_a_token_that_may_prompt_changes_settings_but_approves_nothing_ahead() {
    let env = TestEnv::new();
    let at = start(&env);
    let owner = token(&env);
    session(&env, "own");
    session(&env, "other");
    let of = |scope: &str| make(at, &owner, json!({"scopes": [scope], "session": "own"})).0;
    let (reader, writer, approver) = (of("read"), of("prompt"), of("approve"));
    let patch = |token: &str, session: &str, body: &Value| {
        call(at, token, "PATCH", &format!("/sessions/{session}"), body)
    };
    let tighter = json!({"permission_mode": "plan", "options": {"turn_timeout_seconds": 60}});
    let _refused = patch(&reader, "own", &tighter).refuses(403, "forbidden");
    let _refused = patch(&writer, "other", &tighter).refuses(403, "forbidden");
    let done = patch(&writer, "own", &tighter).is(200).json();
    assert_eq!(done["session"]["permission_mode"], "plan", "{done}");
    assert_eq!(
        done["changed"][1],
        json!({"setting": "turn_timeout_seconds", "takes_effect": "now"}),
        "{done}"
    );
    for looser in [
        json!({"permission_mode": "bypass"}),
        json!({"permission_mode": "accept-edits"}),
        json!({"options": {"rules": [{"tool": "execute", "action": "allow"}]}}),
        json!({"options": {"rules": null}}),
        json!({"options": {"limits": {"max_turns": 7}}}),
    ] {
        let _refused = patch(&writer, "own", &looser).refuses(403, "forbidden");
        let _done = patch(&owner, "own", &looser).is(200);
    }
    // An agent's own option may be the one that ends its questions.
    let option = json!({"options": {"set": {"quiet": "yes"}}});
    let _refused = patch(&writer, "own", &option).refuses(403, "forbidden");
    let _set = patch(&owner, "own", &option).is(200);
    // Approving alone is no order to change anything.
    let _refused = patch(&approver, "own", &tighter).refuses(403, "forbidden");
    for (body, status, code) in [
        (json!({"name": "x"}), 400, "invalid_request"),
        (json!({"options": {"limits": {"max_turns": "many"}}}), 400, "invalid_request"),
        (json!({"permission_mode": null}), 422, "invalid_value"),
        (json!({"options": {"idle_timeout_seconds": 0}}), 422, "invalid_value"),
        (json!({"options": {"rules": [{"tool": "teleport", "action": "deny"}]}}), 422, "invalid_value"),
    ] {
        let _refused = patch(&owner, "own", &body).refuses(status, code);
    }
}

#[test]
fn q3_revoking_a_token_takes_effect_at_once_and_ends_its_streams() {
    let env = TestEnv::new();
    let at = start(&env);
    let owner = token(&env);
    session(&env, "s");
    let (reader, id) = make(at, &owner, json!({"scopes": ["read"], "name": "phone"}));
    let mut stream = connect(at);
    let request = format!(
        "GET /api/v1/sessions/s/events HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {reader}\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let _gone = call(at, &owner, "DELETE", &format!("/tokens/{id}"), &Value::Null).is(204);
    let rest = until_closed(stream);
    assert!(rest.contains("text/event-stream"), "{rest}");
    let _refused = call(at, &reader, "GET", "/sessions", &Value::Null).refuses(401, "unauthorized");
    let again = call(at, &owner, "DELETE", &format!("/tokens/{id}"), &Value::Null);
    let _refused = again.refuses(404, "token_not_found");
}

#[test]
fn q3_a_token_ends_at_its_time_and_with_it_its_streams() {
    let env = TestEnv::new();
    let at = start(&env);
    session(&env, "s");
    let (reader, _) = make(at, &token(&env), json!({"scopes": ["read"], "ttl_seconds": 1}));
    let bearer = format!("authorization: Bearer {reader}");
    let followed = ask(at, "GET", "/api/v1/sessions/s/events", &[&bearer, "accept: text/event-stream"], "");
    // The stream came to its end by itself: `ask` has read all of it.
    let _ended = followed.is(200);
    let _refused = call(at, &reader, "GET", "/sessions", &Value::Null).refuses(401, "unauthorized");
}

#[test]
fn q3_a_login_link_signs_one_browser_in_once_and_a_prefetch_uses_nothing_up() {
    let env = TestEnv::new();
    let at = start(&env);
    let link = call(at, &token(&env), "POST", "/login-links", &json!({})).is(201).json();
    let url = link["urls"][0].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{at}")).unwrap_or_else(|| panic!("{link}"));
    for _ in 0..3 {
        let page = ask(at, "GET", path, &[], "").is(200);
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        assert_eq!(page.header("set-cookie"), None);
    }
    let code = path.split_once("code=").unwrap().1;
    let own = format!("origin: http://{at}");
    let form = format!("code={code}");
    let post = |origin: &str, form: &str| {
        let head = format!(
            "POST /login HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{origin}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        raw(at, &head)
    };
    let _refused = post("origin: http://evil.example", &form).refuses(403, "origin_not_allowed");
    let signed_in = post(&own, &form).is(303);
    let cookie = signed_in.header("set-cookie").unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain") && !cookie.contains("Secure"), "{cookie}");
    assert_eq!(post(&own, &form).status, 401, "the link was used");
    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    let _reads = ask(at, "GET", "/api/v1/sessions", &[&cookie], "").is(200);
    let _acts = ask(at, "POST", "/api/v1/daemon/start", &[&cookie, &own], "{}").is(200);
    // A browser sends its cookie of its own accord: without its page's origin nothing is changed.
    let _refused =
        ask(at, "POST", "/api/v1/daemon/start", &[&cookie], "{}").refuses(403, "origin_not_allowed");
    let stored = std::fs::read_to_string(env.state().join("tokens.json")).unwrap();
    assert!(!stored.contains(cookie.split_once('=').unwrap().1), "only the hash is kept");
    let home = ask(at, "GET", "/", &[&cookie], "").is(200);
    assert!(home.text().contains("signed in"));
    let _out = ask(at, "POST", "/logout", &[&cookie, &own], "").is(303);
    let _refused = ask(at, "GET", "/api/v1/sessions", &[&cookie], "").refuses(401, "unauthorized");
}

#[test]
fn c8_without_authentication_only_on_loopback_hosts_and_origins_are_checked_still() {
    let env = TestEnv::with_config("[api]\nauth = 'none'\n");
    let at = start(&env);
    let _in = ask(at, "GET", "/api/v1/sessions", &[], "").is(200);
    let _wrong =
        ask(at, "GET", "/api/v1/sessions", &["authorization: Bearer x"], "").refuses(401, "unauthorized");
    let rebound = "GET /api/v1/sessions HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let _refused = raw(at, rebound).refuses(403, "host_not_allowed");
    let foreign = ask(at, "POST", "/api/v1/daemon/stop", &["origin: http://evil.example"], "{}");
    let _refused = foreign.refuses(403, "origin_not_allowed");
    // The Unix socket asks for the token as ever.
    let _refused = env.api().with_token(None).get("/sessions").refuses(401, "unauthorized");
}

#[test]
fn g5_an_agent_does_not_approve_itself_over_tcp_either_whatever_token_it_shows() {
    let env = TestEnv::with_config("[session]\npermission_mode = 'bypass'\n");
    let at = start(&env);
    let url = format!("http://{at}/api/v1");
    let script = format!(
        "curl -s -m 20 -X POST -H \"authorization: Bearer $(cat '{}')\" -H 'content-type: application/json' -d '{{}}' {url}/daemon/stop; \
         curl -s -m 20 -H \"authorization: Bearer $(cat '{}')\" {url}/agents",
        env.state().join("token").display(),
        env.state().join("token").display()
    );
    let ran = env.skep(["run", "--name", "inside", &script]).run();
    assert!(ran.stdout.contains("inside_session"), "{ran}");
    assert!(ran.stdout.contains("\"agents\""), "it may read: {ran}");
    // From outside the same request is obeyed.
    let _stopping = call(at, &token(&env), "POST", "/daemon/stop", &json!({})).is(202);
}

#[test]
fn g6_over_tcp_sessions_run_under_home_or_the_daemons_directory_only() {
    let env = TestEnv::new();
    let _started =
        env.skep(["daemon", "start", "--port", "0", "--dir", env.work().to_str().unwrap()]).run().ok();
    let at = address(&env);
    let owner = token(&env);
    for (cwd, status) in [(env.work(), 201), (env.home(), 201), ("/".into(), 422), (env.state(), 422)] {
        let made = call(at, &owner, "POST", "/sessions", &json!({ "cwd": cwd }));
        assert_eq!(made.status, status, "{}: {}", cwd.display(), made.text());
    }
    let _local = env.api().post("/sessions", &json!({"cwd": "/"})).is(201);
}
