//! Files.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use skep_common::ids::AnswerId;
use skep_common::protocol::Action;
use skep_common::session::{Cause, TurnOutcome};

use super::*;

const RULES: &str = "[[permissions.rules]]\ntool = \"edit\"\npath = \"src/**\"\naction = \"allow\"\n\
                     [[permissions.rules]]\ntool = \"read\"\npath = \"private/**\"\naction = \"deny\"\n";

#[test]
fn an_agent_reads_files_below_its_sessions_directory_unasked() {
    let mut world = World::new(RULES);
    let file = world.work.join("notes.txt");
    std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
    std::fs::create_dir(world.work.join("private")).unwrap();
    std::fs::write(world.work.join("private/key"), "key").unwrap();
    symlink("notes.txt", world.work.join("near")).unwrap();
    for mode in [PermissionMode::Ask, PermissionMode::Plan, PermissionMode::Deny] {
        let session = world.open("client", mode);
        let part = json!(["fs/read_text_file", {"path": file, "line": 2, "limit": 1}]);
        let told = world.ask(
            session,
            &json!([
                read(&file),
                part,
                read(&world.work.join("near")),
                read(&world.work.join("x/../../work/near")),
                read(&world.work.join("missing")),
                read(&world.work.join("private/key")),
            ]),
        );
        let expected = [
            r#"{"content":"one\ntwo\nthree\n"}"#,
            r#"{"content":"two\n"}"#,
            r#"{"content":"one\ntwo\nthree\n"}"#,
            "error -32050 outside_roots",
            "error -32002 not_found",
            "error -32050 denied",
        ];
        assert_eq!(told, expected, "{mode:?}");
        let decisions = world.decisions(session);
        assert_eq!(decisions.len(), 1, "only what was denied is told: {decisions:?}");
        assert!(decisions[0].0.starts_with("Read ") && decisions[0].0.ends_with("private/key"));
        assert!(matches!(&decisions[0].2, DecidedBy::Rule { rule } if rule.contains("private/**")));
        world.worker.close(session, Cause::Person);
    }
    world.worker.shut_down();
}

#[test]
fn n7_an_agent_writes_as_rules_modes_and_persons_say_and_every_decision_is_journalled() {
    let mut world = World::new(RULES);
    let (ruled, other) = (world.work.join("src/new/a.rs"), world.work.join("b.rs"));
    std::fs::write(&other, "old").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o640)).unwrap();
    for (mode, code, by) in [
        (PermissionMode::Plan, "error -32050 denied", "denied"),
        (PermissionMode::Deny, "error -32050 denied", "denied"),
    ] {
        let session = world.open("client", mode);
        assert_eq!(world.ask(session, &json!([write(&other, "x")])), [code]);
        let decisions = world.decisions(session);
        assert!(matches!(decisions[..], [(_, Resolution::Denied, DecidedBy::Mode { .. })]), "{by}");
        world.worker.close(session, Cause::Person);
    }
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "old");
    let session = world.open("client", PermissionMode::Ask);
    assert_eq!(world.ask(session, &json!([write(&ruled, "by rule")])), ["{}"]);
    assert_eq!(std::fs::read_to_string(&ruled).unwrap(), "by rule");
    for (allow, answer, now) in [(false, "error -32050 denied", "old"), (true, "{}", "new")] {
        let prompt = world.worker.prompt(session, &format!("client {}", json!([write(&other, "new")])));
        let waiting = world.worker.waiting_anew(session, 1);
        world.worker.answer(session, waiting[0], AnswerId::random(), allow);
        assert_eq!(world.worker.ended(session, prompt), TurnOutcome::Completed);
        assert_eq!(world.worker.texts(session).last().unwrap(), answer);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), now);
    }
    assert_eq!(std::fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o640);
    let shown = world.worker.journal(session).into_iter().find_map(|event| match event {
        Event::PermissionRequested(it) if it.title.contains("b.rs") => Some(it.tool_call),
        _ => None,
    });
    let shown: Value = serde_json::from_str(shown.unwrap().get()).unwrap();
    let change = json!({"type": "diff", "path": other, "oldText": "old", "newText": "new"});
    assert_eq!(shown["content"], json!([change]), "a person sees what would change");
    let told: Vec<_> = world
        .decisions(session)
        .into_iter()
        .map(|(title, resolution, by)| {
            let by = match by {
                DecidedBy::Rule { .. } => "rule",
                DecidedBy::Client { .. } => "person",
                _ => "other",
            };
            (title.split('/').next_back().unwrap().to_owned(), resolution, by)
        })
        .collect();
    let expected = [
        ("a.rs (7 bytes)", Resolution::Allowed, "rule"),
        ("b.rs (3 bytes)", Resolution::Denied, "person"),
        ("b.rs (3 bytes)", Resolution::Allowed, "person"),
    ];
    assert_eq!(told, expected.map(|(title, resolution, by)| (title.to_owned(), resolution, by)));
    world.worker.shut_down();
}

