//! Promises 8, 12 and 20 with real pipes, files and a full disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skep_sys::capture::{Capture, LogSpec, LogWriter, PumpEnd, pump};
use skep_sys::spawn::{Child, Signal, Stdio3};
use tokio::time::timeout;

use super::help::*;

async fn captured(child: &mut Child, capture: &Capture, drain: Duration) -> PumpEnd {
    let pipe = child.stdout.take().unwrap();
    let pumped = pump(
        pipe,
        capture.clone(),
        async {
            child.exited().await;
        },
        drain,
    );
    let end = timeout(LONG, pumped).await.unwrap();
    timeout(LONG, capture.flushed()).await.unwrap();
    end
}

fn all_files(path: &Path) -> Vec<u8> {
    let numbered = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    let older = (1..20).rev().map(numbered).chain([path.to_owned()]);
    older.filter_map(|path| std::fs::read(path).ok()).flatten().collect()
}

#[tokio::test]
async fn p20_what_a_process_prints_is_what_the_log_holds() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LogWriter::start().unwrap();
    for (number, (script, expected)) in [
        ("printf 'half line'", &b"half line"[..]),
        ("printf 'a\\n\\nb\\n'", b"a\n\nb\n"),
        ("printf '\\377\\376 not utf-8 \\000\\n'", b"\xff\xfe not utf-8 \0\n"),
        ("printf one; sleep 0.01; printf 'two\\nthree'", b"onetwo\nthree"),
        ("true", b""),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(number.to_string());
        let capture = Capture::new(&writer, LogSpec::new(&path));
        assert_eq!(captured(&mut start(sh(script)), &capture, LONG).await, PumpEnd::Closed);
        assert_eq!(std::fs::read(&path).unwrap_or_default(), expected, "{script}");
        assert_eq!(capture.last(4096), expected);
    }
}

#[tokio::test]
async fn p20_a_flood_is_rotated_and_no_byte_of_it_lost_or_torn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flood");
    let writer = LogWriter::start().unwrap();
    let spec = LogSpec { path: path.clone(), max_bytes: 1024 * 1024, files: 19 };
    let capture = Capture::new(&writer, spec);
    let mut child = start(spec_stderr_flood());
    assert_eq!(captured(&mut child, &capture, LONG).await, PumpEnd::Closed);
    let log = all_files(&path);
    let mut lines = 0u64;
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b"[skep: ") {
            lines += 1;
            assert_eq!(line, format!("{:0>99}\n", lines + capture.dropped().lines).as_bytes());
        }
    }
    assert_eq!(lines + capture.dropped().lines, 100_000);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap().path();
        assert!(std::fs::metadata(&file).unwrap().len() <= 1024 * 1024);
        assert!(std::fs::read(&file).unwrap().ends_with(b"\n"), "rotated between lines");
    }
}

/// 100,000 numbered lines of 100 bytes.
fn spec_stderr_flood() -> skep_sys::spawn::SpawnSpec {
    sh("awk 'BEGIN { for (i = 1; i <= 100000; i++) printf \"%099d\\n\", i }'")
}

#[tokio::test]
async fn p12_draining_ends_although_descendants_hold_the_pipe() {
    adopt();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let writer = LogWriter::start().unwrap();
    let capture = Capture::new(&writer, LogSpec::new(&path));
    let mut child = start(sh("while :; do echo still here; done & sleep 50 & echo last words; exit 0"));
    let begun = Instant::now();
    assert_eq!(captured(&mut child, &capture, Duration::from_millis(200)).await, PumpEnd::Drained);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let log = String::from_utf8(all_files(&path)).unwrap();
    assert!(log.contains("last words\n"));
    child.signal_group(Signal::SIGKILL).unwrap();
    no_zombies().await;
}

