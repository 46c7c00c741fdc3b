//! Workers that misbehave (S4–S6, S10, promises 1–9): the daemon's own binary is replaced under it, as a bad package
//! update would, by a scripted worker.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::env::{TestEnv, built, number};
use skep_tests::procs;
use skep_tests::wait::wait_until;

const QUICK: &str = "[restart]\nfirst_delay = \"0s\"\nhello_timeout = \"1s\"\nkill_grace = \"1s\"\n";

/// A daemon whose next workers follow `script`, in a home with this configuration.
fn with_worker(config: &str, script: &str) -> TestEnv {
    let env = TestEnv::with_own_binary(config);
    env.start_daemon();
    env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    fs::write(env.root().join("worker-script"), script).unwrap();
    env.replace_binary(&built("fake-worker"));
    let pid = number(&env.wait_workers("the worker", |_| true)[0]["process"]["pid"]);
    procs::signal(pid, Signal::SIGKILL);
    env
}

fn parked(env: &TestEnv) -> Value {
    env.wait_workers("a parked worker", |workers| workers[0]["state"] == "parked")[0].clone()
}

#[test]
fn s5_exit_78_parks_at_once() {
    let env = with_worker(QUICK, "stderr the licence has expired\nexit 78");
    let worker = parked(&env);
    assert!(worker["why"].as_str().unwrap().contains("78"), "{worker}");
    assert!(worker["last_stderr"].as_str().unwrap().contains("the licence has expired"), "{worker}");
    assert_eq!(worker["restarts"], 1, "{worker}");
    let _shown = env.original(["worker", "ls"]).run().ok().says("parked");
    let _status = env.original(["daemon", "status"]).run().ok().says("parked");
}

#[test]
fn s6_five_rapid_failures_park_and_the_log_has_each_with_its_cause() {
    let env = with_worker(QUICK, "exit 1");
    let worker = parked(&env);
    assert_eq!(worker["rapid_failures"], 5, "{worker}");
    assert!(worker["last_exit"].as_str().unwrap().contains("exit status 1"), "{worker}");
    let log = env.original(["daemon", "logs"]).run().ok();
    assert!(log.stdout.matches("exit status 1").count() >= 4, "promise 25: {log}");
}

#[test]
fn p08_parked_stays_parked_over_a_restart_and_unpark_acts() {
    let env = with_worker(QUICK, "exit 78");
    parked(&env);
    let _stopped = env.original(["daemon", "stop"]).run().ok();
    let _started = env.original(["daemon", "start"]).run().ok();
    let worker = parked(&env);
    assert!(worker["why"].as_str().unwrap().contains("78"), "{worker}");
    let id = worker["id"].as_str().unwrap();
    let _unparked = env.original(["worker", "unpark", id]).run().ok();
    env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
}

#[test]
fn p08_an_unparked_worker_may_fail_again() {
    let env = with_worker(QUICK, "exit 78");
    let id = parked(&env)["id"].as_str().unwrap().to_owned();
    let _unparked = env.original(["worker", "unpark", &id]).run().ok();
    env.wait_workers("another start and another parking", |workers| {
        workers[0]["state"] == "parked" && workers[0]["restarts"].as_u64() >= Some(2)
    });
}

#[test]
fn p09_a_worker_that_never_says_hello_is_a_failure() {
    let env = with_worker(QUICK, "hang");
    let worker =
        env.wait_workers("a failure", |workers| workers[0]["rapid_failures"].as_u64() >= Some(2))[0].clone();
    assert!(worker["last_exit"].is_string(), "{worker}");
    let log = env.original(["daemon", "logs"]).run().ok();
    assert!(log.stdout.to_lowercase().contains("hello"), "the cause is logged: {log}");
}

#[test]
fn garbage_on_the_report_pipe_is_contained() {
    let env = with_worker(QUICK, "garbage\nhang");
    env.wait_workers("a failure", |workers| workers[0]["rapid_failures"].as_u64() >= Some(2));
    let _serves = env.api().get("/daemon").is(200);
}

#[test]
fn a_line_of_a_gigabyte_costs_no_memory() {
    let env = with_worker(QUICK, "line 1073741824\nexit 78");
    parked(&env);
    let status = fs::read_to_string(format!("/proc/{}/status", env.daemon_pid())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 128 * 1024, "{peak}");
}

#[test]
fn p20_a_worker_that_floods_standard_error_is_kept_within_bounds() {
    let env =
        with_worker(&format!("{QUICK}[logs]\nmax_bytes = \"1 MiB\"\nfiles = 3\n"), "flood 50000000\nexit 78");
    let worker = parked(&env);
    let id = worker["id"].as_str().unwrap();
    let _kept = env.original(["worker", "logs", "--type", "process", id]).run().ok().says("eeee");
    let logs = env.state().join("logs");
    let kept: u64 = fs::read_dir(logs)
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_file())
        .map(|e| e.metadata().unwrap().len())
        .sum();
    assert!(kept < 5 * 1024 * 1024, "{kept}");
}

#[test]
fn p11_what_a_worker_left_behind_is_gone_before_the_next_one_starts() {
    let env = with_worker(QUICK, "double-fork\nexit 78");
    parked(&env);
    wait_until("the orphans' end", || {
        !procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654"))
    });
}

#[test]
fn p07_a_missing_binary_is_the_workers_failure_and_never_the_daemons() {
    let env = TestEnv::with_own_binary(QUICK);
    env.start_daemon();
    let pid =
        number(&env.wait_workers("a running worker", |w| w[0]["state"] == "running")[0]["process"]["pid"]);
    env.remove_binary();
    procs::signal(pid, Signal::SIGKILL);
    parked(&env);
    let _serves = env.api().get("/daemon").is(200);
}

#[test]
fn s10_a_workers_lines_reach_its_log_whole() {
    let env = with_worker(QUICK, "stderr one whole line\nbytes half a \nbytes line\nexit 78");
    let worker = parked(&env);
    let log =
        env.original(["worker", "logs", "--type", "process", worker["id"].as_str().unwrap()]).run().ok();
    assert!(log.stdout.contains("one whole line") && log.stdout.contains("half a line"), "{log}");
}

#[test]
fn p06_what_a_person_does_never_counts_as_a_failure() {
    let env = TestEnv::new();
    env.start_daemon();
    let worker = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running")[0].clone();
    let id = worker["id"].as_str().unwrap();
    for _ in 0..6 {
        let _restarted = env.skep(["worker", "restart", id]).run().ok();
        env.wait_workers("the restarted worker", |workers| workers[0]["state"] == "running");
    }
    let after = env.wait_workers("the worker", |_| true)[0].clone();
    assert_eq!((&after["rapid_failures"], &after["state"]), (&0.into(), &"running".into()), "{after}");
    assert_ne!(after["process"], worker["process"]);
    let _parked = env.skep(["worker", "park", id]).run().ok();
    parked(&env);
    let _unparked = env.skep(["worker", "unpark", id]).run().ok();
    env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    let _killed = env.skep(["worker", "kill", id]).run().ok();
}

#[test]
fn c3_a_pid_works_as_a_workers_id() {
    let env = TestEnv::new();
    env.start_daemon();
    let worker = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running")[0].clone();
    let by_pid = env.api().get(&format!("/workers/{}", number(&worker["process"]["pid"]))).is(200).json();
    assert_eq!(by_pid["id"], worker["id"]);
}