#[test]
fn n7_no_path_leads_out_of_the_sessions_directory() {
    let mut world = World::new("");
    let work = world.work.clone();
    symlink("..", work.join("up")).unwrap();
    symlink("../secret", work.join("link")).unwrap();
    symlink("../nowhere", work.join("dangling")).unwrap();
    symlink("loop", work.join("loop")).unwrap();
    nix::unistd::mkfifo(&work.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(work.join("binary"), b"\xff\xfe").unwrap();
    let session = world.open("client", PermissionMode::Bypass);
    let outside = "error -32050 outside_roots";
    for (path, reading, writing) in [
        (work.join("../secret"), outside, outside),
        (work.join("../new"), outside, outside),
        (work.with_file_name("secret"), outside, outside),
        (PathBuf::from("/etc/passwd"), outside, outside),
        (PathBuf::from("/proc/self/environ"), outside, outside),
        (PathBuf::from("/dev/zero"), outside, outside),
        (work.join("up/secret"), outside, outside),
        (work.join("up/new"), outside, outside),
        (work.join("link"), outside, outside),
        (work.join("dangling"), outside, outside),
        (work.join("loop"), outside, outside),
        (work.join("loop/x"), outside, outside),
        (work.clone(), "error -32050 not_a_file", "error -32050 not_a_file"),
        (work.join("fifo"), "error -32050 not_a_file", "error -32050 not_a_file"),
        (work.join("binary"), "error -32050 not_text", "{}"),
        (PathBuf::from("secret"), "error -32602 invalid_params", "error -32602 invalid_params"),
        (PathBuf::from("/a\0b"), "error -32602 invalid_params", "error -32602 invalid_params"),
    ] {
        let told = world.ask(session, &json!([read(&path), write(&path, "overwritten")]));
        assert_eq!(told, [reading, writing], "{}", path.display());
    }
    assert_eq!(std::fs::read_to_string(work.with_file_name("secret")).unwrap(), "secret");
    assert!(!work.with_file_name("new").exists() && !work.with_file_name("nowhere").exists());
    let remarks = world.worker.notes(session);
    assert_eq!(remarks.len(), 8, "a person hears of it, and is not flooded: {remarks:#?}");
    assert!(remarks[0].contains("wanted to read ") && remarks[7].ends_with("further ones are not told"));
    world.worker.shut_down();
}

#[test]
fn g13_requests_that_are_wrong_huge_or_for_others_are_refused_by_code() {
    let mut world = World::new("");
    let file = world.work.join("a");
    let session = world.open("client", PermissionMode::Bypass);
    let told = world.ask(
        session,
        &json!([
            ["fs/read_text_file", [5]],
            ["fs/read_text_file", {"path": 5}],
            ["fs/read_text_file", {"path": file, "line": "first"}],
            ["fs/read_text_file", {"path": file, "sessionId": "another"}],
            ["fs/write_text_file", {"path": file}],
            ["fs/write_text_file", {"path": file, "content": {"repeat": 9 << 20}}],
            ["fs/write_text_file", {"path": file, "content": {"repeat": 8 << 20}}],
            ["fs/rename", {"path": file}],
        ]),
    );
    let expected = [
        "error -32602 invalid_params",
        "error -32602 invalid_params",
        "error -32602 invalid_params",
        "error -32002 no_session",
        "error -32602 invalid_params",
        "error -32050 too_large",
        "{}",
        "error -32601",
    ];
    assert_eq!(told, expected);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 8 << 20);
    std::fs::write(&file, "small").unwrap();
    // A line over the limit never was a request: who waits for its answer is cancelled.
    let huge = json!([["fs/write_text_file", {"path": file, "content": {"repeat": 64 << 20}}]]);
    let prompt = world.worker.prompt(session, &format!("client {huge}"));
    world.worker.wait_note(session, "over the limit and dropped");
    world.worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(world.worker.ended(session, prompt), TurnOutcome::Cancelled);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "small");
    world.worker.shut_down();
}

#[test]
fn n7_what_was_allowed_for_the_agents_own_tool_is_not_asked_again_and_covers_nothing_else() {
    let mut world = World::new("");
    let (file, other) = (world.work.join("a"), world.work.join("b"));
    let session = world.open("client", PermissionMode::Ask);
    let options = json!([
        {"optionId": "allow", "name": "Yes", "kind": "allow_once"},
        {"optionId": "no", "name": "No", "kind": "reject_once"},
    ]);
    let call = json!({"toolCallId": "w", "kind": "edit", "title": "Edit a", "locations": [{"path": file}]});
    let ask = json!(["session/request_permission", {"toolCall": call, "options": options}]);
    let script = json!([ask, write(&file, "one"), write(&file, "two"), write(&other, "three")]);
    let prompt = world.worker.prompt(session, &format!("client {script}"));
    let mut titles = Vec::new();
    for allow in [true, false, false] {
        let waiting = world.worker.waiting_anew(session, 1);
        world.worker.answer(session, waiting[0], AnswerId::random(), allow);
    }
    assert_eq!(world.worker.ended(session, prompt), TurnOutcome::Completed);
    titles.extend(world.decisions(session).into_iter().map(|(title, resolution, _)| (title, resolution)));
    let write = |path: &Path, size: usize| format!("Write {} ({size} bytes)", path.display());
    let expected = [
        (String::from("Edit a"), Resolution::Allowed),
        (write(&file, 3), Resolution::Denied),
        (write(&other, 5), Resolution::Denied),
    ];
    assert_eq!(titles, expected);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    assert!(!other.exists());
    world.worker.shut_down();
}

