//! The hidden roles of the binary, dispatched before anything else is built: they start with every agent and command.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use skep_common::ids::WorkerId;
use skep_worker::{WorkerArgs, shell_agent};

/// Runs a hidden role, if the command line asks for one.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next()?;
    let rest: Vec<OsString> = args.collect();
    let word = |at: usize| rest.get(at).and_then(|word| word.to_str());
    match (first.to_str()?, word(0)) {
        ("shim", Some("--" | "--limits")) => Some(shim(rest)),
        ("agent", Some("shell")) => Some(shell_agent::run()),
        ("agent", Some("shell-snapshot")) => Some(shell_agent::snapshot(rest.into_iter().skip(1))),
        // `skep worker ls` and its like are commands; the process is started with options only.
        ("worker", Some("--id")) => Some(worker(&rest)),
        _ => None,
    }
}

fn shim(words: Vec<OsString>) -> ExitCode {
    let error = skep_sys::shim::exec(words);
    complain(&format!("skep: cannot start the program: {error}"));
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

fn worker(words: &[OsString]) -> ExitCode {
    let Some(args) = worker_args(words) else {
        complain("skep: usage: skep worker --id ID --state-dir DIR [--limits FILES:CORE] [--debug]");
        return ExitCode::from(2);
    };
    crate::telemetry::for_worker(args.debug);
    skep_worker::run(args)
}

/// The worker's options; the supervisor alone writes them.
fn worker_args(words: &[OsString]) -> Option<WorkerArgs> {
    let (mut id, mut state_dir, mut limits, mut debug) = (None, None, None, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--id" => id = words.next().and_then(|id| id.to_str()?.parse::<WorkerId>().ok()),
            "--state-dir" => state_dir = words.next().map(PathBuf::from),
            "--limits" => limits = Some(words.next()?.to_str()?.parse().ok()?),
            "--debug" => debug = true,
            _ => return None,
        }
    }
    Some(WorkerArgs { id: id?, state_dir: state_dir.filter(|dir| dir.is_absolute())?, limits, debug })
}

fn complain(text: &str) {
    // Nobody reads our standard error: there is nowhere left to say so (G22).
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn parsed(words: &[&str]) -> bool {
        worker_args(&words.iter().map(|word| OsStr::new(word).to_owned()).collect::<Vec<_>>()).is_some()
    }

    #[test]
    fn g13_a_worker_needs_its_id_and_an_absolute_state_directory() {
        assert!(parsed(&["--id", "w-1", "--state-dir", "/s"]));
        assert!(parsed(&["--id", "w-1", "--state-dir", "/s", "--debug"]));
        assert!(parsed(&["--id", "w-1", "--state-dir", "/s", "--limits", "1024:unlimited"]));
        for bad in [
            &["--id", "w-1"][..],
            &["--id", "../w", "--state-dir", "/s"],
            &["--id", "w", "--state-dir", "s"],
            &["--id", "w", "--state-dir", "/s", "--more"],
            &["--id", "w", "--state-dir", "/s", "--limits", "many"],
            &["--id"],
        ] {
            assert!(!parsed(bad), "{bad:?}");
        }
    }
}
