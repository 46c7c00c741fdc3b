//! Creating sessions and finding places for them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_session_goes_to_the_least_loaded_worker_of_its_kind() {
    let mut bench = Bench::start("").await;
    bench.pool.up("w1", "remote-control", 2);
    bench.pool.up("w2", "remote-control", 2);
    bench.pool.up("b1", "background", 2);
    let mut placed = Vec::new();
    for _ in 0..4 {
        placed.push(bench.open(bench.request()).await.worker.unwrap().to_string());
    }
    placed.sort();
    assert_eq!(placed, ["w1", "w1", "w2", "w2"]);
    let background = CreateSession { kind: SessionKind::Bg, ..bench.request() };
    assert_eq!(bench.open(background).await.worker.unwrap().as_str(), "b1");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn s9_a_session_created_before_any_worker_is_up_waits_for_one() {
    let mut bench = Bench::start("").await;
    let worker = "w1".parse().unwrap();
    bench.pool.show(&worker, "remote-control", 4, WorkerState::Starting);
    let creating = bench.create(bench.request());
    bench.pool.show(&worker, "remote-control", 4, WorkerState::Running);
    bench.pool.hello(&worker);
    bench.open_next().await;
    assert!(creating.await.unwrap().unwrap().created);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn workers_are_started_on_demand_then_idle_sessions_make_room_then_sessions_queue_then_the_pool_is_full()
 {
    let toml = "[pool]\nmax_waiting = 1\n[pool.background]\nmax_workers = 2\ncapacity = 1";
    let mut bench = Bench::start(toml).await;
    let background = |bench: &Bench| CreateSession { kind: SessionKind::Bg, ..bench.request() };
    bench.pool.up("b0", "background", 1);
    let first = bench.open(background(&bench)).await;
    // No place: the second worker is started.
    let creating = bench.create(background(&bench));
    let grown = "background-2".parse().unwrap();
    until_listed(&bench, "background-2").await;
    bench.pool.show(&grown, "background", 1, WorkerState::Running);
    bench.pool.hello(&grown);
    let second = bench.open_next().await;
    creating.await.unwrap().unwrap();
    // No place and no further worker: the session that has been idle for longest makes room.
    bench.pool.report(&grown, Report::Session(snapshot(second, SessionState::Running, 4)));
    bench.until(second, SessionState::Running).await;
    let creating = bench.create(background(&bench));
    let release = bench.sent().await;
    assert!(matches!(release.action, Action::Release { session, cause: Cause::Idle } if session == first.id));
    bench.pool.ack(&release, Reply::Done { head: Head::default() });
    bench.pool.report(&release.worker, Report::Released(snapshot(first.id, SessionState::Hibernated, 5)));
    let third = bench.open_next().await;
    creating.await.unwrap().unwrap();
    bench.pool.report(&release.worker, Report::Session(snapshot(third, SessionState::Running, 4)));
    bench.until(third, SessionState::Running).await;
    // All work: one waits, and says so at once; the next is refused.
    let queued = bench.engine.create(background(&bench)).await.unwrap();
    assert_eq!(queued.info.state, SessionState::Queued);
    assert_eq!(code(bench.engine.create(background(&bench)).await), Code::PoolFull);
    // It gets the place that comes free.
    bench.pool.report(&grown, Report::Released(snapshot(second, SessionState::Closed, 9)));
    assert_eq!(bench.open_next().await, queued.info.id);
    bench.until(queued.info.id, SessionState::Idle).await;
    bench.end().await;
}

async fn until_listed(bench: &Bench, id: &str) {
    let listed = async {
        while bench.engine.worker(id).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, listed).await.expect("the worker is started");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_be_added_leaves_sessions_waiting_and_nobody_hanging() {
    let mut bench = Bench::start("[pool.remote-control]\nmax_workers = 4").await;
    bench.pool.refuse_growth();
    bench.pool.up("w1", "remote-control", 1);
    let busy = bench.open(bench.request()).await;
    bench
        .pool
        .report(busy.worker.as_ref().unwrap(), Report::Session(snapshot(busy.id, SessionState::Running, 4)));
    bench.until(busy.id, SessionState::Running).await;
    let created = timeout(SOON, bench.engine.create(bench.request())).await.unwrap().unwrap();
    assert_eq!(created.info.state, SessionState::Queued);
    bench
        .pool
        .report(busy.worker.as_ref().unwrap(), Report::Session(snapshot(busy.id, SessionState::Idle, 5)));
    let release = bench.sent().await;
    assert!(matches!(release.action, Action::Release { session, .. } if session == busy.id));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_parked_workers_refuses_instead_of_waiting() {
    let bench = Bench::start("[pool.remote-control]\nmax_workers = 1").await;
    bench.pool.show(&"w1".parse().unwrap(), "remote-control", 4, WorkerState::Starting);
    let waiting = bench.create(bench.request());
    tokio::task::yield_now().await;
    bench.pool.show(&"w1".parse().unwrap(), "remote-control", 4, WorkerState::Parked);
    bench.pool.refuse_growth();
    let refused = timeout(SOON, waiting).await.unwrap().unwrap();
    assert!(matches!(code(refused), Code::PoolFull));
    assert_eq!(bench.engine.sessions(true).await.unwrap(), [], "a refused session leaves nothing");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn g8_a_failed_start_frees_its_place_and_its_name() {
    let mut bench = Bench::start("[session]\nmax_open = 1").await;
    bench.pool.up("w1", "remote-control", 1);
    let creating = bench.create(bench.named("x"));
    let sent = bench.sent().await;
    let error = ApiError::new(Code::StorageFailed, "the disk is full");
    bench.pool.ack(&sent, Reply::Error { error });
    assert_eq!(code(creating.await.unwrap()), Code::StorageFailed);
    assert_eq!(bench.engine.sessions(true).await.unwrap(), []);
    bench.open(bench.named("x")).await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn g17_the_limit_counts_live_sessions_only() {
    let mut bench = Bench::start("[session]\nmax_open = 1").await;
    let worker = bench.pool.up("w1", "remote-control", 4);
    let first = bench.open(bench.request()).await;
    assert_eq!(code(bench.engine.create(bench.request()).await), Code::TooManySessions);
    bench.pool.report(&worker, Report::Released(snapshot(first.id, SessionState::Hibernated, 4)));
    bench.until(first.id, SessionState::Hibernated).await;
    bench.open(bench.request()).await;
    assert_eq!(code(submit(&bench.engine, first.id, text("x")).await), Code::TooManySessions);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn names_and_ids_are_taken_continued_or_in_conflict() {
    let mut bench = Bench::start("").await;
    bench.pool.up("w1", "remote-control", 4);
    let id = SessionId::random();
    let first = bench.open(CreateSession { id: Some(id), ..bench.named("x") }).await;
    assert_eq!(first.id, id, "g14: a client's id is honoured");
    assert_eq!(code(bench.engine.create(bench.named("x")).await), Code::SessionExists);
    let same_id = CreateSession { id: Some(id), ..bench.request() };
    assert_eq!(code(bench.engine.create(same_id).await), Code::SessionExists);
    let continued = |request: CreateSession| CreateSession { continue_open: true, ..request };
    let found = bench.engine.create(continued(bench.named("x"))).await.unwrap();
    assert_eq!((found.created, found.info.id), (false, id));
    let elsewhere = CreateSession { cwd: String::from("/"), ..bench.named("x") };
    assert_eq!(code(bench.engine.create(continued(elsewhere)).await), Code::SessionConflict);
    let mode = Some(skep_common::session::PermissionMode::Deny);
    let stricter = CreateSession { permission_mode: mode, ..bench.named("x") };
    assert_eq!(code(bench.engine.create(continued(stricter)).await), Code::SessionConflict);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_built_or_not_known_is_refused() {
    let bench = Bench::start("").await;
    let refused = |request: CreateSession| {
        let engine = bench.engine.clone();
        async move { code(engine.create(request).await) }
    };
    let base = || bench.request();
    assert_eq!(refused(CreateSession { sandbox: true, ..base() }).await, Code::NotSupported);
    let spawn_mode = |mode: &str| CreateSession { spawn_mode: Some(mode.into()), ..base() };
    assert_eq!(refused(spawn_mode("worktree")).await, Code::NotSupported);
    assert_eq!(refused(spawn_mode("moon")).await, Code::InvalidValue);
    assert_eq!(refused(CreateSession { agent: Some("nobody".into()), ..base() }).await, Code::AgentNotFound);
    assert_eq!(refused(CreateSession { agent: Some("codex".into()), ..base() }).await, Code::AgentFailed);
    let missing = bench.home.path().join("missing").to_str().unwrap().to_owned();
    assert_eq!(refused(CreateSession { cwd: missing, ..base() }).await, Code::DirectoryNotAllowed);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_started_on_demand_is_stopped_when_it_has_been_empty_for_long() {
    let mut bench = Bench::start("[pool.background]\ncapacity = 1").await;
    let creating = bench.create(CreateSession { kind: SessionKind::Bg, ..bench.request() });
    until_listed(&bench, "background-1").await;
    let worker = "background-1".parse().unwrap();
    bench.pool.show(&worker, "background", 1, WorkerState::Running);
    bench.pool.hello(&worker);
    let id = bench.open_next().await;
    creating.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.pool.acted(), [], "it holds a session");
    bench.pool.report(&worker, Report::Released(snapshot(id, SessionState::Hibernated, 4)));
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(bench.pool.acted(), [(worker, WorkerAction::Retire)]);
    bench.end().await;
}
