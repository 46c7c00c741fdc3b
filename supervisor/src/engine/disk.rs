//! What the engine does with session directories, on blocking threads: the scan at start, recovery, closing, removal,
//! retention. Journals are touched by the journal crate alone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use skep_common::code::{ApiError, Code, with_causes};
use skep_common::event::{Event, SessionClosed, StateChanged};
use skep_common::ids::SessionId;
use skep_common::protocol::Reply;
use skep_common::session::{
    Cause, DecidedBy, Head, Resolution, SessionFile, SessionSnapshot, SessionSpec, SessionState,
};
use skep_config::Paths;
use skep_journal::{
    Durability, JournalThread, Kept, Lease, Limits, Opener, Projection, RecoverError, Recovered, Usage,
    head_on_disk,
};
use skep_sys::statefile;

use super::act::session_closed;
use super::core::{Act, Unrecovered};

/// A former holder has this time to be gone: the default grace of a stop, and some.
const LEASE_WITHIN: Duration = Duration::from_secs(35);

/// Between two looks at a lease that somebody holds.
const LEASE_PAUSE: Duration = Duration::from_millis(10);

/// A session found at start.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its settings and last known state.
    pub(crate) file: SessionFile,
    /// Whether its journal says more than the cached state, or something was left open.
    pub(crate) unfinished: bool,
}

/// The file of a session's settings.
fn session_file(dir: &Path) -> PathBuf {
    dir.join("session.json")
}

/// Every stored session. What cannot be read is reported and left where it is; it never fails the start (G21).
pub(crate) fn scan(paths: &Paths) -> Vec<Found> {
    let entries = match std::fs::read_dir(paths.sessions()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::error!("the sessions cannot be listed: {error}");
            return Vec::new();
        }
    };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<SessionId>().ok());
    ids.filter_map(|id| {
        let found = look_at(&paths.session(&id), id);
        if found.is_none() {
            tracing::warn!(session.id = %id, "session {id} has neither settings nor a journal and is left alone");
        }
        found
    })
    .collect()
}

fn look_at(dir: &Path, id: SessionId) -> Option<Found> {
    let file = match statefile::read_json::<SessionFile>(&session_file(dir)) {
        Ok(Some(file)) if file.spec.id == id => Some(file),
        Ok(Some(_)) => {
            tracing::warn!(session.id = %id, "session.json of {id} is another session's; rebuilt from the journal");
            None
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(session.id = %id, "session.json of {id} is broken and rebuilt from the journal: {error}");
            None
        }
    };
    let head = head_on_disk(dir);
    match (file, head) {
        (Some(mut file), Ok(head)) => {
            let unfinished = is_unfinished(&file, head);
            // A client that comes back before the recovery has seen more than the cache knows (N2).
            if unfinished {
                let mut snapshot = snapshot_of(&file);
                snapshot.head = head;
                file.snapshot = Some(snapshot);
            }
            Some(Found { unfinished, file })
        }
        (Some(file), Err(_)) => Some(Found { unfinished: true, file }),
        (None, _) => rebuild(dir, id).map(|file| Found { file, unfinished: true }),
    }
}

/// The journal is the truth: settings that were lost are in its first record.
fn rebuild(dir: &Path, id: SessionId) -> Option<SessionFile> {
    let (projection, head) = match Projection::load(dir) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(session.id = %id, "the journal of {id} cannot be read: {error}");
            return None;
        }
    };
    let spec = projection.spec.clone().filter(|spec| spec.id == id)?;
    let file = SessionFile { spec, snapshot: Some(projection.snapshot(id, head)) };
    persist(dir, &file);
    Some(file)
}

/// A cache that was written when the session came to rest, with the very head that is on disk, needs no recovery.
fn is_unfinished(file: &SessionFile, head: Head) -> bool {
    let Some(snapshot) = &file.snapshot else { return true };
    let at_rest = matches!(
        snapshot.state,
        SessionState::Closed | SessionState::Hibernated | SessionState::Interrupted | SessionState::Failed
    ) || snapshot.needed_keys().next().is_some();
    let never_opened = snapshot.state == SessionState::Queued && head.seq == 0;
    !(never_opened || at_rest && (snapshot.head.segment, snapshot.head.bytes) == (head.segment, head.bytes))
}

