//! The agent processes of a worker: who may share one, and which of them live.
//!
//! Sessions share a process only where their preset says so, and where everything that the process was started with is
//! the same for both (`Kind`). Owns no process: each belongs to its host's own task.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_config::Directories;
use skep_sys::spawn::SpawnError;
use tokio_util::task::TaskTracker;

use super::choices::Wanted;
use super::client::uses::Offers;
use super::connection::Connection;
use super::host::{Host, Of, WeakHost};
use super::launch::{Common, Launch};
use super::mcp::Servers;
use super::warm::Shelf;

/// What a process was started with that sessions must have in common to be served by it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) agent: String,
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// The directory, unless the agent takes each session's from the session.
    cwd: Option<PathBuf>,
    mode: Option<String>,
    authenticate: Option<String>,
    offers: Offers,
    /// What a session is opened with ahead of time, too.
    choices: Wanted,
    mcp: Servers,
}

/// Values of the environment may be keys.
impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("agent", &self.agent).field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

impl Kind {
    /// The kind of process that this session needs.
    pub(super) fn of(launch: &Launch, common: &Common) -> Self {
        let one = common.directories == Directories::One;
        Self {
            agent: launch.agent.clone(),
            argv: launch.argv.clone(),
            env: common.env.0.clone(),
            cwd: one.then(|| launch.cwd.clone()),
            mode: launch.mode.clone(),
            authenticate: launch.authenticate.clone(),
            offers: launch.offers,
            choices: launch.choices.clone(),
            mcp: launch.mcp.clone(),
        }
    }
}

/// The agent processes of a worker. Cloneable; all clones mean the same.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    known: Arc<Mutex<Vec<Known>>>,
    /// Processes that wait for a session.
    pub(crate) shelf: Shelf,
}

#[derive(Debug)]
struct Known {
    /// What it can be shared by; none if it is one session's own.
    kind: Option<Kind>,
    host: WeakHost,
}

impl Hosts {
    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a session, at a process that serves others of its kind, or at a new one; none if that ends at once.
    pub(super) fn seat(
        &self,
        launch: &Launch,
        exe: &Path,
        tracker: &TaskTracker,
    ) -> Result<Option<Connection>, SpawnError> {
        let kind =
            launch.common.as_ref().filter(|common| common.shared).map(|common| Kind::of(launch, common));
        let mut known = self.known();
        known.retain(|known| known.host.is_alive());
        if let Some(kind) = &kind {
            let others = known.iter().filter(|known| known.kind.as_ref() == Some(kind));
            if let Some(seat) =
                others.filter_map(|known| known.host.get()).find_map(|host| host.join(Some(launch)))
            {
                return Ok(Some(seat));
            }
        }
        let of = if kind.is_some() { Of::Anybody } else { Of::Session };
        let host = Host::start(launch, of, exe, tracker)?;
        known.push(Known { kind, host: host.weak() });
        Ok(host.join(Some(launch)))
    }

    /// Knows a process that was started without a session.
    pub(super) fn add(&self, host: &Host) {
        let mut known = self.known();
        known.retain(|known| known.host.is_alive());
        known.push(Known { kind: None, host: host.weak() });
    }

    /// Ends what waits for a session, and keeps nothing ready for a while: there is too little memory for it.
    pub fn let_go(&self) {
        self.shelf.spare_memory();
    }
}
