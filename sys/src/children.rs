//! Which children of this process have an owner, a [`crate::spawn::Child`]; everything else is an adopted orphan.
//!
//! The table is process-wide because what it describes is: the kernel has one set of children per process. A spawn holds
//! it until the new child is in it and a reap until the child is out of it, so that the sweep of orphans can never
//! take a child from its owner (promise 13).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

static OWNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The table, locked.
pub(crate) struct Children(MutexGuard<'static, BTreeSet<u32>>);

/// Locks the table. Never held across an await or a wait for a process that still runs.
pub(crate) fn lock() -> Children {
    Children(OWNED.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Children {
    pub(crate) fn insert(&mut self, pid: u32) {
        self.0.insert(pid);
    }

    pub(crate) fn remove(&mut self, pid: u32) {
        self.0.remove(&pid);
    }

    pub(crate) fn owns(&self, pid: u32) -> bool {
        self.0.contains(&pid)
    }
}
