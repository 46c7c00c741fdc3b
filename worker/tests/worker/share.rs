//! Sessions that share one agent process: what one of them does or suffers is not in the others' journals.

use crate::common::{Worker, agent, alive, gone};
use skep_common::event::Event;
use skep_common::ids::{AnswerId, SessionId};
use skep_common::protocol::Action;
use skep_common::session::{Cause, SessionState, TurnOutcome};

const SHARED: &str = "share = \"worker\"";

fn pid(worker: &Worker, session: SessionId) -> u32 {
    worker.starts(session).last().unwrap().0
}

#[test]
fn n1_sessions_share_a_process_only_where_the_preset_says_so() {
    let home = tempfile::tempdir().unwrap();
    let config = [
        agent("one", &["many"], SHARED),
        agent("any", &["many"], "share = \"worker\"\ndirectories = \"any\""),
        agent("own", &["many"], ""),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    let elsewhere = home.path().to_str().unwrap().to_owned();
    for (agent, same, other) in [("one", true, false), ("any", true, true), ("own", false, false)] {
        let (first, second) = (worker.open(agent, |_| {}), worker.open(agent, |_| {}));
        let third = worker.open(agent, |spec| spec.cwd.clone_from(&elsewhere));
        for (session, word) in [(first, "a"), (second, "b"), (third, "c"), (first, "d")] {
            assert_eq!(worker.run(session, &format!("say {word}")), TurnOutcome::Completed);
        }
        assert_eq!(worker.texts(first), ["a", "d"]);
        assert_eq!((worker.texts(second), worker.texts(third)), (vec!["b".into()], vec!["c".into()]));
        assert_eq!(pid(&worker, first) == pid(&worker, second), same, "{agent}");
        assert_eq!(pid(&worker, first) == pid(&worker, third), other, "{agent}, another directory");
        for session in [first, second, third] {
            worker.close(session, Cause::Person);
        }
    }
    worker.shut_down();
}

#[test]
fn n1_a_shared_process_knows_no_sessions_name_and_carries_a_mark_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many"], SHARED));
    let session = worker.open("many", |_| {});
    worker.run(session, "env");
    let said = worker.texts(session).concat();
    assert!(said.contains("SKEP_AGENT_PROCESS=") && said.contains("SKEP_WORKER=w-1"), "{said}");
    assert!(!said.contains("SKEP_SESSION") && !said.contains("SKEP_LOG_PATH"), "{said}");
    worker.shut_down();
}

#[test]
fn n1_one_sessions_question_flood_cancel_and_close_leave_the_other_alone() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many", "close"], SHARED));
    let (loud, calm) = (worker.open("many", |_| {}), worker.open("many", |_| {}));
    assert_eq!(worker.run(calm, "say first"), TurnOutcome::Completed);
    let asks = worker.prompt(loud, "permit ls");
    let waiting = worker.waiting(loud, 1);
    assert_eq!(worker.run(calm, "say while it waits"), TurnOutcome::Completed);
    worker.answer(loud, waiting[0], AnswerId::random(), true);
    assert_eq!(worker.ended(loud, asks), TurnOutcome::Completed);
    let floods = worker.prompt(loud, "flood 5000");
    assert_eq!(worker.run(calm, "say beside the flood"), TurnOutcome::Completed);
    assert_eq!(worker.ended(loud, floods), TurnOutcome::Completed);
    let hangs = worker.prompt(loud, "hang");
    worker.wait_texts(loud, 5002);
    worker.request(Action::Cancel { session: loud, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(loud, hangs), TurnOutcome::Cancelled);
    worker.close(loud, Cause::Person);
    assert_eq!(worker.run(calm, "say last"), TurnOutcome::Completed);
    assert_eq!(worker.exits(loud), ["left a process that serves other sessions"]);
    assert_eq!(
        worker.texts(calm),
        ["first", "while it waits", "beside the flood", "last"],
        "nothing of the other session"
    );
    assert_eq!(worker.starts(calm).len(), 1);
    let process = pid(&worker, calm);
    let closed = format!("closed {}", worker.agent_session(loud));
    worker.close(calm, Cause::Person);
    assert!(!alive(process), "the last session takes the process with it");
    let log = std::fs::read_to_string(home.path().join(format!("sessions/{calm}/process.log"))).unwrap();
    assert!(log.contains(&closed), "{log}");
    worker.shut_down();
}

