//! Prompts, answers, endings, lost workers, shutdown.

use skep_common::api::{AnswerRequest, CancelRequest, CloseRequest};
use skep_common::ids::PermissionId;
use skep_common::protocol::Decision;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_prompt_goes_to_the_worker_that_holds_the_session() {
    let mut bench = Bench::start("session.when_busy = 'queue'").await;
    bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    let prompting = bench.prompt(id);
    let sent = bench.sent().await;
    let Action::Prompt { session, when_busy, via, .. } = &sent.action else { panic!("{sent:?}") };
    assert_eq!((*session, *when_busy, via.as_str()), (id, skep_common::session::WhenBusy::Queue, "test"));
    bench.pool.ack(&sent, accepted());
    assert_eq!(prompting.await.unwrap().unwrap().seq, 4);
    let prompting = bench.prompt(id);
    let sent = bench.sent().await;
    bench.pool.ack(&sent, Reply::Error { error: ApiError::new(Code::SessionBusy, "busy") });
    assert_eq!(code(prompting.await.unwrap()), Code::SessionBusy);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn g13_empty_prompts_and_impossible_time_limits_are_refused() {
    let bench = Bench::start("").await;
    let id = SessionId::random();
    for (request, expected) in [
        (PromptRequest { content: vec![], ..text("x") }, Code::InvalidValue),
        (text(" \n"), Code::InvalidValue),
        (PromptRequest { timeout_seconds: Some(0), ..text("x") }, Code::InvalidValue),
        (text("x"), Code::SessionNotFound),
    ] {
        assert_eq!(code(submit(&bench.engine, id, request).await), expected);
    }
    let cancel = CancelRequest { cause: Some(Cause::Killed), ..CancelRequest::default() };
    assert_eq!(code(bench.engine.cancel(id, cancel).await), Code::InvalidValue);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hibernated_session_wakes_for_a_prompt_and_for_nothing_less() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Hibernated, 4)));
    bench.until(id, SessionState::Hibernated).await;
    bench.engine.cancel(id, CancelRequest::default()).await.unwrap();
    bench.engine.release_queue(id, &caller()).await.unwrap();
    drop(bench.engine.head(id).await.unwrap());
    assert!(bench.sent.try_recv().is_err(), "nothing was asked of a worker");
    let prompting = bench.prompt(id);
    assert_eq!(bench.open_next().await, id);
    let sent = bench.sent().await;
    bench.pool.ack(&sent, accepted());
    prompting.await.unwrap().unwrap();
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_crosses_a_release_is_not_lost() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    let prompting = bench.prompt(id);
    let sent = bench.sent().await;
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Hibernated, 4)));
    bench.pool.ack(&sent, Reply::Error { error: ApiError::new(Code::SessionNotFound, "not here") });
    assert_eq!(bench.open_next().await, id);
    let again = bench.sent().await;
    assert_eq!(again.action, sent.action, "the same prompt with the same id");
    bench.pool.ack(&again, accepted());
    prompting.await.unwrap().unwrap();
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn n2_a_lost_worker_answers_what_was_under_way_and_its_sessions_are_recovered() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    let prompting = bench.prompt(id);
    bench.sent().await;
    let creating = bench.create(bench.named("y"));
    bench.sent().await;
    bench.pool.down(&worker, Cause::WorkerCrashed);
    assert_eq!(code(prompting.await.unwrap()), Code::WorkerGone);
    assert_eq!(code(creating.await.unwrap()), Code::WorkerGone);
    // Nothing of either is on disk here: both are gone, name and all.
    let gone = async {
        while !bench.engine.sessions(true).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.unwrap();
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_cannot_speak_for_a_session() {
    let mut bench = Bench::start("").await;
    bench.pool.up("w1", "remote-control", 1);
    let id = bench.open(bench.request()).await.id;
    let other = bench.pool.up("w2", "background", 1);
    bench.pool.report(&other, Report::Session(snapshot(id, SessionState::Failed, 99)));
    bench.pool.report(&other, Report::Released(snapshot(id, SessionState::Closed, 99)));
    bench.pool.report(&other, Report::Head { session: id, head: Head { seq: 99, ..Head::default() } });
    let prompting = bench.prompt(id);
    let sent = bench.sent().await;
    bench.pool.report(&other, Report::Ack { id: sent.id, reply: accepted() });
    bench.pool.ack(&sent, Reply::Error { error: ApiError::new(Code::SessionBusy, "busy") });
    assert_eq!(code(prompting.await.unwrap()), Code::SessionBusy);
    let info = bench.engine.session(&id.to_string()).await.unwrap();
    assert_eq!((info.state, info.head.seq), (SessionState::Idle, 3));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn close_answers_when_the_session_is_closed() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.named("x")).await.id;
    let engine = bench.engine.clone();
    let closing = bench.tracker.spawn(async move { engine.close(id, CloseRequest { force: true }).await });
    let sent = bench.sent().await;
    assert!(matches!(sent.action, Action::Close { cause: Cause::Killed, .. }));
    bench.pool.ack(&sent, Reply::Done { head: Head::default() });
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Closed, 6)));
    let info = closing.await.unwrap().unwrap();
    assert_eq!((info.state, info.worker), (SessionState::Closed, None));
    assert_eq!(code(submit(&bench.engine, id, text("x")).await), Code::SessionClosed);
    bench.engine.close(id, CloseRequest::default()).await.expect("closing twice is no error");
    bench.open(bench.named("x")).await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_listed_and_answered_once_found() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.named("x")).await.id;
    let permission = PermissionId::random();
    let mut asking = snapshot(id, SessionState::NeedsYou, 5);
    asking.waiting.push(skep_common::session::PendingPermission {
        id: permission,
        prompt: skep_common::ids::PromptId::random(),
        tool_kind: String::from("execute"),
        title: String::from("rm -rf /"),
        options: Vec::new(),
        requested_at: jiff::Timestamp::now(),
    });
    bench.pool.report(&worker, Report::Session(asking));
    bench.until(id, SessionState::NeedsYou).await;
    let waiting = bench.engine.permissions().await.unwrap();
    assert_eq!((waiting.len(), waiting[0].permission.id), (1, permission));
    let engine = bench.engine.clone();
    let request = AnswerRequest { id: None, decision: Decision::Deny { always: false } };
    let answering =
        bench.tracker.spawn(async move { engine.answer(id, permission, request, &caller()).await });
    let sent = bench.sent().await;
    bench.pool.ack(&sent, Reply::Answer { option: None, allowed: false });
    assert!(!answering.await.unwrap().unwrap().allowed);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn s8_a_shutdown_stops_the_intake_and_waits_for_the_pool() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    bench.pool.down(&worker, Cause::DaemonStopped);
    timeout(SOON, bench.engine.shutdown(Cause::DaemonStopped)).await.unwrap();
    assert_eq!(bench.pool.shutdowns(), [Cause::DaemonStopped]);
    assert_eq!(code(bench.engine.create(bench.request()).await), Code::ShuttingDown);
    assert_eq!(code(submit(&bench.engine, id, text("x")).await), Code::ShuttingDown);
    assert_eq!(bench.engine.health().status, "stopping");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_change_feed_gives_the_latest_state_of_what_changed() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    let all = bench.engine.changed_since(0).await.unwrap();
    assert!(all.reset);
    for state in [SessionState::Running, SessionState::NeedsYou, SessionState::Running] {
        bench.pool.report(&worker, Report::Session(snapshot(id, state, 4)));
    }
    bench.until(id, SessionState::Running).await;
    let changes = bench.engine.changed_since(all.generation).await.unwrap();
    assert_eq!((changes.reset, changes.changed.len()), (false, 1));
    bench.end().await;
}
