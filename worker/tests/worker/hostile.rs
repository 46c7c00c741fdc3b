//! Agents that do what no agent should: each is contained, with an outcome that says what happened (issue 3).

use std::time::{Duration, Instant};

use crate::common::{Worker, agent, gone};
use skep_common::ids::AnswerId;
use skep_common::session::{Cause, TurnOutcome};

#[test]
fn a_start_that_goes_wrong_fails_the_turn_and_says_how() {
    let home = tempfile::tempdir().unwrap();
    let table = [
        ("never", "did not start in time: initialize was not answered within 1s"),
        ("slow", "did not start in time: session/new was not answered within 1s"),
        ("dies", "initialize: it ended: exit status 7"),
        ("garbage", "answered initialize without a protocol version"),
        ("newer", "speaks ACP version 9"),
        ("nameless", "answered session/new without a session id"),
    ];
    let agents = table.map(|(option, _)| agent(option, &[option], ""));
    let config = format!("agent_start_timeout = \"1 s\"\n{}", agents.concat());
    let (mut worker, _) = Worker::start(&home, &config);
    for (agent, words) in table {
        let session = worker.open(agent, |_| {});
        let (outcome, detail) = worker.detail(session, "say hi");
        assert_eq!(outcome, TurnOutcome::Failed, "{agent}: {detail}");
        assert!(detail.contains(words), "{agent}: {detail}");
        worker.close(session, Cause::Person);
    }
    worker.shut_down();
}

#[test]
fn answers_to_nothing_and_double_answers_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("double", &["double"], ""));
    let session = worker.open("double", |_| {});
    assert_eq!(worker.run(session, "twice"), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "say next"), TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["end_turn", "cancelled", "max_tokens", "next"]);
    worker.shut_down();
}

#[test]
fn two_requests_under_one_id_are_two_questions() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "same-id ls");
    for permission in worker.waiting(session, 2) {
        worker.answer(session, permission, AnswerId::random(), true);
    }
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed);
    assert_eq!(worker.texts(session).len(), 2);
    worker.shut_down();
}

#[test]
fn a_line_over_64_mib_is_dropped_and_said() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, &format!("huge {}", 65 << 20)), TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["small"]);
    assert!(worker.notes(session).concat().contains("over the limit and dropped"));
    worker.shut_down();
}

#[test]
fn an_agent_that_ends_in_the_middle_of_a_line_interrupts_its_turn() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let (outcome, detail) = worker.detail(session, "half-line");
    assert_eq!(outcome, TurnOutcome::Interrupted);
    assert!(detail.contains("exit status 3"), "{detail}");
    assert_eq!(worker.updates(session).len(), 1);
    worker.shut_down();
}

#[test]
fn an_agents_child_that_holds_its_pipes_does_not_keep_its_turn_alive() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let begun = Instant::now();
    assert_eq!(worker.run(session, "hold-pipes"), TurnOutcome::Interrupted);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    gone(worker.texts(session)[0].parse().unwrap());
    worker.shut_down();
}
