//! One session of the index: its settings, its last known state, and where it is held.

use skep_common::api::{ProcessUsage, SessionInfo};
use skep_common::ids::WorkerId;
use skep_common::session::{Head, SessionSnapshot, SessionSpec, SessionState};
use tokio::sync::watch;

/// Where a session is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere yet: it waits for a place on a worker.
    Waiting,
    /// The worker was told to open it and has not answered.
    Opening(WorkerId),
    /// The worker holds it.
    Live(WorkerId),
    /// The worker holds it and was told to let go.
    Releasing(WorkerId),
    /// Its journal is being repaired, closed or deleted by a task of the engine.
    Recovering,
    /// On disk only; its lease is free.
    Stored,
}

impl Place {
    /// The worker on which it takes up a place.
    #[must_use]
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Self::Opening(worker) | Self::Live(worker) | Self::Releasing(worker) => Some(worker),
            Self::Waiting | Self::Recovering | Self::Stored => None,
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct Entry {
    pub(super) spec: SessionSpec,
    pub(super) snapshot: SessionSnapshot,
    pub(super) place: Place,
    pub(super) changed: u64,
    /// What its agent's processes used when they were looked at last.
    pub(super) usage: Option<ProcessUsage>,
    pub(super) head: Option<watch::Sender<Head>>,
}

impl Entry {
    /// Its settings.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// Its last known state.
    #[must_use]
    pub fn snapshot(&self) -> &SessionSnapshot {
        &self.snapshot
    }

    /// Where it is held.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.place == Place::Stored && self.snapshot.state.is_closed()
    }

    /// Whether it counts towards the session limit (closed and hibernated sessions do not; G17).
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self.place, Place::Stored | Place::Recovering)
    }

    /// Whether it holds a place that another session may have: nothing runs, waits or is queued, or
    /// nothing can before somebody gives its keys.
    #[must_use]
    pub fn is_evictable(&self) -> bool {
        matches!(self.place, Place::Live(_))
            && self.snapshot.turn.is_none()
            && self.snapshot.waiting.is_empty()
            && self.snapshot.kept_awake.is_none()
            && (self.snapshot.state == SessionState::Idle && self.snapshot.queued.is_empty()
                || self.snapshot.needed_keys().next().is_some())
    }

    /// The state to show.
    #[must_use]
    pub fn state(&self) -> SessionState {
        match self.place {
            Place::Waiting => SessionState::Queued,
            Place::Opening(_) => SessionState::Starting,
            Place::Live(_) | Place::Releasing(_) | Place::Recovering | Place::Stored => self.snapshot.state,
        }
    }

    /// The session as lists show it.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        let (spec, now) = (&self.spec, &self.snapshot);
        SessionInfo {
            id: spec.id,
            name: spec.name.clone(),
            agent: spec.agent.clone(),
            cwd: spec.cwd.clone(),
            kind: spec.kind,
            state: self.state(),
            why: now.why.clone(),
            permission_mode: spec.permission_mode,
            ephemeral: spec.ephemeral,
            options: spec.options.clone(),
            lineage: spec.lineage.clone(),
            worker: self.place.worker().cloned(),
            agent_process: now.agent.clone(),
            agent_silent_since: now.agent_silent_since,
            agent_usage: self.usage.filter(|_| now.agent.is_some()),
            kept_awake: now.kept_awake.clone(),
            git_branch: now.git_branch.clone(),
            used: now.used.clone(),
            turn: now.turn.clone(),
            last_turn: now.last_turn.clone(),
            queued: now.queued.clone(),
            queue_held: now.queue_held,
            waiting: now.waiting.clone(),
            head: now.head,
            created_at: spec.created_at,
            updated_at: now.updated_at,
        }
    }
}
