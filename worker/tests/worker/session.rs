//! Sessions of a real worker process against a scripted agent.

use crate::common::{Worker, action, gone, spec};
use skep_common::code::Code;
use skep_common::event::Event;
use skep_common::ids::{AnswerId, PermissionId, PromptId, SessionId};
use skep_common::protocol::{Action, Reply, Report};
use skep_common::session::{Cause, Consent, PermissionMode, SessionState, TurnOutcome, WhenBusy};

fn error(reply: &Reply) -> Code {
    match reply {
        Reply::Error { error } => error.code,
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn g1_a_prompt_runs_and_the_journal_tells_it_in_order() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, "say hello"), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "say again"), TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["hello", "again"]);
    let kinds = worker.kinds(session);
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
        "turn_ended",
        "state",
        "prompt_queued",
        "turn_started",
        "state",
        "update",
        "turn_ended",
        "state",
    ];
    assert_eq!(kinds, expected);
    assert!(matches!(worker.close(session, Cause::Person), Reply::Done { .. }));
    assert_eq!(worker.released(session).state, SessionState::Closed);
    assert_eq!(worker.kinds(session)[17..], ["agent_exited", "session_closed", "state"]);
    let reopened = spec("fake", |spec| spec.id = session);
    assert_eq!(
        error(&worker.request(Action::OpenSession { spec: reopened, environment: None })),
        Code::SessionClosed
    );
    worker.shut_down();
}

#[test]
fn g9_a_busy_session_refuses_or_queues_and_duplicates_never_run_twice() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "max_queued = 1");
    let session = worker.open("fake", |_| {});
    let first = worker.prompt(session, "hang");
    worker.snapshot("agent", session, |snapshot| snapshot.agent.clone());
    let second = PromptId::random();
    let refused = worker.request(action(session, second, "say b", WhenBusy::Refuse));
    assert_eq!(error(&refused), Code::SessionBusy);
    let queued = worker.request(action(session, second, "say b", WhenBusy::Queue));
    let Reply::Prompt { queued: true, duplicate: false, seq, steered_into: None } = queued else {
        panic!("{queued:?}")
    };
    let full = worker.request(action(session, PromptId::random(), "say c", WhenBusy::Queue));
    assert_eq!(error(&full), Code::QueueFull);
    let again = worker.request(action(session, second, "say b", WhenBusy::Refuse));
    assert_eq!(again, Reply::Prompt { queued: true, duplicate: true, seq, steered_into: None });
    worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(session, first), TurnOutcome::Cancelled);
    assert_eq!(worker.ended(session, second), TurnOutcome::Completed);
    let again = worker.request(action(session, second, "say b", WhenBusy::Refuse));
    assert_eq!(again, Reply::Prompt { queued: false, duplicate: true, seq, steered_into: None });
    assert_eq!(worker.texts(session), ["hanging", "b"]);
    let unknown = Action::Cancel { session, prompt: Some(PromptId::random()), cause: Cause::Person };
    assert_eq!(error(&worker.request(unknown)), Code::PromptNotFound);
    worker.shut_down();
}

#[test]
fn outcomes_follow_what_the_agent_said() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, "silent"), TurnOutcome::Suspect);
    assert_eq!(worker.run(session, "fail"), TurnOutcome::Failed);
    assert_eq!(worker.run(session, "status 0"), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "status 3"), TurnOutcome::Failed);
    let ended = worker.journal(session).into_iter().rev().find_map(|event| match event {
        Event::TurnEnded(ended) => Some(ended),
        _ => None,
    });
    let ended = ended.unwrap();
    assert_eq!((ended.exit_code, ended.detail.as_deref()), (Some(3), Some("exit status 3")));
    worker.shut_down();
}

#[test]
fn g13_noise_unknown_updates_and_strange_requests_are_survived() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, "noise"), TurnOutcome::Completed);
    let updates: Vec<String> = worker
        .journal(session)
        .iter()
        .filter_map(|event| match event {
            Event::Update(update) => Some(update.get().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(updates.len(), 3, "another session's update is not ours: {updates:?}");
    assert_eq!(updates[0], r#"{"sessionUpdate":"novelty","n":1.00,"cut":"\ud800"}"#, "every byte is kept");
    assert!(updates[2].contains("declined -32601"), "{updates:?}");
    worker.shut_down();
}

#[test]
fn n2_a_flood_is_journalled_whole_and_in_order() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, "flood 50000"), TurnOutcome::Completed);
    let texts = worker.texts(session);
    assert_eq!(texts.len(), 50_000);
    assert!(texts.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    worker.shut_down();
}

#[test]
fn n2_an_agent_that_dies_in_its_turn_interrupts_it_and_the_next_prompt_loads_the_session() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let crash = worker.prompt(session, "exit 7");
    let waits = PromptId::random();
    let queued = worker.ask(action(session, waits, "say queued", WhenBusy::Queue));
    assert_eq!(worker.ended(session, crash), TurnOutcome::Interrupted);
    worker.reply(queued);
    assert_eq!(worker.run(session, "say back"), TurnOutcome::Completed);
    worker.ended(session, waits);
    assert_eq!(worker.texts(session), ["working", "queued", "back"], "nothing lost, no replay kept");
    let contexts: Vec<String> = worker
        .journal(session)
        .into_iter()
        .filter_map(|event| match event {
            Event::AgentStarted(started) => Some(started.context),
            _ => None,
        })
        .collect();
    assert_eq!(contexts, ["new", "loaded"]);
    worker.shut_down();
}

