//! Appending to journals: the handles that the rest of a process holds.
//!
//! ```text
//! Writer ──push──▶ Inbox ──Ready──▶ writer thread ──write──▶ segment ──▶ head rings
//!                                         └──sync──▶ disk threads ──▶ synced rings
//! ```
//!
//! Seqs are given at once and in the order of the calls; committed is what the head says. No call here touches a file
//! on the caller's thread.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use skep_common::event::{Event, SessionOpened};
use skep_common::ids::{SessionId, WorkerId};
use skep_common::session::Head;
use tokio::sync::{oneshot, watch};

use crate::appender::SEGMENT_BYTES;
use crate::inbox::{End, Inbox, Pushed, UNWRITTEN};
use crate::pool::Pool;
use crate::recover::{self, Begun, Site};
use crate::segment::{self, Wrap, journal_dir};
use crate::thread::{self, Lane, Message, Number};
use crate::{JournalError, Lease, Projection, RecoveryNote};

/// The owner of the process's journal threads. Dropping it writes what is pending and ends them; appends fail from
/// then on.
#[derive(Debug)]
pub struct JournalThread {
    sender: Sender<Message>,
    pool: Pool,
    thread: Option<JoinHandle<()>>,
}

/// Opens journals. Cloneable.
#[derive(Debug, Clone)]
pub struct Journals {
    sender: Sender<Message>,
    pool: Pool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    last: AtomicU64,
    open: Mutex<Vec<Weak<Inbox>>>,
}

/// What tests change.
#[derive(Clone)]
pub(crate) struct Options {
    /// Where segments are sealed.
    pub(crate) segment_bytes: u64,
    /// How much of a session may be unwritten.
    pub(crate) unwritten: usize,
    /// How segments are opened for writing.
    pub(crate) wrap: Wrap,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, unwritten: UNWRITTEN, wrap: segment::real() }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("segment_bytes", &self.segment_bytes).finish_non_exhaustive()
    }
}

/// Who opens a journal.
#[derive(Debug, Clone)]
pub struct Opener {
    /// The session.
    pub session: SessionId,
    /// The worker that will write, if it is one.
    pub worker: Option<WorkerId>,
    /// The skep version.
    pub version: String,
}

/// An opened journal.
#[derive(Debug)]
pub struct Opened {
    /// Appends to it.
    pub writer: Writer,
    /// What it says, this opening's own records included.
    pub projection: Projection,
    /// What was damaged.
    pub notes: Vec<RecoveryNote>,
}

/// Whether an append waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Committed when written: survives the death of every process.
    Buffered,
    /// Committed when synced: survives the loss of power.
    Synced,
}

impl JournalThread {
    /// Starts the writer thread: one per process.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<(Self, Journals)> {
        Self::start_with(Options::default())
    }

    pub(crate) fn start_with(options: Options) -> std::io::Result<(Self, Journals)> {
        let (sender, messages) = channel();
        let pool = Pool::new();
        let (own, disk) = (sender.clone(), pool.clone());
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || thread::run(&messages, &own, &disk))?;
        let shared = Arc::new(Shared { options, last: AtomicU64::new(0), open: Mutex::default() });
        let journals = Journals { sender: sender.clone(), pool: pool.clone(), shared };
        Ok((Self { sender, pool, thread: Some(thread) }, journals))
    }
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        // Both fail only if the thread is gone already.
        drop(self.sender.send(Message::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.pool.stop();
    }
}

impl Journals {
    /// Makes the journal of a new session in the lease's directory, which must exist: `session_opened` and
    /// `writer_opened`, synced, with the directories.
    ///
    /// # Errors
    ///
    /// [`JournalError::Exists`] where there is a journal.
    pub async fn create(
        &self,
        lease: Lease,
        opener: Opener,
        opened: SessionOpened,
    ) -> Result<Opened, JournalError> {
        self.begin(lease, move |lease, site| recover::create(lease, site, &opener, opened)).await
    }

    /// Opens an existing journal: repairs its tail, reads it, begins a new epoch with a synced `writer_opened`. A
    /// session that died before its first record has an empty projection (`spec` is none).
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, repaired or written.
    pub async fn open(&self, lease: Lease, opener: Opener) -> Result<Opened, JournalError> {
        self.begin(lease, move |lease, site| recover::open(lease, site, &opener)).await
    }

    /// Milliseconds that the oldest write or sync has been waiting; 0 when none does. Never waits for a disk.
    #[must_use]
    pub fn oldest_wait_ms(&self) -> u64 {
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let writes = open.iter().filter_map(Weak::upgrade).filter_map(|inbox| inbox.oldest());
        let oldest = writes.chain(self.pool.oldest()).min();
        let waited = oldest.map_or(0, |since| Instant::now().saturating_duration_since(since).as_millis());
        u64::try_from(waited).unwrap_or(u64::MAX)
    }