/// Writes `session.json`. It is a cache: a disk that refuses is logged, and the journal still has it all.
pub(crate) fn persist(dir: &Path, file: &SessionFile) {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| serde_json::to_vec(file).map_err(io::Error::other))
        .and_then(|bytes| statefile::write_atomic(&session_file(dir), &bytes).map_err(io::Error::other));
    if let Err(error) = written {
        tracing::warn!(session.id = %file.spec.id, "session.json cannot be written: {error}");
    }
}

/// Ends what a dead holder left open, and says where the session stands.
pub(crate) fn recover(dir: &Path, spec: &SessionSpec, cause: Cause) -> Result<Box<SessionFile>, Unrecovered> {
    if !dir.exists() {
        return Err(Unrecovered::NeverBegan);
    }
    let recovered = match recover_when_free(dir, cause) {
        Ok(recovered) => recovered,
        Err(RecoverError::Leased) => {
            return Err(Unrecovered::Failed(String::from("another process holds the session's journal")));
        }
        Err(error) => {
            tracing::error!(session.id = %spec.id, "the journal of {} cannot be recovered: {}", spec.id, with_causes(&error));
            return Err(Unrecovered::Failed(String::from(
                "its journal cannot be recovered; the log says why",
            )));
        }
    };
    for note in &recovered.notes {
        tracing::warn!(session.id = %spec.id, "the journal of {}: {note}", spec.id);
    }
    if recovered.projection.seq == 0 {
        return Err(Unrecovered::NeverBegan);
    }
    let mut snapshot = recovered.projection.snapshot(spec.id, recovered.head);
    let needs_keys = snapshot.needed_keys().next().is_some();
    if !needs_keys && snapshot.state.is_live() || snapshot.state == SessionState::Queued {
        snapshot.state = SessionState::Hibernated;
    }
    // A change that its dead holder had journalled and not told.
    let own = recovered.projection.spec.filter(|own| own.id == spec.id);
    let file = SessionFile { spec: own.unwrap_or_else(|| spec.clone()), snapshot: Some(snapshot) };
    persist(dir, &file);
    Ok(Box::new(file))
}

/// Recovers a journal, once its lease is free: after a crash of the daemon the former worker may still be on its way
/// out, and a lock that another process holds announces nothing. On a blocking thread.
fn recover_when_free(dir: &Path, cause: Cause) -> Result<Recovered, RecoverError> {
    let begun = Instant::now();
    loop {
        match skep_journal::recover(dir, cause) {
            Err(RecoverError::Leased) if begun.elapsed() < LEASE_WITHIN => std::thread::sleep(LEASE_PAUSE),
            result => return result,
        }
    }
}

/// Writes the end of a session that nobody holds.
pub(crate) async fn close(
    dir: PathBuf,
    spec: SessionSpec,
    cause: Cause,
) -> Result<Box<SessionFile>, Unrecovered> {
    let runtime = tokio::runtime::Handle::current();
    let closed = tokio::task::spawn_blocking(move || runtime.block_on(close_now(&dir, &spec, cause))).await;
    closed.unwrap_or_else(|_| Err(Unrecovered::Failed(String::from("the writing of its end crashed"))))
}