#[test]
fn an_agent_that_cannot_load_starts_anew_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("noload", |_| {});
    assert_eq!(worker.run(session, "exit 1"), TurnOutcome::Interrupted);
    assert_eq!(worker.run(session, "say hi"), TurnOutcome::Completed);
    let noted = worker
        .journal(session)
        .iter()
        .any(|event| matches!(event, Event::Note(note) if note.text.contains("without its former context")));
    assert!(noted);
    worker.shut_down();
}

#[test]
fn an_agent_that_cannot_start_fails_the_turn_and_the_session_says_why() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    for (agent, why) in
        [("broken", "no licence"), ("missing", "was not found"), ("nobody", "no agent is named")]
    {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "say hi"), TurnOutcome::Failed);
        let said = worker.snapshot("the reason", session, |snapshot| {
            (snapshot.state == SessionState::Failed).then(|| snapshot.why.clone().unwrap_or_default())
        });
        assert!(said.contains(why), "{agent}: {said}");
    }
    worker.shut_down();
}

#[test]
fn n4_a_cancel_that_the_agent_ignores_takes_its_whole_tree() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    worker.prompt(session, "tree");
    let pid: u32 = loop {
        if let Some(text) = worker.texts(session).first() {
            break text.parse().unwrap();
        }
        std::thread::yield_now();
    };
    assert!(crate::common::alive(pid));
    worker.close(session, Cause::Killed);
    assert!(!crate::common::alive(pid), "a close is only said when the tree is gone");
    let session = worker.open("fake", |_| {});
    let deaf = worker.prompt(session, "deaf");
    worker.request(Action::Cancel { session, prompt: Some(deaf), cause: Cause::TimedOut });
    assert_eq!(worker.ended(session, deaf), TurnOutcome::Limit);
    assert_eq!(worker.run(session, "say on"), TurnOutcome::Completed);
    worker.shut_down();
}

#[test]
fn g5_permissions_are_asked_answered_once_and_remembered() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "permit2 ls");
    let waiting = worker.waiting(session, 2);
    let (first, second) = (AnswerId::random(), AnswerId::random());
    let reply = worker.answer(session, waiting[0], first, true);
    assert_eq!(reply, Reply::Answer { option: Some(String::from("2")), allowed: true });
    assert_eq!(worker.answer(session, waiting[0], first, true), reply, "the same answer, the same reply");
    let late = worker.answer(session, waiting[0], second, false);
    assert_eq!(error(&late), Code::AlreadyResolved);
    let Reply::Error { error: details } = late else { panic!() };
    assert_eq!(details.details.unwrap()["by"]["answer"], first.to_string());
    let denied = worker.answer(session, waiting[1], second, false);
    assert_eq!(denied, Reply::Answer { option: Some(String::from("3")), allowed: false });
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed);
    let unknown = worker.answer(session, PermissionId::random(), first, true);
    assert_eq!(error(&unknown), Code::PermissionNotFound);
    let release = Action::Release { session, cause: Cause::Person };
    assert!(matches!(worker.request(release), Reply::Done { .. }));
    assert_eq!(worker.released(session).state, SessionState::Hibernated);
    worker.open("fake", |spec| spec.id = session);
    assert_eq!(worker.answer(session, waiting[0], first, true), reply, "after reopening too");
    let duplicate = worker.request(action(session, prompt, "permit2 ls", WhenBusy::Refuse));
    assert!(matches!(duplicate, Reply::Prompt { duplicate: true, queued: false, .. }), "{duplicate:?}");
    worker.shut_down();
}

