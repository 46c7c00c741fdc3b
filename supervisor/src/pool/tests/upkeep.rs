//! Adding, removing, reloading; what former daemons left.

use std::ffi::OsString;

use skep_common::api::AddWorker;
use skep_common::code::Code;
use skep_sys::spawn::{SpawnSpec, Stdio3, spawn};
use skep_sys::statefile;

use super::*;
use crate::worker_file::{RUN_MARK, RunFile};

#[tokio::test]
async fn c3_workers_are_added_and_removed() {
    let mut bed = Bed::start("hello\nserve", "pool.background.max_workers = 1");
    let add = || AddWorker { kind: Some("background".into()), capacity: Some(1), ..AddWorker::default() };
    let info = bed.pool.add(add()).await.unwrap();
    assert_eq!((info.id.as_str(), info.capacity), ("background-1", 1));
    let process = bed.up("background-1").await;
    assert_eq!(bed.pool.add(add()).await.unwrap_err().code, Code::PoolFull);
    bed.pool.remove(&info.id).await.unwrap();
    assert!(!is_alive(&process));
    assert_eq!(bed.pool.get(&info.id), None);
    bed.until("removed", |event| (*event == PoolEvent::Removed(info.id.clone())).then_some(())).await;
    assert_eq!(bed.pool.kill(&info.id).await.unwrap_err().code, Code::WorkerNotFound);
    assert_eq!(bed.pool.add(add()).await.unwrap().id, info.id, "its place is free again");
    bed.stop().await;
}

#[tokio::test]
async fn an_added_long_running_worker_is_there_again_after_a_restart_of_the_daemon() {
    let bed = Bed::start("hello\nserve", "");
    let own = AddWorker { id: Some(worker("mine")), capacity: Some(9), ..AddWorker::default() };
    bed.pool.add(own).await.unwrap();
    let job = AddWorker { kind: Some("background".into()), ..AddWorker::default() };
    bed.pool.add(job).await.unwrap();
    let home = bed.stop().await;
    let mut bed = home.start("hello\nserve", "");
    bed.up("mine").await;
    assert_eq!(bed.info("mine").capacity, 9);
    let ids: Vec<String> = bed.pool.list().into_iter().map(|info| info.id.to_string()).collect();
    assert_eq!(ids, ["mine", FIRST]);
    bed.stop().await;
}

#[tokio::test]
async fn p23_a_reload_restarts_only_the_workers_that_it_changes() {
    let before = "pool.background.count = 1\npool.remote-control.count = 2";
    let mut bed = Bed::start("hello\nserve", before);
    for id in [FIRST, "remote-control-2", "background-1"] {
        bed.reaches(id, WorkerState::Running).await;
    }
    let first = bed.info(FIRST).process;
    let after = "pool.background.count = 1\npool.background.capacity = 2\nrestart.first_delay = '0 s'";
    let restarted = bed.pool.reload(skep_config::parse(after, "test").unwrap()).await;
    assert_eq!(restarted, [worker("background-1")]);
    bed.until("removed", |event| (*event == PoolEvent::Removed(worker("remote-control-2"))).then_some(()))
        .await;
    bed.reaches("background-1", WorkerState::Running).await;
    assert_eq!(bed.info("background-1").capacity, 2);
    assert_eq!(bed.info(FIRST).process, first);
    assert_eq!((bed.info(FIRST).restarts, bed.pool.list().len()), (0, 2));
    bed.stop().await;
}

#[tokio::test]
async fn p19_a_broken_state_file_costs_its_own_worker_its_past_and_no_more() {
    let home = Home::new();
    std::fs::create_dir_all(home.paths.workers()).unwrap();
    std::fs::write(home.paths.worker(&worker(FIRST)), b"{\"id\":\"remote-con").unwrap();
    let parked =
        r#"{"id":"remote-control-2","kind":"remote-control","desired":{"parked":{"why":"exit status 78"}}}"#;
    std::fs::write(home.paths.worker(&worker("remote-control-2")), parked).unwrap();
    let mut bed = home.start("hello\nserve", "pool.remote-control.count = 2");
    bed.up(FIRST).await;
    assert_eq!(bed.info("remote-control-2").state, WorkerState::Parked);
    let files = std::fs::read_dir(bed.home.paths.workers()).unwrap();
    let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains(".broken-")), "{names:?}");
    bed.stop().await;
}

#[tokio::test]
async fn p14_what_a_dead_supervisor_left_is_gone_before_the_id_is_used_again() {
    let home = Home::new();
    std::fs::create_dir_all(home.paths.workers()).unwrap();
    let run = RunFile { mark: "the-mark-of-a-test-run".into(), epoch: 1 };
    run.write(&RunFile::path(&home.paths, &worker(FIRST))).unwrap();
    let env: Vec<(OsString, OsString)> =
        vec![(RUN_MARK.into(), run.mark.into()), ("PATH".into(), "/usr/bin:/bin".into())];
    let leftover = spawn(SpawnSpec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "trap '' TERM; exec sleep 1000".into()],
        cwd: "/".into(),
        env,
        stdin: Stdio3::Null,
        stdout: Stdio3::Null,
        stderr: Stdio3::Null,
        new_group: true,
    })
    .unwrap();
    let old = leftover.process.clone();
    assert!(is_alive(&old));
    let mut bed = home.start("hello\nserve", "");
    bed.up(FIRST).await;
    assert!(!is_alive(&old));
    leftover.reap();
    bed.stop().await;
}

#[tokio::test]
async fn p22_a_mass_failure_brings_back_ten_a_second() {
    let toml = format!("{NO_DELAY}pool.remote-control.count = 15\nrestart.spawns_per_second = 10");
    let mut bed = Bed::start("hello\nserve", &toml);
    let mut processes = Vec::new();
    for _ in 1..=15 {
        let process = bed.until("up", |event| match event {
            PoolEvent::Up { hello, .. } => Some(hello.process.clone()),
            _ => None,
        });
        processes.push(process.await);
    }
    let begun = std::time::Instant::now();
    processes.iter().for_each(kill);
    for _ in 1..=15 {
        bed.until("up again", |event| matches!(event, PoolEvent::Up { .. }).then_some(())).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    bed.stop().await;
}

#[tokio::test]
async fn p19_state_files_of_parked_workers_carry_a_checksum() {
    let mut bed = Bed::start("exit 78", "");
    bed.state(FIRST, WorkerState::Parked).await;
    let home = bed.stop().await;
    let bytes = std::fs::read(home.paths.worker(&worker(FIRST))).unwrap();
    assert!(bytes.windows(6).any(|window| window == b"crc32c"));
    let file: Option<crate::worker_file::WorkerFile> =
        statefile::read_json(&home.paths.worker(&worker(FIRST))).unwrap();
    assert!(file.is_some());
}
