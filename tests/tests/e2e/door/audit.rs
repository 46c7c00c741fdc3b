//! Who did what (R6): every request that changes something and every refusal is written, no read and no secret is.

use std::os::unix::fs::PermissionsExt as _;

use skep_tests::wait::wait_until;

use super::*;

fn log(env: &TestEnv) -> std::path::PathBuf {
    env.state().join("logs/audit.jsonl")
}

/// What `skep audit` tells with these further words.
fn told(env: &TestEnv, words: &[&str]) -> Vec<Value> {
    let line: Vec<&str> = ["audit", "--json"].into_iter().chain(words.iter().copied()).collect();
    let told = env.skep(line).run().ok();
    told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Method, path and status of each.
fn deeds(entries: &[Value]) -> Vec<String> {
    let deed = |entry: &Value| {
        format!(
            "{} {} {}",
            entry["method"].as_str().unwrap(),
            entry["path"].as_str().unwrap(),
            entry["status"]
        )
    };
    entries.iter().map(deed).collect()
}

#[test]
fn r6_who_changed_what_and_who_was_refused_is_written_without_secrets_and_without_reads() {
    let env = TestEnv::new();
    let at = start(&env);
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say the-words-of-a-prompt"]).run().ok();
    let id = env.api().get("/sessions/s").is(200).json()["id"].as_str().unwrap().to_owned();
    let made =
        env.skep(["token", "create", "--scope", "prompt", "--session", "s", "--name", "phone", "--json"]);
    let made = made.run().ok().json();
    let (secret, key) = (made["token"].as_str().unwrap(), made["info"]["id"].as_str().unwrap());
    let prompt =
        json!({"content": [{"type": "text", "text": "say more-words-of-a-prompt"}], "when_busy": "queue"});
    let _accepted = call(at, secret, "POST", "/sessions/s/prompts", &prompt).is(202);
    let _read = call(at, secret, "GET", "/sessions/s", &Value::Null).is(200);
    let _refused =
        call(at, secret, "POST", "/sessions/s/permissions/x", &json!({})).refuses(403, "forbidden");
    let _refused = call(at, secret, "GET", "/audit", &Value::Null).refuses(403, "forbidden");
    let _refused =
        call(at, "skep_a-wrong-token", "GET", "/sessions", &Value::Null).refuses(401, "unauthorized");
    let rebound = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let _refused = raw(at, rebound).refuses(403, "host_not_allowed");
    let url = env.skep(["open", "--print"]).run().ok().stdout;
    let code = url.trim().split_once("code=").unwrap().1.to_owned();
    let own = format!("origin: http://{at}");
    let signed_in = ask(at, "POST", "/login", &[&own], &json!({ "code": code }).to_string()).is(200);
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let _out = ask(at, "POST", "/logout", &[&format!("cookie: {cookie}"), &own], "").is(303);
    let _gone = env.skep(["token", "revoke", key]).run().ok();

    wait_until("the last deed", || {
        let last = told(&env, &["-n", "1"]);
        last.first().is_some_and(|entry| entry["method"] == "DELETE")
    });
    let all = told(&env, &[]);
    let of = |who: &str| deeds(&told(&env, &["--who", who]));
    let owner = of("owner");
    for deed in ["POST /api/v1/runs 202", "POST /api/v1/tokens 201", "POST /api/v1/login-links 201"] {
        assert!(owner.iter().any(|one| one == deed), "{deed}: {owner:?}");
    }
    assert_eq!(owner.last(), Some(&format!("DELETE /api/v1/tokens/{key} 204")));
    let phone = [
        "POST /api/v1/sessions/s/prompts 202",
        "POST /api/v1/sessions/s/permissions/x 403",
        "GET /api/v1/audit 403",
    ];
    assert_eq!(of("phone"), phone);
    assert_eq!(of(key), phone, "by its id as well");
    assert_eq!(of("nobody"), ["GET /api/v1/sessions 401", "GET / 403", "POST /login 200"]);
    assert!(!all.iter().any(|entry| entry["method"] == "GET" && entry["status"] == 200), "no reads: {all:?}");
    // Where from, by what, and what was missing.
    let refused = told(&env, &["--refused"]);
    assert_eq!(refused.len(), 4, "{refused:?}");
    let of_phone = &refused[0];
    assert_eq!((&of_phone["needs"], &of_phone["code"]), (&json!("approve"), &json!("forbidden")));
    assert_eq!((&of_phone["from"], &of_phone["session"]), (&json!("127.0.0.1"), &json!(id)));
    let run = all.iter().find(|entry| entry["path"] == "/api/v1/runs").unwrap();
    assert_eq!((&run["session"], &run["front"]), (&json!(id), &json!("skep-cli")));
    assert!(run["from"].as_str().unwrap().starts_with("uid "), "{run}");
    let token = all.iter().find(|entry| entry["path"] == "/api/v1/tokens").unwrap();
    assert_eq!(token["made"], json!(key));
    assert!(told(&env, &["--session", "s"]).len() >= 3);
    assert_eq!(told(&env, &["--since", "1h"]).len(), all.len());
    assert!(told(&env, &["--since", "2100-01-01T00:00:00Z"]).is_empty());
    let text = env.skep(["audit"]).run().ok();
    assert!(text.stdout.contains("phone") && text.stdout.lines().count() == all.len(), "{text}");

    let written = std::fs::read_to_string(log(&env)).unwrap();
    for hidden in [secret, &code, &cookie, "a-wrong-token", "words-of-a-prompt", &self::token(&env)] {
        assert!(!written.contains(hidden), "{hidden} in {written}");
    }
    assert_eq!(std::fs::metadata(log(&env)).unwrap().permissions().mode() & 0o777, 0o600);
    // It goes on after a restart.
    let _again = env.skep(["daemon", "restart"]).run().ok();
    assert!(told(&env, &[]).len() >= all.len());
}

#[test]
fn r6_the_record_is_followed_and_a_client_that_goes_away_is_in_it() {
    let env = TestEnv::new();
    let at = start(&env);
    session(&env, "s");
    let follower = env.skep(["audit", "--follow", "--json", "--who", "owner"]).start();
    follower.wait_stdout("/api/v1/sessions");
    // Somebody waits for the end of a turn, and does not stay that long.
    let body = json!({
        "session": {"name": "slow", "cwd": env.work(), "agent": "fake"},
        "prompt": {"content": [{"type": "text", "text": "wait"}]}
    });
    let body = body.to_string();
    let mut stream = connect(at);
    let head = format!(
        "POST /api/v1/runs?wait=60 HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        token(&env),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    env.wait_session("slow", "its turn", |session| session["state"] == "running");
    drop(stream);
    follower.wait_stdout("/api/v1/runs");
    let line = follower.stdout_so_far();
    let gone: Value =
        serde_json::from_str(line.lines().find(|line| line.contains("/api/v1/runs")).unwrap()).unwrap();
    assert_eq!(gone["status"], Value::Null, "{gone}");
    follower.signal(nix::sys::signal::Signal::SIGINT);
    drop(follower.finish());
    let _closed = env.skep(["kill", "slow"]).run();
}

#[test]
fn r6_a_record_that_cannot_be_written_is_told_in_the_status_and_stops_nothing() {
    let env = TestEnv::new();
    std::fs::create_dir_all(log(&env)).unwrap();
    let at = start(&env);
    let _made = call(at, &token(&env), "POST", "/sessions", &json!({"cwd": env.work()})).is(201);
    wait_until("the status to tell it", || {
        env.skep(["daemon", "status"]).run().ok().stdout.contains("audit     it cannot be written")
    });
    std::fs::remove_dir(log(&env)).unwrap();
    let _made = call(at, &token(&env), "POST", "/sessions", &json!({"cwd": env.work()})).is(201);
    wait_until("both deeds, late", || {
        std::fs::read_to_string(log(&env)).is_ok_and(|text| text.matches("\"/api/v1/sessions\"").count() == 2)
    });
    let status = env.skep(["daemon", "status", "--json"]).run().ok().json();
    assert_eq!(status["audit_problem"], Value::Null, "{status}");
}
