//! Two users on one machine: what is one's is out of the other's reach (G4, G6, G23). As root all of this would pass
//! vacuously, so one of the two is nobody.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use serde_json::Value;
use skep_tests::cmd::Output;
use skep_tests::env::TestEnv;
use skep_tests::procs;

/// Somebody else: nobody.
const STRANGER: u32 = 65534;

/// How a program runs as somebody else.
const AS_STRANGER: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

fn need_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test drops privileges: run it as root");
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn g4_another_user_gets_neither_past_the_client_nor_past_the_server() {
    need_root();
    let env = TestEnv::with_own_binary("");
    env.start_daemon();
    let socket = env.daemon_file()["socket"].as_str().unwrap().to_owned();
    for dir in [env.root(), &env.state(), &env.work()] {
        allow(dir, 0o755);
    }
    allow(Path::new(&socket), 0o666);
    allow(&env.state().join("token"), 0o644);
    let none = env.root().join("nothing of theirs");
    for (home, why) in [(env.state(), "not a regular file of yours"), (none, "belongs to")] {
        let client = env.skep(["--socket", &socket, "ps"]).env("SKEP_HOME", home).cwd("/");
        let refused = client.wrapped(AS_STRANGER).run().warns(why);
        assert_ne!(refused.code(), 0, "{refused}");
    }
    let token = format!("authorization: Bearer {}", env.token());
    let url = "http://skep/api/v1/sessions";
    let curl =
        || env.program("curl".as_ref()).args(["-s", "-m", "10", "-H", &token, "--unix-socket", &socket, url]);
    let stranger = curl().cwd("/").wrapped(AS_STRANGER).run();
    assert_ne!(stranger.code(), 0, "{stranger}");
    assert_eq!(stranger.stdout, "");
    let _own = curl().run().ok().says("\"sessions\"");
    allow(&env.state(), 0o700);
    allow(&env.state().join("token"), 0o600);
    // So it was let in by the file's permissions, and sent away by the server.
    let _log = env.skep(["daemon", "logs"]).run().ok().says(&format!("user {STRANGER} was refused"));
}

#[test]
fn g23_two_users_on_one_machine_never_disturb_each_other() {
    need_root();
    let env = TestEnv::with_own_binary("");
    for dir in [env.root(), &env.work()] {
        allow(dir, 0o755);
    }
    let home = env.root().join("home of another");
    fs::create_dir(&home).unwrap();
    allow(&home, 0o700);
    chown(&home, Some(STRANGER), Some(STRANGER)).unwrap();
    let theirs = |args: &[&str]| -> Output {
        let state = home.join("skep");
        let skep = env.skep(args.iter().copied()).env("HOME", &home).env("SKEP_HOME", state).cwd(&home);
        skep.wrapped(AS_STRANGER).run()
    };
    let _ours = env.skep(["run", "--name", "same", "echo ours"]).run().ok().says("ours");
    let _theirs = theirs(&["run", "--name", "same", "id -u"]).ok().says(&STRANGER.to_string());
    let _busy = theirs(&["bg", "-y", "--name", "long", "sleep 987653"]).ok();
    let listed = env.skep(["ps"]).run().ok();
    assert!(listed.stdout.contains("same") && !listed.stdout.contains("long"), "{listed}");

    let ours = env.daemon_file()["socket"].as_str().unwrap().to_owned();
    let their_file: Value =
        serde_json::from_slice(&fs::read(home.join("skep/daemon.json")).unwrap()).unwrap();
    let their_socket = their_file["socket"].as_str().unwrap();
    for refused in [theirs(&["--socket", &ours, "ps"]), env.skep(["--socket", their_socket, "ps"]).run()] {
        assert_ne!(refused.code(), 0, "{refused}");
        assert_eq!(refused.stdout, "", "{refused}");
    }

    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let listed = theirs(&["ps"]).ok().says("long");
    assert!(listed.stdout.contains("running"), "{listed}");
    let sleeps = || procs::carrying(&home).iter().any(|trace| trace.command.contains("987653"));
    assert!(sleeps(), "ours took theirs along");
    env.start_daemon();
    let _ended = theirs(&["daemon", "stop"]).ok();
    assert!(!sleeps());
    let _ours = env.skep(["prompt", "same", "echo still here"]).run().ok().says("still here");
}

#[test]
fn g6_a_directory_that_the_user_may_not_enter_is_refused() {
    need_root();
    let env = TestEnv::with_own_binary("");
    let home = env.root().join("home of another");
    let (closed, open) = (env.root().join("closed"), home.join("open"));
    for dir in [&home, &closed, &open] {
        fs::create_dir(dir).unwrap();
        allow(dir, 0o700);
    }
    allow(env.root(), 0o755);
    for dir in [&home, &open] {
        chown(dir, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let theirs = |args: &[&str]| -> Output {
        let skep = env.skep(args.iter().copied()).env("HOME", &home).env("SKEP_HOME", home.join("skep"));
        skep.cwd("/").wrapped(AS_STRANGER).run()
    };
    let _opened = theirs(&["run", "-C", open.to_str().unwrap(), "pwd"]).ok().says("open");
    let refused = theirs(&["run", "-C", closed.to_str().unwrap(), "pwd"]);
    assert_ne!(refused.code(), 0, "{refused}");
    assert!(refused.stderr.contains("closed"), "it names the directory: {refused}");
    let _stopped = theirs(&["daemon", "stop"]).ok();
    let unwritable = env.skep(["run", "true"]).env("SKEP_HOME", closed.join("skep")).cwd("/");
    let refused = unwritable.wrapped(AS_STRANGER).run();
    assert_ne!(refused.code(), 0, "{refused}");
    assert!(refused.stderr.contains("closed") && refused.stderr.contains("Permission denied"), "{refused}");
}