#[test]
fn n7_what_is_wanted_after_a_cancel_or_without_a_turn_is_not_done() {
    let mut world = World::new("");
    let file = world.work.join("a");
    let session = world.open("client", PermissionMode::Ask);
    let prompt = world.worker.prompt(session, &format!("client {}", json!([write(&file, "x")])));
    world.worker.waiting_anew(session, 1);
    world.worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(world.worker.ended(session, prompt), TurnOutcome::Cancelled);
    let decisions = world.decisions(session);
    assert!(matches!(decisions[..], [(_, Resolution::Cancelled, _)]), "{decisions:?}");
    world.worker.close(session, Cause::Person);
    let session = world.open("client", PermissionMode::Bypass);
    let late = world.work.join("late");
    let script = json!([["stop", {}], write(&late, "x"), write(&late, "y")]);
    assert_eq!(world.worker.run(session, &format!("client {script}")), TurnOutcome::Suspect);
    let told = world.worker.wait_texts(session, 2);
    assert_eq!(told, ["error -32800 cancelled", "error -32800 cancelled"]);
    assert!(!file.exists() && !late.exists());
    world.worker.shut_down();
}

#[test]
fn a_request_that_the_agent_takes_back_is_withdrawn() {
    let mut world = World::new("");
    let file = world.work.join("a");
    let session = world.open("client", PermissionMode::Ask);
    let mut waits = write(&file, "x");
    waits.as_array_mut().unwrap().push(json!("on"));
    let script = json!([waits, ["$/cancel_request", {"requestId": 50_000}]]);
    assert_eq!(world.ask(session, &script), ["error -32800 cancelled"]);
    let decisions = world.decisions(session);
    assert!(matches!(decisions[..], [(_, Resolution::Withdrawn, _)]), "{decisions:?}");
    assert!(!file.exists());
    world.worker.shut_down();
}

#[test]
fn a_flood_of_requests_is_answered_every_one_and_the_agent_lives() {
    let mut world = World::new("");
    let file = world.work.join("a");
    std::fs::write(&file, "x").unwrap();
    let session = world.open("client", PermissionMode::Ask);
    assert_eq!(
        world.worker.run(session, &format!("client-many 1000 {}", read(&file))),
        TurnOutcome::Completed
    );
    let told = world.worker.texts(session);
    assert_eq!(told.len(), 1000);
    let served = told.iter().filter(|answer| *answer == r#"{"content":"x"}"#).count();
    let refused = told.iter().filter(|answer| *answer == "error -32050 too_many").count();
    assert_eq!((served > 0, served + refused), (true, 1000), "{served} {refused}");
    assert_eq!(world.ask(session, &json!([read(&file)])), [r#"{"content":"x"}"#]);
    world.worker.shut_down();
}

#[test]
fn n1_a_shared_agents_requests_are_served_for_the_session_that_they_name() {
    let mut world = World::new("");
    let other = world.work.with_file_name("other");
    std::fs::create_dir(&other).unwrap();
    let (calm, loud) = (world.open("many", PermissionMode::Ask), world.open("many", PermissionMode::Bypass));
    world.worker.run(calm, "say hi");
    world.worker.run(loud, "say hi");
    let gone = world.open("many", PermissionMode::Ask);
    world.worker.run(gone, "say hi");
    assert_eq!(world.worker.starts(calm)[0].0, world.worker.starts(loud)[0].0, "one process");
    let closed = world.worker.agent_session(gone);
    world.worker.close(gone, Cause::Person);
    let file = world.work.join("a");
    let foreign =
        |session: &str| json!(["fs/write_text_file", {"path": file, "content": "x", "sessionId": session}]);
    let told = world.ask(
        loud,
        &json!([
            write(&file, "x"),
            ["terminal/create", {"command": "true"}],
            foreign("nobody"),
            foreign(&closed),
        ]),
    );
    let expected = ["{}", r#"{"terminalId":"terminal-1"}"#, "error -32002", "error -32002"];
    assert_eq!(told, expected);
    let told = world.ask(calm, &json!([["terminal/output", {"terminalId": "terminal-1"}]]));
    assert_eq!(told, ["error -32002 no_terminal"], "a terminal is its session's own");
    world.worker.shut_down();
}
