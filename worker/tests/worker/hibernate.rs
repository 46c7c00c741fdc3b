//! Sessions that are let go of since nobody uses them, and what prevents that (N5).

use skep_common::code::Code;
use skep_common::event::Event;
use skep_common::ids::{PromptId, SessionId};
use skep_common::protocol::{Action, Command, Reply, Report};
use skep_common::session::{Cause, Consent, SessionState, TurnOutcome, WhenBusy};
use skep_sys::process::identity;
use skep_sys::signal::{Signal, send};

use crate::common::{Worker, action, alive, gone};

fn memory(session: SessionId) -> Action {
    Action::Release { session, cause: Cause::Memory }
}

fn refusal(reply: &Reply) -> (Code, &str) {
    let Reply::Error { error } = reply else { panic!("not refused: {reply:?}") };
    (error.code, &error.message)
}

/// A session of the shell agent in which a process runs in the background: its pid.
fn with_background(worker: &mut Worker) -> (SessionId, u32) {
    let session = worker.open("shell", |_| {});
    let prompt = PromptId::random();
    let mut run = action(session, prompt, "sleep 1000 >/dev/null 2>&1 & echo $!", WhenBusy::Queue);
    if let Action::Prompt { consent, .. } = &mut run {
        *consent = Consent::OwnCommand;
    }
    worker.request(run);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed);
    let said = worker.updates(session);
    let mut said = said.iter().filter_map(|update| update["content"][0]["content"]["text"].as_str());
    let pid = said.next_back().and_then(|said| said.trim().parse().ok()).unwrap();
    (session, pid)
}

fn kept_awake(worker: &mut Worker, session: SessionId) -> String {
    worker.snapshot("what keeps it awake", session, |snapshot| snapshot.kept_awake.clone())
}

#[test]
fn n5_an_idle_session_is_kept_awake_by_a_background_process_until_that_ends() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "idle_timeout = \"300 ms\"");
    let (session, pid) = with_background(&mut worker);
    assert_eq!(kept_awake(&mut worker, session), "1 background process (sleep)");
    assert!(alive(pid));
    send(&identity(pid).unwrap(), Signal::SIGKILL).unwrap();
    let released = worker.released(session);
    assert_eq!((released.state, released.kept_awake), (SessionState::Hibernated, None));
    worker.shut_down();
}

#[test]
fn n5_short_memory_stops_no_session_whose_background_process_still_serves() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let (session, pid) = with_background(&mut worker);
    let refused = worker.request(memory(session));
    let (code, message) = refusal(&refused);
    assert_eq!(code, Code::SessionBusy);
    assert!(message.contains("1 background process (sleep)"), "{message}");
    assert_eq!(kept_awake(&mut worker, session), "1 background process (sleep)");
    assert!(alive(pid));
    send(&identity(pid).unwrap(), Signal::SIGKILL).unwrap();
    worker.wait_new("that nothing keeps it awake", |report| match report {
        Report::Session(now) if now.id == session && now.kept_awake.is_none() => Some(()),
        _ => None,
    });
    assert!(matches!(worker.request(memory(session)), Reply::Done { .. }));
    let released = worker.released(session);
    assert_eq!(released.state, SessionState::Hibernated);
    assert_eq!(released.why.as_deref(), Some("idle while memory was short"));
    let journal = worker.journal(session);
    let exited = |event: &Event| matches!(event, Event::AgentExited(exited) if exited.cause == Cause::Memory);
    assert!(journal.iter().any(exited), "{journal:#?}");
    worker.shut_down();
}

#[test]
fn n5_short_memory_interrupts_no_turn_and_ends_no_wait_for_a_person() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    for script in ["wait", "permit ls"] {
        let session = worker.open("fake", |_| {});
        let prompt = worker.prompt(session, script);
        for cause in [Cause::Memory, Cause::Idle] {
            let refused = worker.request(Action::Release { session, cause });
            assert_eq!(refusal(&refused).0, Code::SessionBusy, "{script}");
        }
        worker.request(Action::Cancel { session, prompt: Some(prompt), cause: Cause::Person });
        assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled, "{script}");
    }
    worker.shut_down();
}

#[test]
fn n5_a_prompt_that_comes_while_its_session_hibernates_is_sent_back_for_another_worker() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("farewell", |_| {});
    worker.run(session, "say hi");
    // At once, so that the agent is still on its way out when the prompt comes.
    let release = worker.ask(memory(session));
    let prompt = worker.ask(action(session, PromptId::random(), "say again", WhenBusy::Refuse));
    let reply = worker.reply(prompt);
    assert_eq!(refusal(&reply).0, Code::SessionNotFound);
    assert!(matches!(worker.reply(release), Reply::Done { .. }));
    assert_eq!(worker.released(session).state, SessionState::Hibernated);
    worker.open("farewell", |spec| spec.id = session);
    assert_eq!(worker.run(session, "say again"), TurnOutcome::Completed);
    worker.shut_down();
}

#[test]
fn n5_agents_that_wait_for_a_session_go_first_when_memory_is_short() {
    let home = tempfile::tempdir().unwrap();
    let ready = home.path().join("ready");
    let config = super::warm::config(&ready, "", 1);
    let (mut worker, _) = Worker::start(&home, &config);
    let session = worker.open("warm", |_| {});
    worker.run(session, "say hi");
    let waiting = super::warm::ready(&ready, 2)[1];
    worker.send(&Command::SpareMemory);
    gone(waiting);
    assert_eq!(worker.run(session, "say hi"), TurnOutcome::Completed, "who serves a session goes on");
    let other = worker.open("warm", |_| {});
    worker.run(other, "say hi");
    worker.close(other, Cause::Person);
    let started = std::fs::read_to_string(&ready).unwrap();
    assert_eq!(started.lines().count(), 3, "none is kept ready for now: {started}");
    worker.shut_down();
}
