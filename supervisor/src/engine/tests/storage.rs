//! Sessions that are on disk only: the start, recovery, closing, removal, retention. With real journals.

use std::path::PathBuf;

use skep_common::api::CloseRequest;
use skep_common::event::{Event, PromptQueued, SessionClosed, SessionOpened, StateChanged, TurnStarted};
use skep_common::ids::PromptId;
use skep_common::session::{SessionFile, SessionSpec};
use skep_journal::{Durability, JournalThread, Lease, Opener, Projection};

use super::*;

fn spec(id: SessionId, name: Option<&str>) -> SessionSpec {
    SessionSpec {
        id,
        name: name.map(|name| name.parse().unwrap()),
        agent: String::from("shell"),
        cwd: String::from("/"),
        permission_mode: skep_common::session::PermissionMode::Ask,
        kind: SessionKind::Daemon,
        ephemeral: false,
        options: skep_common::session::SessionOptions::default(),
        lineage: Vec::new(),
        created_at: jiff::Timestamp::now(),
    }
}

fn dir(home: &tempfile::TempDir, id: SessionId) -> PathBuf {
    home.path().join("sessions").join(id.to_string())
}

/// A journal that a worker wrote before it died.
async fn write(home: &tempfile::TempDir, spec: &SessionSpec, events: Vec<Event>) {
    let dir = dir(home, spec.id);
    std::fs::create_dir_all(&dir).unwrap();
    let (thread, journals) = JournalThread::start().unwrap();
    let lease = Lease::acquire(&dir).unwrap();
    let opener = Opener { session: spec.id, worker: None, version: String::from("test") };
    let opened = journals.create(lease, opener, SessionOpened { spec: spec.clone() }).await.unwrap();
    if !events.is_empty() {
        let ticket = opened.writer.append(events, Durability::Synced).await.unwrap();
        ticket.committed().await.unwrap();
    }
    opened.writer.close().await.unwrap();
    drop((journals, thread));
    let file = SessionFile { spec: spec.clone(), snapshot: None };
    std::fs::write(dir.join("session.json"), serde_json::to_vec(&file).unwrap()).unwrap();
}

fn turn(prompt: PromptId) -> Vec<Event> {
    let queued = PromptQueued {
        prompt,
        content: vec![ContentBlock::Text { text: String::from("x") }],
        via: String::from("test"),
        consent: Consent::None,
        timeout_seconds: None,
        retry_of: None,
    };
    vec![Event::PromptQueued(queued), Event::TurnStarted(TurnStarted { prompt, content: None })]
}

fn closed() -> Vec<Event> {
    let state = StateChanged { state: SessionState::Closed, why: None };
    vec![Event::SessionClosed(SessionClosed { cause: Cause::Person }), Event::State(state)]
}

#[tokio::test]
async fn n2_what_was_left_unfinished_is_ended_at_the_start_and_nothing_starts() {
    let home = tempfile::tempdir().unwrap();
    let id = SessionId::random();
    write(&home, &spec(id, Some("x")), turn(PromptId::random())).await;
    let mut bench = Bench::start_in(home, "").await;
    bench.pool.up("w1", "remote-control", 4);
    let info = bench.until(id, SessionState::Interrupted).await;
    assert_eq!(info.last_turn.unwrap().outcome, skep_common::session::TurnOutcome::Interrupted);
    assert!(bench.sent.try_recv().is_err(), "nothing was asked of a worker");
    let file = std::fs::read(dir(&bench.home, id).join("session.json")).unwrap();
    let file: SessionFile = serde_json::from_slice(&file).unwrap();
    assert_eq!(file.snapshot.unwrap().state, SessionState::Interrupted);
    bench.end().await;
}