async fn close_now(dir: &Path, spec: &SessionSpec, cause: Cause) -> Result<Box<SessionFile>, Unrecovered> {
    let failed = |error: &dyn std::error::Error| {
        tracing::error!(session.id = %spec.id, "session {} cannot be closed: {}", spec.id, with_causes(error));
        Unrecovered::Failed(String::from("its end cannot be written; the log says why"))
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let lease = Lease::acquire(dir).map_err(|error| failed(&error))?;
    let (thread, journals) = JournalThread::start().map_err(|error| failed(&error))?;
    let opener = Opener { session: spec.id, worker: None, version: env!("CARGO_PKG_VERSION").to_owned() };
    let opened = if head_on_disk(dir).map_err(|error| failed(&error))?.seq == 0 {
        let first = skep_common::event::SessionOpened { spec: spec.clone() };
        journals.create(lease, opener, first).await
    } else {
        journals.open(lease, opener).await
    };
    let opened = opened.map_err(|error| failed(&error))?;
    let mut events = skep_journal::interruption(&opened.projection, cause);
    events.push(Event::SessionClosed(SessionClosed { cause }));
    events.push(Event::State(StateChanged { state: SessionState::Closed, why: None }));
    let ticket = opened.writer.append(events, Durability::Synced).await.map_err(|error| failed(&error))?;
    ticket.committed().await.map_err(|error| failed(&error))?;
    opened.writer.close().await.map_err(|error| failed(&error))?;
    drop((journals, thread));
    let (projection, head) = Projection::load(dir).map_err(|error| failed(&error))?;
    let snapshot = Some(projection.snapshot(spec.id, head));
    let file = SessionFile { spec: projection.spec.unwrap_or_else(|| spec.clone()), snapshot };
    persist(dir, &file);
    Ok(Box::new(file))
}

/// Deletes a session's directory, unless somebody writes its journal.
pub(crate) fn delete(dir: &Path) -> io::Result<Kept> {
    skep_journal::remove_session(dir)
}

/// What came of an act that a session's former holder may have done already.
pub(crate) fn recall(dir: &Path, act: &Act) -> Result<Reply, ApiError> {
    let done = Projection::load(dir).ok().and_then(|(projection, _)| match act {
        Act::Prompt { prompt, .. } => {
            let record = projection.prompt(*prompt)?;
            Some(Ok(Reply::Prompt { queued: false, duplicate: true, seq: record.seq, steered_into: None }))
        }
        Act::Answer { permission, answer, .. } => {
            let resolved = projection.resolution(*permission)?;
            let is_repeated =
                matches!(&resolved.by, DecidedBy::Client { answer: first, .. } if first == answer);
            if is_repeated {
                let allowed = resolved.resolution == Resolution::Allowed;
                return Some(Ok(Reply::Answer { option: resolved.option.clone(), allowed }));
            }
            let error = ApiError::new(Code::AlreadyResolved, "the permission request was decided before");
            Some(Err(error.with_details(serde_json::json!({ "by": resolved.by }))))
        }
        Act::Cancel { .. } | Act::ReleaseQueue { .. } | Act::Change { .. } | Act::Close { .. } => None,
    });
    done.unwrap_or_else(|| {
        Err(match act {
            Act::Answer { permission, .. } => {
                let message = format!("no permission request `{permission}` waits in this session");
                ApiError::new(Code::PermissionNotFound, message)
            }
            _ => session_closed(),
        })
    })
}

/// Which of the closed sessions are too old or too many.
pub(crate) fn expired(
    paths: &Paths,
    closed: &[(SessionId, Timestamp)],
    limits: Limits,
    now: Timestamp,
) -> Vec<SessionId> {
    let usages: Vec<Usage> = closed
        .iter()
        .filter_map(|(id, ended_at)| {
            let session_dir = paths.session(id);
            let bytes = skep_journal::usage(&session_dir).ok()?;
            Some(Usage { session_dir, ended_at: *ended_at, bytes })
        })
        .collect();
    skep_journal::choose(&usages, limits, now)
        .iter()
        .filter_map(|dir| dir.file_name()?.to_str()?.parse().ok())
        .collect()
}

/// The settings of a session that a worker opened by itself.
pub(crate) fn load(dir: &Path) -> Option<SessionSpec> {
    match statefile::read_json::<SessionFile>(&session_file(dir)) {
        Ok(Some(file)) => Some(file.spec),
        Ok(None) | Err(_) => Projection::load(dir).ok()?.0.spec,
    }
}

/// The state to show for a session of which only the settings are known.
pub(crate) fn snapshot_of(file: &SessionFile) -> SessionSnapshot {
    match &file.snapshot {
        Some(snapshot) if snapshot.state == SessionState::Queued => {
            let why = Some(String::from("it had no place yet when the daemon stopped"));
            let state = SessionState::Hibernated;
            SessionSnapshot { state, why, ..snapshot.clone() }
        }
        Some(snapshot) => {
            let none = SessionSnapshot { worker: None, agent: None, ..snapshot.clone() };
            SessionSnapshot { agent_silent_since: None, kept_awake: None, ..none }
        }
        None => SessionSnapshot::blank(file.spec.id, SessionState::Hibernated, file.spec.created_at),
    }
}
