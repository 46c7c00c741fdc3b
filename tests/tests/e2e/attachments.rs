//! Prompts with more than text, through every door: the command line, the API, editors.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use skep_tests::env::{TestEnv, built, toml_string};
use skep_tests::wait::{SOON, wait_for};

/// A picture of one pixel's worth, as far as anybody looks.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n1234";
const PNG_BASE64: &str = "iVBORw0KGgoxMjM0";

/// A home with an agent that takes pictures, recordings and resources, one that takes links, and a command.
fn env() -> TestEnv {
    env_with("")
}

fn env_with(config: &str) -> TestEnv {
    TestEnv::with_config(&format!(
        "{config}[agents.sees]\ncommand = [{}, \"--sees\"]\n\
         [agents.echo]\ndriver = \"oneshot\"\ncommand = [\"cat\"]\nmode_args = {{ ask = [] }}\n",
        toml_string(&built("fake-agent"))
    ))
}

fn file(env: &TestEnv, name: &str, content: &[u8]) -> String {
    let path = env.root().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn attachments(env: &TestEnv, session: &str) -> std::path::PathBuf {
    let id = env.api().get(&format!("/sessions/{session}")).is(200).json()["id"].as_str().unwrap().to_owned();
    env.state().join("sessions").join(id).join("attachments")
}

fn nothing_waits(env: &TestEnv) {
    let left = fs::read_dir(env.state().join("incoming")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files of prompts wait for no worker");
}

#[test]
fn attached_files_reach_the_agent_stay_with_the_session_and_go_with_it() {
    let env = env();
    let (picture, notes) = (file(&env, "a shot.png", PNG), file(&env, "my notes.txt", b"notes"));
    let sound = file(&env, "s", b"RIFF\x04\0\0\0WAVEfmt ");
    let run = [
        "run", "--agent", "sees", "--name", "s", "--attach", &picture, "--attach", &notes, "--attach", &sound,
    ];
    let run = env.skep(run.into_iter().chain(["blocks"])).run().ok();
    assert!(
        run.stdout.contains("text, image image/png 16, resource_link my notes.txt, audio audio/wav 24"),
        "{run}"
    );
    let logs = env.skep(["logs", "s"]).run().ok();
    assert!(logs.stdout.contains("[image a shot.png image/png 12 bytes]"), "{logs}");
    assert!(logs.stdout.contains("[link my notes.txt file://"), "{logs}");

    let dir = attachments(&env, "s");
    let kept: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 2);
    for file in &kept {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let events = env.api().get("/sessions/s/events").is(200).text();
    assert!(!events.contains(PNG_BASE64) && events.contains(r#""attachment":{"sha256":""#), "{events}");
    let _more =
        env.skep(["prompt", "s", "--attach", &picture, "blocks"]).run().ok().says("image image/png 16");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "the same bytes are kept once");
    nothing_waits(&env);
    let _closed = env.skep(["close", "s"]).run().ok();
    let _removed = env.skep(["rm", "s"]).run().ok();
    assert!(!dir.exists());
}

#[test]
fn standard_input_is_attached_whatever_it_is() {
    let env = env();
    let run = |input: &[u8]| {
        let run = env.skep(["run", "--agent", "sees", "--attach", "-", "blocks"]).stdin(input);
        run.run().ok().stdout
    };
    assert!(run(PNG).contains("text, image image/png 16"));
    assert!(run("é".as_bytes()).contains("text, resource stdin: é"));
    assert!(run(b"\xff\0").contains("text, resource stdin: 4"));
    let both = env.skep(["run", "--agent", "sees", "--attach", "-"]).stdin(PNG).run().exits(2);
    assert!(both.stderr.contains("one thing only"), "{both}");
}

#[test]
fn g13_what_cannot_be_attached_is_refused_before_anything_starts() {
    let env = env();
    let fifo = env.root().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, why) in [
        (fifo.to_str().unwrap(), "not a regular file"),
        ("/", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("/nowhere/x", "No such file"),
    ] {
        let refused = env.skep(["run", "--agent", "sees", "--attach", path, "blocks"]).run().exits(2);
        assert!(refused.stderr.contains(why), "{refused}");
    }
    assert_eq!(env.find_daemon_pid(), None);
    let picture = file(&env, "p.png", PNG);
    for (agent, why) in [
        ("echo", "the session's agent does not take images"),
        ("shell", "the shell agent takes a command line"),
    ] {
        let refused =
            env.skep(["run", "--json", "--agent", agent, "--attach", &picture, "true"]).run().exits(1);
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(refused.to_string().contains("content_not_supported"), "{refused}");
    }
    let sessions = env.api().get("/sessions?all=true").is(200).json();
    assert_eq!(sessions["sessions"], json!([]), "no session is left of a prompt that was refused");
    let late =
        env.skep(["run", "--agent", "fake", "--name", "f", "--attach", &picture, "say hi"]).run().exits(1);
    assert!(late.stderr.contains("refused: the prompt was not sent"), "{late}");
    let ended = env.wait_session("f", "its end", |session| !session["last_turn"].is_null());
    let turn = &ended["last_turn"];
    assert_eq!((&turn["outcome"], &turn["cause"]), (&json!("refused"), &json!("content_not_supported")));
    let again = env.skep(["prompt", "f", "--attach", &picture, "say hi"]).run().exits(1);
    assert!(again.stderr.contains("the session's agent does not take images"), "{again}");
    let _alone = env.skep(["prompt", "f", "say alone"]).run().ok().says("alone");
    nothing_waits(&env);
}

#[test]
fn g13_over_the_api_hostile_parts_have_typed_refusals_and_leave_nothing() {
    let env = env_with("api.max_prompt = \"6 MiB\"\n");
    env.start_daemon();
    let api = env.api();
    let _open = api.post("/sessions", &json!({"name": "s", "agent": "sees", "cwd": env.work()})).is(201);
    let send = |parts: Value| api.post("/sessions/s/prompts", &json!({ "content": parts }));
    let image = |mime: &str, data: &str| json!([{"type": "image", "mimeType": mime, "data": data}]);
    for (parts, status, code) in [
        (image("image/png", "!!!!"), 422, "invalid_value"),
        (image("image/png", "aGk="), 422, "invalid_value"),
        (image("image/jpeg", PNG_BASE64), 422, "invalid_value"),
        (image("text/html", PNG_BASE64), 422, "invalid_value"),
        (
            json!([{"type": "image", "mimeType": "image/png", "uri": "file:///etc/passwd"}]),
            422,
            "invalid_value",
        ),
        (json!([{"type": "resource_link", "uri": "a", "name": "a\u{0}b"}]), 422, "invalid_value"),
        (
            json!([{"type": "image", "mimeType": "image/png", "attachment": {"sha256": "../../x", "bytes": 1}}]),
            422,
            "invalid_value",
        ),
        (json!([{"type": "telepathy"}]), 400, "invalid_request"),
        (json!([{"type": "text", "text": "x".repeat(5 << 20)}]), 413, "too_large"),
        (image("image/png", &"A".repeat(7 << 20)), 413, "too_large"),
    ] {
        let refused = send(parts).refuses(status, code).json();
        let limit = refused["error"]["details"]["limit_bytes"].as_u64();
        assert_eq!(limit.is_some(), code == "too_large", "{refused}");
    }
    nothing_waits(&env);
    let events = api.get("/sessions/s/events").is(200).text();
    assert!(!events.contains("prompt_queued"), "{events}");
    let _taken = send(json!([{"type": "text", "text": "blocks"}, image("image/png", PNG_BASE64)[0]])).is(202);
    env.wait_session("s", "its end", |session| session["last_turn"]["outcome"] == "completed");
}

/// The answer to an editor's prompt, and all that it heard.
fn editor(env: &TestEnv, agent: &str, parts: &Value) -> (Value, String) {
    let mut acp = env.skep(["acp", "--agent", agent]).limit(SOON * 2).stdin_open().start();
    let mut ask = |id: u64, method: &str, params: Value| {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        acp.write(&format!("{line}\n"));
        wait_for(method, || {
            let text = acp.stdout_so_far();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["id"] == id).map(|line| (line, text.clone()))
        })
    };
    let (initialized, _) = ask(1, "initialize", json!({"protocolVersion": 1}));
    assert_eq!(initialized["result"]["agentCapabilities"]["promptCapabilities"]["image"], true);
    let (new, _) = ask(2, "session/new", json!({"cwd": env.work(), "mcpServers": []}));
    let session = &new["result"]["sessionId"];
    ask(3, "session/prompt", json!({"sessionId": session, "prompt": parts}))
}

#[test]
fn c9_an_editors_pictures_and_files_reach_the_agent() {
    let env = env();
    let parts = json!([
        {"type": "text", "text": "blocks"},
        {"type": "image", "mimeType": "image/png", "data": PNG_BASE64, "annotations": {"priority": 1}},
        {"type": "resource", "resource": {"uri": "file:///a.rs", "text": "fn a", "mimeType": "text/x-rust"}},
        {"type": "resource_link", "uri": "file:///b.rs", "name": "b.rs"},
    ]);
    let (sees, said) = editor(&env, "sees", &parts);
    assert_eq!(sees["result"]["stopReason"], "end_turn", "{sees}");
    assert!(
        said.contains("text, image image/png 16, resource file:///a.rs fn a, resource_link b.rs"),
        "{said}"
    );
    for agent in ["fake", "shell"] {
        let (refused, _) = editor(&env, agent, &parts);
        assert_eq!(refused["error"]["data"]["skep"]["code"], "content_not_supported", "{refused}");
    }
}

#[test]
fn attachments_that_nobody_took_are_gone_when_a_daemon_starts() {
    let env = env();
    let left = env.state().join("incoming/1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    fs::create_dir_all(&left).unwrap();
    fs::set_permissions(env.state(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(left.join("x"), "x").unwrap();
    env.start_daemon();
    let _listed = env.skep(["ps"]).run().ok();
    assert!(!Path::new(&left).exists());
}
