//! The daemon's own life: starting, stopping, being found, and what a dead one leaves (S1, S2, S7, S8, Q1, Q7, C1).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};

use nix::sys::signal::Signal;
use serde_json::Value;
use skep_tests::env::TestEnv;
use skep_tests::procs;
use skep_tests::terminal::Terminal;
use skep_tests::wait::{SOON, wait_until};

fn status(env: &TestEnv) -> Value {
    env.skep(["daemon", "status", "--json"]).run().json()
}

#[test]
fn c1_start_is_idempotent_and_reports_the_first() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let again = env.skep(["daemon", "start"]).run().ok();
    assert!(again.stdout.contains(&pid.to_string()), "{again}");
    assert_eq!(env.daemon_pid(), pid);
}

#[test]
fn c1_status_prints_json_with_the_documented_fields() {
    let env = TestEnv::new();
    env.start_daemon();
    let status = status(&env);
    assert_eq!(status["status"], "running", "{status}");
    assert_eq!(status["pid"], env.daemon_pid(), "{status}");
    assert!(status["endpoint"].as_str().unwrap().starts_with("unix:"), "{status}");
    assert!(status["startedAt"].is_string(), "{status}");
}

#[test]
fn s1_bare_daemon_shows_the_supervisor_and_its_sessions() {
    let env = TestEnv::new();
    let _begun = env.skep(["run", "--name", "visible", "true"]).run().ok();
    for words in [&["daemon"][..], &["daemon", "status"], &["daemon", "ps"]] {
        let output = env.skep(words.iter().copied()).run().ok();
        assert!(output.stdout.contains("visible"), "{output}");
    }
    let output = env.skep(["daemon"]).run().ok();
    assert!(output.stdout.contains(&env.daemon_pid().to_string()), "{output}");
    assert!(output.stdout.contains("remote-control"), "{output}");
}

#[test]
fn s2_an_unknown_daemon_subcommand_prints_help_and_ends_with_1() {
    let env = TestEnv::new();
    let _top = env.skep(["frobnicate"]).run().exits(1);
    let output = env.skep(["daemon", "frobnicate"]).run().exits(1);
    let text = format!("{}{}", output.stdout, output.stderr);
    for word in ["start", "stop", "status", "restart", "bg", "attach", "logs", "kill"] {
        assert!(text.contains(word), "{word}: {output}");
    }
}

#[test]
fn s7_running_stopped_and_stale_are_told_apart() {
    let env = TestEnv::new();
    let stopped = env.skep(["daemon", "status", "--json"]).run().exits(3);
    assert_eq!(stopped.json()["status"], "stopped");
    env.start_daemon();
    assert_eq!(status(&env)["status"], "running");
    let pid = env.daemon_pid();
    procs::signal(pid, Signal::SIGKILL);
    wait_until("the daemon's death", || !procs::is_running(pid));
    let stale = env.skep(["daemon", "status", "--json"]).run().exits(3);
    assert_eq!(stale.json()["status"], "stale", "{stale}");
    env.start_daemon();
    assert_ne!(env.daemon_pid(), pid);
    assert_eq!(status(&env)["status"], "running");
}

#[test]
fn q7_stop_returns_when_the_process_is_gone() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert!(!procs::is_running(pid));
    env.nothing_remains();
    let _again = env.skep(["daemon", "stop"]).run().exits(0);
}

#[test]
fn p10_a_stop_lets_agents_end_by_themselves_within_their_grace() {
    let env = TestEnv::new();
    let farewell = env.work().join("farewell");
    let script = format!("farewell {}\nsay ready", farewell.display());
    let _ready = env.skep(["run", "--agent", "fake", "--name", "polite", &script]).run().ok();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert!(farewell.exists(), "the agent was killed before it could end");
}

#[test]
fn s2_restart_gives_a_new_process_that_serves() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    assert_ne!(env.daemon_pid(), pid);
    let _served = env.skep(["run", "true"]).run().ok();
}

#[test]
fn q7_stop_ends_a_foreground_daemon_and_open_streams_do_not_delay_it() {
    let env = TestEnv::new();
    let daemon = env.skep(["daemon", "start", "--foreground"]).start();
    wait_until("the daemon to serve", || env.skep(["daemon", "status"]).run().code() == 0);
    let api = env.api();
    let stream = api.stream("/sessions", None);
    let mut idle = api.connect().unwrap();
    api.send(&mut idle, "GET", "/health", None, &[]).unwrap();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let _ended = daemon.finish().ok();
    stream.ends_within(SOON);
    env.nothing_remains();
}

