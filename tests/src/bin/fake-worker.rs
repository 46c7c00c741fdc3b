//! A worker that follows a script instead of the protocol. The script is `worker-script` beside the state directory,
//! one act on each line:
//!
//! `exit CODE` · `hang` (never says hello) · `garbage` · `line BYTES` (one report line of that size) ·
//! `stderr TEXT` · `bytes TEXT` (no newline) · `flood BYTES` (on standard error) · `double-fork`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

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
            "line" => repeat(rest, b"e", write),
            "stderr" => error(format!("{rest}\n").as_bytes()),
            "bytes" => error(rest.as_bytes()),
            "flood" => repeat(rest, b"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\n", error),
            "double-fork" => leave("setsid sh -c \"trap '' TERM; sleep 987654\" & exit 0"),
            _ => return ExitCode::from(2),
        }
    }
    ExitCode::SUCCESS
}

/// Writes `bytes` bytes in blocks; `line` is repeated in each.
fn repeat(bytes: &str, line: &[u8], write: fn(&[u8])) {
    let block = line.repeat(64 * 1024 / line.len());
    for _ in 0..bytes.parse::<usize>().unwrap_or(0).div_ceil(block.len()) {
        write(&block);
    }
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
