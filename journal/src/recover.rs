//! Opening a journal that somebody else has written, and ending what a dead writer left open.
//!
//! The supervisor calls [`recover`] when a worker has died and at its own start; a worker gets the same repair when it
//! opens a session. Every function here blocks on the disk: never call one on an async runtime.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use skep_common::event::{
    AgentExited, Event, PermissionResolved, QueueHeld, Record, SessionOpened, StateChanged, TurnEnded,
    WriterOpened,
};
use skep_common::ids::{PermissionId, SessionId};
use skep_common::session::{Cause, DecidedBy, Head, Resolution, SessionState, TurnOutcome};
use skep_common::usage::Usage;
use skep_common::words;

use crate::appender::{Appender, Layout, SEGMENT_BYTES};
use crate::record::{self, EncodeError, MAX_LINE};
use crate::replay::{Replay, replay};
use crate::segment::{self, Wrap, journal_dir};
use crate::writer::Opener;
use crate::{JournalError, Lease, LeaseError, Projection, RecoverError};

/// What recovery found and left.
#[derive(Debug)]
pub struct Recovered {
    /// The session, with what recovery appended.
    pub projection: Projection,
    /// How far its journal is committed.
    pub head: Head,
    /// What was damaged.
    pub notes: Vec<RecoveryNote>,
    /// Whether a turn, a request or a queue had been left open, so that records were appended.
    pub appended: bool,
}

/// Damage that was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryNote {
    /// The end of the last segment was torn; it was moved aside.
    TornTail {
        /// How many bytes.
        bytes: u64,
        /// Where they are now.
        kept_as: PathBuf,
    },
    /// Records in the middle cannot be read; they stay in place.
    Corrupt {
        /// The first seq that is missing.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
}

impl fmt::Display for RecoveryNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { bytes, kept_as } => {
                write!(f, "{bytes} bytes of an unfinished write were moved to {}", kept_as.display())
            }
            Self::Corrupt { first_seq, last_seq } if first_seq == last_seq => {
                write!(f, "record {first_seq} is damaged")
            }
            Self::Corrupt { first_seq, last_seq } => {
                write!(f, "records {first_seq} to {last_seq} are damaged")
            }
        }
    }
}

/// Ends what a dead writer left open: takes the lease, repairs the tail, and appends what the followers wait for.
/// Where nothing was open, nothing is appended.
///
/// # Errors
///
/// [`RecoverError::Leased`] while a writer holds the session.
pub fn recover(session_dir: &Path, cause: Cause) -> Result<Recovered, RecoverError> {
    let lease = Lease::acquire(session_dir).map_err(|error| match error {
        LeaseError::Held => RecoverError::Leased,
        LeaseError::Io { source, .. } => RecoverError::Lease(source),
    })?;
    let dir = journal_dir(lease.session_dir());
    if segment::list(&dir).map_err(|error| JournalError::open(&dir, error))?.is_empty() {
        return Ok(Recovered {
            projection: Projection::default(),
            head: Head::default(),
            notes: Vec::new(),
            appended: false,
        });
    }
    let mut replay = replay(&dir)?;
    let torn = replay.repair(&dir)?;
    let events = interruption(&replay.projection, cause);
    if events.is_empty() {
        let head = replay.head();
        return Ok(Recovered { projection: replay.projection, head, notes: replay.notes, appended: false });
    }
    let session = replay.session.map_or_else(|| session_of(session_dir), Ok)?;
    let opener = Opener { session, worker: None, version: env!("CARGO_PKG_VERSION").to_owned() };
    let site = Site { dir, segment_bytes: SEGMENT_BYTES, wrap: segment::real() };
    let begun = begin(&site, &opener, replay, torn, events)?;
    let head = begun.appender.head();
    Ok(Recovered { projection: begun.projection, head, notes: begun.notes, appended: true })
}

/// The events that end what `projection` says is open; empty if nothing is. Also for a worker that opens a session
/// which nobody has recovered.
#[must_use]
pub fn interruption(projection: &Projection, cause: Cause) -> Vec<Event> {
    let system = |permission: PermissionId, resolution, option| {
        let by = DecidedBy::System { cause };
        Event::PermissionResolved(PermissionResolved { permission, resolution, option, by })
    };
    let mut events = Vec::new();
    if projection.agent.is_some() {
        events.push(Event::AgentExited(AgentExited { status: "unknown".to_owned(), cause }));
    }
    if let Some(turn) = &projection.turn {
        events.push(Event::TurnEnded(TurnEnded {
            prompt: turn.prompt,
            steered: turn.steered.clone(),
            outcome: TurnOutcome::Interrupted,
            cause: Some(cause),
            stop_reason: None,
            detail: None,
            exit_code: None,
            usage: Usage::default(),
        }));
        events.extend(projection.undelivered.iter().map(|id| {
            let option = projection.resolution(*id).and_then(|resolved| resolved.option.clone());
            system(*id, Resolution::DeliveryUnknown, option)
        }));
    }
    events.extend(projection.waiting.iter().map(|asked| system(asked.id, Resolution::Withdrawn, None)));
    if !projection.queue.is_empty() && projection.held.is_none() {
        let prompts = u32::try_from(projection.queue.len()).unwrap_or(u32::MAX);
        events.push(Event::QueueHeld(QueueHeld { cause, prompts }));
    }
    let rest = resting_state(projection);
    if rest != projection.state {
        let why = (rest == SessionState::Interrupted).then(|| words::cause(cause).to_owned());
        events.push(Event::State(StateChanged { state: rest, why }));
    }
    events
}

