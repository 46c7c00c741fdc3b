//! Who may approve and administer: nobody inside a session's tree.

use serde_json::Value;

use super::bench::{Bench, TOKEN};

/// What a process with this environment gets for a request, by curl.
async fn as_process(bench: &Bench, mark: Option<&str>, method: &str, path: &str, body: &str) -> (u16, Value) {
    use std::ffi::OsString;

    let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), "/usr/bin:/bin".into())];
    env.extend(mark.map(|mark| ("SKEP_SESSION".into(), mark.into())));
    let socket = bench.home.path().join("s");
    let url = format!("http://skep/api/v1{path}");
    let authorization = format!("authorization: Bearer {TOKEN}");
    let args = [
        "-s",
        "--unix-socket",
        socket.to_str().unwrap(),
        "-X",
        method,
        "-H",
        &authorization,
        "-H",
        "content-type: application/json",
        "-d",
        body,
        "-w",
        "\n%{http_code}",
        &url,
    ];
    let spec = skep_sys::spawn::SpawnSpec {
        program: "curl".into(),
        args: args.iter().map(OsString::from).collect(),
        cwd: "/".into(),
        env,
        stdin: skep_sys::spawn::Stdio3::Null,
        stdout: skep_sys::spawn::Stdio3::Pipe,
        stderr: skep_sys::spawn::Stdio3::Inherit,
        new_group: false,
    };
    let mut child = skep_sys::spawn::spawn(spec).expect("curl is installed");
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut text).await.unwrap();
    child.exited().await;
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_agent_neither_approves_nor_administers_but_may_work() {
    // This process plays the daemon, so its children count as inside by ancestry alone; and by their mark.
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    let other = bench.session("other").await;
    let own = id.to_string();
    let permission = format!("/sessions/{id}/permissions/00000000-0000-4000-8000-000000000000");
    let cwd = bench.cwd();
    let bypass = format!(r#"{{"cwd":"{cwd}","permission_mode":"bypass"}}"#);
    let rule = format!(r#"{{"cwd":"{cwd}","options":{{"rules":[{{"tool":"execute","action":"allow"}}]}}}}"#);
    let server = format!(r#"{{"cwd":"{cwd}","options":{{"mcp_servers":{{"x":{{"command":"sh"}}}}}}}}"#);
    let option = format!(r#"{{"cwd":"{cwd}","options":{{"set":{{"mode":"yolo"}}}}}}"#);
    let consent = r#"{"content":[{"type":"text","text":"1"}],"consent":"own_command"}"#;
    let prompts = format!("/sessions/{id}/prompts");
    let close_other = format!("/sessions/{other}/close");
    let remove_other = format!("/sessions/{other}?force=true");
    let refused = [
        ("POST", permission.as_str(), r#"{"decision":{"type":"allow"}}"#),
        ("POST", "/sessions", bypass.as_str()),
        ("POST", "/sessions", rule.as_str()),
        ("POST", "/sessions", server.as_str()),
        ("POST", "/sessions", option.as_str()),
        ("POST", prompts.as_str(), consent),
        ("POST", close_other.as_str(), "{}"),
        ("DELETE", remove_other.as_str(), ""),
        ("POST", "/daemon/stop", "{}"),
        ("POST", "/daemon/restart", "{}"),
        ("POST", "/daemon/reload", "{}"),
        ("POST", "/workers", "{}"),
        ("POST", "/workers/w1/restart", "{}"),
        ("POST", "/workers/w1/park", "{}"),
        ("POST", "/workers/w1/unpark", "{}"),
        ("DELETE", "/workers/w1", ""),
    ];
    for mark in [None, Some(own.as_str())] {
        for (method, path, body) in refused {
            let (status, answer) = as_process(&bench, mark, method, path, body).await;
            let code = answer["error"]["code"].as_str();
            assert_eq!((status, code), (403, Some("inside_session")), "{method} {path} {mark:?}: {answer}");
        }
    }
    assert!(bench.pool.acted().is_empty());
    let prompt = r#"{"content":[{"type":"text","text":"1"}]}"#;
    assert_eq!(as_process(&bench, Some(&own), "POST", &prompts, prompt).await.0, 202);
    assert_eq!(as_process(&bench, Some(&own), "GET", "/sessions", "").await.0, 200);
    let close_own = format!("/sessions/{id}/close");
    assert_eq!(as_process(&bench, Some(&own), "POST", &close_own, "{}").await.0, 200);
    bench.end().await;
}

#[tokio::test]
async fn a_peer_outside_of_every_session_may_administer() {
    let bench = Bench::start().await;
    bench.session("s").await;
    let answer = bench.post("/workers/w1/restart", Value::Null).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let consent = serde_json::json!({"content": [{"type": "text", "text": "1"}], "consent": "own_command"});
    assert_eq!(bench.post("/sessions/s/prompts", consent).await.0, 202);
    let reload = bench.post("/daemon/reload", Value::Null).await;
    assert_eq!((reload.0.as_u16(), reload.1["error"]["code"].as_str()), (422, Some("config_invalid")));
    bench.end().await;
}

#[tokio::test]
async fn an_environment_is_taken_from_outside_of_every_session_only() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    let prompt =
        serde_json::json!({"content": [{"type": "text", "text": "1"}], "environment": {"TZ": "UTC"}});
    let path = format!("/sessions/{id}/prompts");
    // This process plays the daemon, so its children count as inside.
    assert_eq!(as_process(&bench, None, "POST", &path, &prompt.to_string()).await.0, 202);
    assert_eq!(bench.post(&path, prompt).await.0, 202);
    let (_, page) = bench.get(&format!("/sessions/{id}/events")).await;
    let queued = page["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "prompt_queued");
    let given: Vec<&str> = queued.map(|event| event["data"]["via"].as_str().unwrap()).collect();
    assert_eq!(given, ["test", "TZ"], "the first was passed over, and its prompt runs");
    bench.end().await;
}
