//! Promises that need two processes, or one that outlives its leader, or a careless launcher.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::{wait_for, wait_until};

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every file below, with its content.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn n2_a_journal_has_one_writer_among_all_processes() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "echo one"]).run().ok();
    let id = env.wait_session("s", "the session", |_| true)["id"].as_str().unwrap().to_owned();
    let dir = env.state().join("sessions").join(id);
    let lease = dir.join("lease");
    let try_it =
        || env.program("flock".as_ref()).args(["-n", "-E", "9"]).arg(&lease).arg("true").run().code();
    assert_eq!(try_it(), 9, "the worker holds the lease");
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert_eq!(try_it(), 0, "and nobody when it is gone");

    let holder = env.program("flock".as_ref()).arg("--no-fork").arg(&lease).args(["sleep", "1000"]).start();
    wait_until("another holder", || try_it() == 9);
    let before = contents(&dir.join("journal"));
    env.start_daemon();
    let refused = env.skep(["prompt", "s", "echo two"]).run();
    assert_ne!(refused.code(), 0, "{refused}");
    assert_eq!(contents(&dir.join("journal")), before, "nobody wrote without the lease");
    drop(holder);
    let _works = env.skep(["prompt", "s", "echo three"]).run().ok().says("three");
    assert!(env.events("s").len() > 3);
}

#[test]
fn n7_notify_command_runs_for_needs_you_done_and_failed_with_declared_variables_only() {
    let env = TestEnv::new();
    let told = env.work().join("told");
    fs::create_dir(&told).unwrap();
    let script = r#"cat /proc/$$/environ > "$0/writing.$$"; mv "$0/writing.$$" "$0/notice.$$""#;
    let words = [script, told.to_str().unwrap()].map(|word| Value::from(word).to_string()).join(", ");
    env.configure(&format!("[notify]\ncommand = [\"sh\", \"-c\", {words}]\n"));
    let _started = env.skep(["daemon", "start"]).env("SECRET", "hunter2").run().ok();
    let notice = |event: &str, name: &str| {
        wait_for(&format!("news of {event}"), || {
            let files = fs::read_dir(&told).unwrap().flatten().map(|entry| entry.path());
            let texts = files.filter(|path| path.to_string_lossy().contains("notice"));
            let notices = texts.map(|path| fs::read_to_string(path).unwrap_or_default());
            let mut notices = notices.map(|text| variables(&text));
            notices.find(|found| found["SKEP_NOTIFY_EVENT"] == event && found["SKEP_NOTIFY_NAME"] == name)
        })
    };
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "one", "ask execute a deed"]).run().ok();
    let asked = notice("needs-you", "one");
    assert!(asked["SKEP_NOTIFY_TEXT"].contains("a deed"), "{asked:?}");
    assert_eq!(asked["SKEP_NOTIFY_CWD"], env.work().to_str().unwrap());
    let _allowed = env.skep(["allow"]).run().ok();
    let done = notice("done", "one");
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "two", "exit 3"]).run().ok();
    let failed = notice("failed", "two");
    for notice in [asked, done, failed] {
        for name in notice.keys() {
            let declared = ["PATH", "HOME", "LANG", "SHELL"].contains(&name.as_str());
            assert!(declared || name.starts_with("SKEP_NOTIFY_"), "`{name}` is not declared: {notice:?}");
        }
    }
}