#[tokio::test]
async fn p20_a_log_that_cannot_be_written_holds_nobody_up_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let path = missing.join("log");
    let writer = LogWriter::start().unwrap();
    let capture = Capture::new(&writer, LogSpec::new(&path));
    capture.push(b"first\n");
    until("the refusal", || capture.is_stalled()).await;
    // More than is held: the process must come to its end all the same.
    assert_eq!(captured(&mut start(spec_stderr_flood()), &capture, LONG).await, PumpEnd::Closed);
    let dropped = capture.dropped();
    assert!(dropped.lines > 80_000 && dropped.bytes == dropped.lines * 100, "{dropped:?}");
    std::fs::create_dir(&missing).unwrap();
    let begun = Instant::now();
    until("the log", || !capture.is_stalled()).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    timeout(LONG, capture.flushed()).await.unwrap();
    capture.push(b"after\n");
    timeout(LONG, capture.flushed()).await.unwrap();
    let log = String::from_utf8(all_files(&path)).unwrap();
    assert!(log.starts_with("first\n"));
    let notice = format!(
        "[skep: {} lines ({} bytes) dropped: the log could not keep up]\nafter\n",
        dropped.lines, dropped.bytes
    );
    assert!(log.ends_with(&notice), "{}", &log[log.len() - 300..]);
    assert_eq!(log.len() as u64, 12 + 100 * (100_000 - dropped.lines) + notice.len() as u64 - 6);
}

#[tokio::test]
async fn p20_a_stopped_writer_has_written_everything() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LogWriter::start().unwrap();
    let logs: Vec<(PathBuf, Capture)> = (0..20)
        .map(|number| dir.path().join(format!("log-{number}")))
        .map(|path| (path.clone(), Capture::new(&writer, LogSpec::new(path))))
        .collect();
    for (_, capture) in &logs {
        capture.push(b"line\nrest");
        capture.finish();
    }
    assert!(writer.stop(LONG));
    for (path, _) in &logs {
        assert_eq!(std::fs::read(path).unwrap(), b"line\nrest");
    }
}

/// A tmpfs of 256 KiB in a mount namespace of its own: the disk fills, the log drops, space returns, the log resumes.
#[tokio::test]
async fn p20_a_full_disk_tears_nothing() {
    let mut spec = spec("unshare", &["--mount", "--", "sh", "-c"]);
    if !rustix::process::geteuid().is_root() {
        spec.args.insert(0, "--map-root-user".into());
    }
    let dir = tempfile::tempdir().unwrap();
    spec.args.push("mount -t tmpfs -o size=256k tmpfs \"$0\" && echo ready && exec sleep 50".into());
    spec.args.push(dir.path().into());
    spec.stderr = Stdio3::Inherit;
    let mut child = start(spec);
    assert_eq!(first_line(&mut child).await, "ready", "a full disk needs unshare and tmpfs");
    let small = PathBuf::from(format!("/proc/{}/root{}", child.process.pid, dir.path().display()));
    let (path, ballast) = (small.join("log"), small.join("ballast"));
    std::fs::write(&ballast, vec![0; 128 * 1024]).unwrap();
    let writer = LogWriter::start().unwrap();
    let capture =
        Capture::new(&writer, LogSpec { path: path.clone(), max_bytes: 64 * 1024 * 1024, files: 2 });
    let line = |number: u32| format!("{number:0>99}\n");
    for number in 0..2000 {
        capture.push(line(number).as_bytes());
    }
    until("the disk to be full", || capture.is_stalled()).await;
    std::fs::remove_file(&ballast).unwrap();
    let begun = Instant::now();
    until("the log to resume", || !capture.is_stalled()).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    timeout(LONG, capture.flushed()).await.unwrap();
    let expected: String = (0..2000).map(line).collect();
    assert!(std::fs::read(&path).unwrap() == expected.as_bytes(), "exact across the torn write");
    assert_eq!(capture.dropped().lines, 0);
    child.signal_group(Signal::SIGKILL).unwrap();
    child.reap();
}
