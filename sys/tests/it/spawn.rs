//! Promises 7, 12, 13, 21: how children start, end, and are reaped.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use skep_sys::process;
use skep_sys::signal;
use skep_sys::spawn::{ExitCause, Signal, SpawnError, Stdio3, spawn};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::help::*;

#[tokio::test]
async fn p13_exit_is_seen_without_reaping_and_reaped_once() {
    for (script, cause) in [
        ("exit 0", ExitCause::Code(0)),
        ("exit 78", ExitCause::Code(78)),
        ("kill -KILL $$", ExitCause::Signal(9, false)),
    ] {
        let child = start(sh(script));
        let seen = timeout(LONG, child.exited()).await.unwrap();
        assert_eq!(seen, cause, "{script}");
        assert_eq!(child.has_exited(), Some(cause));
        assert_eq!(
            process::identity(child.process.pid),
            Some(child.process.clone()),
            "a zombie pins its number"
        );
        assert!(!process::is_alive(&child.process));
        let process = child.process.clone();
        assert_eq!(child.reap(), cause);
        assert_ne!(process::identity(process.pid), Some(process));
    }
}

#[tokio::test]
async fn p12_the_leaders_exit_is_seen_while_descendants_hold_its_pipes() {
    adopt();
    let begun = Instant::now();
    let child = start(sh("sleep 50 & exec sh -c 'exit 3'"));
    assert_eq!(timeout(LONG, child.exited()).await.unwrap(), ExitCause::Code(3));
    assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait for the descendant");
    child.signal_group(Signal::SIGKILL).unwrap();
    child.reap();
    no_zombies().await;
}

#[tokio::test]
async fn p13_the_group_dies_while_the_zombie_pins_its_number() {
    adopt();
    let mut child = start(sh("sleep 50 & echo $!; exit 0"));
    let sleeper = process::identity(first_line(&mut child).await.parse().unwrap()).unwrap();
    child.exited().await;
    child.signal_group(Signal::SIGKILL).unwrap();
    until("the group's end", || !process::is_alive(&sleeper)).await;
    child.reap();
    no_zombies().await;
}

#[tokio::test]
async fn a_dropped_child_dies_with_its_group() {
    adopt();
    let mut child = start(sh("sleep 50 & echo $!; wait"));
    let sleeper = process::identity(first_line(&mut child).await.parse().unwrap()).unwrap();
    let leader = child.process.clone();
    drop(child);
    assert_ne!(process::identity(leader.pid), Some(leader), "reaped");
    until("the group's end", || !process::is_alive(&sleeper)).await;
    no_zombies().await;
}

#[tokio::test]
async fn a_released_child_lives_on() {
    let child = start(sh("exec sleep 50"));
    let process = child.release();
    assert!(process::is_alive(&process));
    assert!(signal::send(&process, Signal::SIGKILL).unwrap());
    until("its end", || !process::is_alive(&process)).await;
    skep_sys::subreaper::reap_orphans(&|_| false);
}

#[tokio::test]
async fn p13_no_signal_to_a_stranger_with_the_same_number() {
    let child = start(sh("exec sleep 50"));
    let mut stranger = child.process.clone();
    stranger.start_time -= 1;
    assert!(!signal::send(&stranger, Signal::SIGKILL).unwrap());
    assert!(process::is_alive(&child.process));
    child.signal(Signal::SIGTERM).unwrap();
    assert_eq!(child.exited().await, ExitCause::Signal(15, false));
}

#[tokio::test]
async fn p7_a_spawn_that_fails_says_why_and_leaves_nothing() {
    let with = |program: &str, cwd: &str| {
        let mut spec = spec(program, &[]);
        spec.cwd = PathBuf::from(cwd);
        spawn(spec)
    };
    assert!(matches!(with("no-such-program", "/"), Err(SpawnError::NotFound { .. })));
    assert!(matches!(with("/no/such", "/"), Err(SpawnError::NotFound { .. })));
    assert!(matches!(with("", "/"), Err(SpawnError::NotFound { .. })));
    assert!(matches!(with("/etc/passwd", "/"), Err(SpawnError::NotExecutable { .. })));
    assert!(matches!(with("/", "/"), Err(SpawnError::NotExecutable { .. })));
    assert!(matches!(with("sh", "/etc/passwd"), Err(SpawnError::Directory { .. })));
    assert!(matches!(with("sh", "/no/such"), Err(SpawnError::Directory { .. })));
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage");
    std::fs::write(&garbage, "\x7fELF").unwrap();
    std::fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert!(matches!(with(garbage.to_str().unwrap(), "/"), Err(SpawnError::Os { .. })));
}

