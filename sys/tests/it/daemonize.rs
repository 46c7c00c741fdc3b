//! Q1, promise 21: leaving the launcher, and telling it the outcome.

use std::fs::File;

use skep_sys::daemonize::{Startup, await_startup};
use skep_sys::process;
use skep_sys::spawn::{ExitCause, Signal};

use super::help::*;

#[tokio::test]
async fn q1_a_detached_daemon_reports_and_keeps_nothing_of_its_launcher() {
    let mut spec = spec(ZOO, &["daemon"]);
    spec.new_group = false;
    spec.cwd = "/usr".into();
    let mut child = start(spec);
    let pipe = File::from(child.stdout.take().unwrap().into_blocking_fd().unwrap());
    assert_eq!(await_startup(pipe).unwrap(), Some(Startup::Ready(String::from("/"))));
    let pid = child.process.pid;
    for fd in 0..3 {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap().to_str(), Some("/dev/null"));
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!((fields[3], fields[4]), (&*pid.to_string(), "0"), "its own session, no terminal");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Umask:\t0077"));
    assert!(process::is_alive(&child.process));
    child.signal(Signal::SIGTERM).unwrap();
    assert_eq!(child.exited().await, ExitCause::Signal(15, false));
}

#[tokio::test]
async fn q1_a_daemon_that_does_not_come_up_says_why_or_dies_unheard() {
    let mut failing = spec(ZOO, &["daemon", "fails"]);
    failing.new_group = false;
    let mut child = start(failing);
    let pipe = File::from(child.stdout.take().unwrap().into_blocking_fd().unwrap());
    assert_eq!(await_startup(pipe).unwrap(), Some(Startup::Failed(String::from("no luck"))));
    child.exited().await;
    let mut child = start(sh("exit 3"));
    let pipe = File::from(child.stdout.take().unwrap().into_blocking_fd().unwrap());
    assert_eq!(await_startup(pipe).unwrap(), None);
    assert_eq!(child.exited().await, ExitCause::Code(3));
}

#[tokio::test]
async fn p21_a_settled_process_passes_on_default_signals() {
    let mut spec = sh("trap '' INT QUIT HUP; exec \"$0\" settle cat /proc/self/status");
    spec.args.push(ZOO.into());
    let text = output(&mut start(spec)).await;
    let ignored = text.lines().find(|line| line.starts_with("SigIgn")).unwrap();
    // SIGPIPE, as Rust has it; a spawn of ours resets that one.
    assert!(ignored.ends_with("\t0000000000001000"), "{ignored}");
}
