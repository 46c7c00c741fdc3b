//! The worker process itself: hello, fencing, limits, the end.

use crate::common::{Worker, action, gone, spec};
use skep_common::api::RegistryEntry;
use skep_common::code::Code;
use skep_common::event::Event;
use skep_common::ids::{PromptId, SessionId};
use skep_common::protocol::{Action, Command, PROTOCOL_VERSION, Reply, Report, WantedExit};
use skep_common::session::{Cause, PermissionMode, SessionState, TurnOutcome, WhenBusy};

#[test]
fn c6_the_worker_registers_itself_says_hello_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (worker, hello) = Worker::start(&home, "");
    assert_eq!((hello.id.as_str(), hello.epoch, hello.sessions.len()), ("w-1", 1, 0));
    let registry = home.path().join("registry/w-1.json");
    let entry: RegistryEntry = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    assert_eq!((entry.process, entry.cwd.as_str()), (hello.process, "/"));
    worker.shut_down();
    assert!(!registry.exists());
    let exit = std::fs::read(home.path().join("workers/w-1.exit.json")).unwrap();
    let exit: WantedExit = serde_json::from_slice(&exit).unwrap();
    assert_eq!((exit.code, exit.why.as_str()), (0, "daemon_stopped"));
}

#[test]
fn a_worker_without_a_hello_ends_with_its_pipe() {
    let home = tempfile::tempdir().unwrap();
    let mut worker = Worker::spawn(&home);
    worker.hang_up();
    assert_eq!(worker.exit(), Some(0));
}

#[test]
fn s5_a_supervisor_that_cannot_be_served_is_a_permanent_failure() {
    let home = tempfile::tempdir().unwrap();
    let mut worker = Worker::spawn(&home);
    worker.send(&Command::Shutdown { cause: Cause::Person });
    assert_eq!(worker.exit(), Some(78));
    let mut worker = Worker::spawn(&home);
    worker.hello(1, "nonsense = 1");
    assert_eq!(worker.exit(), Some(78));
}

#[test]
fn s5_supervisor_and_worker_speak_the_lower_of_neighbouring_protocols_and_no_others() {
    let home = tempfile::tempdir().unwrap();
    for (theirs, spoken) in [
        (PROTOCOL_VERSION - 1, PROTOCOL_VERSION - 1),
        (PROTOCOL_VERSION, PROTOCOL_VERSION),
        (PROTOCOL_VERSION + 1, PROTOCOL_VERSION),
    ] {
        let mut worker = Worker::spawn(&home);
        worker.hello_of_protocol(theirs, 1, "");
        let hello = worker.wait("a hello", |report| match report {
            Report::Hello(hello) => Some(hello.clone()),
            _ => None,
        });
        assert_eq!(hello.protocol, spoken, "to a supervisor of {theirs}");
        worker.shut_down();
    }
    let mut worker = Worker::spawn(&home);
    worker.hello_of_protocol(PROTOCOL_VERSION + 2, 1, "");
    assert_eq!(worker.exit(), Some(78));
    let exit = std::fs::read(home.path().join("workers/w-1.exit.json")).unwrap();
    let exit: WantedExit = serde_json::from_slice(&exit).unwrap();
    assert!(exit.why.contains("protocol"), "{}", exit.why);
}

#[test]
fn a_lower_epoch_is_fenced_and_a_higher_one_takes_over() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let hello = worker.greet(7, "");
    assert_eq!(hello.sessions[0].id, session);
    worker.hello(3, "");
    let epoch = worker.wait("fence", |report| match report {
        Report::Fenced { epoch } => Some(*epoch),
        _ => None,
    });
    assert_eq!(epoch, 7);
    worker.shut_down();
}

#[test]
fn g13_garbage_and_unknown_commands_leave_the_connection_usable() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    worker.send_raw(b"garbage\n{\"type\":\"dance\"}\n\xff\xfe\n");
    let id = skep_common::ids::RequestId::random();
    worker.send_raw(
        format!("{{\"type\":\"request\",\"id\":\"{id}\",\"action\":{{\"type\":\"dance\"}}}}\n").as_bytes(),
    );
    let Reply::Error { error } = worker.reply(id) else { panic!() };
    assert_eq!(error.code, Code::NotSupported);
    let none = worker.request(Action::ReleaseQueue { session: SessionId::random(), via: String::new() });
    assert!(matches!(none, Reply::Error { error } if error.code == Code::SessionNotFound));
    worker.shut_down();
}

#[test]
fn g17_a_worker_holds_no_more_sessions_than_its_capacity_and_one_lease_each() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let first = worker.open("fake", |_| {});
    for _ in 0..3 {
        worker.open("fake", |_| {});
    }
    let full = worker.request(Action::OpenSession { spec: spec("fake", |_| {}), environment: None });
    assert!(matches!(full, Reply::Error { error } if error.code == Code::PoolFull));
    let again =
        worker.request(Action::OpenSession { spec: spec("fake", |spec| spec.id = first), environment: None });
    assert!(matches!(again, Reply::Done { .. }), "opening an open session is acknowledged");
    let other_home = Worker::spawn(&home);
    let mut other = other_home;
    other.greet(1, "");
    let leased =
        other.request(Action::OpenSession { spec: spec("fake", |spec| spec.id = first), environment: None });
    assert!(matches!(leased, Reply::Error { error } if error.code == Code::SessionLeased));
    other.shut_down();
    assert!(matches!(worker.close(first, Cause::Person), Reply::Done { .. }));
    worker.open("fake", |_| {});
    worker.shut_down();
}

