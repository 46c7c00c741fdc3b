//! What everybody may look at: each worker's latest state, and where its commands go.
//!
//! Written by the drivers, one entry each; read by the handle. Locks are held for a look-up only.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use skep_common::api::WorkerInfo;
use skep_common::ids::WorkerId;
use skep_common::protocol::Command;
use tokio::sync::mpsc;

/// Where a worker's commands go: a queue that belongs to one process of it, so that what was meant for one process
/// never reaches the next.
pub(crate) type CommandSlot = mpsc::Sender<Command>;

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The worker is not up.
    #[error("the worker is gone")]
    Gone,
    /// The worker does not read its commands, and no more are kept for it.
    #[error("the worker does not keep up with its commands")]
    Busy,
}

/// The workers' latest states.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: RwLock<BTreeMap<WorkerId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    info: WorkerInfo,
    commands: Option<CommandSlot>,
}

impl Directory {
    pub(crate) fn send(&self, worker: &WorkerId, command: Command) -> Result<(), SendError> {
        let entries = self.read();
        let slot = entries.get(worker).and_then(|entry| entry.commands.as_ref()).ok_or(SendError::Gone)?;
        slot.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Busy,
            mpsc::error::TrySendError::Closed(_) => SendError::Gone,
        })
    }

    pub(crate) fn list(&self) -> Vec<WorkerInfo> {
        self.read().values().map(|entry| entry.info.clone()).collect()
    }

    pub(crate) fn get(&self, worker: &WorkerId) -> Option<WorkerInfo> {
        self.read().get(worker).map(|entry| entry.info.clone())
    }

    /// Shows a worker's state.
    pub(crate) fn show(&self, info: WorkerInfo) {
        let mut entries = self.write();
        match entries.get_mut(&info.id) {
            Some(entry) => entry.info = info,
            None => {
                entries.insert(info.id.clone(), Entry { info, commands: None });
            }
        }
    }

    /// Opens or closes the way for a worker's commands.
    pub(crate) fn set_commands(&self, worker: &WorkerId, commands: Option<CommandSlot>) {
        if let Some(entry) = self.write().get_mut(worker) {
            entry.commands = commands;
        }
    }

    pub(crate) fn remove(&self, worker: &WorkerId) {
        self.write().remove(worker);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<WorkerId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<WorkerId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
