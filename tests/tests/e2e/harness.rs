//! The harness itself: what it promises about leftovers must be able to fail.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use skep_tests::cmd::Cmd;
use skep_tests::env::TestEnv;
use skep_tests::terminal::Terminal;
use skep_tests::wait::wait_until;

#[test]
fn harness_sees_a_process_by_its_environment_directory_or_open_file() {
    let env = TestEnv::new();
    let by_environment = env.program("sleep".as_ref()).arg("1000").cwd("/").start();
    let by_directory = Cmd::new("sleep", env.work()).arg("1000").start();
    let file = env.work().join("held");
    std::fs::write(&file, "").unwrap();
    let by_file = Cmd::new("sh", "/").args(["-c", "exec 3<\"$0\"; exec sleep 1000"]).arg(&file).start();
    for running in [&by_environment, &by_directory, &by_file] {
        wait_until("the process to be seen", || env.remains().iter().any(|trace| trace.pid == running.pid()));
    }
    drop((by_environment, by_directory, by_file));
    env.nothing_remains();
}

#[test]
fn harness_sees_a_listening_socket() {
    let env = TestEnv::new();
    let listener = UnixListener::bind(env.work().join("socket")).unwrap();
    assert!(env.remains().iter().any(|trace| trace.found == "socket"));
    drop(listener);
}

#[test]
fn harness_kills_a_program_at_its_deadline_and_says_what_it_printed() {
    let env = TestEnv::new();
    let slow = env
        .program("sh".as_ref())
        .args(["-c", "echo so far; exec sleep 1000"])
        .limit(Duration::from_millis(300));
    let message = std::panic::catch_unwind(|| slow.run()).expect_err("the deadline passes");
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("so far"), "{message}");
    env.nothing_remains();
}

#[test]
fn harness_terminal_is_one() {
    let env = TestEnv::new();
    let script = "test -t 0 && test -t 1 && exec cat -n";
    let mut terminal = Terminal::start(env.program("sh".as_ref()).args(["-c", script]));
    terminal.type_text("text\r");
    terminal.shows("1\ttext");
    terminal.type_text("\x03");
    assert_eq!(terminal.exit_code(), -1, "Ctrl-C is a signal");
}

#[test]
fn harness_terminal_can_hang_up() {
    let env = TestEnv::new();
    let mut terminal = Terminal::start(
        env.program("sh".as_ref()).args(["-c", "trap 'exit 5' HUP; echo up; while :; do read line; done"]),
    );
    terminal.shows("up");
    assert_eq!(terminal.hang_up(), 5);
}
