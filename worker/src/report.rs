//! Reports to the supervisor: never blocking whoever reports, never holding more than the latest.
//!
//! Acknowledgements keep their order. Heads and snapshots are coalesced per session: while the supervisor does not
//! read, only the newest of each waits. One writer's loop owns the pipe.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use skep_common::ids::{RequestId, SessionId};
use skep_common::protocol::{Reply, Report, WorkerHello};
use skep_common::session::{Head, SessionSnapshot};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// How many acknowledgements may wait until no more commands are read.
const ACKS_WAITING: usize = 1024;

/// A cloneable handle: what it is given goes out as soon as the pipe takes it.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    ordered: VecDeque<Vec<u8>>,
    snapshots: HashMap<SessionId, SessionSnapshot>,
    heads: HashMap<SessionId, Head>,
    /// The newest head of every session that is held, for a hello.
    known: HashMap<SessionId, Head>,
    stalled_ms: Option<u64>,
    closed: bool,
}

impl Reports {
    /// Answers a controller's hello.
    pub fn hello(&self, mut hello: WorkerHello) {
        {
            let pending = self.lock();
            for session in &mut hello.sessions {
                let newest = pending.known.get(&session.id).filter(|head| head.seq > session.head.seq);
                session.head = newest.copied().unwrap_or(session.head);
            }
        }
        self.push(&Report::Hello(hello));
    }

    /// Tells a controller that it is outdated.
    pub fn fenced(&self, epoch: u64) {
        self.push(&Report::Fenced { epoch });
    }

    /// Acknowledges a request.
    pub fn ack(&self, id: RequestId, reply: Reply) {
        self.push(&Report::Ack { id, reply });
    }

    /// A session changed.
    pub fn session(&self, snapshot: SessionSnapshot) {
        self.lock().snapshots.insert(snapshot.id, snapshot);
        self.shared.wake.notify_one();
    }

    /// A session's journal grew.
    pub fn head(&self, session: SessionId, head: Head) {
        {
            let mut pending = self.lock();
            pending.heads.insert(session, head);
            pending.known.insert(session, head);
        }
        self.shared.wake.notify_one();
    }

    /// The worker holds a session no more; nothing older about it goes out afterwards.
    pub fn released(&self, snapshot: SessionSnapshot) {
        {
            let mut pending = self.lock();
            pending.snapshots.remove(&snapshot.id);
            pending.heads.remove(&snapshot.id);
            pending.known.remove(&snapshot.id);
        }
        self.push(&Report::Released(snapshot));
    }

    /// Still alive.
    pub fn heartbeat(&self, journal_stalled_ms: u64) {
        self.lock().stalled_ms = Some(journal_stalled_ms);
        self.shared.wake.notify_one();
    }

    /// No more reports: the writer's loop ends when all is written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.shared.wake.notify_one();
    }

    /// Waits until another request may be taken.
    pub async fn room(&self) {
        loop {
            let freed = self.shared.room.notified();
            if self.lock().ordered.len() < ACKS_WAITING {
                return;
            }
            freed.await;
        }
    }

    /// Writes reports to `out` until they are closed.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written: the supervisor is gone.
    pub async fn write(&self, mut out: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut chunk = Vec::new();
        loop {
            let woken = self.shared.wake.notified();
            let closed = self.take(&mut chunk);
            if !chunk.is_empty() {
                out.write_all(&chunk).await?;
                chunk.clear();
                chunk.shrink_to(64 * 1024);
            } else if closed {
                return out.flush().await;
            } else {
                woken.await;
            }
        }
    }

    /// Moves what waits into `chunk` as lines; says whether reports are closed.
    fn take(&self, chunk: &mut Vec<u8>) -> bool {
        let mut pending = self.lock();
        for line in pending.ordered.drain(..) {
            chunk.extend_from_slice(&line);
        }
        for (_, snapshot) in pending.snapshots.drain() {
            append(chunk, &Report::Session(snapshot));
        }
        for (session, head) in pending.heads.drain() {
            append(chunk, &Report::Head { session, head });
        }
        if let Some(journal_stalled_ms) = pending.stalled_ms.take() {
            append(chunk, &Report::Heartbeat { journal_stalled_ms });
        }
        self.shared.room.notify_waiters();
        pending.closed
    }

    fn push(&self, report: &Report) {
        let mut line = Vec::new();
        append(&mut line, report);
        self.lock().ordered.push_back(line);
        self.shared.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(chunk: &mut Vec<u8>, report: &impl Serialize) {
    let start = chunk.len();
    if let Err(error) = serde_json::to_writer(&mut *chunk, report) {
        chunk.truncate(start);
        tracing::error!(%error, "failed to write a report as JSON");
        return;
    }
    chunk.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use skep_common::session::SessionState;
    use tokio::io::AsyncReadExt as _;

    fn snapshot(id: SessionId) -> SessionSnapshot {
        SessionSnapshot::blank(id, SessionState::Idle, Timestamp::UNIX_EPOCH)
    }

    async fn written(reports: &Reports) -> Vec<Report> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        reports.close();
        reports.write(ours).await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn heads_are_coalesced_and_acknowledgements_are_not() {
        let reports = Reports::default();
        let (session, request) = (SessionId::random(), RequestId::random());
        for seq in 0..1000 {
            reports.head(session, Head { seq, ..Head::default() });
            reports.ack(request, Reply::Done { head: Head::default() });
        }
        let out = written(&reports).await;
        assert_eq!(out.len(), 1001);
        assert_eq!(out[1000], Report::Head { session, head: Head { seq: 999, ..Head::default() } });
    }

    #[tokio::test]
    async fn nothing_older_follows_a_release() {
        let reports = Reports::default();
        let session = SessionId::random();
        reports.session(snapshot(session));
        reports.head(session, Head::default());
        reports.released(snapshot(session));
        assert!(matches!(&written(&reports).await[..], [Report::Released(_)]));
    }

    #[tokio::test]
    async fn g16_requests_are_read_no_faster_than_they_are_answered() {
        let reports = Reports::default();
        for _ in 0..ACKS_WAITING {
            reports.fenced(1);
        }
        let room = reports.room();
        let wait = async {
            tokio::task::yield_now().await;
            written(&reports).await.len()
        };
        let ((), count) = tokio::join!(room, wait);
        assert_eq!(count, ACKS_WAITING);
    }

    #[tokio::test]
    async fn g22_a_supervisor_that_is_gone_is_an_error_and_no_panic() {
        let reports = Reports::default();
        let (ours, theirs) = tokio::io::duplex(16);
        drop(theirs);
        reports.heartbeat(0);
        assert!(reports.write(ours).await.is_err());
    }
}