fn variables(environ: &str) -> BTreeMap<String, String> {
    let entries = environ.split('\0').filter_map(|entry| entry.split_once('='));
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn p12_an_agents_end_is_told_at_once_though_a_grandchild_holds_its_pipes() {
    let fake = toml_string(&built("fake-agent"));
    let env = TestEnv::new();
    env.configure(&format!(
        "[agents.leaky]\ncommand = [\"sh\", \"-c\", \"sleep 987654 & exec \\\"$0\\\"\", {fake}]\n"
    ));
    let run = |script: &str| env.skep(["run", "--agent", "leaky", "--name", "s", script]).run();
    let _failed = run("say last words\nexit 3").exits(1).says("last words");
    let events = env.events("s");
    let ended = events.iter().rfind(|event| event["kind"] == "turn_ended").unwrap();
    assert_eq!(ended["data"]["cause"], "agent_crashed", "{ended}");
    let said = events.iter().rfind(|event| event["kind"] == "update").unwrap();
    let took = moment(ended).saturating_sub(moment(said));
    assert!(took < Duration::from_millis(1500), "the pipes' draining was waited for: {took:?}");
    wait_until("the grandchild's end", || {
        !procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654"))
    });
    let _awake = run("say awake").ok().says("awake");
}

/// When an event was written, since midnight.
fn moment(event: &Value) -> Duration {
    let time = event["at"].as_str().unwrap_or_else(|| panic!("an event has its time: {event}"));
    let clock = &time[time.find('T').unwrap() + 1..time.len() - 1];
    let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    Duration::from_secs_f64(parts[0] * 3600.0 + parts[1] * 60.0 + parts[2])
}

#[test]
fn p12_a_workers_end_is_told_at_once_though_a_grandchild_holds_its_pipes() {
    let env = TestEnv::with_own_binary("[restart]\nfirst_delay = \"0s\"\nkill_grace = \"1s\"\n");
    env.start_daemon();
    let workers = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    let script = env.root().join("leaky-worker");
    fs::write(&script, "#!/bin/sh\necho last words >&2\nsleep 987654 &\nexit 78\n").unwrap();
    allow(&script, 0o755);
    env.replace_binary(&script);
    procs::signal(number(&workers[0]["process"]["pid"]), Signal::SIGKILL);
    let parked = env.wait_workers("a parked worker", |workers| workers[0]["state"] == "parked")[0].clone();
    assert!(parked["last_exit"].as_str().unwrap().contains("exit status 78"), "{parked}");
    assert!(parked["last_stderr"].as_str().unwrap().contains("last words"), "{parked}");
    let log = env.original(["daemon", "logs"]).run().ok();
    let told =
        log.stdout.lines().find(|line| line.contains("exit status 78")).unwrap_or_else(|| panic!("{log}"));
    let told: Value = serde_json::from_str(told).unwrap();
    assert!(told.to_string().contains("park"), "promise 25: what happens next: {told}");
    wait_until("the grandchild's end", || {
        !procs::carrying(env.root()).iter().any(|trace| trace.command.contains("987654"))
    });
}

#[test]
fn c5_the_daemons_debug_log_is_shown_and_is_not_its_telemetry() {
    let env = TestEnv::new();
    let _started = env.skep(["--debug", "daemon", "start"]).run().ok();
    let _ran = env.skep(["run", "true"]).run().ok();
    let log = |kind: &str| env.skep(["daemon", "logs", "--type", kind]).run().ok().stdout;
    wait_until("the debug log", || log("debug").contains("\"DEBUG\"") || log("debug").contains("\"TRACE\""));
    let telemetry = log("telemetry");
    assert!(telemetry.contains("\"INFO\"") && !telemetry.contains("\"DEBUG\""), "{telemetry}");
}

#[test]
fn p10_a_second_stop_kills_at_once_what_the_first_one_waits_for() {
    let env = TestEnv::new();
    let fake = toml_string(&built("fake-agent"));
    env.configure(&format!(
        "[restart]\nkill_grace = \"10m\"\n[session]\nstop_grace = \"10m\"\n\
         [agents.deaf]\ncommand = [{fake}, \"--deaf\"]\neof_grace = \"10m\"\n"
    ));
    let script = "ignore-term\nsay ready\nhang";
    let _begun = env.skep(["bg", "--agent", "deaf", "--name", "s", script]).run().ok();
    wait_until("the turn", || env.events("s").iter().any(|event| event["kind"] == "update"));
    let pid = env.daemon_pid();
    let first = env.skep(["daemon", "stop"]).start();
    let api = env.api();
    wait_until("the daemon to be stopping", || {
        let health = api.try_request("GET", "/health", None);
        health.is_ok_and(|health| health.json()["status"] == "stopping")
    });
    assert!(procs::is_running(pid), "the agent has its grace");
    let _second = env.skep(["daemon", "stop"]).run().ok();
    let _first = first.finish().ok();
    assert!(!procs::is_running(pid));
    env.nothing_remains();
    env.start_daemon();
    let ended = env.events("s").into_iter().rfind(|event| event["kind"] == "turn_ended").unwrap();
    assert_eq!(ended["data"]["outcome"], "interrupted", "{ended}");
}

#[test]
fn g2_warm_prompts_use_the_agent_that_runs_and_verbose_says_more() {
    let env = TestEnv::new();
    let run = |args: &[&str]| env.skep(args.iter().copied()).run().ok();
    let first = run(&["run", "--agent", "fake", "--name", "s", "pid"]);
    let second = run(&["prompt", "s", "pid"]);
    assert_eq!(first.stdout, second.stdout, "the same agent process");
    assert!(first.stdout.trim().parse::<u32>().is_ok(), "{first}");
    let more = run(&["--verbose", "prompt", "s", "pid"]);
    assert!(more.stderr.len() > second.stderr.len(), "{more}");
    assert_eq!(more.stdout, first.stdout, "standard output is the agent's alone");
}

#[test]
fn s9_a_session_is_opened_at_once_when_the_start_names_it() {
    let env = TestEnv::new();
    let _started = env.skep(["daemon", "start", "--name", "standing", "--permission-mode=deny"]).run().ok();
    let session = env.wait_session("standing", "the session", |_| true);
    assert_eq!(
        (&session["permission_mode"], &session["agent"]),
        (&"deny".into(), &"shell".into()),
        "{session}"
    );
    let refused = env.skep(["bg", "--name", "standing", "touch forbidden"]).run().ok();
    let _done = env.skep(["wait", "standing"]).run();
    assert!(!env.work().join("forbidden").exists(), "{refused}");
}

#[test]
fn s10_several_workers_logs_are_shown_by_lines_with_their_names() {
    let env = TestEnv::with_config("[pool.remote-control]\ncount = 2\n");
    env.start_daemon();
    env.wait_workers("two running workers", |workers| {
        workers.iter().filter(|worker| worker["state"] == "running").count() == 2
    });
    let logs = env.state().join("logs");
    for number in 1..=2 {
        let mut log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(logs.join(format!("remote-control-{number}.log")))
            .unwrap();
        writeln!(log, "a line of {number}").unwrap();
    }
    let shown = env.skep(["worker", "logs", "--type", "process"]).run().ok();
    for number in 1..=2 {
        let line = format!("remote-control-{number} | a line of {number}");
        assert!(shown.stdout.lines().any(|shown| shown == line), "{shown}");
    }
}

#[test]
fn c6_a_foreground_run_registers_itself_while_it_runs() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let script = format!("say begun\ngate {}", gate.display());
    let run = env.skep(["run", "--agent", "fake", "--name", "s", &script]).start();
    run.wait_stdout("begun");
    let entry = env.state().join("registry").join(format!("cli-{}.json", run.pid()));
    let entry_text = fs::read(&entry).unwrap();
    let found: Value = serde_json::from_slice(&entry_text).unwrap();
    assert_eq!(
        (&found["process"]["pid"], &found["kind"]),
        (&run.pid().into(), &"interactive".into()),
        "{found}"
    );
    assert_eq!(found["cwd"], env.work().to_str().unwrap(), "{found}");
    fs::write(gate, "").unwrap();
    let _ended = run.finish().ok();
    assert!(!entry.exists(), "it takes its entry away");
}

