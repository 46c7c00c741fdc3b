//! How fast a child's output becomes a rotated log (promise 20 and the cost table): blocks of 64 KiB, and one write per
//! line, each beside a bare read-write loop in the same run. `capture_throughput [MEGABYTES] [ROUNDS]`.

#![expect(clippy::print_stdout, reason = "a measuring program prints its figures")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use skep_sys::capture::{Capture, LogSpec, LogWriter, pump};
use skep_sys::spawn::{Child, SpawnSpec, Stdio3, spawn};

const BLOCK: usize = 64 * 1024;
const LINE: usize = 100;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let first = args.next().unwrap_or_default();
    if let Some(kind) = first.strip_prefix("produce-") {
        let bytes = args.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        return produce(if kind == "lines" { LINE } else { BLOCK }, bytes);
    }
    let megabytes: usize = first.parse().unwrap_or(1000);
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let directory = std::env::temp_dir().join(format!("skep-capture-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for kind in ["blocks", "lines"] {
        let bytes = if kind == "lines" { megabytes / 4 } else { megabytes } * 1_000_000;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (speed, dropped) = runtime.block_on(measure(kind, bytes, &directory))?;
            println!("{kind}: capture {speed:.0} MB/s, dropped {dropped} bytes");
            ours.push(speed);
            bare.push(runtime.block_on(measure_bare(kind, bytes, &directory))?);
        }
        println!("{kind}: median capture {:.0} MB/s, bare loop {:.0} MB/s", median(ours), median(bare));
    }
    std::fs::remove_dir_all(&directory)
}

fn produce(write: usize, bytes: usize) -> io::Result<()> {
    let mut line = vec![b'x'; LINE];
    line[LINE - 1] = b'\n';
    let block: Vec<u8> = line.iter().copied().cycle().take(BLOCK / LINE * LINE).collect();
    let piece = if write == LINE { &line } else { &block };
    let mut out = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    for _ in 0..bytes / piece.len() {
        out.write_all(piece)?;
    }
    Ok(())
}

fn producer(kind: &str, bytes: usize) -> io::Result<Child> {
    let spec = SpawnSpec {
        program: std::env::current_exe()?,
        args: vec![format!("produce-{kind}").into(), bytes.to_string().into()],
        cwd: "/".into(),
        env: Vec::new(),
        stdin: Stdio3::Null,
        stdout: Stdio3::Pipe,
        stderr: Stdio3::Inherit,
        new_group: true,
    };
    spawn(spec).map_err(io::Error::other)
}

async fn measure(kind: &str, bytes: usize, directory: &Path) -> io::Result<(f64, u64)> {
    let writer = LogWriter::start()?;
    let capture = Capture::new(&writer, LogSpec::new(directory.join("capture.log")));
    let begun = Instant::now();
    let mut child = producer(kind, bytes)?;
    let pipe = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    pump(
        pipe,
        capture.clone(),
        async {
            child.exited().await;
        },
        Duration::from_secs(60),
    )
    .await;
    capture.flushed().await;
    Ok((speed(bytes, begun), capture.dropped().bytes))
}

async fn measure_bare(kind: &str, bytes: usize, directory: &Path) -> io::Result<f64> {
    let begun = Instant::now();
    let mut child = producer(kind, bytes)?;
    let pipe = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut pipe = File::from(pipe.into_blocking_fd()?);
    let mut log = File::create(directory.join("bare.log"))?;
    let mut block = vec![0; BLOCK];
    loop {
        let length = pipe.read(&mut block)?;
        if length == 0 {
            return Ok(speed(bytes, begun));
        }
        log.write_all(&block[..length])?;
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn speed(bytes: usize, begun: Instant) -> f64 {
    bytes as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