/// The state that is true once no writer holds the session.
fn resting_state(projection: &Projection) -> SessionState {
    let state = projection.state;
    if projection.closed.is_some() {
        SessionState::Closed
    } else if projection.turn.is_some() || (!projection.queue.is_empty() && projection.held.is_none()) {
        SessionState::Interrupted
    } else if projection.held == Some(Cause::Credentials) && state == SessionState::NeedsYou {
        state
    } else if state.is_live() || state == SessionState::Queued {
        SessionState::Hibernated
    } else {
        state
    }
}

impl Projection {
    /// Reads the whole journal of a session that nobody writes, without its lease and without repair.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn load(session_dir: &Path) -> Result<(Self, Head), JournalError> {
        let replay = replay(&journal_dir(session_dir))?;
        let head = replay.head();
        Ok((replay.projection, head))
    }
}

/// Where and how a journal is written.
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) wrap: Wrap,
}

/// A journal whose new epoch has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) appender: Appender,
    pub(crate) projection: Projection,
    pub(crate) notes: Vec<RecoveryNote>,
}

/// Makes the journal of a new session.
pub(crate) fn create(
    lease: &Lease,
    site: &Site,
    opener: &Opener,
    opened: SessionOpened,
) -> Result<Begun, JournalError> {
    let dir = &site.dir;
    let failed = |error| JournalError::open(dir, error);
    segment::create_dir(dir).map_err(failed)?;
    if !segment::list(dir).map_err(failed)?.is_empty() {
        return Err(JournalError::Exists { path: dir.clone() });
    }
    let layout = layout(site, opener, 1);
    let mut begun = Begun {
        appender: Appender::open(layout, None, 0)?,
        projection: Projection::default(),
        notes: Vec::new(),
    };
    begun.append(vec![Event::SessionOpened(opened), writer_opened(opener, 1)], 1)?;
    sync_parents(lease.session_dir())?;
    Ok(begun)
}

/// Opens a journal for writing: repair, replay, a new epoch.
pub(crate) fn open(lease: &Lease, site: &Site, opener: &Opener) -> Result<Begun, JournalError> {
    let dir = &site.dir;
    segment::create_dir(dir).map_err(|error| JournalError::open(dir, error))?;
    let mut replay = replay(dir)?;
    let torn = replay.repair(dir)?;
    let begun = begin(site, opener, replay, torn, Vec::new())?;
    sync_parents(lease.session_dir())?;
    Ok(begun)
}

/// Begins a new epoch after what was replayed, with `events` right after its `writer_opened`; synced.
fn begin(
    site: &Site,
    opener: &Opener,
    replay: Replay,
    torn: bool,
    events: Vec<Event>,
) -> Result<Begun, JournalError> {
    // The torn end may have held a `writer_opened`: its epoch must not be given again.
    let epoch = replay.epoch + 1 + u64::from(torn);
    let next_seq = replay.next_seq;
    let appender = Appender::open(layout(site, opener, epoch), replay.place(), replay.projection.seq)?;
    let mut begun = Begun { appender, projection: replay.projection, notes: replay.notes };
    let mut all = vec![writer_opened(opener, epoch)];
    all.extend(events);
    begun.append(all, next_seq)?;
    Ok(begun)
}

impl Begun {
    fn append(&mut self, events: Vec<Event>, first_seq: u64) -> Result<(), JournalError> {
        let at = Timestamp::now();
        let mut lines = Vec::new();
        for (seq, event) in (first_seq..).zip(events) {
            record::encode(seq, at, &event, &mut lines).map_err(encode_error)?;
            self.projection.apply(&Record { seq, at, event });
        }
        self.appender.write(&lines, first_seq)?;
        self.appender.take_unsynced().map_or(Ok(0), crate::appender::SyncWork::run)?;
        Ok(())
    }
}

pub(crate) fn encode_error(error: EncodeError) -> JournalError {
    match error {
        EncodeError::Json(error) => JournalError::Encode(error.to_string()),
        EncodeError::TooLarge(bytes) => JournalError::TooLarge { bytes, limit: MAX_LINE },
    }
}

fn layout(site: &Site, opener: &Opener, epoch: u64) -> Layout {
    Layout {
        dir: site.dir.clone(),
        session: opener.session,
        epoch,
        segment_bytes: site.segment_bytes,
        wrap: site.wrap.clone(),
    }
}

fn writer_opened(opener: &Opener, epoch: u64) -> Event {
    Event::WriterOpened(WriterOpened {
        epoch,
        worker: opener.worker.clone(),
        pid: std::process::id(),
        version: opener.version.clone(),
    })
}

/// Makes the session's directory durable, and its own name in the directory above.
fn sync_parents(session_dir: &Path) -> Result<(), JournalError> {
    for dir in [Some(session_dir), session_dir.parent()].into_iter().flatten() {
        segment::sync_dir(dir).map_err(|error| JournalError::sync(dir, error))?;
    }
    Ok(())
}

/// The session whose directory this is: the directory's name.
fn session_of(session_dir: &Path) -> Result<SessionId, JournalError> {
    let name = session_dir.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).ok_or_else(|| {
        JournalError::open(
            session_dir,
            std::io::Error::other("neither its header nor its name tells the session"),
        )
    })
}