    /// Opens a journal on a disk thread, and hands it to the writer thread.
    async fn begin(
        &self,
        lease: Lease,
        open: impl FnOnce(&Lease, &Site) -> Result<Begun, JournalError> + Send + 'static,
    ) -> Result<Opened, JournalError> {
        let (reply, opened) = oneshot::channel();
        let journals = self.clone();
        self.pool.run(move || {
            let Options { segment_bytes, wrap, .. } = journals.shared.options.clone();
            let site = Site { dir: journal_dir(lease.session_dir()), segment_bytes, wrap };
            let result = open(&lease, &site).and_then(|begun| journals.attach(lease, begun));
            // A caller that is gone drops the writer, and so frees the lease.
            drop(reply.send(result));
        });
        opened.await.unwrap_or(Err(JournalError::Closed))
    }

    fn attach(&self, lease: Lease, begun: Begun) -> Result<Opened, JournalError> {
        let Begun { appender, projection, notes } = begun;
        let inbox = Arc::new(Inbox::new(appender.head()));
        {
            let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|inbox| inbox.strong_count() > 0);
            open.push(Arc::downgrade(&inbox));
        }
        let number = self.shared.last.fetch_add(1, Ordering::Relaxed);
        let lane = Box::new(Lane::new(Arc::clone(&inbox), appender, lease));
        self.sender.send(Message::Attach(number, lane)).map_err(|_| JournalError::Closed)?;
        let writer = Writer {
            number,
            inbox,
            sender: self.sender.clone(),
            turn: tokio::sync::Mutex::new(()),
            unwritten: self.shared.options.unwritten,
        };
        Ok(Opened { writer, projection, notes })
    }
}

/// Appends to one session's journal. Dropping it closes the journal; [`Writer::close`] also waits for that.
#[derive(Debug)]
pub struct Writer {
    number: Number,
    inbox: Arc<Inbox>,
    sender: Sender<Message>,
    /// Held while an append waits for room, so that none overtakes it.
    turn: tokio::sync::Mutex<()>,
    unwritten: usize,
}

impl Writer {
    /// Appends events, in order and together; their seqs are given at once, in the order of the calls. Waits only
    /// while more than 4 MiB of this session are unwritten; dropped while it waits, it has appended nothing. No events
    /// and `Synced`: a ticket for the sync of everything before it.
    ///
    /// # Errors
    ///
    /// When the journal is read-only or closed, or an event is too large; then nothing of it is appended.
    pub async fn append(
        &self,
        events: Vec<Event>,
        durability: Durability,
    ) -> Result<AppendTicket, JournalError> {
        let _turn = self.turn.lock().await;
        loop {
            match self.inbox.push(&events, durability, self.unwritten)? {
                Pushed::Accepted { seqs, call } => {
                    if call {
                        self.call()?;
                    }
                    return Ok(AppendTicket { seqs, durability, inbox: Arc::clone(&self.inbox) });
                }
                Pushed::Full => self.inbox.space.notified().await,
            }
        }
    }

    /// How far the journal is committed; changes ring.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Head> {
        self.inbox.head.subscribe()
    }

    /// Why the journal is read-only, if it is. A change of the head rings for it too.
    #[must_use]
    pub fn failure(&self) -> Option<JournalError> {
        self.inbox.failure().cloned()
    }

    /// Writes and syncs what is pending and gives up the lease.
    ///
    /// # Errors
    ///
    /// When a write or sync failed. The lease is free in any case.
    pub async fn close(self) -> Result<Head, JournalError> {
        let (reply, closed) = oneshot::channel();
        self.end(Some(reply));
        closed.await.unwrap_or(Err(JournalError::Closed))
    }

    fn end(&self, end: End) {
        if self.inbox.close(end) {
            // A thread that is gone holds no lease either.
            drop(self.call());
        }
    }

    fn call(&self) -> Result<(), JournalError> {
        self.sender.send(Message::Ready(self.number)).map_err(|_| {
            self.inbox.fail(JournalError::Closed);
            JournalError::Closed
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// An append on its way to the disk.
#[derive(Debug)]
#[must_use = "an append is committed only when its ticket says so"]
pub struct AppendTicket {
    seqs: Range<u64>,
    durability: Durability,
    inbox: Arc<Inbox>,
}

impl AppendTicket {
    /// The seqs that the events got.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seqs.clone()
    }

    /// Waits until the append is committed; the head is at or after it.
    ///
    /// # Errors
    ///
    /// When it could not be written or synced; the journal is read-only from then on.
    pub async fn committed(&self) -> Result<Head, JournalError> {
        let last = self.seqs.end - 1;
        let failed = || self.inbox.failure().is_some();
        let reached = match self.durability {
            Durability::Buffered => {
                let mut head = self.inbox.head.subscribe();
                drop(head.wait_for(|head| head.seq >= last || failed()).await);
                head.borrow().seq >= last
            }
            Durability::Synced => {
                let mut synced = self.inbox.synced.subscribe();
                drop(synced.wait_for(|synced| *synced >= last || failed()).await);
                *synced.borrow() >= last
            }
        };
        if reached {
            return Ok(*self.inbox.head.borrow());
        }
        Err(self.inbox.failure().cloned().unwrap_or(JournalError::Closed))
    }
}
