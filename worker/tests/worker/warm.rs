//! Agent processes that are kept ready for new sessions (N6).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{Worker, agent, alive, gone};
use skep_common::session::{Cause, TurnOutcome};

const PATIENCE: Duration = Duration::from_secs(30);

/// A worker whose agent says in a file which of its processes are ready.
struct Warm {
    worker: Worker,
    ready: PathBuf,
}

impl Warm {
    fn start(home: &tempfile::TempDir, session: &str) -> Self {
        let ready = home.path().join("ready");
        let (worker, _) = Worker::start(home, &config(&ready, session, 1));
        Self { worker, ready }
    }

    /// The pids of the first so many processes that were ready.
    fn ready(&self, count: usize) -> Vec<u32> {
        ready(&self.ready, count)
    }

    /// Runs a prompt in a new session; the pid of its agent.
    fn run(&mut self) -> u32 {
        let session = self.worker.open("warm", |_| {});
        assert_eq!(self.worker.run(session, "say hi"), TurnOutcome::Completed);
        assert_eq!(self.worker.texts(session), ["hi"]);
        let pid = self.worker.starts(session)[0].0;
        self.worker.close(session, Cause::Person);
        assert!(!alive(pid), "a session's end is its agent's");
        pid
    }
}

/// The pids of the first so many processes that say in this file that they are ready.
pub(crate) fn ready(file: &Path, count: usize) -> Vec<u32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = std::fs::read_to_string(file).unwrap_or_default();
        if lines.lines().count() >= count {
            return lines.lines().map(|line| line.parse().unwrap()).collect();
        }
        assert!(Instant::now() < deadline, "only {lines:?}");
        std::thread::yield_now();
    }
}

pub(crate) fn config(ready: &Path, session: &str, warm: u32) -> String {
    let more = format!("warm = {warm}\nenv = {{ FAKE_READY = {ready:?} }}");
    format!("{session}\n{}", agent("warm", &["many", "close"], &more))
}

#[test]
fn n6_a_new_session_gets_a_process_that_is_ready_and_the_next_is_made_ready_after_its_turn() {
    let home = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(&home, "");
    let cold = warm.run();
    let waiting = warm.ready(2);
    assert_eq!(waiting[0], cold, "nothing was started before the first prompt");
    assert_eq!(warm.run(), waiting[1]);
    let waiting = warm.ready(3);
    assert_eq!(warm.run(), waiting[2]);
    let last = warm.ready(4)[3];
    assert!(alive(last));
    warm.worker.shut_down();
    assert!(!alive(last), "nothing is left");
}

#[test]
fn n6_a_session_that_needs_another_kind_does_not_get_it() {
    let home = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(&home, "");
    warm.run();
    let waiting = warm.ready(2)[1];
    let elsewhere = home.path().to_str().unwrap().to_owned();
    let session = warm.worker.open("warm", |spec| spec.cwd = elsewhere);
    assert_eq!(warm.worker.run(session, "say hi"), TurnOutcome::Completed);
    assert_ne!(warm.worker.starts(session)[0].0, waiting);
    gone(waiting);
    assert_eq!(warm.ready(4).len(), 4, "the kind that was needed last is kept");
    warm.worker.shut_down();
}

#[test]
fn n6_one_that_nobody_takes_ends_and_is_not_made_again() {
    let home = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(&home, "warm_timeout = \"100 ms\"");
    warm.run();
    gone(warm.ready(2)[1]);
    let cold = warm.run();
    assert_eq!(warm.ready(3)[2], cold, "it was started for its own session");
    warm.worker.shut_down();
}

#[test]
fn n6_changed_settings_end_what_waits() {
    let home = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(&home, "");
    warm.run();
    let waiting = warm.ready(2)[1];
    let other = home.path().join("other");
    warm.worker.greet(2, &config(&other, "", 1));
    gone(waiting);
    warm.ready = other;
    warm.run();
    assert!(alive(warm.ready(2)[1]), "by the new settings");
    warm.worker.shut_down();
}

#[test]
fn n6_one_that_dies_is_replaced_after_a_while() {
    let home = tempfile::tempdir().unwrap();
    let mut warm = Warm::start(&home, "");
    warm.run();
    let waiting = warm.ready(2)[1];
    let since = Instant::now();
    skep_sys::process::identity(waiting).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(waiting).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let next = warm.ready(3)[2];
    assert!(since.elapsed() >= Duration::from_millis(1900), "not at once");
    assert_eq!(warm.run(), next);
    warm.worker.shut_down();
}
