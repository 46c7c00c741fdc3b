//! Promise 13 where it is hardest: numbers are given out again, on purpose, to strangers.
//!
//! The kernel lets the owner of a pid namespace choose the next number, so the test runs itself once more inside one:
//! as root, or as anybody where user namespaces are allowed. Where neither works it fails.

use std::ffi::OsString;

use skep_sys::process;
use skep_sys::signal;
use skep_sys::spawn::{Child, ExitCause, Signal, SpawnSpec, Stdio3};
use skep_sys::tree::{self, Tree};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::help::*;

/// Set inside the namespace.
const INSIDE: &str = "SKEP_TEST_INSIDE";

/// How many numbers are reused; a soak run says more.
const ROUNDS: &str = "SKEP_TEST_PID_REUSES";
const ORDINARY_ROUNDS: u32 = 200;

/// Start times are counted in ticks of 10 ms; no kernel gives out every other number within one.
const TICK: std::time::Duration = std::time::Duration::from_millis(11);

#[tokio::test]
async fn p13_no_signal_reaches_a_stranger_whose_number_was_ours() {
    let rounds = std::env::var(ROUNDS).map_or(ORDINARY_ROUNDS, |text| text.parse().unwrap());
    if std::env::var_os(INSIDE).is_none() {
        return inside_a_namespace(rounds).await;
    }
    for _ in 0..rounds {
        one_number_twice().await;
    }
    println!("reused {rounds} numbers");
}

/// Runs this very test as the first process of a pid namespace.
async fn inside_a_namespace(rounds: u32) {
    let name = "reuse::p13_no_signal_reaches_a_stranger_whose_number_was_ours";
    let mut spec = spec("unshare", &["--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !rustix::process::geteuid().is_root() {
        spec.args.push(OsString::from("--map-root-user"));
    }
    spec.args.push(std::env::current_exe().unwrap().into_os_string());
    spec.args.extend(["--exact", name, "--nocapture"].map(OsString::from));
    for (name, value) in [(INSIDE, String::from("yes")), (ROUNDS, rounds.to_string())] {
        spec.env.push((OsString::from(name), OsString::from(value)));
    }
    let mut child = start(spec);
    let said = output(&mut child).await;
    assert_eq!(child.exited().await, ExitCause::Code(0), "a pid namespace is needed: {said}");
    assert!(said.contains(&format!("reused {rounds} numbers")), "{said}");
}

/// One process ends, in the middle of being stopped, and a stranger gets its number at once. Everything that still
/// knows the old one is tried, and the stranger must not feel it.
async fn one_number_twice() {
    let child = start(spec("sleep", &["1000"]));
    let old = child.process.clone();
    tokio::time::sleep(TICK).await;
    let trees = [Tree { root: old.clone(), mark: None }];
    let (stopped, mut stranger) = tokio::join!(tree::terminate(&trees, LONG), async {
        assert_eq!(child.exited().await, ExitCause::Signal(15, false));
        let other = next(old.pid);
        assert_ne!(other.process.pid, old.pid, "a zombie pins its number");
        drop(other);
        child.reap();
        stranger_with(old.pid)
    });
    assert_eq!((stopped.terminated, stopped.killed), (1, 0), "{stopped:?}");
    assert!(!process::is_alive(&old));
    assert!(!signal::send(&old, Signal::SIGKILL).unwrap());
    timeout(LONG, process::ended(&old)).await.expect("it has ended").unwrap();
    let report = tree::kill(&trees).await;
    assert!(report.is_empty() && report.killed == 0, "{report:?}");
    // A pending signal would come before the answer.
    let mut stdin = stranger.stdin.take().unwrap();
    stdin.write_all(b"well\n").await.expect("the stranger lives");
    assert_eq!(first_line(&mut stranger).await, "well");
    drop(stranger);
}

fn stranger_with(pid: u32) -> Child {
    for _ in 0..100 {
        let child = next(pid);
        if child.process.pid == pid {
            return child;
        }
        // A thread of ours was quicker.
    }
    panic!("the kernel does not give out {pid} again");
}

/// A process of a group of its own that answers what it is told, with this number if that is free.
fn next(pid: u32) -> Child {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
        .expect("the next number can be chosen (CONFIG_CHECKPOINT_RESTORE)");
    start(SpawnSpec { stdin: Stdio3::Pipe, ..spec("cat", &[]) })
}
