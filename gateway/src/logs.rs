//! Where each log is (C5), and logs as bodies: the last lines, then whatever follows.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body as HttpBody;
use bytes::Bytes;
use skep_common::api::LogType;
use skep_common::ids::{SessionId, WorkerId};
use skep_common::session::Head;
use skep_config::Paths;
use skep_sys::watch::DirectoryWatch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Grep, RotatedLog, Tail};
use crate::transcript::RenderedJournal;

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The daemon's.
    Daemon,
    /// A worker's.
    Worker(WorkerId),
    /// A session's.
    Session(SessionId),
}

/// A log file, and the text that its lines must contain, where it is shared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) needle: Option<String>,
    /// The directory in which each day has one, where the log goes on with the next day's file.
    pub(crate) days: Option<PathBuf>,
}

/// Where logs are.
#[derive(Debug, Clone)]
pub(crate) struct LogPlaces {
    paths: Paths,
}

impl LogPlaces {
    pub(crate) fn new(paths: Paths) -> Self {
        Self { paths }
    }

    /// The file of a log type; none for a transcript, which is the journal. It need not exist.
    pub(crate) fn file(&self, subject: &Subject, log_type: LogType) -> Option<LogFile> {
        let whole = |path| Some(LogFile { path, needle: None, days: None });
        let dated = |kind, needle| {
            let days = self.paths.logs();
            newest(&days, kind).map(|path| LogFile { path, needle, days: Some(days) })
        };
        let logs = self.paths.logs();
        match (log_type, subject) {
            (LogType::Telemetry, subject) => {
                let needle = match subject {
                    Subject::Daemon => None,
                    Subject::Worker(id) => Some(id.to_string()),
                    Subject::Session(id) => Some(id.to_string()),
                };
                dated(Dated::Telemetry, needle)
            }
            (LogType::Process, Subject::Daemon) => whole(logs.join("daemon.log")),
            (LogType::Process, Subject::Worker(id)) => whole(self.paths.worker_log(id)),
            (LogType::Process, Subject::Session(id)) => whole(self.paths.session(id).join("process.log")),
            (LogType::Debug, Subject::Daemon) => dated(Dated::Debug, None),
            // What the daemon says of it; its own verbose records stand in its process log.
            (LogType::Debug, Subject::Worker(id)) => dated(Dated::Debug, Some(id.to_string())),
            (LogType::Debug, Subject::Session(id)) => whole(self.paths.session(id).join("debug.log")),
            (LogType::Transcript | LogType::Auto, _) => None,
        }
    }

    /// The type that is chosen when none is named: the first that has something to say, in C5's order.
    pub(crate) fn choose(&self, subject: &Subject) -> LogType {
        let has_text = |log_type: LogType| {
            let log = self.file(subject, log_type);
            log.and_then(|log| RotatedLog::open(log.path, log.needle).ok()?.read().ok()?).is_some()
        };
        [LogType::Telemetry, LogType::Process, LogType::Debug]
            .into_iter()
            .find(|log_type| has_text(*log_type))
            .unwrap_or(match subject {
                Subject::Session(_) => LogType::Transcript,
                Subject::Worker(_) | Subject::Daemon => LogType::Process,
            })
    }
}

/// The two logs that the daemon begins anew each day: `{workspace}.log` and `{workspace}.debug.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dated {
    Telemetry,
    Debug,
}

/// The newest log of this kind: of the latest date that has one, the file that was written last.
fn newest(logs: &Path, kind: Dated) -> Option<PathBuf> {
    let written = |path: &PathBuf| path.metadata().and_then(|found| found.modified()).ok();
    dates(logs)
        .iter()
        .rev()
        .find_map(|date| entries(date).filter(|path| kind_of(path) == Some(kind)).max_by_key(written))
}

fn kind_of(path: &Path) -> Option<Dated> {
    let name = path.file_name()?.to_str()?;
    // A workspace may itself be called `x.debug`.
    let beside = |workspace: &str| path.with_file_name(format!("{workspace}.log")).exists();
    if name.strip_suffix(".debug.log").is_some_and(beside) {
        return Some(Dated::Debug);
    }
    name.ends_with(".log").then_some(Dated::Telemetry)
}