#[tokio::test]
async fn p21_children_get_the_declared_environment_and_directory() {
    let mut spec = sh("pwd; exec cat /proc/self/environ");
    spec.cwd = PathBuf::from("/usr");
    spec.env.push((OsString::from("A"), OsString::from("b c")));
    let mut child = start(spec);
    let text = output(&mut child).await;
    assert!(text.starts_with("/usr\n"), "{text}");
    let mut env: Vec<&str> = text["/usr\n".len()..].split_terminator('\0').collect();
    env.retain(|entry| {
        !entry.starts_with("PWD=") && !entry.starts_with("_=") && !entry.starts_with("SHLVL=")
    });
    env.sort_unstable();
    assert_eq!(env, ["A=b c", "PATH=/usr/bin:/bin"]);
}

#[tokio::test]
async fn p21_children_get_default_signals_umask_and_only_three_descriptors() {
    skep_sys::daemonize::settle().unwrap();
    // What a careless parent might pass on: a blocked signal and an inheritable descriptor.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
    let stray = rustix::io::dup(rustix::stdio::stdin()).unwrap();
    let child = start(sh("exec sleep 50"));
    drop(stray);
    let proc = PathBuf::from(format!("/proc/{}", child.process.pid));
    let mut descriptors: Vec<_> =
        std::fs::read_dir(proc.join("fd")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2"]);
    let status = std::fs::read_to_string(proc.join("status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(field("SigBlk:"), 0);
    // glibc's posix_spawn leaves the two signals that it keeps for itself (32, 33) ignored in every child.
    assert_eq!(field("SigIgn:") & !0x1_8000_0000, 0);
    assert!(status.contains("Umask:\t0077"));
    assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR1), "our own mask is as before");
}

#[tokio::test]
async fn p21_the_shim_settles_session_umask_and_signals_and_keeps_the_number() {
    let mut spec = sh(
        "trap '' TERM HUP; exec \"$0\" shim -- sh -c 'umask; ls /proc/$$/fd; exec cat /proc/self/stat /proc/self/status'",
    );
    spec.args.push(OsString::from(ZOO));
    spec.new_group = false;
    let mut child = start(spec);
    let pid = child.process.pid.to_string();
    let text = output(&mut child).await;
    let stat: Vec<&str> = text.lines().nth(4).unwrap().split(' ').collect();
    assert_eq!((stat[0], stat[4], stat[5]), (&pid[..], &pid[..], &pid[..]), "pid, group, session");
    assert!(text.contains("SigIgn:\t0000000000000000"), "{text}");
    assert!(text.starts_with("0077\n0\n1\n2\n"), "{text}");
    assert_eq!(child.exited().await, ExitCause::Code(0));
}

#[tokio::test]
async fn the_shim_says_what_is_missing() {
    let mut spec = spec(ZOO, &["shim", "--", "no-such-program"]);
    spec.new_group = false;
    spec.stderr = Stdio3::Null;
    assert_eq!(start(spec).exited().await, ExitCause::Code(127));
}

#[tokio::test]
async fn pipes_carry_both_ways() {
    let mut spec = spec("cat", &[]);
    spec.stdin = Stdio3::Pipe;
    let mut child = start(spec);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all("hello, wörld".as_bytes()).await.unwrap();
    drop(stdin);
    assert_eq!(output(&mut child).await, "hello, wörld");
    assert_eq!(child.exited().await, ExitCause::Code(0));
}

#[tokio::test]
async fn g19_no_descriptor_leaks() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = async || {
        let mut spec = sh("exit 1");
        spec.stdin = Stdio3::Pipe;
        let child = start(spec);
        child.exited().await;
        child.reap();
        drop(spawn(spec_of_nothing()));
    };
    round().await;
    let before = open();
    for _ in 0..50 {
        round().await;
    }
    assert_eq!(open(), before);
}

fn spec_of_nothing() -> skep_sys::spawn::SpawnSpec {
    spec("no-such-program", &[])
}

#[tokio::test]
async fn p13_the_sweep_of_orphans_leaves_children_to_their_owners() {
    skep_sys::subreaper::become_subreaper().unwrap();
    let child = start(sh("(sleep 0.01 & exec sh -c 'exit 0') & wait; exit 5"));
    child.exited().await;
    let mut reaped = Vec::new();
    until("the orphan", || {
        reaped.extend(skep_sys::subreaper::reap_orphans(&|_| false));
        !reaped.is_empty()
    })
    .await;
    assert!(reaped.iter().all(|(pid, cause)| *pid != child.process.pid && *cause == ExitCause::Code(0)));
    assert_eq!(child.reap(), ExitCause::Code(5));
    assert!(skep_sys::subreaper::orphans(&|_| false).is_empty());
}