#[test]
fn s8_sigint_and_sigterm_stop_a_foreground_daemon() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let env = TestEnv::new();
        let daemon = env.skep(["daemon", "run"]).start();
        wait_until("the daemon to serve", || env.skep(["daemon", "status"]).run().code() == 0);
        let _begun = env.skep(["bg", "-y", "--name", "busy", "sleep 1000"]).run().ok();
        daemon.signal(signal);
        let _ended = daemon.finish().ok();
        env.nothing_remains();
    }
}

#[test]
fn s8_a_hang_up_of_its_terminal_stops_a_foreground_daemon_and_so_does_ctrl_c() {
    let env = TestEnv::new();
    for ctrl_c in [true, false] {
        let mut daemon = Terminal::start(env.skep(["daemon", "run"]));
        wait_until("the daemon to serve", || env.skep(["daemon", "status"]).run().code() == 0);
        let code = if ctrl_c {
            daemon.type_text("\x03");
            daemon.exit_code()
        } else {
            daemon.hang_up()
        };
        assert_eq!(code, 0, "{}", daemon.text());
        env.nothing_remains();
    }
}

#[test]
fn under_systemd_it_says_when_it_is_ready_and_when_it_stops() {
    let env = TestEnv::new();
    let path = env.root().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let said = |word: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {word}: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == word) {
                return;
            }
        }
    };
    let daemon = env.skep(["daemon", "run"]).env("NOTIFY_SOCKET", &path).start();
    said("READY=1");
    assert_eq!(status(&env)["pid"], daemon.pid(), "it stays in the foreground, and it serves");
    daemon.signal(Signal::SIGTERM);
    said("STOPPING=1");
    let _ended = daemon.finish().ok();
}

#[test]
fn g23_it_works_as_pid_1_in_a_container_and_reaps_what_is_left_to_it() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes a process namespace: run it as root");
    let env = TestEnv::new();
    let container = env
        .skep(["daemon", "run"])
        .wrapped(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
        .start();
    let init =
        skep_tests::wait::wait_for("the container", || procs::children(container.pid()).first().copied());
    wait_until("the daemon to serve", || env.state().join("daemon.json").exists());
    let inside = |args: &[&str]| {
        let target = init.to_string();
        env.skep(args.iter().copied())
            .wrapped(["nsenter", "--target", &target, "--pid", "--mount", "--"])
            .run()
    };
    assert_eq!(env.daemon_pid(), 1);
    let _works = inside(&["run", "(setsid true &); echo from inside"]).ok().says("from inside");
    wait_until("orphans to be reaped", || !procs::children(init).into_iter().any(procs::is_zombie));
    procs::signal(init, Signal::SIGTERM);
    let _ended = container.finish().ok();
}

#[test]
fn g23_it_works_where_session_and_group_are_led_from_outside_the_process_namespace() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes a process namespace: run it as root");
    let env = TestEnv::new();
    let script = "\"$0\" run 'echo from inside' && \"$0\" daemon stop && awk '{ print \"led by \" $6 }' /proc/self/stat";
    let _ran = env
        .skep(Vec::<&str>::new())
        .wrapped(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh", "-c", script])
        .run()
        .ok()
        .says("from inside")
        .says("led by 0");
}

#[test]
fn p21_the_daemon_is_detached_and_holds_only_what_it_declared() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let proc = format!("/proc/{pid}");
    assert_eq!(fs::read_link(format!("{proc}/cwd")).unwrap().to_str(), Some("/"));
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("Umask:"), "0077");
    let stat = fs::read_to_string(format!("{proc}/stat")).unwrap();
    let session = stat[stat.rfind(')').unwrap()..].split(' ').nth(4).unwrap();
    assert_ne!(session, "0");
    assert_ne!(session, fs::read_to_string("/proc/self/stat").unwrap().split(' ').nth(5).unwrap());
    for standard in 0..=2 {
        let target = fs::read_link(format!("{proc}/fd/{standard}")).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"), "descriptor {standard}");
    }
}

#[test]
fn g3_the_socket_is_private_and_g4_so_is_the_token() {
    let env = TestEnv::new();
    env.start_daemon();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = env.daemon_file();
    let socket = std::path::PathBuf::from(file["socket"].as_str().unwrap());
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    assert_eq!(mode(&socket) & 0o077, 0);
    assert_eq!(mode(&env.state().join("token")), 0o600);
}

