//! The password for addresses beyond this machine (C8): made, set, removed, and what it is good for.

use std::os::unix::fs::PermissionsExt as _;

use skep_tests::terminal::Terminal;

use super::*;

/// A password is good on loopback as well, which is where these tests are.
const EVERYWHERE: &str = "[api]\nauth = 'password'\n";

fn sign_in(at: SocketAddr, password: &str) -> Response {
    let own = format!("origin: http://{at}");
    ask(at, "POST", "/login", &[&own], &json!({ "password": password }).to_string())
}

/// Where the daemon can be reached from here.
fn near(env: &TestEnv) -> SocketAddr {
    let at = address(env);
    assert!(at.ip().is_unspecified(), "{at}");
    SocketAddr::from(([127, 0, 0, 1], at.port()))
}

/// The password that a terminal has shown.
fn shown(terminal: &Terminal) -> String {
    let text = terminal.text();
    let rest = text.split_once("the password: ").unwrap_or_else(|| panic!("{text}")).1;
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn c8_beyond_loopback_a_password_is_made_and_shown_once_on_the_terminal() {
    let env = TestEnv::with_config(EVERYWHERE);
    let start = ["daemon", "start", "--host", "0.0.0.0", "--port", "0"];
    // Without a terminal the start is refused, with what to do.
    let refused = env.skep(start).run();
    assert!(refused.code() != 0 && refused.stderr.contains("skep password set"), "{refused}");
    assert!(!env.state().join("password").exists());
    let mut terminal = Terminal::start(env.skep(start));
    terminal.shows("shown this once");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    let password = shown(&terminal);
    assert!(password.len() >= 20, "{password}");
    let kept = std::fs::read_to_string(env.state().join("password")).unwrap();
    assert!(kept.starts_with("$argon2id$") && !kept.contains(&password), "{kept}");
    let at = near(&env);
    assert_eq!(sign_in(at, "wrong password").status, 401);
    let signed_in = sign_in(at, &password).is(200);
    let cookie = format!("cookie: {}", signed_in.header("set-cookie").unwrap().split(';').next().unwrap());
    let _in = ask(at, "GET", "/api/v1/sessions", &[&cookie], "").is(200);
    // The next start has it, and shows none.
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let mut again = Terminal::start(env.skep(start));
    assert_eq!(again.exit_code(), 0, "{}", again.text());
    assert!(!again.text().contains("password"), "{}", again.text());
    let _in = sign_in(near(&env), &password).is(200);
}

#[test]
fn c8_a_daemon_that_runs_in_the_foreground_makes_its_password_too_and_on_loopback_there_is_none() {
    let env = TestEnv::new();
    let mut near_only = Terminal::start(env.skep(["daemon", "start", "--port", "0"]));
    assert_eq!(near_only.exit_code(), 0, "{}", near_only.text());
    assert!(!env.state().join("password").exists());
    // A daemon that runs already is asked for an address beyond.
    let mut more = Terminal::start(env.skep(["daemon", "start", "--host", "0.0.0.0", "--port", "0"]));
    assert_eq!(more.exit_code(), 0, "{}", more.text());
    assert!(shown(&more).len() >= 20);
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let _gone = env.skep(["password", "rm"]).run().ok().says("removed");
    let _gone = env.skep(["password", "rm"]).run().exits(4);
    let mut daemon = Terminal::start(env.skep(["daemon", "run", "--host", "0.0.0.0", "--port", "0"]));
    daemon.shows("the password: ");
    skep_tests::wait::wait_until("the daemon", || env.skep(["daemon", "status"]).run().code() == 0);
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.text());
}

#[test]
fn c8_a_password_is_set_by_hand_from_a_pipe_a_file_or_a_terminal_and_holds_at_once() {
    let env = TestEnv::with_config(EVERYWHERE);
    let at = start(&env);
    assert_eq!(sign_in(at, "from the pipe").status, 401, "there is none yet");
    let _set = env.skep(["password", "set"]).stdin("from the pipe\nmore\n").run().ok();
    let file = env.state().join("password");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let _in = sign_in(at, "from the pipe").is(200);
    let secret = env.work().join("secret file");
    std::fs::write(&secret, "from the file\r\n").unwrap();
    let _set = env.skep(["password", "set", "--file", secret.to_str().unwrap()]).run().ok();
    assert_eq!(sign_in(at, "from the pipe").status, 401);
    let _in = sign_in(at, "from the file").is(200);

    let mut terminal = Terminal::start(env.skep(["password", "set"]));
    terminal.shows("new password: ");
    terminal.type_text("typed by hand\r");
    terminal.shows("again: ");
    terminal.type_text("typed by hand\r");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    assert!(!terminal.text().contains("typed by hand"), "no echo: {}", terminal.text());
    let _in = sign_in(at, "typed by hand").is(200);
    let mut unsure = Terminal::start(env.skep(["password", "set"]));
    unsure.shows("new password: ");
    unsure.type_text("one password\r");
    unsure.shows("again: ");
    unsure.type_text("another one\r");
    assert_eq!(unsure.exit_code(), 2, "{}", unsure.text());

    let made = env.skep(["password", "set", "--generate"]).run().ok();
    let _in = sign_in(at, made.stdout.trim()).is(200);
    let _short = env.skep(["password", "set"]).stdin("short\n").run().exits(2).warns("fewer than 8");
    let _still = sign_in(at, made.stdout.trim()).is(200);
}

#[test]
fn c8_a_configured_password_file_is_the_one_that_counts_and_is_set() {
    let env = TestEnv::with_config(EVERYWHERE);
    let file = env.work().join("my password");
    let with = |args: &[&'static str]| env.skep(args.iter().copied()).env("SKEP_PASSWORD_FILE", &file);
    // Named and missing: said, and none is made in its place, a terminal or not.
    let mut terminal = Terminal::start(with(&["daemon", "start", "--host", "0.0.0.0", "--port", "0"]));
    assert_ne!(terminal.exit_code(), 0);
    assert!(!file.exists() && !env.state().join("password").exists(), "{}", terminal.text());
    let _set = with(&["password", "set"]).stdin("in my own file\n").run().ok();
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("$argon2id$"));
    let _started = with(&["daemon", "start", "--host", "0.0.0.0", "--port", "0"]).run().ok();
    let _in = sign_in(near(&env), "in my own file").is(200);
    // Others must not read it.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_ne!(sign_in(near(&env), "in my own file").status, 200);
}
