//! Hostile processes, for tests only. Each ends by itself after a minute, whatever the test does.

#![expect(unsafe_code, reason = "forks and ends threads as no decent program does")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a helper talks to its test by its pipes")]

use std::ffi::CString;
use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::unistd::{ForkResult, alarm, fork, setsid};
use skep_sys::{daemonize, shim};

const LIFE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    alarm::set(60);
    let mut args = std::env::args_os().skip(1);
    let kind = args.next().unwrap_or_default().into_string().unwrap_or_default();
    let number =
        |arg: Option<std::ffi::OsString>| arg.and_then(|n| n.into_string().ok()?.parse::<u32>().ok());
    match kind.as_str() {
        "storm" => storm(number(args.next()).unwrap_or(1)),
        "churn" => churn(),
        "headless" => headless(),
        "scrub" => scrub(),
        "sleep" => pause(),
        "stop" => {
            deafen();
            let _ = raise(Signal::SIGSTOP);
            pause();
        }
        "shim" => {
            let error = shim::exec(args);
            eprintln!("{error}");
            return ExitCode::from(127);
        }
        "settle" => {
            daemonize::settle().expect("settle");
            let argv: Vec<CString> =
                args.map(|arg| CString::new(arg.into_encoded_bytes()).expect("no NUL")).collect();
            let _ = nix::unistd::execvp(&argv[0], &argv);
        }
        "daemon" => daemon(args.next().is_some()),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// So many processes that double-fork, start a session, ignore SIGTERM and close their descriptors; the first one
/// leaves at once when they are there.
fn storm(count: u32) {
    for _ in 0..count {
        if is_child() {
            let _ = setsid();
            if !is_child() {
                leave();
            }
            deafen();
            for fd in 0..3 {
                // SAFETY: this process uses none of them any more.
                unsafe { libc::close(fd) };
            }
            pause();
        }
    }
    println!("ready");
}

/// A chain of processes, each of which starts a session and the next one, and leaves.
fn churn() {
    println!("ready");
    drop(std::io::stdout().flush());
    let end = Instant::now() + LIFE;
    while Instant::now() < end {
        if !is_child() {
            leave();
        }
        let _ = setsid();
        deafen();
        thread::sleep(Duration::from_micros(300));
    }
}

/// The first thread ends; the process lives on in another.
fn headless() {
    thread::spawn(pause);
    println!("ready");
    drop(std::io::stdout().flush());
    // SAFETY: ends this thread only, as the kernel's exit does; nothing of it is used afterwards.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// A daemon without a mark: double fork, a session of its own, an empty environment.
fn scrub() {
    if is_child() {
        let _ = setsid();
        if !is_child() {
            leave();
        }
        let own = CString::new(std::env::current_exe().expect("exe").into_os_string().into_encoded_bytes())
            .expect("no NUL");
        let empty: [&CString; 0] = [];
        let _ = nix::unistd::execve(&own, &[&own, &CString::from(c"sleep")], &empty);
    }
    println!("ready");
}

fn daemon(fails: bool) {
    let ready = daemonize::settle().and_then(|()| daemonize::detach()).expect("detach");
    if fails {
        return ready.failed("no luck");
    }
    ready.ready(&std::env::current_dir().expect("cwd").display().to_string()).expect("ready");
    pause();
}

fn is_child() -> bool {
    // SAFETY: every caller is single-threaded at this point, or goes on with async-signal-safe calls only.
    let is_child = matches!(unsafe { fork() }, Ok(ForkResult::Child));
    if is_child {
        alarm::set(60);
    }
    is_child
}

fn leave() -> ! {
    // SAFETY: ends the process without running what its parent registered.
    unsafe { libc::_exit(0) }
}

fn deafen() {
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: SIG_IGN runs no code of ours.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
}

fn pause() {
    thread::sleep(LIFE);
    leave();
}
