//! A process's output into rotated logs by whole lines.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use skep_sys::capture::{Capture, LogSpec, LogWriter, pump};
use skep_sys::spawn::{SpawnSpec, Stdio3, spawn};
use skep_tests::env::built;

use super::table::{Table, Unit};
use crate::run::tool;

const BLOCKS: u64 = 2_000_000_000;
const LINES: u64 = 300_000_000;

pub(super) fn measure(table: &mut Table) -> Result<()> {
    for (what, script, bytes, target) in [
        ("capture of 100-byte lines in 64 KiB blocks", "flood", BLOCKS, 500.0),
        ("capture of 100-byte lines, each its own write", "lines", LINES, 180.0),
    ] {
        let floor = best(|| bare(script, bytes))?;
        let measured = best(|| captured(script, bytes))?;
        table.add(what, Unit::MbPerSecond, measured, Some(target), Some(floor));
    }
    Ok(())
}

fn best(run: impl Fn() -> Result<f64>) -> Result<f64> {
    let mut best = 0.0_f64;
    for _ in 0..3 {
        best = best.max(run()?);
    }
    Ok(best)
}

/// A home for the scripted writer.
fn script(what: &str, bytes: u64) -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir(dir.path().join("state"))?;
    std::fs::write(dir.path().join("worker-script"), format!("{what} {bytes}"))?;
    Ok(dir)
}

/// As the supervisor does it.
fn captured(what: &str, bytes: u64) -> Result<f64> {
    let dir = script(what, bytes)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    let dropped = runtime.block_on(async {
        let mut child = spawn(SpawnSpec {
            program: built("fake-worker"),
            args: vec!["--state-dir".into(), dir.path().join("state").into()],
            cwd: dir.path().to_owned(),
            env: Vec::new(),
            stdin: Stdio3::Null,
            stdout: Stdio3::Null,
            stderr: Stdio3::Pipe,
            new_group: true,
        })?;
        let writer = LogWriter::start()?;
        let capture = Capture::new(&writer, LogSpec::new(dir.path().join("worker.log")));
        let pipe = child.stderr.take().context("its standard error is a pipe")?;
        let exited = async {
            let _how = child.exited().await;
        };
        pump(pipe, capture.clone(), exited, Duration::from_secs(2)).await;
        capture.flushed().await;
        child.reap();
        anyhow::Ok(capture.dropped())
    })?;
    ensure!(dropped.bytes == 0, "{} bytes were dropped", dropped.bytes);
    Ok(rate(bytes, begun.elapsed()))
}

/// The floor: a loop that reads and writes, and starts its file anew at every 10 MiB.
fn bare(what: &str, bytes: u64) -> Result<f64> {
    let dir = script(what, bytes)?;
    let begun = Instant::now();
    let mut child = tool(built("fake-worker"))
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    copy(child.stderr.take().context("its standard error is a pipe")?, dir.path())?;
    child.wait()?;
    Ok(rate(bytes, begun.elapsed()))
}

fn copy(mut pipe: impl Read, dir: &Path) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut file, mut size, mut number) = (File::create(dir.join("0"))?, 0, 0);
    loop {
        let read = pipe.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..read])?;
        size += read;
        if size > 10 * 1024 * 1024 {
            number = (number + 1) % 5;
            (file, size) = (File::create(dir.join(number.to_string()))?, 0);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}
