//! Sessions of a real worker process with agents that are a command for each prompt.

use crate::common::{Worker, gone, spec};
use skep_common::event::{AgentStarted, Event, TurnEnded};
use skep_common::ids::{AnswerId, SessionId};
use skep_common::protocol::{Action, Reply};
use skep_common::session::{Cause, DecidedBy, PermissionMode, SessionState, TurnOutcome};

/// A command that is the prompt itself, free in the mode `bypass` and otherwise asked for; and one that writes the
/// lines of `codex`, with the session that it was told to resume.
const AGENTS: &str = r#"
[agents.sh]
driver = "oneshot"
command = ["/bin/sh", "-c", "{prompt}"]
mode_args = { bypass = [] }

[agents.pipe]
driver = "oneshot"
command = ["/usr/bin/env", "sed", "s/^/piped /"]
mode_args = { bypass = [] }

[agents.lines]
driver = "oneshot"
command = ["/bin/sh", "-c", '''
    printf '{"type":"thread.started","thread_id":"%s"}\n' "${3:-t-1}"
    printf '{"type":"item.completed","item":{"id":"0","type":"agent_message","text":"%s:%s"}}\n' "$1" "$*"
    test "$1" != failing || printf '{"type":"turn.failed","error":{"message":"quota"}}\n'
    test "$1" != garbage || printf 'garbage\n[]\n'
''', "sh", "{prompt}"]
output = "codex"
resume_args = ["resume", "{session}"]
mode_args = { bypass = [] }
"#;

fn started() -> (tempfile::TempDir, Worker) {
    let home = tempfile::tempdir().unwrap();
    let (worker, _) = Worker::start(&home, AGENTS);
    (home, worker)
}

fn open(worker: &mut Worker, agent: &str) -> SessionId {
    worker.open(agent, |spec| spec.permission_mode = PermissionMode::Bypass)
}

fn last_turn(worker: &Worker, session: SessionId) -> TurnEnded {
    let ended = |event| match event {
        Event::TurnEnded(ended) => Some(ended),
        _ => None,
    };
    worker.journal(session).into_iter().rev().find_map(ended).unwrap()
}

fn starts(worker: &Worker, session: SessionId) -> Vec<AgentStarted> {
    let started = |event| match event {
        Event::AgentStarted(started) => Some(started),
        _ => None,
    };
    worker.journal(session).into_iter().filter_map(started).collect()
}

fn pid_said(worker: &Worker, session: SessionId) -> u32 {
    worker.texts(session).concat().trim().parse().unwrap()
}

/// Waits until the command has said something, which is its pid.
fn wait_pid(worker: &mut Worker, session: SessionId) -> u32 {
    worker.snapshot("running command", session, |snapshot| snapshot.agent.clone());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while worker.texts(session).is_empty() {
        assert!(std::time::Instant::now() < deadline, "the command says nothing");
        std::thread::yield_now();
    }
    pid_said(worker, session)
}

#[test]
fn a_command_runs_for_each_prompt_and_nothing_in_between() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    assert_eq!(worker.run(session, "echo hello"), TurnOutcome::Completed);
    let expected = [
        "session_opened",
        "writer_opened",
        "state",
        "prompt_queued",
        "turn_started",
        "state",
        "agent_started",
        "state",
        "update",
        "agent_exited",
        "turn_ended",
        "state",
    ];
    assert_eq!(worker.kinds(session), expected);
    let idle = worker.snapshot("rest", session, |snapshot| {
        (snapshot.state == SessionState::Idle && snapshot.last_turn.is_some()).then(|| snapshot.clone())
    });
    assert_eq!(idle.agent, None);
    let pipe = open(&mut worker, "pipe");
    assert_eq!(worker.run(pipe, "a\nb"), TurnOutcome::Completed);
    assert_eq!(worker.texts(pipe).concat().trim_end(), "piped a\npiped b");
    worker.shut_down();
}

