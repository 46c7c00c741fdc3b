//! Opening a session: its lease, its journal, and the state that the journal tells.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::environment::{CapturedEnvironment, needed};
use skep_common::event::{Event, Record, SessionOpened, StateChanged};
use skep_common::ids::RequestId;
use skep_common::protocol::{Action, Reply};
use skep_common::session::{Cause, Head, SessionFile, SessionSnapshot, SessionSpec, SessionState};
use skep_config::permissions::Rule;
use skep_journal::{
    Durability, JournalError, Journals, Lease, LeaseError, Opened, Opener, Projection, QueuedPrompt, Writer,
    first_seq, interruption, usage,
};
use skep_sys::statefile;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use super::journal::{note, save};
use super::settings::AgentSettings;
use super::timers::Deadlines;
use super::{Halt, Session, Shared, Slot};
use crate::agent::updates::{Told, Updates};
use crate::consent::Requests;
use crate::consent::grants::Grants;
use crate::meter::Meter;
use crate::report::Reports;
use crate::turn::outcome::Seen;
use crate::turn::{Prompt, Turns};

/// The file in a session's directory with the settings that its agent told last.
const TOLD: &str = "told.json";

/// A session that is being opened.
pub(super) struct Opening {
    pub(super) shared: Shared,
    pub(super) spec: SessionSpec,
    /// What a client gave.
    pub(super) environment: Option<CapturedEnvironment>,
    /// Acknowledged when it is open, or cannot be.
    pub(super) request: Option<RequestId>,
    pub(super) halt: watch::Receiver<Option<Halt>>,
    pub(super) inbox: mpsc::Receiver<(RequestId, Action)>,
    pub(super) published: watch::Sender<SessionSnapshot>,
    /// What a former holder was told of the settings.
    pub(super) updates: Updates,
    /// How much the session takes on the disk, in bytes; known once its journal is found.
    pub(super) on_disk: u64,
}

/// The session until its journal has been read.
pub(super) fn before(shared: &Shared, spec: &SessionSpec) -> SessionSnapshot {
    SessionSnapshot {
        worker: Some(shared.worker.clone()),
        ..SessionSnapshot::blank(spec.id, SessionState::Starting, Timestamp::now())
    }
}

impl Opening {
    /// Opens it and says what came of that; `None` if it cannot be opened.
    pub(super) async fn open(mut self) -> Option<Session> {
        let opened = self.try_open().await;
        let (reply, opened) = match opened {
            Ok((writer, projection)) => {
                let head = *writer.head().borrow();
                (Reply::Done { head }, Ok((writer, projection)))
            }
            Err(error) => (Reply::Error { error: error.clone() }, Err(error)),
        };
        if let Some(request) = self.request.take() {
            self.shared.reports.ack(request, reply);
        }
        match opened {
            Ok((writer, projection)) => Some(self.session(writer, projection)),
            Err(error) => {
                self.inbox.close();
                while let Ok((id, _)) = self.inbox.try_recv() {
                    self.shared.reports.ack(id, Reply::Error { error: error.clone() });
                }
                None
            }
        }
    }

    async fn try_open(&mut self) -> Result<(Writer, Projection), ApiError> {
        let Opened { writer, mut projection, notes } = self.journal().await?;
        // Opening it has written one record.
        let before = writer.head().borrow().seq.saturating_sub(1);
        self.updates = recall(&self.shared.session_dir(self.spec.id), before).await;
        if projection.closed.is_some() {
            drop(writer.close().await);
            return Err(ApiError::new(Code::SessionClosed, "the session is closed"));
        }
        let mut events: Vec<Event> = notes.iter().map(|found| note("warn", found.to_string())).collect();
        if projection.spec.is_none() {
            events.push(Event::SessionOpened(SessionOpened { spec: self.spec.clone() }));
        }
        events.extend(unfinished(&projection));
        if !events.is_empty() {
            // That a session which has had no turn is idle goes without saying.
            let fresh = events.iter().all(|event| matches!(event, Event::State(_)));
            let durability = if fresh { Durability::Buffered } else { Durability::Synced };
            let ticket = writer.append(events.clone(), durability).await.map_err(|e| self.storage(&e))?;
            ticket.committed().await.map_err(|error| self.storage(&error))?;
            for (seq, event) in ticket.seqs().zip(events) {
                projection.apply(&Record { seq, at: Timestamp::now(), event });
            }
        }
        let head = *writer.head().borrow();
        let snapshot = projection.snapshot(self.spec.id, head);
        let spec = projection.spec.clone().unwrap_or_else(|| self.spec.clone());
        let file = SessionFile { spec, snapshot: Some(snapshot) };
        save(self.shared.session_dir(self.spec.id).join("session.json"), &file, false).await;
        Ok((writer, projection))
    }

