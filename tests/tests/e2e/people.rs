//! What a person at a terminal sees: `attach`, Ctrl-C, detaching and coming back (R1, C2, S11).

use skep_tests::env::TestEnv;
use skep_tests::terminal::Terminal;

#[test]
fn attach_shows_recent_turns_follows_and_sends_typed_lines() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "echo from-before"]).run().ok();
    let mut attach = Terminal::start(env.skep(["attach", "s"]));
    attach.shows("from-before");
    attach.type_text("echo typed-$((40 + 2))\r");
    attach.shows("typed-42");
    env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    let _elsewhere = env.skep(["prompt", "s", "echo mirrored-$((3 * 3))"]).run().ok();
    attach.shows("mirrored-9");
    attach.type_text("\x03");
    let code = attach.exit_code();
    assert!(code == 10 || code == 0, "{code}: {}", attach.text());
    attach.shows("skep attach s");
}

/// Where texts stand on the screen, one after another.
#[track_caller]
fn shows_in_order(terminal: &Terminal, texts: &[&str]) {
    for text in texts {
        terminal.shows(text);
    }
    let screen = terminal.text();
    let mut rest = screen.as_str();
    for text in texts {
        rest =
            rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is not where it belongs:\n{screen}")).1;
    }
}

#[test]
fn c2_every_attached_terminal_shows_a_prompt_above_its_output() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "true"]).run().ok();
    let mut one = Terminal::start(env.skep(["attach", "s"]));
    let mut two = Terminal::start(env.skep(["attach", "s"]));
    two.shows("Ctrl-C");
    one.type_text("until [ -e gate ]; do sleep 0.02; done; echo first-$((1 + 1))\r");
    two.shows("> until");
    one.type_text("echo second-$((1 + 2))\r");
    one.shows("queued behind the turn that runs");
    two.shows("queued: echo second");
    std::fs::write(env.work().join("gate"), "").unwrap();
    shows_in_order(&one, &["queued behind", "first-2", "> echo second-$((1 + 2))", "second-3"]);
    shows_in_order(&two, &["> until", "queued: echo second", "first-2", "> echo second-", "second-3"]);
    assert!(!one.text().contains("> until"), "what was typed at rest is on the screen once:\n{}", one.text());
    let late = env.skep(["attach", "--tail", "1", "s"]).start();
    late.wait_stdout("> echo second-$((1 + 2))\nsecond-3\n");
    for terminal in [&mut one, &mut two] {
        terminal.type_text("\x03");
        terminal.exit_code();
    }
    let _closed = env.skep(["close", "s"]).run().ok();
    let _ended = late.finish();
}

#[test]
fn attach_takes_the_answer_to_a_permission_request() {
    let env = TestEnv::new();
    let _begun =
        env.skep(["bg", "--agent", "fake", "--name", "asks", "ask execute a deed\nsay went on"]).run().ok();
    env.wait_session("asks", "a permission request", |session| session["state"] == "needs_you");
    // Without a name: the latest that needs somebody.
    let mut attach = Terminal::start(env.skep(["attach"]));
    attach.shows("[a]llow");
    attach.type_text("a\r");
    attach.shows("completed");
    assert_eq!(attach.text().matches("went on").count(), 2, "{}", attach.text());
    let screen = attach.text();
    assert_eq!(screen.matches("wants to").count(), 1, "a question is asked once:\n{screen}");
    attach.type_text("\x03");
    attach.exit_code();
}

#[test]
fn s11_daemon_lines_in_attach_run_that_command() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "true"]).run().ok();
    let mut attach = Terminal::start(env.skep(["attach", "s"]));
    attach.type_text("/daemon status\r");
    attach.shows("remote-control");
    attach.type_text("\x03");
    attach.exit_code();
}

#[test]
fn attach_read_only_sends_nothing() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "echo shown"]).run().ok();
    let mut attach = Terminal::start(env.skep(["attach", "--read-only", "s"]));
    attach.shows("shown");
    attach.type_text("touch never\r");
    let _other = env.skep(["prompt", "s", "echo other-$((1 + 1))"]).run().ok();
    attach.shows("other-2");
    attach.type_text("\x03");
    attach.exit_code();
    assert!(!env.work().join("never").exists());
}

#[test]
fn attach_to_a_closed_session_shows_it_and_starts_nothing() {
    let env = TestEnv::new();
    let _ran = env.skep(["run", "--name", "s", "echo long-gone"]).run().ok();
    let _closed = env.skep(["close", "s"]).run().ok();
    let piped = env.skep(["attach", "s"]).run().ok();
    assert!(piped.stdout.contains("long-gone"), "{piped}");
    let session = env.wait_session("s", "the session", |_| true);
    assert_eq!(session["state"], "closed", "{session}");
}

#[test]
fn attach_piped_is_logs_that_follow() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let script = format!("say one\ngate {}\nsay two", gate.display());
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", &script]).run().ok();
    let attach = env.skep(["attach", "s"]).start();
    attach.wait_stdout("one");
    std::fs::write(gate, "").unwrap();
    attach.wait_stdout("two");
    let _closed = env.skep(["close", "s"]).run().ok();
    let _ended = attach.finish();
}

#[test]
fn ctrl_c_in_run_cancels_the_turn() {
    let env = TestEnv::new();
    let mut run =
        Terminal::start(env.skep(["run", "--name", "s", "echo begun; sleep 1000; echo never-$((1 + 1))"]));
    run.shows("begun");
    run.type_text("\x03");
    assert_eq!(run.exit_code(), 130, "{}", run.text());
    let ended = env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    assert_eq!(ended["last_turn"]["outcome"], "cancelled", "{ended}");
    let _works = env.skep(["prompt", "s", "echo usable"]).run().ok().says("usable");
}

#[test]
fn ctrl_c_in_run_ends_a_flood_that_the_terminal_cannot_show_as_fast() {
    let env = TestEnv::new();
    let mut run = Terminal::start(env.skep(["run", "--name", "s", "yes"]));
    run.shows("y\r\ny");
    env.wait_session("s", "a flood", |session| session["head"]["seq"].as_u64().is_some_and(|seq| seq > 300));
    run.type_text("\x03");
    assert_eq!(run.exit_code(), 130);
    run.shows("stays open: skep attach s");
}

#[test]
fn a_second_ctrl_c_in_run_detaches_and_says_how_to_come_back() {
    let env = TestEnv::with_config("[session]\ncancel_grace = \"20s\"\n");
    let mut run = Terminal::start(env.skep(["run", "--agent", "fake", "--name", "deaf", "say begun\nhang"]));
    run.shows("begun");
    run.type_text("\x03");
    run.shows("again");
    run.type_text("\x03");
    assert_eq!(run.exit_code(), 10, "{}", run.text());
    run.shows("skep attach deaf");
    let _killed = env.skep(["kill", "deaf"]).run().ok();
}

#[test]
fn notify_command_tells_of_needs_you_done_and_failed() {
    let env = TestEnv::new();
    let told = env.work().join("told");
    let command = format!(r#"["sh", "-c", 'env | grep ^SKEP_ >> "{}"']"#, told.display());
    env.configure(&format!("[notify]\ncommand = {command}\n"));
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "noticed", "ask execute a deed"]).run().ok();
    let seen = |text: &str| std::fs::read_to_string(&told).unwrap_or_default().contains(text);
    skep_tests::wait::wait_until("news of needs-you", || seen("noticed"));
    let _allowed = env.skep(["allow"]).run().ok();
    let _done = env.skep(["wait", "noticed"]).run().ok();
}
