//! Sessions that are opened from inside others.

use skep_common::api::{CloseRequest, Opener};
use skep_common::session::PermissionMode;

use super::*;

impl Bench {
    /// A request from inside `opener`.
    fn inside(&self, opener: SessionId) -> CreateSession {
        CreateSession {
            opener: Some(Opener { session: opener, by_descent: true, confined_to: None }),
            ..self.request()
        }
    }

    /// The same of one that may act below `root` only.
    fn confined(&self, opener: SessionId, root: SessionId) -> CreateSession {
        let opener = Some(Opener { session: opener, by_descent: false, confined_to: Some(root) });
        CreateSession { opener, ..self.request() }
    }

    async fn refusal(&self, request: CreateSession) -> Code {
        self.engine.create(request).await.unwrap_err().code
    }
}

const WIDE: &str = "pool.remote-control.capacity = 100\n";

#[tokio::test(start_paused = true)]
async fn n9_sessions_are_nested_so_deep_and_no_deeper() {
    let mut bench = Bench::start(&format!("{WIDE}delegation.max_depth = 2")).await;
    bench.pool.up("remote-control-1", "remote-control", 100);
    let root = bench.open(bench.request()).await;
    assert!(root.lineage.is_empty());
    let child = bench.open(bench.inside(root.id)).await;
    assert_eq!((child.parent(), child.lineage.as_slice()), (Some(root.id), &[root.id][..]));
    let grandchild = bench.open(bench.inside(child.id)).await;
    assert_eq!(grandchild.lineage, [root.id, child.id]);
    assert_eq!(bench.refusal(bench.inside(grandchild.id)).await, Code::TooDeep);
    bench.end().await;

    let none = Bench::start("delegation.max_depth = 0").await;
    assert_eq!(none.refusal(none.inside(SessionId::random())).await, Code::InsideSession);
}

#[tokio::test(start_paused = true)]
async fn n9_open_children_count_against_their_opener_and_all_against_the_outermost() {
    let limits = "delegation.max_children = 2\ndelegation.max_tree = 3\n";
    let mut bench = Bench::start(&format!("{WIDE}{limits}")).await;
    bench.pool.up("remote-control-1", "remote-control", 100);
    let root = bench.open(bench.request()).await.id;
    let first = bench.open(bench.inside(root)).await.id;
    let second = bench.open(bench.inside(root)).await.id;
    assert_eq!(bench.refusal(bench.inside(root)).await, Code::TooManyChildren);
    bench.open(bench.inside(first)).await;
    let full = bench.engine.create(bench.inside(second)).await.unwrap_err();
    assert_eq!(full.code, Code::TooManyChildren);
    assert!(full.message.contains("delegation.max_tree"), "{full}");

    // Sessions of others are not counted, and closed ones no more.
    bench.open(bench.request()).await;
    let engine = bench.engine.clone();
    let closing = bench.tracker.spawn(async move { engine.close(second, CloseRequest::default()).await });
    let sent = bench.sent().await;
    bench.pool.ack(&sent, Reply::Done { head: Head::default() });
    bench.pool.report(&sent.worker, Report::Released(snapshot(second, SessionState::Closed, 9)));
    closing.await.unwrap().unwrap();
    assert_eq!(bench.refusal(bench.inside(second)).await, Code::SessionClosed);
    bench.open(bench.inside(root)).await;
}

#[tokio::test(start_paused = true)]
async fn n9_a_child_has_no_wider_mode_rules_servers_or_directory_than_its_opener() {
    let mut bench = Bench::start(WIDE).await;
    bench.pool.up("remote-control-1", "remote-control", 100);
    let plan = CreateSession { permission_mode: Some(PermissionMode::Plan), ..bench.request() };
    let plan = bench.open(plan).await.id;
    assert_eq!(bench.open(bench.inside(plan)).await.permission_mode, PermissionMode::Plan);
    let mode = |opener, mode| CreateSession { permission_mode: Some(mode), ..bench.inside(opener) };
    for wider in [PermissionMode::Ask, PermissionMode::AcceptEdits, PermissionMode::Bypass] {
        assert_eq!(bench.refusal(mode(plan, wider)).await, Code::InsideSession);
    }
    let options =
        |json: &str| CreateSession { options: serde_json::from_str(json).unwrap(), ..bench.inside(plan) };
    for json in [
        r#"{"rules":[{"tool":"*","action":"allow"}]}"#,
        r#"{"set":{"mode":"yolo"}}"#,
        r#"{"mcp_servers":{"x":{"command":"touch","args":["/tmp/x"]}}}"#,
    ] {
        assert_eq!(bench.refusal(options(json)).await, Code::InsideSession, "{json}");
    }
    let above = bench.home.path().parent().unwrap().to_str().unwrap().to_owned();
    let elsewhere = CreateSession { cwd: above, ..bench.confined(plan, plan) };
    assert_eq!(bench.refusal(elsewhere).await, Code::DirectoryNotAllowed);
    let free = CreateSession { permission_mode: Some(PermissionMode::Bypass), ..bench.request() };
    let free = bench.open(free).await.id;
    assert_eq!(bench.open(bench.inside(free)).await.permission_mode, PermissionMode::Ask);
    let asked_for = CreateSession { permission_mode: Some(PermissionMode::Bypass), ..bench.inside(free) };
    let asked_for = bench.open(asked_for).await;
    assert_eq!(asked_for.permission_mode, PermissionMode::Bypass);
    let marked =
        CreateSession { permission_mode: Some(PermissionMode::Bypass), ..bench.confined(free, free) };
    assert_eq!(bench.refusal(marked).await, Code::InsideSession, "a mark can be put on");
}

#[tokio::test(start_paused = true)]
async fn n9_who_may_act_below_one_session_opens_and_continues_nothing_elsewhere() {
    let mut bench = Bench::start(WIDE).await;
    bench.pool.up("remote-control-1", "remote-control", 100);
    let root = bench.open(bench.request()).await.id;
    let other = bench.open(bench.named("other")).await.id;
    let child = bench.open(bench.confined(root, root)).await.id;
    assert_eq!(bench.open(bench.confined(child, root)).await.lineage, [root, child]);
    assert_eq!(bench.refusal(bench.confined(other, root)).await, Code::Forbidden);
    let taken = CreateSession {
        name: Some("other".parse().unwrap()),
        continue_open: true,
        ..bench.confined(root, root)
    };
    assert_eq!(bench.refusal(taken.clone()).await, Code::SessionExists);
    let by_id = CreateSession { id: Some(other), name: None, ..taken };
    assert_eq!(bench.refusal(by_id).await, Code::SessionExists);
}