    async fn journal(&mut self) -> Result<Opened, ApiError> {
        let dir = self.shared.session_dir(self.spec.id);
        let prepared = tokio::task::spawn_blocking(move || prepare(&dir)).await;
        let (lease, exists) = match prepared {
            Ok(Ok((lease, exists, on_disk))) => {
                self.on_disk = on_disk;
                (lease, exists)
            }
            Ok(Err(LeaseError::Held)) => {
                return Err(ApiError::new(Code::SessionLeased, "another worker holds the session"));
            }
            Ok(Err(LeaseError::Io { path, source })) => {
                tracing::error!(session.id = %self.spec.id, path = %path.display(), error = %source, "no lease");
                return Err(ApiError::new(Code::StorageFailed, "the session's directory cannot be used"));
            }
            Err(error) => {
                tracing::error!(%error, "opening a session ended early");
                return Err(ApiError::new(Code::Internal, "the session could not be opened"));
            }
        };
        let threads = self.shared.disk.threads().map_err(|error| {
            tracing::error!(%error, "no thread for journals");
            ApiError::new(Code::StorageFailed, "the system gives no thread for the session's journal")
        })?;
        open_journal(&threads.journals, lease, exists, self.opener(), &self.spec)
            .await
            .map_err(|error| self.storage(&error))
    }