#[test]
fn p07_a_daemon_without_descriptors_fails_to_start_a_worker_and_serves_on() {
    let env = TestEnv::with_config("[restart]\nfirst_delay = \"0s\"\nmax_delay = \"0s\"\n");
    env.start_daemon();
    let workers = env.wait_workers("a running worker", |workers| workers[0]["state"] == "running");
    let pid = env.daemon_pid().to_string();
    let limit = |files: &str| {
        let _set = env.program("prlimit".as_ref()).args(["--pid", &pid, files]).run().ok();
    };
    limit("--nofile=3:1024");
    procs::signal(number(&workers[0]["process"]["pid"]), Signal::SIGKILL);
    let logs = env.state().join("logs");
    let told = || {
        let days = fs::read_dir(&logs).unwrap().flatten().map(|day| day.path().join("work.log"));
        days.filter_map(|log| fs::read_to_string(log).ok()).any(|log| log.contains("Too many open files"))
    };
    wait_until("the failure to be logged", told);
    limit("--nofile=1024:1024");
    let worker = env.wait_workers("an end of the failures", |workers| {
        workers[0]["state"] == "running" || workers[0]["state"] == "parked"
    })[0]
        .clone();
    if worker["state"] == "parked" {
        let _unparked = env.skep(["worker", "unpark", worker["id"].as_str().unwrap()]).run().ok();
    }
    let _works = env.skep(["run", "echo well again"]).run().ok().says("well again");
    assert_eq!(env.daemon_pid().to_string(), pid);
}

#[test]
fn p21_a_command_gets_clean_signals_descriptors_and_umask_however_careless_the_launcher_was() {
    let env = TestEnv::new();
    let careless =
        r#"trap '' INT HUP TERM PIPE USR1; umask 0; exec "$0" daemon start 8</dev/null 9>"$HOME/kept""#;
    let _started = env.program("sh".as_ref()).args(["-c", careless]).arg(env.bin()).run().ok();
    let look = "umask; grep -E '^Sig(Ign|Blk)' /proc/self/status; ls -l /proc/self/fd | grep -c kept";
    let shown = env.skep(["run", look]).run();
    assert!(shown.stdout.contains("0077"), "{shown}");
    for name in ["SigIgn:", "SigBlk:"] {
        let mask = shown
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{shown}"));
        // glibc's posix_spawn leaves the two signals that it keeps for itself ignored in every child.
        let signals = u64::from_str_radix(mask.trim(), 16).unwrap() & !0x1_8000_0000;
        assert_eq!(signals, 0, "{name} {shown}");
    }
    assert!(shown.stdout.trim_end().ends_with("\n0"), "a descriptor of the launcher was passed on: {shown}");
    let kept = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| path.ends_with("kept"))
    };
    assert!(!kept(env.daemon_pid()), "nor did the daemon keep it");
}
