//! The parts together, without a process.

use super::*;

#[tokio::test]
async fn p20_pushing_never_waits_and_the_last_handle_finishes_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let writer = LogWriter::start().unwrap();
    let capture = Capture::new(&writer, LogSpec::new(&path));
    let clone = capture.clone();
    capture.push(b"a\nhalf");
    drop(capture);
    clone.push(b" line");
    drop(clone);
    assert!(writer.stop(Duration::from_secs(30)));
    assert_eq!(std::fs::read(&path).unwrap(), b"a\nhalf line");
}

#[tokio::test]
async fn p20_room_is_not_waited_for_when_nothing_moves() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LogWriter::start().unwrap();
    let capture = Capture::new(&writer, LogSpec::new(dir.path().join("missing/log")));
    while !capture.is_stalled() {
        capture.push(&[b'\n'; 1000]);
        tokio::task::yield_now().await;
    }
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        capture.room(64 * 1024).await;
        capture.push(&[b'\n'; 64 * 1024]);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(capture.dropped().lines > 0);
}