#[tokio::test]
async fn p19_broken_settings_are_rebuilt_from_the_journal_and_other_sessions_are_untouched() {
    let home = tempfile::tempdir().unwrap();
    let (broken, lost, good, empty) =
        (SessionId::random(), SessionId::random(), SessionId::random(), SessionId::random());
    for (id, name) in [(broken, "broken"), (lost, "lost"), (good, "good")] {
        write(&home, &spec(id, Some(name)), Vec::new()).await;
    }
    std::fs::write(dir(&home, broken).join("session.json"), b"{\"spec\":").unwrap();
    std::fs::remove_file(dir(&home, lost).join("session.json")).unwrap();
    std::fs::create_dir_all(dir(&home, empty)).unwrap();
    std::fs::create_dir_all(home.path().join("sessions/not-a-session")).unwrap();
    let bench = Bench::start_in(home, "").await;
    for (id, name) in [(broken, "broken"), (lost, "lost"), (good, "good")] {
        bench.until(id, SessionState::Hibernated).await;
        assert_eq!(bench.engine.session(name).await.unwrap().id, id);
    }
    assert_eq!(bench.engine.sessions(true).await.unwrap().len(), 3);
    let kept = std::fs::read_dir(dir(&bench.home, broken)).unwrap().flatten();
    assert!(kept.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("broken-")));
    bench.end().await;
}

#[tokio::test]
async fn a_session_that_no_worker_holds_is_closed_and_removed_without_one() {
    let home = tempfile::tempdir().unwrap();
    let id = SessionId::random();
    write(&home, &spec(id, Some("x")), Vec::new()).await;
    let mut bench = Bench::start_in(home, "").await;
    bench.until(id, SessionState::Hibernated).await;
    assert_eq!(code(bench.engine.remove(id, false).await), Code::SessionBusy);
    let mut head = bench.engine.head(id).await.unwrap();
    let before = head.borrow_and_update().seq;
    let info = bench.engine.close(id, CloseRequest::default()).await.unwrap();
    assert_eq!(info.state, SessionState::Closed);
    assert!(head.borrow_and_update().seq > before, "followers hear the end");
    let (projection, _) = Projection::load(&dir(&bench.home, id)).unwrap();
    assert_eq!(projection.closed, Some(Cause::Person));
    bench.engine.remove(id, false).await.unwrap();
    assert!(!dir(&bench.home, id).exists());
    assert_eq!(code(bench.engine.session("x").await), Code::SessionNotFound);
    assert!(bench.sent.try_recv().is_err(), "no worker was needed");
    bench.end().await;
}

#[tokio::test]
async fn a_second_delivery_to_a_closed_session_is_acknowledged_and_a_new_prompt_refused() {
    let home = tempfile::tempdir().unwrap();
    let (id, prompt) = (SessionId::random(), PromptId::random());
    write(&home, &spec(id, None), [turn(prompt), closed()].concat()).await;
    let bench = Bench::start_in(home, "").await;
    bench.until(id, SessionState::Closed).await;
    let again = PromptRequest { id: Some(prompt), ..text("x") };
    let accepted = submit(&bench.engine, id, again).await.unwrap();
    assert!(accepted.duplicate);
    let new = PromptRequest { id: Some(PromptId::random()), ..text("x") };
    assert_eq!(code(submit(&bench.engine, id, new).await), Code::SessionClosed);
    bench.end().await;
}

#[tokio::test]
async fn closed_sessions_are_kept_as_long_as_configured() {
    let home = tempfile::tempdir().unwrap();
    let (old, open) = (SessionId::random(), SessionId::random());
    write(&home, &spec(old, None), closed()).await;
    write(&home, &spec(open, None), Vec::new()).await;
    // The cache says that it was closed long ago.
    let (projection, head) = Projection::load(&dir(&home, old)).unwrap();
    let mut snapshot = projection.snapshot(old, head);
    snapshot.updated_at = jiff::Timestamp::from_second(1).unwrap();
    let file = SessionFile { spec: spec(old, None), snapshot: Some(snapshot) };
    std::fs::write(dir(&home, old).join("session.json"), serde_json::to_vec(&file).unwrap()).unwrap();
    let bench = Bench::start_in(home, "").await;
    let pruned = async {
        while bench.engine.sessions(true).await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), pruned).await.expect("the old one is removed");
    assert!(!dir(&bench.home, old).exists() && dir(&bench.home, open).exists());
    bench.end().await;
}
