//! `skep wait` against a daemon that this file plays: what happens between two of its answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{Shutdown, shutdown};
use serde_json::{Value, json};
use skep_tests::env::TestEnv;

const ID: &str = "1a2b3c4d-0000-4000-8000-000000000000";

fn session(state: &str, last: &Value) -> Value {
    let at = "2026-11-20T11:00:00Z";
    json!({
        "id": ID, "agent": "shell", "cwd": "/", "kind": "bg", "state": state, "permission_mode": "ask",
        "queued": [], "queue_held": false, "waiting": [], "last_turn": last,
        "head": {"seq": 4, "segment": 1, "bytes": 9, "epoch": 1}, "created_at": at, "updated_at": at,
    })
}

/// The path that is asked for.
fn asked(stream: &UnixStream) -> Option<String> {
    let mut head = BufReader::new(stream).lines().map_while(Result::ok);
    let request = head.next()?;
    let _rest = head.take_while(|line| !line.is_empty()).count();
    Some(request.split(' ').nth(1)?.to_owned())
}

#[test]
fn q6_a_wait_ends_for_a_session_that_was_closed_while_the_wait_began() {
    let env = TestEnv::new();
    let socket = env.state().join("played");
    let listener = UnixListener::bind(&socket).unwrap();
    let ours = listener.try_clone().unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut feeds, mut looks) = (Vec::new(), 0);
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Some(path) = asked(&stream) else { continue };
            if path == "/api/v1/sessions" {
                // It is closed by now, and the feed tells of open sessions.
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                write!(stream, "{head}event: snapshot\ndata: {{\"sessions\":[]}}\n\n").unwrap();
                feeds.push(stream);
                continue;
            }
            looks += 1;
            let ended = json!({"prompt": ID, "outcome": "completed", "ended_at": "2026-11-20T11:00:00Z"});
            let body = match looks {
                1 => session("running", &Value::Null),
                _ => session("closed", &ended),
            };
            let body = body.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close", body.len());
            write!(stream, "{head}\r\n\r\n{body}").unwrap();
        }
        looks
    });
    let waited = env.skep(["--socket", socket.to_str().unwrap(), "wait", ID, "--timeout", "20"]).run();
    shutdown(ours.as_raw_fd(), Shutdown::Both).unwrap();
    assert_eq!(daemon.join().unwrap(), 2);
    let _done = waited.ok().says("closed");
}