#[test]
fn g5_modes_and_own_commands_answer_without_a_person() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |spec| spec.permission_mode = PermissionMode::Bypass);
    assert_eq!(worker.run(session, "permit ls"), TurnOutcome::Completed);
    assert!(worker.texts(session)[0].contains(r#""optionId":"2""#));
    let session = worker.open("fake", |spec| spec.permission_mode = PermissionMode::Deny);
    worker.run(session, "permit ls");
    assert!(worker.texts(session)[0].contains(r#""optionId":"3""#));
    worker.shut_down();
}

fn own(session: SessionId, text: &str) -> Action {
    let mut prompt = action(session, PromptId::random(), text, WhenBusy::Queue);
    if let Action::Prompt { consent, .. } = &mut prompt {
        *consent = Consent::OwnCommand;
    }
    prompt
}

#[test]
fn g5_a_typed_command_is_its_own_consent_in_the_shell_agent_only() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("shell", |_| {});
    worker.request(own(session, "cd /usr && export A=b && exit 3"));
    let turn = worker.snapshot("the end", session, |snapshot| snapshot.last_turn.clone());
    assert_eq!((turn.outcome, turn.detail.as_deref()), (TurnOutcome::Failed, Some("exit status 3")));
    let asked = worker.prompt(session, "pwd");
    let waiting = worker.waiting(session, 1);
    worker.answer(session, waiting[0], AnswerId::random(), true);
    assert_eq!(worker.ended(session, asked), TurnOutcome::Completed);
    let release = Action::Release { session, cause: Cause::Person };
    worker.request(release);
    worker.open("shell", |spec| spec.id = session);
    worker.request(own(session, "echo $PWD-$A"));
    worker.wait_new("the end", |report| match report {
        Report::Session(snapshot) => {
            (snapshot.last_turn.as_ref().is_some_and(|turn| turn.prompt != asked)).then_some(())
        }
        _ => None,
    });
    let told = worker
        .journal(session)
        .iter()
        .any(|event| matches!(event, Event::Update(update) if update.get().contains("/usr-b")));
    assert!(told, "g1: directory and environment are kept over a release");
    let session = worker.open("fake", |_| {});
    worker.request(own(session, "permit ls"));
    worker.waiting(session, 1);
    worker.shut_down();
}

#[test]
fn a_cancel_answers_what_waits_and_a_crash_withdraws_it() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "permission_timeout = \"10 min\"");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "permit ls");
    let waiting = worker.waiting(session, 1);
    worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled);
    assert_eq!(error(&worker.answer(session, waiting[0], AnswerId::random(), true)), Code::AlreadyResolved);
    worker.prompt(session, "permit ls");
    worker.wait_new("a new request", |report| match report {
        Report::Session(snapshot) => (snapshot.waiting.len() == 1).then_some(()),
        _ => None,
    });
    worker.close(session, Cause::Killed);
    assert!(worker.released(session).waiting.is_empty());
    worker.shut_down();
}

#[test]
fn nobody_answers_for_too_long_means_no() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "permission_timeout = \"100 ms\"");
    let session = worker.open("fake", |_| {});
    worker.run(session, "permit ls");
    assert!(worker.texts(session)[0].contains(r#""optionId":"3""#));
    worker.shut_down();
}

#[test]
fn an_ephemeral_session_closes_with_its_first_turn_and_an_idle_one_hibernates() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "idle_timeout = \"200 ms\"");
    let session = worker.open("fake", |spec| spec.ephemeral = true);
    assert_eq!(worker.run(session, "say hi"), TurnOutcome::Completed);
    assert_eq!(worker.released(session).state, SessionState::Closed);
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.released(session).state, SessionState::Hibernated, "g10");
    worker.shut_down();
}

#[test]
fn a_turn_has_its_time() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "turn_timeout = \"200 ms\"");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "hang");
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Limit, "n11");
    let last = worker.snapshot("last turn", session, |snapshot| snapshot.last_turn.clone());
    assert_eq!((last.cause, last.detail.as_deref()), (Some(Cause::TimedOut), Some("200ms")));
    worker.shut_down();
}

#[test]
fn c7_the_agent_gets_the_declared_environment_only() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |spec| spec.name = Some("job".parse().unwrap()));
    worker.run(session, "env");
    let text = worker.texts(session).remove(0);
    for line in [
        format!("SKEP_SESSION={session}"),
        String::from("SKEP_SESSION_NAME=job"),
        String::from("SKEP_SESSION_KIND=bg"),
        String::from("SKEP_WORKER=w-1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains("CARGO"), "{text}");
    worker.shut_down();
}

#[test]
fn n4_nothing_of_a_session_is_left_when_the_supervisor_goes() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "hang");
    let pid = worker.snapshot("agent", session, |s| s.agent.as_ref().map(|agent| agent.process.pid));
    worker.hang_up();
    assert_eq!(worker.exit(), Some(0));
    gone(pid);
    let ended = worker.journal(session).into_iter().find_map(|event| match event {
        Event::TurnEnded(ended) => Some(ended),
        _ => None,
    });
    let ended = ended.unwrap();
    assert_eq!(
        (ended.prompt, ended.outcome, ended.cause),
        (prompt, TurnOutcome::Interrupted, Some(Cause::SupervisorGone))
    );
}
