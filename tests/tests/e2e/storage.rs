//! Bad files and full disks: nothing that lies on the disk stops the daemon from starting (promise 19), and a disk
//! that fills costs its own session only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use skep_tests::env::TestEnv;

/// A home with a session of some events whose daemon is stopped, and the session's directory.
fn at_rest(env: &TestEnv) -> PathBuf {
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 20"]).run().ok();
    let id = env.wait_session("s", "the session", |_| true)["id"].as_str().unwrap().to_owned();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.state().join("sessions").join(id)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn segment(session: &Path) -> PathBuf {
    let segments = files(&session.join("journal"));
    segments.into_iter().rfind(|path| path.extension().is_some_and(|ending| ending == "jsonl")).unwrap()
}

#[test]
fn p19_broken_state_files_are_set_aside_and_the_daemon_starts() {
    let env = TestEnv::new();
    let session = at_rest(&env);
    let mut broken = vec![env.state().join("daemon.json"), session.join("session.json")];
    broken.extend(files(&env.state().join("workers")));
    for garbage in [&b""[..], b"{\"cut", b"\xff\xfe\0\0", b"[1,2,3]", b"{}"] {
        for file in broken.iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
            fs::write(file, garbage).unwrap();
        }
        let _works = env.skep(["run", "echo alive"]).run().ok().says("alive");
        let _stopped = env.skep(["daemon", "stop"]).run().ok();
    }
    let set_aside = |path: &PathBuf| path.to_string_lossy().contains(".broken-");
    assert!(files(&session).iter().any(set_aside), "{:?}", files(&session));
}

#[test]
fn a_torn_journal_tail_is_repaired_and_nothing_that_was_whole_is_lost() {
    let env = TestEnv::new();
    let session = at_rest(&env);
    let segment = segment(&session);
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, [&whole[..], br#"{"seq":99,"at":"2026-"#, &[0; 512]].concat()).unwrap();
    env.start_daemon();
    let before = env.events("s").len();
    let _goes_on = env.skep(["prompt", "s", "say after the repair"]).run().ok().says("after the repair");
    assert!(env.events("s").len() > before);
    let torn = files(&session).into_iter().chain(files(&session.join("journal")));
    assert!(
        torn.into_iter().any(|path| path.to_string_lossy().contains("torn-")),
        "the bad tail is kept aside"
    );
}

#[test]
fn a_bad_line_in_the_middle_is_shown_as_corrupt_and_truncates_nothing() {
    let env = TestEnv::new();
    let session = at_rest(&env);
    let segment = segment(&session);
    let mut bytes = fs::read(&segment).unwrap();
    let lines: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let middle = lines[lines.len() / 2] + 20;
    bytes[middle] ^= 0x15;
    fs::write(&segment, &bytes).unwrap();
    env.start_daemon();
    let page = env.api().get("/sessions/s/events?limit=1000").is(200).json();
    let kinds: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "corrupt").count(), 1, "{kinds:?}");
    assert!(kinds.contains(&"turn_ended"), "what follows is still there: {kinds:?}");
    let _shown = env.skep(["logs", "s"]).run().ok().says("20");
    let _goes_on = env.skep(["prompt", "s", "say onwards"]).run().ok().says("onwards");
}

#[test]
fn g4_a_token_file_that_others_can_read_is_not_used() {
    let env = TestEnv::new();
    env.start_daemon();
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let token = env.state().join("token");
    let old = env.token();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let started = env.skep(["daemon", "start"]).run();
    if started.code() == 0 {
        assert_ne!(env.token(), old, "a token that others could read is replaced");
        assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    } else {
        assert!(started.stderr.contains("token"), "{started}");
    }
}

#[test]
fn a_full_disk_is_a_typed_error_and_the_daemon_serves_on() {
    assert!(nix::unistd::geteuid().is_root(), "this test mounts a small file system: run it as root");
    let env = TestEnv::new();
    let script = r#"
        set -e
        config=$(cat "$SKEP_HOME/config.toml")
        mount -t tmpfs -o size=2m,mode=0700 tmpfs "$SKEP_HOME"
        printf '%s\n' "$config" > "$SKEP_HOME/config.toml"
        "$SKEP" run --name s 'echo before'
        dd if=/dev/zero of="$SKEP_HOME/filler" bs=4096 2>/dev/null || true
        set +e
        "$SKEP" run --name s 'seq 1 200000'; echo "while full: $?"
        "$SKEP" daemon status > /dev/null; echo "status: $?"
        rm "$SKEP_HOME/filler"
        for attempt in 1 2 3 4 5 6 7 8 9 10; do
            "$SKEP" run 'echo recovered' && break
            sleep 1
        done
        "$SKEP" daemon stop; echo "stop: $?"
    "#;
    let output = env
        .program("unshare".as_ref())
        .args(["--mount", "sh", "-c", script])
        .env("SKEP", env.bin())
        .limit(skep_tests::wait::SOON * 3)
        .run()
        .ok();
    assert!(!output.stdout.contains("while full: 0"), "{output}");
    for expected in ["before", "while full: ", "status: 0", "recovered", "stop: 0"] {
        assert!(output.stdout.contains(expected), "{expected}: {output}");
    }
    env.nothing_remains();
}

#[test]
fn closed_sessions_are_kept_only_as_long_as_configured() {
    let env = TestEnv::with_config("[session]\nkeep_closed = \"0s\"\n");
    let _ran = env.skep(["run", "echo short-lived"]).run().ok();
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    skep_tests::wait::wait_until("the closed session to be removed", || {
        files(&env.state().join("sessions")).is_empty()
    });
}
