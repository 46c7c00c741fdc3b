//! Start, stop, restart, parking: the promises 1 to 10 with real processes.

use skep_common::code::Code;

use super::*;

#[tokio::test]
async fn s11_the_default_pool_is_one_worker_and_s8_a_shutdown_leaves_nothing() {
    let mut bed = Bed::start("hello\nserve", "");
    let process = bed.up(FIRST).await;
    assert!(is_alive(&process));
    bed.state(FIRST, WorkerState::Running).await;
    let ids: Vec<String> = bed.pool.list().into_iter().map(|info| info.id.to_string()).collect();
    assert_eq!(ids, [FIRST]);
    assert_eq!(bed.info(FIRST).version.as_deref(), Some("test"));
    let home = bed.stop().await;
    assert!(!is_alive(&process));
    assert!(!home.paths.worker(&worker(FIRST)).exists(), "nothing worth keeping happened");
}

#[tokio::test]
async fn s8_every_worker_gets_term_and_may_end_in_order() {
    let script =
        "trap 'echo term >> $home/seen; exit 0' TERM\nhello\nwhile :; do read -r line || sleep 0.01; done";
    let mut bed = Bed::start(script, "pool.remote-control.count = 3");
    for number in 1..=3 {
        bed.up(&format!("remote-control-{number}")).await;
    }
    let home = bed.stop().await;
    assert_eq!(home.lines("seen"), ["term"; 3]);
}

#[tokio::test]
async fn s9_a_worker_learns_its_settings_with_the_first_line() {
    let mut bed = Bed::start("read -r line; printf '%s\\n' \"$line\" > $home/hello; hello\nserve", "");
    bed.up(FIRST).await;
    let line = std::fs::read(bed.home.path("hello")).unwrap();
    let command: skep_common::protocol::Command = serde_json::from_slice(&line).unwrap();
    let skep_common::protocol::Command::Hello(hello) = command else { panic!("{command:?}") };
    assert_eq!((hello.epoch, hello.settings.capacity), (1, 4));
    assert_eq!(hello.settings.id, worker(FIRST));
    skep_config::parse(&hello.settings.config, "the hello").unwrap();
    bed.stop().await;
}

#[tokio::test]
async fn p10_a_second_shutdown_kills_at_once() {
    let mut bed = Bed::start("trap '' TERM\nhello\nexec sleep 1000", "");
    let process = bed.up(FIRST).await;
    let first = tokio::task::LocalSet::new();
    let pool = bed.pool.clone();
    first
        .run_until(async {
            let (first, second) = (pool.shutdown(Cause::DaemonStopped), async {
                bed.state(FIRST, WorkerState::Stopping).await;
                assert!(is_alive(&process));
                pool.shutdown(Cause::DaemonStopped).await;
            });
            timeout(PATIENCE / 2, async { tokio::join!(first, second) })
                .await
                .expect("well before the grace");
        })
        .await;
    assert!(!is_alive(&process));
    bed.stop().await;
}

#[tokio::test]
async fn p10_kill_after_the_grace_for_who_ignores_term() {
    let mut bed = Bed::start("trap '' TERM\nhello\nexec sleep 1000", "restart.kill_grace = '50 ms'");
    let process = bed.up(FIRST).await;
    timeout(PATIENCE, bed.pool.park(&worker(FIRST))).await.unwrap().unwrap();
    assert!(!is_alive(&process));
    assert_eq!(bed.info(FIRST).state, WorkerState::Parked);
    assert_eq!(bed.down(FIRST).await, ("signal 9 (SIGKILL)".to_owned(), Cause::Parked));
    bed.stop().await;
}

#[tokio::test]
async fn p03_p08_five_crashes_park_with_stderr_for_good_and_unpark_starts_at_once() {
    let script = "echo run >> $home/runs; echo \"cannot open the thing\" >&2; exit 1";
    let mut bed = Bed::start(script, NO_DELAY);
    let info = bed.state(FIRST, WorkerState::Parked).await;
    let info = if info.last_stderr.is_some() { info } else { bed.state(FIRST, WorkerState::Parked).await };
    assert_eq!(bed.home.lines("runs").len(), 5);
    assert_eq!(
        (info.rapid_failures, info.restarts, info.last_exit.as_deref()),
        (5, 4, Some("exit status 1"))
    );
    assert!(info.last_stderr.unwrap().contains("cannot open the thing"));
    let home = bed.stop().await;

    // The next daemon.
    let mut bed = home.start("echo run >> $home/runs; hello\nserve", NO_DELAY);
    let info = bed.state(FIRST, WorkerState::Parked).await;
    assert!(info.why.unwrap().contains("5 failures in a row"));
    assert!(info.last_stderr.unwrap().contains("cannot open the thing"));
    assert_eq!(bed.home.lines("runs").len(), 5);
    timeout(Duration::from_secs(1), bed.pool.unpark(&worker(FIRST))).await.expect("within 1 s").unwrap();
    bed.up(FIRST).await;
    assert_eq!(bed.info(FIRST).rapid_failures, 0);
    let home = bed.stop().await;

    let mut bed = home.start("hello\nserve", "");
    bed.up(FIRST).await;
    bed.stop().await;
}