#[test]
fn g21_the_leftovers_of_a_dead_daemon_do_not_stop_a_new_one() {
    let env = TestEnv::new();
    env.start_daemon();
    let pid = env.daemon_pid();
    let socket = env.daemon_file()["socket"].as_str().unwrap().to_owned();
    procs::signal(pid, Signal::SIGKILL);
    wait_until("the daemon's death", || !procs::is_running(pid));
    assert!(fs::exists(&socket).unwrap(), "the test needs a socket that nobody listens on");
    let _works = env.skep(["run", "true"]).run().ok();
}

#[test]
fn g21_a_live_listeners_socket_is_never_taken() {
    let env = TestEnv::new();
    let dir = env.root().join("elsewhere");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let socket = dir.join("taken.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let output = env.skep(["--socket", socket.to_str().unwrap(), "daemon", "start"]).run();
    assert_ne!(output.code(), 0, "{output}");
    assert!(!output.stderr.trim().is_empty(), "says why: {output}");
    assert!(fs::exists(&socket).unwrap());
    drop(listener);
}

#[test]
fn q1_a_start_up_error_is_shown_by_the_launcher() {
    let env = TestEnv::new();
    let socket = env.root().join("a file");
    fs::write(&socket, "precious").unwrap();
    let output = env.skep(["--socket", socket.to_str().unwrap(), "daemon", "start"]).run();
    assert_ne!(output.code(), 0, "{output}");
    assert!(output.stderr.contains("a file"), "names the path: {output}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    env.nothing_remains();
}

#[test]
fn g18_a_socket_path_beyond_the_kernels_limit_works_or_is_refused_with_the_remedy() {
    let env = TestEnv::new();
    let mut dir = env.root().to_owned();
    for _ in 0..6 {
        dir.push("a-directory-with-a-long-name");
    }
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let socket = dir.join("skep.sock");
    assert!(socket.as_os_str().len() > 108);
    let flag = ["--socket", socket.to_str().unwrap()];
    let _started = env.skep(flag).args(["daemon", "start"]).run().ok();
    let _ran = env.skep(flag).args(["run", "echo far away"]).run().ok().says("far away");
    let _stopped = env.skep(flag).args(["daemon", "stop"]).run().ok();
}

#[test]
fn g18_several_instances_run_side_by_side() {
    let (one, two) = (TestEnv::new(), TestEnv::new());
    let _first = one.skep(["run", "--name", "same", "true"]).run().ok();
    let _second = two.skep(["run", "--name", "same", "true"]).run().ok();
    assert_ne!(one.daemon_pid(), two.daemon_pid());
    let _stopped = one.skep(["daemon", "stop"]).run().ok();
    let _alive = two.skep(["prompt", "same", "echo still here"]).run().ok().says("still here");
}

#[test]
fn q4_health_tells_who_serves_without_a_token() {
    let env = TestEnv::new();
    env.start_daemon();
    let health = env.api().with_token(None).request("GET", "/health", None).is(200).json();
    assert_eq!(health["process"]["pid"], env.daemon_pid(), "{health}");
}

#[test]
fn q4_a_pid_from_a_forged_daemon_file_is_never_signalled() {
    let env = TestEnv::new();
    env.start_daemon();
    let genuine = env.daemon_file();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let bystander = env.program("sleep".as_ref()).arg("1000").start();
    let mut forged = genuine;
    forged["process"]["pid"] = bystander.pid().into();
    fs::write(env.state().join("daemon.json"), forged.to_string()).unwrap();
    let _nothing_to_stop = env.skep(["daemon", "stop"]).run();
    assert!(procs::is_running(bystander.pid()), "a stranger was killed");
    drop(bystander);
    let _works = env.skep(["run", "true"]).run().ok();
}

#[test]
fn c6_each_process_registers_itself() {
    let env = TestEnv::new();
    env.start_daemon();
    let registry = env.state().join("registry");
    let workers = env.wait_workers("a running worker", |workers| {
        workers.iter().any(|worker| worker["state"] == "running")
    });
    let pid = &workers[0]["process"]["pid"];
    wait_until("the worker's registry file", || {
        fs::read_dir(&registry).into_iter().flatten().flatten().any(|entry| {
            let text = fs::read(entry.path()).unwrap_or_default();
            let entry: Value = serde_json::from_slice(&text).unwrap_or_default();
            &entry["process"]["pid"] == pid && entry["kind"] == "daemon" && entry["hostname"].is_string()
        })
    });
}