#[test]
fn p10_shutdown_ends_turns_as_interrupted_and_holds_the_queue() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    worker.prompt(session, "hang");
    let queued = PromptId::random();
    worker.request(action(session, queued, "say later", WhenBusy::Queue));
    let pid = worker.snapshot("agent", session, |s| s.agent.as_ref().map(|agent| agent.process.pid));
    worker.send(&Command::Shutdown { cause: Cause::DaemonStopped });
    assert_eq!(worker.exit(), Some(0));
    gone(pid);
    let released = worker.released(session);
    assert_eq!((released.state, released.queue_held), (SessionState::Interrupted, true));
    let turn = released.last_turn.unwrap();
    assert_eq!((turn.outcome, turn.cause), (TurnOutcome::Interrupted, Some(Cause::DaemonStopped)));
    let held = worker.journal(session).iter().any(
        |event| matches!(event, Event::QueueHeld(held) if held.cause == Cause::DaemonStopped && held.prompts == 1),
    );
    assert!(held);

    let (mut next, _) = Worker::start(&home, "");
    next.open("fake", |spec| spec.id = session);
    let release = Action::ReleaseQueue { session, via: String::from("test") };
    assert!(matches!(next.request(release), Reply::Done { .. }));
    assert_eq!(next.ended(session, queued), TurnOutcome::Completed);
    assert_eq!(next.texts(session), ["hanging", "later"]);
    next.shut_down();
}

#[test]
fn a_queue_goes_on_by_itself_only_where_the_settings_say_so() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    worker.prompt(session, "hang");
    let queued = worker.prompt(session, "say later");
    worker.shut_down();
    let (mut next, _) = Worker::start(&home, "resume = \"always\"");
    next.open("fake", |spec| spec.id = session);
    assert_eq!(next.ended(session, queued), TurnOutcome::Completed);
    next.shut_down();
}

#[test]
fn a_session_whose_disk_is_full_is_let_go_of_and_the_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let mut worker = Worker::spawn_limited(&home, 256);
    worker.greet(1, "");
    let [full, other] = std::array::from_fn(|_| worker.open("fake", |_| {}));
    worker.prompt(full, "flood 20000");
    let released = worker.released(full);
    assert_eq!((released.state, released.turn.is_some()), (SessionState::Failed, true));
    assert!(released.why.unwrap().contains("journal"));
    assert_eq!(worker.run(other, "say on"), TurnOutcome::Completed);
    worker.shut_down();
    let (mut next, _) = Worker::start(&home, "");
    next.open("fake", |spec| spec.id = full);
    assert_eq!(next.run(full, "say back"), TurnOutcome::Completed);
    let texts = next.texts(full);
    assert!(texts.len() > 500 && texts.last().unwrap() == "back", "{}", texts.len());
    let interrupted = next
        .journal(full)
        .iter()
        .any(|event| matches!(event, Event::TurnEnded(ended) if ended.outcome == TurnOutcome::Interrupted));
    assert!(interrupted, "no follower waits for a turn that nobody ends");
    next.shut_down();
}

#[test]
fn n8_a_sessions_settings_are_those_of_its_journal() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    worker.request(Action::Release { session, cause: Cause::Person });
    worker.open("fake", |spec| (spec.id, spec.permission_mode) = (session, PermissionMode::Bypass));
    worker.prompt(session, "permit ls");
    worker.waiting(session, 1);
    worker.shut_down();
}

#[test]
fn p10_sigterm_is_graceful_too() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, hello) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    worker.prompt(session, "hang");
    skep_sys::signal::send(&hello.process, skep_sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(worker.exit(), Some(0));
    assert_eq!(worker.released(session).last_turn.unwrap().cause, Some(Cause::WorkerStopped));
}

#[test]
fn s8_a_shutdown_and_the_sigterm_that_comes_with_it_are_one_request() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, hello) = Worker::start(&home, "");
    let session = worker.open("farewell", |_| {});
    worker.prompt(session, "say hi");
    worker.send(&Command::Shutdown { cause: Cause::DaemonStopped });
    skep_sys::signal::send(&hello.process, skep_sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(worker.exit(), Some(0));
    let log = home.path().join("sessions").join(session.to_string()).join("process.log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "goodbye\n", "the agent had the time to end by itself");
}

#[test]
fn n2_a_killed_workers_session_is_taken_up_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, hello) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "hang");
    let pid = worker.snapshot("agent", session, |s| s.agent.as_ref().map(|agent| agent.process.pid));
    skep_sys::signal::send(&hello.process, skep_sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(worker.exit(), None);
    gone(pid);
    let (mut next, _) = Worker::start(&home, "");
    next.open("fake", |spec| spec.id = session);
    let again = next.request(action(session, prompt, "hang", WhenBusy::Refuse));
    assert!(matches!(again, Reply::Prompt { duplicate: true, .. }), "{again:?}");
    assert_eq!(next.run(session, "say on"), TurnOutcome::Completed);
    next.shut_down();
}

#[test]
fn g9_eight_sessions_stream_at_once_and_none_hears_another() {
    let home = tempfile::tempdir().unwrap();
    let mut workers: Vec<Worker> = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let (mut worker, _) = Worker::start(&home, "");
        for _ in 0..4 {
            let session = worker.open("fake", |_| {});
            let prompt = worker.prompt(session, "flood 2000");
            sessions.push((workers.len(), session, prompt));
        }
        workers.push(worker);
    }
    for (at, session, prompt) in sessions {
        assert_eq!(workers[at].ended(session, prompt), TurnOutcome::Completed);
        let texts = workers[at].texts(session);
        assert!(texts.len() == 2000 && texts.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    }
    workers.into_iter().for_each(Worker::shut_down);
}
