//! Promises 10 and 11, N4: no process of a tree survives, however it forked.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use skep_common::ids::Process;
use skep_sys::process;
use skep_sys::spawn::{Child, Signal, SpawnSpec};
use skep_sys::subreaper::{orphans, reap_orphans};
use skep_sys::tree::{Tree, kill, kill_orphans, members, terminate};

use super::help::*;

const KEY: &str = "SKEP_TEST_MARK";

fn mark() -> String {
    format!("{}-{:?}", std::process::id(), std::time::SystemTime::now())
}

/// The spec with a mark, and the tree to be.
fn marked(mut spec: SpawnSpec) -> (Child, Tree) {
    adopt();
    let value = mark();
    spec.env.push((OsString::from(KEY), OsString::from(&value)));
    let child = start(spec);
    let tree = Tree { root: child.process.clone(), mark: Some((KEY.to_owned(), value)) };
    (child, tree)
}

fn state(process: &Process) -> String {
    std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default()
}

fn nobody_is_left(tree: &Tree) {
    assert_eq!(members(tree), Vec::<Process>::new());
}

#[tokio::test]
async fn p10_a_willing_tree_ends_by_sigterm_within_the_grace() {
    let (mut child, tree) = marked(sh("sleep 50 & sleep 50 & echo ready; wait"));
    first_line(&mut child).await;
    assert_eq!(members(&tree).len(), 3);
    let report = terminate(std::slice::from_ref(&tree), LONG).await;
    assert!(report.is_empty() && report.killed == 0, "{report:?}");
    assert_eq!(report.terminated, 3);
    assert!(report.took < LONG, "it did not wait for the grace to pass");
    assert_eq!(child.exited().await.signal(), Some(15));
    no_zombies().await;
}

#[tokio::test]
async fn p10_who_ignores_sigterm_is_killed_after_the_grace() {
    let (mut child, tree) = marked(sh("trap '' TERM; echo ready; while :; do sleep 1; done"));
    first_line(&mut child).await;
    let grace = Duration::from_millis(100);
    let report = terminate(std::slice::from_ref(&tree), grace).await;
    assert!(report.is_empty() && report.killed > 0 && report.took >= grace, "{report:?}");
    assert_eq!(child.exited().await.signal(), Some(9));
    nobody_is_left(&tree);
    no_zombies().await;
}

#[tokio::test]
async fn p10_a_stopped_process_is_continued_and_ends() {
    let (mut child, tree) = marked(sh("echo ready; kill -STOP $$; sleep 50"));
    first_line(&mut child).await;
    let report = terminate(std::slice::from_ref(&tree), LONG).await;
    assert!(report.is_empty() && report.killed == 0, "{report:?}");
    assert_eq!(child.exited().await.signal(), Some(15));
    no_zombies().await;
}

#[tokio::test]
async fn p10_who_stopped_itself_and_is_deaf_is_killed() {
    let (child, tree) = marked(spec(ZOO, &["stop"]));
    until("it to stop", || state(&child.process).contains(") T ")).await;
    assert!(terminate(std::slice::from_ref(&tree), Duration::from_millis(20)).await.is_empty());
    assert_eq!(child.exited().await.signal(), Some(9));
}

#[tokio::test]
async fn p11_a_storm_of_hidden_processes_leaves_no_survivor() {
    for round in 0..3 {
        let (mut child, tree) = marked(spec(ZOO, &["storm", "100"]));
        assert_eq!(first_line(&mut child).await, "ready");
        child.exited().await;
        until("the storm", || members(&tree).len() >= 100).await;
        let report = terminate(std::slice::from_ref(&tree), Duration::from_millis(1)).await;
        assert!(report.is_empty(), "round {round}: {report:?}");
        nobody_is_left(&tree);
        child.reap();
        no_zombies().await;
    }
}

#[tokio::test]
async fn p11_a_tree_that_keeps_forking_is_caught() {
    let (mut child, tree) = marked(spec(ZOO, &["churn"]));
    first_line(&mut child).await;
    child.exited().await;
    let begun = Instant::now();
    let report = kill(std::slice::from_ref(&tree)).await;
    assert!(report.is_empty(), "{report:?} after {:?}", begun.elapsed());
    nobody_is_left(&tree);
    no_zombies().await;
}

