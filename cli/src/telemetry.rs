//! skep's own events as logs: JSON lines by date and workspace for the daemon (C5), text on standard error for
//! everybody else.
//!
//! Written by a thread of its own through a bounded queue: a disk that hangs or is full costs log lines, never a task.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use skep_config::Paths;
use skep_config::logs::LogSettings;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::context::Context;

/// Lines that wait for the disk; what comes on top is dropped.
const QUEUE: usize = 8192;

/// Keeps the log's thread; what waits is written when it is dropped.
#[derive(Debug)]
pub(crate) struct Telemetry {
    _guards: Vec<WorkerGuard>,
}

/// What the daemon's log is made of.
#[derive(Debug)]
pub(crate) struct DaemonLog<'a> {
    /// Where files are.
    pub(crate) paths: &'a Paths,
    /// The daemon's directory, which names the log.
    pub(crate) dir: &'a Path,
    /// How much is written and how long it is kept.
    pub(crate) settings: &'a LogSettings,
    /// Show it on standard error too.
    pub(crate) foreground: bool,
}

/// The daemon's log: `logs/{date}/{workspace}.log`, and with `--debug` everything in `{workspace}.debug.log`.
pub(crate) fn for_daemon(log: &DaemonLog<'_>) -> Telemetry {
    let level = level(log.settings.level.as_str());
    let workspace = workspace(log.dir);
    let file = |name: String| {
        let file =
            DatedFile { paths: log.paths.clone(), workspace: name, keep: log.settings.keep, open: None };
        NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true).thread_name("log").finish(file)
    };
    let (writer, guard) = file(workspace.clone());
    let mut guards = vec![guard];
    let telemetry = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(writer)
        .with_filter(targets(level));
    let debug = log.settings.debug.then(|| {
        let (writer, guard) = file(format!("{workspace}.debug"));
        guards.push(guard);
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .with_filter(targets(LevelFilter::TRACE))
    });
    let foreground = log.foreground.then(|| {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(colour)
            .with_target(false)
            .with_filter(targets(level))
    });
    // A second subscriber in one process is only ever a test's.
    drop(tracing_subscriber::registry().with(telemetry).with(debug).with(foreground).try_init());
    // Detached, it has no other place to say what went wrong.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Telemetry { _guards: guards }
}

/// A worker's log: its standard error, which the daemon keeps by whole lines (S10).
pub(crate) fn for_worker(debug: bool) {
    let filter = targets(if debug { LevelFilter::DEBUG } else { LevelFilter::INFO });
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
}

/// A command's log: none, or with `--debug` its standard error.
pub(crate) fn for_client(ctx: &Context) {
    if !ctx.debug {
        return;
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(ctx.screen.err.colour);
    drop(tracing_subscriber::registry().with(layer.with_filter(targets(LevelFilter::DEBUG))).try_init());
}

/// The name of the daemon's log: its directory's.
pub(crate) fn workspace(dir: &Path) -> String {
    dir.file_name().map_or_else(|| String::from("root"), |name| name.to_string_lossy().into_owned())
}

/// Our own events at `level`; those of libraries only when something is wrong.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(LevelFilter::WARN.min(level)).with_target("skep", level)
}

fn level(text: &str) -> LevelFilter {
    text.parse().unwrap_or(LevelFilter::INFO)
}

/// A log that begins a new file with each day (UTC), and removes what is too old when it does.
struct DatedFile {
    paths: Paths,
    workspace: String,
    keep: Duration,
    open: Option<(Date, File)>,
}

impl DatedFile {
    fn file(&mut self, now: Timestamp) -> io::Result<&mut File> {
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        if self.open.as_ref().is_none_or(|(date, _)| *date != today) {
            let path = self.paths.telemetry_log(&today.to_string(), &self.workspace);
            if let Some(dir) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            remove_old(&self.paths.logs(), today, self.keep);
            self.open = Some((today, file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::Error::other("the log is not open")),
        }
    }
}

impl Write for DatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file(Timestamp::now())?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |(_, file)| file.flush())
    }
}

/// Removes the directories of days that are too long ago. Only names that are dates are ours to remove.
fn remove_old(logs: &Path, today: Date, keep: Duration) {
    let days = i64::try_from(keep.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
    let Ok(entries) = std::fs::read_dir(logs) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(date) = name.to_str().and_then(|name| name.parse::<Date>().ok()) else { continue };
        let age = (today - date).get_days();
        if i64::from(age) > days {
            // What cannot be removed today is tried again tomorrow.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_config::Environment;

    fn dated(home: &Path) -> DatedFile {
        let environment = Environment::of([("SKEP_HOME", home)]);
        let paths = Paths::resolve(&environment, None).unwrap();
        DatedFile {
            paths,
            workspace: String::from("my repo"),
            keep: Duration::from_secs(3 * 86_400),
            open: None,
        }
    }

    #[test]
    fn c5_a_new_day_begins_a_new_file_and_old_days_go() {
        let home = tempfile::tempdir().unwrap();
        let mut log = dated(home.path());
        for (day, line) in
            [("2026-11-16", "a"), ("2026-11-17", "b"), ("2026-11-20", "c"), ("2026-11-20", "d")]
        {
            let now: Timestamp = format!("{day}T23:59:59Z").parse().unwrap();
            writeln!(log.file(now).unwrap(), "{line}").unwrap();
        }
        let read =
            |day: &str| std::fs::read_to_string(home.path().join(format!("logs/{day}/my_repo.log"))).ok();
        assert_eq!(read("2026-11-20").as_deref(), Some("c\nd\n"));
        assert_eq!(read("2026-11-17").as_deref(), Some("b\n"));
        assert_eq!(read("2026-11-16"), None);
    }

    #[test]
    fn a_workspace_is_named_after_its_directory() {
        assert_eq!(workspace(Path::new("/work/my repo")), "my repo");
        assert_eq!(workspace(Path::new("/")), "root");
    }
}
