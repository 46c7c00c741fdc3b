//! One session of the agent: what it keeps, its mode, and the turn that runs.
//!
//! Shared by the message loop and the session's turn; the lock is held for a few instructions, never across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_sys::subreaper;
use skep_sys::tree::{self, Tree};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::state::State;
use super::wire::Mode;
use crate::acp::message::Id;

/// When so many trees are remembered, those that are empty are forgotten.
const PRUNE: usize = 64;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// Its id, as clients write it.
    pub(super) id: String,
    /// The same, checked; it names the file.
    pub(super) uuid: Uuid,
    inner: Mutex<Inner>,
}

/// What of a session changes.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) mode: Mode,
    /// The turn that runs.
    pub(super) turn: Option<Turn>,
    /// Commands that ended and may have left background jobs.
    left: Vec<Tree>,
}

/// A turn that runs.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    /// The client's id of the prompt.
    pub(super) request: Id,
    /// Cancels it.
    pub(super) cancel: CancellationToken,
}

impl Session {
    pub(super) fn new(uuid: Uuid, state: State) -> Self {
        let inner = Inner { state, mode: Mode::Ask, turn: None, left: Vec::new() };
        Self { id: uuid.to_string(), uuid, inner: Mutex::new(inner) }
    }

    /// The session's changing part.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the running turn, unless there is one.
    pub(super) fn begin(&self, turn: Turn) -> bool {
        let mut inner = self.lock();
        let free = inner.turn.is_none();
        if free {
            inner.turn = Some(turn);
        }
        free
    }

    /// Frees the place of the running turn.
    pub(super) fn end(&self) {
        self.lock().turn = None;
    }

    /// Cancels the running turn, if there is one.
    pub(super) fn cancel(&self) {
        if let Some(turn) = &self.lock().turn {
            turn.cancel.cancel();
        }
    }

    /// A command ended by itself: its background jobs go on until the session ends, so its tree is remembered if it
    /// left any.
    pub(super) fn leave(&self, tree: Tree) {
        // Whoever outlives its parents is ours, since the agent is a subreaper; elsewhere only a scan could tell.
        let some = cfg!(not(target_os = "linux")) || !subreaper::orphans(&|_| false).is_empty();
        let mut inner = self.lock();
        if !some {
            inner.left.clear();
            return;
        }
        inner.left.push(tree);
        if inner.left.len().is_multiple_of(PRUNE) {
            inner.left.retain(|tree| !tree::members(tree).is_empty());
        }
    }

    /// The trees whose background jobs may still run.
    pub(super) fn take_left(&self) -> Vec<Tree> {
        std::mem::take(&mut self.lock().left)
    }
}