/// The directories of all days, oldest first.
fn dates(logs: &Path) -> Vec<PathBuf> {
    let mut dates: Vec<PathBuf> = entries(logs).filter(|path| path.is_dir() && is_date(path)).collect();
    dates.sort_unstable();
    dates
}

/// Where a log goes on once a new day has begun: in a file of the same name. `None` as long as none has.
fn next_day(logs: &Path, path: &Path) -> Option<PathBuf> {
    let today = dates(logs).pop()?;
    (path.parent()? < today.as_path()).then(|| today.join(path.file_name().unwrap_or_default()))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_date(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// A text that may grow.
#[derive(Debug)]
pub(crate) enum Growing {
    /// A log file.
    File {
        /// What is read.
        log: Box<RotatedLog>,
        /// Tells of its growth.
        watch: Option<DirectoryWatch>,
        /// Where the days are, and what tells of a new one.
        days: Option<(PathBuf, DirectoryWatch)>,
    },
    /// A session's transcript.
    Journal {
        /// What is read.
        rendered: RenderedJournal,
        /// Tells of its growth.
        head: watch::Receiver<Head>,
    },
}

impl Growing {
    /// A log file, watched if it is to be followed.
    pub(crate) fn file(log: LogFile, follow: bool) -> io::Result<Self> {
        // The watches come first, so that no growth falls between them and the first read.
        let watch = match log.path.parent() {
            Some(parent) if follow => Some(DirectoryWatch::new(parent)?),
            _ => None,
        };
        let days = match log.days {
            Some(days) if follow => Some(DirectoryWatch::new(&days).map(|watch| (days, watch))?),
            _ => None,
        };
        Ok(Self::File { log: Box::new(RotatedLog::open(log.path, log.needle)?), watch, days })
    }

    /// The next text; none at the end as it is now.
    async fn read(self) -> (Self, io::Result<Option<Bytes>>) {
        let reading = tokio::task::spawn_blocking(move || match self {
            Self::File { mut log, mut watch, days } => {
                let read = read_file(&mut log, &mut watch, days.as_ref().map(|(days, _)| days.as_path()));
                (Self::File { log, watch, days }, read)
            }
            Self::Journal { mut rendered, mut head } => {
                let now = *head.borrow_and_update();
                let read = rendered.read(now).map_err(io::Error::other);
                (Self::Journal { rendered, head }, read)
            }
        });
        reading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Waits until there may be more; false if there never will.
    async fn grown(&mut self) -> bool {
        match self {
            Self::File { watch: Some(watch), days: Some((_, new_day)), .. } => tokio::select! {
                grown = watch.changed() => grown.is_ok(),
                begun = new_day.changed() => begun.is_ok(),
            },
            Self::File { watch: Some(watch), .. } => watch.changed().await.is_ok(),
            Self::File { watch: None, .. } => false,
            Self::Journal { head, .. } => head.changed().await.is_ok(),
        }
    }
}

/// Reads on, if need be in the file of the day that has begun.
fn read_file(
    log: &mut RotatedLog,
    watch: &mut Option<DirectoryWatch>,
    days: Option<&Path>,
) -> io::Result<Option<Bytes>> {
    loop {
        if let Some(bytes) = log.read()? {
            return Ok(Some(bytes));
        }
        let Some(next) = days.and_then(|days| next_day(days, log.path())) else { return Ok(None) };
        if let Some(today) = next.parent() {
            *watch = Some(DirectoryWatch::new(today)?);
        }
        log.continue_at(next);
    }
}

/// What of a text is wanted.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Only lines that contain this.
    pub(crate) grep: Option<Grep>,
    /// Only the last ones.
    pub(crate) tail: Option<Tail>,
    /// And what comes after.
    pub(crate) follow: bool,
}

/// The text as a body: what is wanted of it, and with `follow` what comes after.
pub(crate) fn body(text: Growing, cut: Cut, stop: CancellationToken) -> HttpBody {
    let state = Some((text, cut));
    let stream = futures_util::stream::unfold(state, move |state| {
        let stop = stop.clone();
        async move {
            let (mut text, mut cut) = state?;
            loop {
                let (read_on, read) = text.read().await;
                text = read_on;
                match read {
                    Ok(Some(block)) => {
                        if let Some(block) = cut.take(block) {
                            return Some((Ok(block), Some((text, cut))));
                        }
                    }
                    Ok(None) => {
                        if let Some(block) = cut.end() {
                            return Some((Ok(block), Some((text, cut))));
                        }
                        let goes_on = cut.follow
                            && tokio::select! {
                                grown = text.grown() => grown,
                                () = stop.cancelled() => false,
                            };
                        if !goes_on {
                            return None;
                        }
                    }
                    Err(error) => {
                        tracing::warn!("a log cannot be read: {error}");
                        return Some((Err(error), None));
                    }
                }
            }
        }
    });
    HttpBody::from_stream(stream)
}

impl Cut {
    /// What is sent of a block now.
    fn take(&mut self, block: Bytes) -> Option<Bytes> {
        let block = match &mut self.grep {
            Some(grep) => Bytes::from(grep.push(&block)),
            None => block,
        };
        match &mut self.tail {
            Some(tail) => {
                tail.push(&block);
                None
            }
            None => (!block.is_empty()).then_some(block),
        }
    }

    /// What is still to be sent when the text has come to its end as it is now.
    fn end(&mut self) -> Option<Bytes> {
        // A line that may still grow is looked at when it is whole.
        let rest = match &mut self.grep {
            Some(grep) if !self.follow => Bytes::from(grep.finish()),
            _ => Bytes::new(),
        };
        let rest = match self.tail.take() {
            Some(mut tail) => {
                tail.push(&rest);
                tail.finish()
            }
            None => rest,
        };
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_config::Environment;

    fn places(home: &Path) -> LogPlaces {
        let environment = Environment::of([("SKEP_HOME", home.as_os_str())]);
        LogPlaces::new(Paths::resolve(&environment, None).unwrap())
    }

    #[test]
    fn c5_the_first_log_that_says_something_is_chosen() {
        let home = tempfile::tempdir().unwrap();
        let places = places(home.path());
        let id = SessionId::random();
        let session = Subject::Session(id);
        assert_eq!(places.choose(&session), LogType::Transcript);
        let dir = home.path().join("sessions").join(id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("debug.log"), "frame\n").unwrap();
        assert_eq!(places.choose(&session), LogType::Debug);
        std::fs::write(dir.join("process.log"), "oops\n").unwrap();
        assert_eq!(places.choose(&session), LogType::Process);
        let day = home.path().join("logs/2026-11-20");
        std::fs::create_dir_all(&day).unwrap();
        std::fs::write(day.join("repo.log"), "nothing of it\n").unwrap();
        assert_eq!(places.choose(&session), LogType::Process);
        std::fs::write(day.join("repo.log"), format!("session {id}\n")).unwrap();
        assert_eq!(places.choose(&session), LogType::Telemetry);
        assert_eq!(places.choose(&Subject::Daemon), LogType::Telemetry);
        let worker = Subject::Worker("remote-control-1".parse().unwrap());
        assert_eq!(places.choose(&worker), LogType::Process);
    }

    #[test]
    fn c5_the_debug_log_of_a_day_is_not_its_telemetry() {
        let home = tempfile::tempdir().unwrap();
        let places = places(home.path());
        let day = home.path().join("logs/2026-11-20");
        std::fs::create_dir_all(&day).unwrap();
        let path = |log_type| places.file(&Subject::Daemon, log_type).map(|log| log.path);
        assert_eq!((path(LogType::Telemetry), path(LogType::Debug)), (None, None));
        std::fs::write(day.join("repo.log"), "brief\n").unwrap();
        std::fs::write(day.join("repo.debug.log"), "verbose\n").unwrap();
        assert_eq!(path(LogType::Telemetry), Some(day.join("repo.log")));
        assert_eq!(path(LogType::Debug), Some(day.join("repo.debug.log")));
        let later = home.path().join("logs/2026-11-21");
        std::fs::create_dir_all(&later).unwrap();
        assert_eq!(path(LogType::Telemetry), Some(day.join("repo.log")), "nothing was written yet");
        std::fs::write(later.join("x.debug.log"), "of a workspace with that name\n").unwrap();
        assert_eq!(path(LogType::Telemetry), Some(later.join("x.debug.log")));
    }
}