#[test]
fn n2_a_crash_interrupts_every_session_of_the_process_and_each_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many"], SHARED));
    let (one, two, idle) =
        (worker.open("many", |_| {}), worker.open("many", |_| {}), worker.open("many", |_| {}));
    worker.run(idle, "say hi");
    let hangs = worker.prompt(two, "hang");
    worker.wait_texts(two, 1);
    assert_eq!(worker.run(one, "exit 7"), TurnOutcome::Interrupted);
    assert_eq!(worker.ended(two, hangs), TurnOutcome::Interrupted);
    for session in [one, two] {
        let last = worker.snapshot("the interruption", session, |snapshot| {
            snapshot.last_turn.clone().filter(|turn| turn.outcome == TurnOutcome::Interrupted)
        });
        assert_eq!(last.cause, Some(Cause::AgentCrashed));
        assert!(last.detail.unwrap().contains("exit status 7"));
        assert_eq!(worker.exits(session), ["exit status 7"]);
    }
    for (session, texts) in [(one, ["working", "back"]), (two, ["hanging", "back"]), (idle, ["hi", "back"])] {
        assert_eq!(worker.run(session, "say back"), TurnOutcome::Completed);
        assert_eq!(worker.texts(session), texts, "what is replayed is nobody's news");
        assert_eq!(worker.starts(session).last().unwrap().1, "loaded");
    }
    assert_eq!(pid(&worker, one), pid(&worker, two), "they share the next process");
    worker.shut_down();
}

#[test]
fn n4_a_killed_session_takes_its_own_processes_and_leaves_the_others_theirs() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many"], SHARED));
    let (one, two) = (worker.open("many", |_| {}), worker.open("many", |_| {}));
    worker.run(two, "keep");
    let theirs: u32 = worker.wait_texts(two, 1)[0].parse().unwrap();
    worker.run(one, "say here");
    worker.prompt(one, "tree");
    let own: u32 = worker.wait_texts(one, 2)[1].parse().unwrap();
    worker.close(one, Cause::Killed);
    gone(own);
    assert!(alive(theirs), "it is the other session's");
    assert_eq!(worker.run(two, "say on"), TurnOutcome::Completed);
    assert_eq!(worker.starts(two).len(), 1);
    worker.close(two, Cause::Person);
    gone(theirs);
    worker.shut_down();
}

#[test]
fn n4_an_agent_that_does_not_end_one_session_is_killed_for_all_and_they_are_told_why() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many"], SHARED));
    let (deaf, other) = (worker.open("many", |_| {}), worker.open("many", |_| {}));
    worker.prompt(deaf, "deaf");
    worker.wait_texts(deaf, 1);
    let hangs = worker.prompt(other, "hang");
    worker.wait_texts(other, 1);
    let process = pid(&worker, other);
    worker.close(deaf, Cause::Killed);
    gone(process);
    assert_eq!(worker.ended(other, hangs), TurnOutcome::Interrupted);
    let state = worker.snapshot("the reason", other, |snapshot| {
        (snapshot.state == SessionState::Interrupted).then(|| snapshot.why.clone().unwrap())
    });
    assert!(state.contains("another session that it served did not end"), "{state}");
    assert_eq!(worker.run(other, "say back"), TurnOutcome::Completed);
    assert_eq!(worker.starts(other).last().unwrap().1, "loaded");
    worker.shut_down();
}

#[test]
fn n4_a_worker_that_is_killed_off_kills_a_shared_process_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("many", &["many"], SHARED));
    let (one, two) = (worker.open("many", |_| {}), worker.open("many", |_| {}));
    worker.prompt(one, "deaf");
    worker.prompt(two, "deaf");
    worker.wait_texts(one, 1);
    worker.wait_texts(two, 1);
    let process = pid(&worker, one);
    worker.hang_up();
    assert_eq!(worker.exit(), Some(0));
    assert!(!alive(process));
    for session in [one, two] {
        let ended = worker.journal(session).into_iter().find_map(|event| match event {
            Event::TurnEnded(ended) => Some((ended.outcome, ended.cause)),
            _ => None,
        });
        assert_eq!(ended, Some((TurnOutcome::Interrupted, Some(Cause::SupervisorGone))));
    }
}
