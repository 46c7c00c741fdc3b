//! The memory budget, and prompts that come while a session hibernates.

use skep_common::session::{AgentProcess, SessionSnapshot};

use super::*;

/// A session whose agent is this process: it takes memory.
fn with_agent(id: SessionId, state: SessionState, seq: u64) -> SessionSnapshot {
    let agent = AgentProcess { title: String::from("x"), process: skep_sys::process::current() };
    SessionSnapshot { agent: Some(agent), ..snapshot(id, state, seq) }
}

async fn release(bench: &mut Bench) -> Sent {
    let sent = bench.sent().await;
    assert!(matches!(sent.action, Action::Release { cause: Cause::Memory, .. }), "{sent:?}");
    sent
}

#[tokio::test(start_paused = true)]
async fn n5_beyond_the_budget_an_idle_session_hibernates_and_a_prompt_that_comes_meanwhile_wakes_it() {
    let mut bench = Bench::start("session.memory_budget = '1 MiB'").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    bench.pool.report(&worker, Report::Session(with_agent(id, SessionState::Idle, 4)));
    let asked = release(&mut bench).await;
    let info = bench.engine.session(&id.to_string()).await.unwrap();
    assert!(info.agent_usage.is_some_and(|usage| usage.memory_bytes > 0), "{info:?}");
    let prompting = bench.prompt(id);
    tokio::task::yield_now().await;
    bench.pool.ack(&asked, Reply::Done { head: Head::default() });
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Hibernated, 5)));
    assert_eq!(bench.open_next().await, id);
    let again = bench.sent().await;
    assert!(matches!(again.action, Action::Prompt { session, .. } if session == id), "{again:?}");
    bench.pool.ack(&again, accepted());
    assert_eq!(prompting.await.unwrap().unwrap().seq, 4);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn n5_a_session_that_works_or_is_kept_awake_does_not_hibernate_for_memory() {
    let mut bench = Bench::start("session.memory_budget = '1 MiB'").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    bench.pool.report(&worker, Report::Session(with_agent(id, SessionState::Running, 4)));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(bench.sent.try_recv().is_err(), "a turn runs");
    bench.pool.report(&worker, Report::Session(with_agent(id, SessionState::Idle, 5)));
    let asked = release(&mut bench).await;
    let busy = ApiError::new(Code::SessionBusy, "it is kept awake: 1 background process (node)");
    bench.pool.ack(&asked, Reply::Error { error: busy });
    let awake = Some(String::from("1 background process (node)"));
    let kept = SessionSnapshot { kept_awake: awake.clone(), ..with_agent(id, SessionState::Idle, 6) };
    bench.pool.report(&worker, Report::Session(kept));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(bench.sent.try_recv().is_err(), "it is asked once");
    assert_eq!(bench.engine.session(&id.to_string()).await.unwrap().kept_awake, awake);
    bench.pool.report(&worker, Report::Session(with_agent(id, SessionState::Idle, 7)));
    release(&mut bench).await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn n5_a_prompt_that_its_worker_has_no_session_for_any_more_wakes_it() {
    let mut bench = Bench::start("").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let id = bench.open(bench.request()).await.id;
    let prompting = bench.prompt(id);
    let sent = bench.sent().await;
    // The worker lets go of it by itself: it was idle for long.
    let gone = ApiError::new(Code::SessionNotFound, "this worker does not hold the session");
    bench.pool.ack(&sent, Reply::Error { error: gone });
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Hibernated, 5)));
    assert_eq!(bench.open_next().await, id);
    let again = bench.sent().await;
    bench.pool.ack(&again, accepted());
    assert_eq!(prompting.await.unwrap().unwrap().seq, 4);
    bench.end().await;
}