    fn opener(&self) -> Opener {
        Opener {
            session: self.spec.id,
            worker: Some(self.shared.worker.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn storage(&self, error: &JournalError) -> ApiError {
        tracing::error!(session.id = %self.spec.id, %error, "the session's journal cannot be opened");
        match error {
            JournalError::NewerFormat { .. } => {
                ApiError::new(Code::NotSupported, "the session was written by a newer skep")
            }
            _ => ApiError::new(Code::StorageFailed, "the session's journal cannot be opened"),
        }
    }

    /// The actor. The journal's settings win: those of its first record, and all that was changed since.
    fn session(self, writer: Writer, projection: Projection) -> Session {
        let settings = &self.shared.settings.session;
        let limit = usize::try_from(settings.max_queued).unwrap_or(usize::MAX);
        let known: Vec<_> = projection.queue.iter().map(|queued| (queued.prompt, queued.seq)).collect();
        let queue = projection.queue.iter().map(waiting);
        let cut_off = projection.cut_off.as_ref().map(waiting);
        let turns = Turns::restored(limit, queue, known);
        let (state, why) = match projection.state {
            SessionState::Interrupted | SessionState::Failed | SessionState::NeedsYou => {
                (projection.state, projection.why.clone())
            }
            _ => (SessionState::Idle, None),
        };
        let spec = projection.spec.clone().unwrap_or(self.spec);
        let idle = spec.options.idle_timeout_seconds.map(Duration::from_secs);
        Session {
            dir: self.shared.session_dir(spec.id),
            bell: Some(bell(&self.shared, spec.id, &writer)),
            writer: Some(writer),
            turns,
            requests: Requests::default(),
            own_rules: own_rules(&spec),
            grants: Grants::default(),
            asked: std::collections::HashMap::new(),
            slot: Slot::Empty,
            agent: AgentSettings::default(),
            changing: None,
            changed: projection.changed,
            awake: super::awake::Awake::default(),
            agent_session: projection.agent_session.clone(),
            agent_session_since: projection.agent_session_since,
            left: projection.left,
            cut_off,
            credentials: Credentials::new(self.environment, projection.keys.clone()),
            recap: None,
            prompted: false,
            steering: 0,
            seen: Seen::default(),
            updates: self.updates,
            silent_since: None,
            state,
            why,
            last_turn: projection.last_turn.clone(),
            used: projection.used.clone(),
            branch: projection.git_branch.clone(),
            meter: Meter::default(),
            answer_tokens: None,
            on_disk: self.on_disk,
            told_full: false,
            limit: None,
            deadlines: Deadlines::new(idle.unwrap_or(settings.idle_timeout)),
            ending: None,
            waits: None,
            takes: None,
            unfit: None,
            fitted: Vec::new(),
            unstartable: None,
            stopped_for: Cause::Person,
            served: false,
            unsaved: false,
            over: false,
            shared: self.shared,
            spec,
            history: Box::new(projection),
            inbox: self.inbox,
            halt: self.halt,
            published: self.published,
        }
    }
}

/// The session's own rules. One that cannot be read any more denies: it stood before others for a reason.
pub(super) fn own_rules(spec: &SessionSpec) -> Vec<Rule> {
    let rules = spec.options.rules.iter().flatten();
    rules.map(|rule| Rule::of_session(rule).unwrap_or_else(|_| Rule::denies_all())).collect()
}

/// What ends whatever a former writer left open, and the state in which the session is open again.
fn unfinished(projection: &Projection) -> Vec<Event> {
    let mut events = interruption(projection, Cause::Unknown);
    let resting = events.iter().rev().find_map(|event| match event {
        Event::State(changed) => Some(changed.state),
        _ => None,
    });
    let state = resting.unwrap_or(projection.state);
    let needs_keys = state == SessionState::NeedsYou && needed(projection.why.as_deref()).next().is_some();
    if !needs_keys && !matches!(state, SessionState::Interrupted | SessionState::Failed | SessionState::Idle)
    {
        events.retain(|event| !matches!(event, Event::State(_)));
        events.push(Event::State(StateChanged { state: SessionState::Idle, why: None }));
    }
    events
}

fn waiting(queued: &QueuedPrompt) -> Prompt {
    Prompt {
        id: queued.prompt,
        content: queued.content.clone(),
        consent: queued.consent,
        timeout_seconds: queued.timeout_seconds,
        retry_of: queued.retry_of,
    }
}

/// What the agent told of its settings before the session was let go of.
async fn recall(dir: &Path, seq: u64) -> Updates {
    let path = dir.join(TOLD);
    let told = tokio::task::spawn_blocking(move || statefile::read_json::<Told>(&path)).await;
    match told {
        Ok(Ok(Some(told))) => Updates::knowing(&told, seq),
        // Without it the settings are journalled once more.
        Ok(Ok(None) | Err(_)) | Err(_) => Updates::default(),
    }
}

/// Keeps it for the next holder; `seq` is the journal's last record.
pub(super) async fn remember(dir: &Path, updates: &Updates, seq: u64) {
    let (path, told) = (dir.join(TOLD), updates.told(seq));
    let written =
        tokio::task::spawn_blocking(move || statefile::write_unsynced(&path, &statefile::to_bytes(&told)?));
    if let Ok(Err(error)) = written.await {
        tracing::debug!(%error, "the agent's settings will be journalled again");
    }
}

/// Rings when the journal grows.
fn bell(
    shared: &Shared,
    session: skep_common::ids::SessionId,
    writer: &Writer,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let (head, reports, stopped) = (writer.head(), shared.reports.clone(), stop.clone());
    let task = shared.tracker.spawn(async move {
        stopped.run_until_cancelled(ring(head, reports, session)).await;
    });
    (stop, task)
}

async fn ring(mut head: watch::Receiver<Head>, reports: Reports, session: skep_common::ids::SessionId) {
    while head.changed().await.is_ok() {
        reports.head(session, *head.borrow_and_update());
    }
}

/// The session's directory, its lease, whether there is a journal, and how much there is.
fn prepare(dir: &Path) -> Result<(Lease, bool, u64), LeaseError> {
    let refused = |source: io::Error| LeaseError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refused)?;
    let lease = Lease::acquire(dir)?;
    let exists = match first_seq(dir) {
        Ok(first) => first.is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(refused(error)),
    };
    let on_disk = if exists { usage(dir).map_err(refused)? } else { 0 };
    Ok((lease, exists, on_disk))
}

async fn open_journal(
    journals: &Journals,
    lease: Lease,
    exists: bool,
    opener: Opener,
    spec: &SessionSpec,
) -> Result<Opened, JournalError> {
    if exists {
        journals.open(lease, opener).await
    } else {
        journals.create(lease, opener, SessionOpened { spec: spec.clone() }).await
    }
}
