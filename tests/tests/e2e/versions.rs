//! Commands of one version and a daemon of another: they work together, or one line says what to do.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use nix::sys::socket::{Shutdown, shutdown};
use serde_json::{Value, json};
use skep_tests::env::TestEnv;
use skep_tests::procs;

/// Answers every request as a daemon of version 99 might: what `answer` says for a path, and else that there is no
/// such route.
struct FutureDaemon {
    socket: PathBuf,
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl FutureDaemon {
    fn serve(socket: PathBuf, answer: fn(&str) -> Option<Value>) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let ours = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                reply(stream, answer).ok();
            }
        });
        Self { socket, listener: ours, thread: Some(thread) }
    }
}

impl Drop for FutureDaemon {
    fn drop(&mut self) {
        shutdown(self.listener.as_raw_fd(), Shutdown::Both).ok();
        self.thread.take().map(JoinHandle::join);
        fs::remove_file(&self.socket).ok();
    }
}

fn reply(mut stream: UnixStream, answer: fn(&str) -> Option<Value>) -> std::io::Result<()> {
    let mut head = BufReader::new(&stream).lines();
    let request = head.next().unwrap_or_else(|| Ok(String::new()))?;
    while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match answer(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", json!({"error": {"code": "route_not_found", "message": "no such route"}})),
    };
    let body = body.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn health() -> Value {
    let process = json!({"pid": std::process::id(), "start_time": 1, "boot_id": "b"});
    json!({"status": "ok", "process": process, "version": "99.0.0", "mood": "sunny"})
}

#[test]
fn a_daemon_of_another_version_is_worked_with_or_one_line_says_what_to_do() {
    let env = TestEnv::new();
    let at = |name: &str| env.state().join(name);
    let ask = |daemon: &FutureDaemon, args: &[&str]| {
        env.skep(["--socket", daemon.socket.to_str().unwrap()]).args(args.iter().copied()).run()
    };
    let understood = FutureDaemon::serve(at("understood"), |path| match path {
        path if path.ends_with("/health") => Some(health()),
        path if path.contains("/sessions") => Some(json!({"sessions": [], "weather": "fine"})),
        _ => None,
    });
    let _what_both_know = ask(&understood, &["ps"]).ok();

    let strange = FutureDaemon::serve(at("strange"), |path| path.ends_with("/health").then(health));
    for args in [&["ps"][..], &["inbox"], &["run", "true"]] {
        let refused = ask(&strange, args);
        assert_ne!(refused.code(), 0, "{refused}");
        let advice = refused.stderr.lines().find(|line| line.contains("skep daemon restart"));
        assert!(advice.is_some_and(|line| line.contains("99.0.0")), "{refused}");
    }

    let babbling = FutureDaemon::serve(at("babbling"), |_| Some(json!({"life": 42})));
    let refused = ask(&babbling, &["ps"]).warns("skep daemon restart");
    assert_ne!(refused.code(), 0, "{refused}");
}

#[test]
fn a_daemon_that_only_its_state_file_can_name_is_still_stopped() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let file = env.daemon_file();
    // Another one answers at its socket, in words that nobody understands.
    let socket = PathBuf::from(file["socket"].as_str().unwrap());
    fs::remove_file(&socket).unwrap();
    let babbling = FutureDaemon::serve(socket, |_| Some(json!({"life": 42})));
    let _unclear = env.skep(["daemon", "status"]).run().exits(3).warns("skep daemon restart");
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert!(!procs::is_running(pid));
    drop(babbling);
}