#[tokio::test]
async fn p11_the_leaders_early_exit_does_not_cancel_the_kill_of_the_rest() {
    let (mut child, mut tree) = marked(sh("setsid sleep 50 & sleep 50 & echo ready; exit 0"));
    first_line(&mut child).await;
    child.exited().await;
    until("both", || members(&tree).len() == 2).await;
    // Reaped, the number of the group is no proof any more: the mark is.
    child.reap();
    assert_eq!(members(&tree).len(), 2);
    assert!(kill(std::slice::from_ref(&tree)).await.is_empty());
    nobody_is_left(&tree);
    tree.mark = None;
    nobody_is_left(&tree);
    no_zombies().await;
}

#[tokio::test]
async fn p11_a_process_whose_first_thread_is_gone_is_found() {
    let (mut child, tree) = marked(sh(&format!("setsid {ZOO} headless & wait")));
    assert_eq!(first_line(&mut child).await, "ready");
    let state = |process: &Process| {
        std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default()
    };
    until("the headless one", || members(&tree).iter().any(|process| state(process).contains(") Z "))).await;
    child.signal(Signal::SIGKILL).unwrap();
    child.exited().await;
    assert!(!members(&tree).is_empty(), "by its mark alone");
    assert!(kill(std::slice::from_ref(&tree)).await.is_empty());
    nobody_is_left(&tree);
    no_zombies().await;
}

#[tokio::test]
async fn p11_a_daemon_without_a_mark_is_an_orphan_of_ours() {
    let (mut child, tree) = marked(spec(ZOO, &["scrub"]));
    first_line(&mut child).await;
    child.exited().await;
    until("the orphan", || {
        reap_orphans(&|_| false);
        members(&tree).is_empty() && orphans(&|_| false).len() == 1
    })
    .await;
    let orphan = orphans(&|_| false).remove(0);
    let report = kill_orphans(&|_| false).await;
    assert!(report.is_empty() && report.killed == 1, "{report:?}");
    assert!(!process::is_alive(&orphan));
    no_zombies().await;
    child.reap();
}

#[tokio::test]
async fn many_trees_end_in_one_go_and_others_live_on() {
    let (bystander, other) = marked(sh("exec sleep 50"));
    let (children, trees): (Vec<Child>, Vec<Tree>) = (0..10).map(|_| marked(sh("exec sleep 50"))).unzip();
    let report = kill(&trees).await;
    assert!(report.is_empty() && report.killed == 10, "{report:?}");
    for child in children {
        assert_eq!(child.reap().signal(), Some(9));
    }
    assert_eq!(members(&other), std::slice::from_ref(&bystander.process));
    assert!(process::environ_has(bystander.process.pid, KEY, &other.mark.unwrap().1));
    assert!(!process::environ_has(bystander.process.pid, KEY, "another"));
    let empty = kill(&[]).await;
    assert!(empty.is_empty() && empty.killed == 0);
}

#[tokio::test]
async fn concurrent_kills_share_their_scans() {
    let (children, trees): (Vec<Child>, Vec<Tree>) = (0..40).map(|_| marked(sh("exec sleep 50"))).unzip();
    let tasks = tokio_tasks(trees);
    for report in tasks.join_all().await {
        assert!(report.is_empty() && report.killed == 1, "{report:?}");
    }
    drop(children);
}

fn tokio_tasks(trees: Vec<Tree>) -> tokio::task::JoinSet<skep_sys::tree::TreeReport> {
    let mut tasks = tokio::task::JoinSet::new();
    for tree in trees {
        tasks.spawn(async move { kill(&[tree]).await });
    }
    tasks
}

#[tokio::test]
async fn g23_a_tree_never_contains_us() {
    let own = process::current();
    let (child, _) = marked(sh("exec sleep 50"));
    let members = members(&Tree { root: own.clone(), mark: None });
    assert!(!members.contains(&own));
    assert!(members.contains(&child.process));
}
