//! What several tests need: a session's directory, a journal to read back by other means, a disk that fails.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use skep_common::event::{Event, Note, SessionOpened};
use skep_common::ids::SessionId;
use skep_common::session::{Head, PermissionMode, SessionKind, SessionSpec};

use crate::segment::{self, SegmentFile, Wrap};
use crate::writer::Options;
use crate::{Durability, JournalThread, Journals, Lease, Line, Opened, Opener, Reader, Writer};

mod failures;
mod folding;
mod following;
mod recovery;
mod writing;

/// A directory with one session in it.
pub(crate) struct Home {
    _dir: tempfile::TempDir,
    pub(crate) id: SessionId,
    pub(crate) session: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let id = SessionId::random();
        let session = dir.path().join(id.to_string());
        std::fs::create_dir(&session).unwrap();
        Self { _dir: dir, id, session }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.session.join("journal")
    }

    pub(crate) fn opener(&self) -> Opener {
        Opener { session: self.id, worker: Some("w-1".parse().unwrap()), version: "0.0.0".to_owned() }
    }

    pub(crate) fn spec(&self) -> SessionSpec {
        SessionSpec {
            id: self.id,
            name: None,
            agent: "shell".to_owned(),
            cwd: "/".to_owned(),
            permission_mode: PermissionMode::Ask,
            kind: SessionKind::Bg,
            ephemeral: false,
            options: skep_common::session::SessionOptions::default(),
            lineage: Vec::new(),
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    pub(crate) async fn create(&self, journals: &Journals) -> Writer {
        let lease = Lease::acquire(&self.session).unwrap();
        let opened = SessionOpened { spec: self.spec() };
        journals.create(lease, self.opener(), opened).await.unwrap().writer
    }

    pub(crate) async fn open(&self, journals: &Journals) -> Opened {
        journals.open(self.lease(), self.opener()).await.unwrap()
    }

    /// The lease, once whoever has it lets go.
    pub(crate) fn lease(&self) -> Lease {
        eventually("the lease", || Lease::acquire(&self.session).ok())
    }

    /// Every segment file's bytes, in order.
    pub(crate) fn files(&self) -> Vec<(u64, Vec<u8>)> {
        let list = segment::list(&self.journal()).unwrap();
        list.into_iter()
            .map(|first| (first, std::fs::read(segment::path(&self.journal(), first)).unwrap()))
            .collect()
    }

    /// Every record by plain means: split, parse, compare.
    pub(crate) fn plainly(&self) -> Vec<(u64, serde_json::Value)> {
        let mut records = Vec::new();
        for (_, bytes) in self.files() {
            for line in bytes.split(|b| *b == b'\n') {
                let Ok(serde_json::Value::Object(mut object)) = serde_json::from_slice(line) else {
                    continue;
                };
                object.remove("crc");
                if let Some(seq) = object.get("seq").and_then(serde_json::Value::as_u64) {
                    records.push((seq, serde_json::Value::Object(object)));
                }
            }
        }
        records
    }
}

/// A journal with `count` notes in segments of `segment_bytes`, closed.
pub(crate) fn written(home: &Home, segment_bytes: u64, count: u64) -> Head {
    run(async {
        let options = Options { segment_bytes, ..Options::default() };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        for number in 0..count {
            drop(writer.append(vec![note(&format!("number {number}"))], Durability::Buffered).await.unwrap());
        }
        writer.close().await.unwrap()
    })
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("the test hangs")
    })
}

/// Asks until there is an answer; panics after a deadline.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} within 30 s");
        std::thread::yield_now();
    }
}

pub(crate) fn note(text: &str) -> Event {
    Event::Note(Note { level: "info".to_owned(), text: text.to_owned() })
}

pub(crate) fn update(text: &str) -> Event {
    Event::Update(
        RawValue::from_string(serde_json::json!({"sessionUpdate": "x", "text": text}).to_string()).unwrap(),
    )
}

/// Reads everything after `after`, in pieces of `max_bytes`.
pub(crate) fn read_all(session: &Path, after: u64, head: Head, max_bytes: usize) -> Vec<Line> {
    let mut reader = Reader::open(session, after, None, head).unwrap();
    let mut all = Vec::new();
    loop {
        let lines = reader.read(head, max_bytes).unwrap();
        if lines.is_empty() {
            assert_eq!(reader.position(), head.seq.max(after));
            return all;
        }
        all.extend(lines);
    }
}

/// The seqs, damaged ones negative.
pub(crate) fn seqs(lines: &[Line]) -> Vec<i64> {
    lines
        .iter()
        .map(|line| match line {
            Line::Record(record) => i64::try_from(record.seq).unwrap(),
            Line::Corrupt { seq } => -i64::try_from(*seq).unwrap(),
        })
        .collect()
}

/// A disk that does what a test says; one for each session under test.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct DiskState {
    /// Bytes until ENOSPC.
    pub(crate) room: Option<usize>,
    /// The most that one write call takes.
    pub(crate) bite: Option<usize>,
    pub(crate) sync_fails: bool,
    pub(crate) sync_hangs: bool,
    pub(crate) write_hangs: bool,
    pub(crate) syncs: usize,
    pub(crate) writes: usize,
}

impl Disk {
    pub(crate) fn set(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    pub(crate) fn get<T>(&self, look: impl FnOnce(&DiskState) -> T) -> T {
        look(&self.state.lock().unwrap())
    }

    /// Hangs for as long as the test wants; a test that failed meanwhile does not hang with it.
    fn hang<'a>(
        &self,
        state: MutexGuard<'a, DiskState>,
        hangs: impl Fn(&DiskState) -> bool,
    ) -> MutexGuard<'a, DiskState> {
        let limit = Duration::from_secs(30);
        self.changed.wait_timeout_while(state, limit, |state| hangs(state)).unwrap().0
    }

    /// Options that put the files below `session` on this disk.
    pub(crate) fn options(self: &Arc<Self>, session: &Path) -> Options {
        let (disk, session) = (Arc::clone(self), session.to_owned());
        let wrap: Wrap = Arc::new(move |path, file| {
            if path.starts_with(&session) {
                Arc::new(DiskFile { disk: Arc::clone(&disk), file })
            } else {
                Arc::new(file)
            }
        });
        Options { wrap, ..Options::default() }
    }
}

#[derive(Debug)]
struct DiskFile {
    disk: Arc<Disk>,
    file: File,
}

impl SegmentFile for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock().unwrap();
        state.writes += 1;
        let mut state = self.disk.hang(state, |state| state.write_hangs);
        let room = state.room.unwrap_or(usize::MAX).min(state.bite.unwrap_or(usize::MAX));
        if room == 0 {
            return Err(nix::errno::Errno::ENOSPC.into());
        }
        let wrote = SegmentFile::write_at(&self.file, &bytes[..bytes.len().min(room)], offset)?;
        state.room = state.room.map(|room| room - wrote);
        Ok(wrote)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock().unwrap();
        state.syncs += 1;
        self.disk.changed.notify_all();
        let state = self.disk.hang(state, |state| state.sync_hangs);
        if state.sync_fails { Err(nix::errno::Errno::EIO.into()) } else { Ok(()) }
    }
}
