//! For tests only: the worker, its shim and the shell agent as the real binary has them, and a scripted ACP agent
//! (`fake`). What that one does is the prompt's text.

use std::io::Write as _;
use std::process::ExitCode;

use fake::Fake;

mod fake;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["shim", "--" | "--limits", ..] => {
            let error = skep_sys::shim::exec(std::env::args_os().skip(2));
            let _written = writeln!(std::io::stderr(), "shim: {error}");
            ExitCode::from(127)
        }
        ["worker", id, dir] => skep_worker::run(skep_worker::WorkerArgs {
            id: id.parse().expect("a worker's id"),
            state_dir: dir.into(),
            limits: None,
            debug: false,
        }),
        ["agent", "shell"] => skep_worker::shell_agent::run(),
        ["agent", "shell-snapshot", ..] => skep_worker::shell_agent::snapshot(std::env::args_os().skip(3)),
        ["fake", ..] => {
            Fake::default().serve(&words);
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}
