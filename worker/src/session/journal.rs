//! Writing to the journal, and telling what it says: snapshots, heads, `session.json`.

use std::time::Duration;

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, Note, StateChanged};
use skep_common::session::{Head, SessionFile, SessionSnapshot, SessionState};
use skep_journal::{AppendTicket, Durability, JournalError};
use skep_sys::statefile;
use tokio::sync::watch;

use super::{Halt, Session, Slot, is_storage};

/// How long a commit may take once the worker is being killed.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// The session cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The journal refuses.
    Journal(JournalError),
    /// The worker was killed while the journal was busy.
    Killed,
}

impl From<JournalError> for Broken {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl Broken {
    pub(super) fn for_client(&self) -> ApiError {
        match self {
            Self::Journal(JournalError::TooLarge { .. }) => {
                ApiError::new(Code::TooLarge, "the request is too large for the session's journal")
            }
            Self::Journal(error) if is_storage(error) => {
                ApiError::new(Code::StorageFailed, "the session's journal cannot be written")
            }
            Self::Journal(_) => {
                ApiError::new(Code::SessionReadOnly, "the session is read-only until it is opened anew")
            }
            Self::Killed => ApiError::new(Code::ShuttingDown, "the worker is stopping"),
        }
    }
}

impl Session {
    /// Appends without waiting for the disk.
    pub(super) async fn append(&self, events: Vec<Event>) -> Result<(), Broken> {
        if !events.is_empty() {
            drop(self.write(events, Durability::Buffered).await?);
        }
        Ok(())
    }

    /// Appends and waits until it is synced; the first event's seq.
    pub(super) async fn commit(&self, events: Vec<Event>) -> Result<u64, Broken> {
        let ticket = self.write(events, Durability::Synced).await?;
        let mut halt = self.halt.clone();
        tokio::select! {
            biased;
            committed = ticket.committed() => drop(committed?),
            () = overdue(&mut halt) => return Err(Broken::Killed),
        }
        Ok(ticket.seqs().start)
    }

    async fn write(&self, events: Vec<Event>, durability: Durability) -> Result<AppendTicket, Broken> {
        let writer = self.writer.as_ref().ok_or(JournalError::Closed)?;
        let mut halt = self.halt.clone();
        tokio::select! {
            biased;
            ticket = writer.append(events, durability) => Ok(ticket?),
            () = overdue(&mut halt) => Err(Broken::Killed),
        }
    }

    /// How far the journal is committed.
    pub(super) fn head(&self) -> Head {
        match &self.writer {
            Some(writer) => *writer.head().borrow(),
            None => self.published.borrow().head,
        }
    }

    /// Changes the state; the event to journal, if it is a change.
    #[must_use]
    pub(super) fn enter(&mut self, state: SessionState, why: Option<String>) -> Option<Event> {
        if self.state == state && self.why == why {
            return None;
        }
        self.state = state;
        self.listen();
        self.why.clone_from(&why);
        Some(Event::State(StateChanged { state, why }))
    }

    /// The session as it is now.
    pub(super) fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            id: self.spec.id,
            state: self.state,
            why: self.why.clone(),
            head: self.head(),
            turn: self.turns.info(),
            queued: self.turns.queued(),
            queue_held: self.turns.held(),
            waiting: self.requests.waiting().to_vec(),
            last_turn: self.last_turn.clone(),
            agent: match &self.slot {
                Slot::Ready(_, process) => Some(process.clone()),
                Slot::Empty | Slot::Starting(_) | Slot::Stopping(_) => None,
            },
            agent_silent_since: self.silent_since,
            git_branch: self.branch.clone(),
            kept_awake: self.awake.kept_by().map(str::to_owned),
            used: self.used.clone(),
            settings: self.changed.then(|| Box::new(self.spec.settings())),
            worker: Some(self.shared.worker.clone()),
            updated_at: Timestamp::now(),
        }
    }

    /// Reports the session if anything but its head has changed.
    pub(super) fn publish(&self) {
        let mut now = self.snapshot();
        let changed = {
            let before = self.published.borrow();
            let at = before.updated_at;
            let same = SessionSnapshot { head: before.head, updated_at: at, ..now.clone() };
            // Silence is told, and so is what keeps it awake: that is no change of the session.
            let told = SessionSnapshot {
                agent_silent_since: before.agent_silent_since,
                kept_awake: before.kept_awake.clone(),
                ..same.clone()
            };
            if told == *before {
                now.updated_at = at;
            }
            same != *before
        };
        if changed && !self.over {
            self.shared.reports.session(now.clone());
            self.published.send_replace(now);
        }
    }

    /// Writes `session.json`: settings, and the state as a cache.
    pub(super) async fn save(&self, synced: bool) {
        let snapshot = SessionSnapshot { settings: None, ..self.snapshot() };
        let file = SessionFile { spec: self.spec.clone(), snapshot: Some(snapshot) };
        save(self.dir.join("session.json"), &file, synced).await;
    }
}

/// Resolves when the worker has been killed and the disk has had its last chance.
async fn overdue(halt: &mut watch::Receiver<Option<Halt>>) {
    if halt.wait_for(|halt| matches!(halt, Some(Halt::Kill(_)))).await.is_err() {
        return std::future::pending().await;
    }
    tokio::time::sleep(LAST_CHANCE).await;
}

/// Writes a `session.json` off the runtime, `synced` where nobody will write it again. Its loss costs nothing but a slower look-up, so a failure is only logged.
pub(super) async fn save(path: std::path::PathBuf, file: &SessionFile, synced: bool) {
    let bytes = match statefile::to_bytes(file) {
        Ok(bytes) => bytes,
        Err(error) => return tracing::error!(%error, "failed to encode session.json"),
    };
    let written = tokio::task::spawn_blocking(move || {
        let write = if synced { statefile::write_atomic } else { statefile::write_unsynced };
        write(&path, &bytes)
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "failed to write session.json"),
        Err(error) => tracing::error!(%error, "the writer of session.json ended early"),
    }
}

/// A remark of skep's own.
pub(super) fn note(level: &str, text: impl Into<String>) -> Event {
    Event::Note(Note { level: level.to_owned(), text: text.into() })
}