#[test]
fn outcomes_follow_status_and_output() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    for (script, outcome, detail, code) in [
        ("true", TurnOutcome::Suspect, Some("the command gave no text and used no tool"), Some(0)),
        ("echo x; echo no key >&2; exit 3", TurnOutcome::Failed, Some("exit status 3: no key"), Some(3)),
        ("echo x; kill -9 $$", TurnOutcome::Failed, Some("signal 9 (SIGKILL)"), None),
        ("echo x", TurnOutcome::Completed, None, Some(0)),
    ] {
        assert_eq!(worker.run(session, script), outcome, "{script}");
        let ended = last_turn(&worker, session);
        assert_eq!((ended.detail.as_deref(), ended.exit_code), (detail, code), "{script}");
    }
    let lines = open(&mut worker, "lines");
    assert_eq!(worker.run(lines, "failing"), TurnOutcome::Failed, "status 0, and the agent says why");
    assert_eq!(last_turn(&worker, lines).detail.as_deref(), Some("quota"));
    assert_eq!(worker.run(lines, "garbage"), TurnOutcome::Completed);
    let told = worker.journal(lines).into_iter().any(|event| match event {
        Event::Note(note) => note.text.contains("2 lines of the command's output"),
        _ => false,
    });
    assert!(told, "{:#?}", worker.journal(lines));
    worker.shut_down();
}

#[test]
fn a_prompt_that_cannot_be_an_argument_fails_its_turn() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    assert_eq!(worker.run(session, &"#".repeat(200_000)), TurnOutcome::Failed);
    assert!(last_turn(&worker, session).detail.unwrap().contains("too long"));
    assert_eq!(worker.run(session, "echo fine"), TurnOutcome::Completed);
    worker.shut_down();
}

#[test]
fn p13_the_agents_own_session_is_resumed_by_its_id_also_by_another_worker() {
    let (home, mut worker) = started();
    let session = open(&mut worker, "lines");
    assert_eq!(worker.run(session, "one"), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "two"), TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["one:one", "two:two resume t-1"]);
    worker.shut_down();
    let (mut worker, _) = Worker::start(&home, AGENTS);
    let reply = worker.request(Action::OpenSession {
        spec: spec("lines", |spec| {
            spec.id = session;
            spec.permission_mode = PermissionMode::Bypass;
        }),
        environment: None,
    });
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    assert_eq!(worker.run(session, "three"), TurnOutcome::Completed);
    assert_eq!(worker.texts(session)[2], "three:three resume t-1");
    let starts = starts(&worker, session);
    let contexts: Vec<&str> = starts.iter().map(|started| started.context.as_str()).collect();
    assert_eq!(contexts, ["new", "resumed", "resumed"]);
    assert!(starts.iter().all(|started| started.agent_session == "t-1"), "{starts:?}");
    worker.shut_down();
}

#[test]
fn n7_a_command_that_keeps_to_no_mode_is_asked_for_before_each_prompt() {
    let (home, mut worker) = started();
    let proof = home.path().join("proof");
    let session = worker.open("sh", |_| {});
    let script = format!("echo done | tee '{}'", proof.display());
    let prompt = worker.prompt(session, &script);
    let asked = worker.waiting(session, 1)[0];
    assert!(!proof.exists());
    worker.answer(session, asked, AnswerId::random(), false);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Refused);
    assert!(!proof.exists() && starts(&worker, session).is_empty());
    let prompt = worker.prompt(session, &script);
    let again = worker.snapshot("another request", session, |snapshot| {
        snapshot.waiting.first().filter(|request| request.id != asked).cloned()
    });
    assert_eq!((again.tool_kind.as_str(), again.prompt), ("execute", prompt));
    assert!(again.title.starts_with("/bin/sh -c ") && again.title.contains("proof"), "{again:?}");
    worker.answer(session, again.id, AnswerId::random(), true);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed);
    assert!(proof.exists());
    worker.shut_down();
}

