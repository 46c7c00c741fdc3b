//! A worker that follows a script instead of the protocol. The script is `worker-script` beside the state directory,
//! one act on each line:
//!
//! `exit CODE` · `hang` (never says hello) · `garbage` · `line BYTES` (one report line of that size) ·
//! `stamp PATH` (appends the wall clock in nanoseconds) · `stderr TEXT` · `bytes TEXT` (no newline) · `flood BYTES`, `lines BYTES` (lines of
//! 100 bytes on standard error, in blocks of 64 KiB or each by itself) · `double-fork`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let state = args.iter().position(|arg| arg == "--state-dir").and_then(|at| args.get(at + 1));
    let Some(dir) = state.map(Path::new).and_then(Path::parent) else { return ExitCode::from(2) };
    let script = std::fs::read_to_string(dir.join("worker-script")).unwrap_or_default();
    for line in script.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "exit" => return ExitCode::from(rest.parse().unwrap_or(1)),
            "hang" => loop {
                std::thread::park();
            },
            "garbage" => write(b"hello?\n\xff\xfe\0\n{\"type\":\"hello\"}\n[]\n{\"type\":\"dance\"}\n"),
            "stamp" => stamp(rest),
            "line" => repeat(rest, &b"e".repeat(64 * 1024), write),
            "stderr" => error(format!("{rest}\n").as_bytes()),
            "bytes" => error(rest.as_bytes()),
            "flood" => repeat(rest, &log_line().repeat(655), error),
            "lines" => repeat(rest, &log_line(), error),
            "double-fork" => leave("setsid sh -c \"trap '' TERM; sleep 987654\" & exit 0"),
            _ => return ExitCode::from(2),
        }
    }
    ExitCode::SUCCESS
}

fn stamp(path: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{}", now.as_nanos())).ok();
}

/// Writes `bytes` bytes in such blocks, each by its own system call.
fn repeat(bytes: &str, block: &[u8], write: fn(&[u8])) {
    for _ in 0..bytes.parse::<usize>().unwrap_or(0).div_ceil(block.len()) {
        write(block);
    }
}

/// A line of 100 bytes.
fn log_line() -> Vec<u8> {
    [&b"e".repeat(99)[..], b"\n"].concat()
}

fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

fn error(bytes: &[u8]) {
    std::io::stderr().lock().write_all(bytes).ok();
}

#[expect(clippy::disallowed_methods, reason = "a hostile worker starts programs as it likes")]
fn leave(script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::null());
    shell.status().expect("a shell");
}