#[tokio::test]
async fn s5_exit_78_parks_at_once() {
    let mut bed = Bed::start("echo run >> $home/runs; echo 'no key' >&2; exit 78", NO_DELAY);
    assert_eq!(bed.down(FIRST).await, ("exit status 78".to_owned(), Cause::WorkerCrashed));
    bed.state(FIRST, WorkerState::Parked).await;
    assert_eq!(bed.info(FIRST).last_stderr.as_deref(), Some("no key\n"));
    assert_eq!(bed.home.lines("runs").len(), 1);
    bed.stop().await;
}

#[tokio::test]
async fn p02_exit_75_backs_off_without_counting() {
    let mut bed = Bed::start("exit 75", "");
    bed.down(FIRST).await;
    let info = bed.state(FIRST, WorkerState::Backoff).await;
    assert_eq!((info.rapid_failures, info.backoff_level), (0, 1));
    bed.stop().await;
}

#[tokio::test]
async fn p01_a_background_worker_that_ends_cleanly_is_not_started_again() {
    let mut bed = Bed::start("hello; exit 0", "pool.remote-control.count = 0\npool.background.count = 1");
    assert_eq!(bed.down("background-1").await.0, "exit status 0");
    let info = bed.state("background-1", WorkerState::Stopped).await;
    assert_eq!((info.rapid_failures, info.restarts), (0, 0));
    bed.stop().await;
}

#[tokio::test]
async fn p07_a_missing_program_is_a_failure_of_the_worker_and_not_of_the_daemon() {
    let home = Home::new();
    let missing = home.path("nowhere");
    let mut bed = home.start_exe(missing, NO_DELAY);
    let info = bed.state(FIRST, WorkerState::Parked).await;
    assert!(info.why.unwrap().contains("was not found"));
    let error = bed.pool.send(&worker(FIRST), skep_common::protocol::Command::Unknown).unwrap_err();
    assert_eq!(error, SendError::Gone);
    bed.stop().await;
}

#[tokio::test]
async fn p09_a_worker_without_a_hello_is_stopped_and_counted() {
    let toml = "restart.hello_timeout = '100 ms'\nrestart.kill_grace = '50 ms'";
    let mut bed = Bed::start("trap '' TERM; exec sleep 1000", toml);
    let (cause, kind) = bed.down(FIRST).await;
    assert!(cause.contains("no hello") && kind == Cause::WorkerCrashed, "{cause}");
    assert_eq!(bed.info(FIRST).rapid_failures, 1);
    bed.stop().await;
}

#[tokio::test]
async fn p13_a_killed_worker_comes_back_and_its_end_is_named() {
    let mut bed = Bed::start("hello\nserve", NO_DELAY);
    let first = bed.up(FIRST).await;
    kill(&first);
    assert_eq!(bed.down(FIRST).await, ("signal 9 (SIGKILL)".to_owned(), Cause::WorkerCrashed));
    let second = bed.up(FIRST).await;
    assert_ne!(first, second);
    assert_eq!(bed.info(FIRST).restarts, 1);
    bed.stop().await;
}

#[tokio::test]
async fn p06_a_restart_on_request_counts_nothing_and_what_a_person_killed_stays_down() {
    let mut bed = Bed::start("hello\nserve", "");
    let first = bed.up(FIRST).await;
    bed.pool.restart(&worker(FIRST)).await.unwrap();
    assert!(!is_alive(&first));
    assert_ne!(bed.up(FIRST).await, first);
    assert_eq!(bed.info(FIRST).backoff_level, 0);
    bed.pool.kill(&worker(FIRST)).await.unwrap();
    assert_eq!(bed.info(FIRST).state, WorkerState::Stopped);
    let error = bed.pool.unpark(&worker(FIRST)).await.unwrap_err();
    assert_eq!(error.code, Code::WorkerState);
    let home = bed.stop().await;

    let mut bed = home.start("hello\nserve", "");
    bed.state(FIRST, WorkerState::Stopped).await;
    bed.pool.restart(&worker(FIRST)).await.unwrap();
    bed.up(FIRST).await;
    bed.stop().await;
}