#[test]
fn n7_modes_and_rules_decide_about_a_command_as_about_any_tool() {
    let home = tempfile::tempdir().unwrap();
    let rules = "[[permissions.rules]]\ntool = \"execute\"\ncommand = \"*forbidden*\"\naction = \"deny\"\n\
                 [[permissions.rules]]\ntool = \"execute\"\ncommand = \"*welcome*\"\naction = \"allow\"\n";
    let (mut worker, _) = Worker::start(&home, &format!("{rules}{AGENTS}"));
    let denied = worker.open("sh", |spec| spec.permission_mode = PermissionMode::Deny);
    assert_eq!(worker.run(denied, "echo x"), TurnOutcome::Refused);
    assert_eq!(worker.run(denied, "echo welcome"), TurnOutcome::Completed);
    let asking = worker.open("sh", |_| {});
    assert_eq!(worker.run(asking, "echo forbidden"), TurnOutcome::Refused);
    let by_mode = worker.journal(denied).into_iter().any(|event| match event {
        Event::PermissionResolved(resolved) => {
            resolved.by == DecidedBy::Mode { mode: PermissionMode::Deny } && resolved.option.is_some()
        }
        _ => false,
    });
    assert!(by_mode);
    worker.shut_down();
}

#[test]
fn n7_a_cancel_withdraws_the_question_and_nothing_runs() {
    let (_home, mut worker) = started();
    let session = worker.open("sh", |_| {});
    let first = worker.prompt(session, "echo never");
    let _asked = worker.waiting(session, 1);
    worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(session, first), TurnOutcome::Cancelled);
    assert!(starts(&worker, session).is_empty());
    let second = worker.prompt(session, "echo never");
    let _asked = worker.snapshot("second question", session, |snapshot| {
        snapshot.waiting.first().filter(|request| request.prompt == second).cloned()
    });
    assert!(matches!(worker.close(session, Cause::Person), Reply::Done { .. }));
    assert_eq!(last_turn(&worker, session).outcome, TurnOutcome::Interrupted);
    assert!(starts(&worker, session).is_empty());
    worker.shut_down();
}

#[test]
fn p12_a_cancel_ends_the_whole_tree_and_the_queue_goes_on() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    let stubborn =
        "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & trap '' TERM; wait; wait";
    let first = worker.prompt(session, stubborn);
    let pid = wait_pid(&mut worker, session);
    let second = worker.prompt(session, "echo next");
    worker.request(Action::Cancel { session, prompt: Some(first), cause: Cause::Person });
    assert_eq!(worker.ended(session, first), TurnOutcome::Cancelled);
    gone(pid);
    assert_eq!(worker.ended(session, second), TurnOutcome::Completed);
    worker.shut_down();
}

#[test]
fn p12_what_a_command_leaves_behind_ends_with_it() {
    let (home, mut worker) = started();
    let session = open(&mut worker, "sh");
    let up = home.path().join("up");
    let up = up.display();
    let script = format!(
        "setsid sh -c 'echo $$; touch \"{up}\"; exec sleep 1000' & until test -e '{up}'; do sleep 0.01; done"
    );
    assert_eq!(worker.run(session, &script), TurnOutcome::Completed);
    gone(pid_said(&worker, session));
    worker.shut_down();
}

#[test]
fn p12_a_session_that_ends_interrupts_its_command() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    let _prompt = worker.prompt(session, "echo $$; exec sleep 1000");
    let pid = wait_pid(&mut worker, session);
    assert!(matches!(worker.close(session, Cause::Person), Reply::Done { .. }));
    gone(pid);
    assert_eq!(last_turn(&worker, session).outcome, TurnOutcome::Interrupted);
    let killed = open(&mut worker, "sh");
    let _prompt = worker.prompt(killed, "trap '' TERM; echo $$; while :; do sleep 1000; done");
    let pid = wait_pid(&mut worker, killed);
    assert!(matches!(worker.close(killed, Cause::Killed), Reply::Done { .. }));
    gone(pid);
    worker.shut_down();
}

#[test]
fn g13_a_flood_is_journalled_and_nothing_is_lost() {
    let (_home, mut worker) = started();
    let session = open(&mut worker, "sh");
    let outcome = worker.run(session, "yes 0123456789abcde | head -n 200000; yes e | head -n 200000 >&2");
    assert_eq!(outcome, TurnOutcome::Completed);
    assert_eq!(worker.texts(session).concat().len(), 200_000 * 16);
    worker.shut_down();
}
