//! Writes workers' state files, one after the other, off the runtime (promise 19).
//!
//! Drivers leave the latest state here and go on; of several states of one worker only the last is written. What waits
//! is bounded by the number of workers. A write that fails is logged and costs nothing but itself: the next change
//! writes again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use skep_common::ids::WorkerId;
use skep_config::Paths;
use skep_sys::statefile;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::worker_file::WorkerFile;

/// What is to become of a worker's file.
#[derive(Debug)]
enum Save {
    Write(Box<WorkerFile>),
    Remove,
}

/// The handle: drivers put states in, anybody may wait until all is written.
#[derive(Debug, Clone)]
pub(crate) struct Saver {
    waiting: Arc<Mutex<Waiting>>,
    written: Arc<watch::Sender<u64>>,
    paths: Arc<Paths>,
    tracker: TaskTracker,
}

#[derive(Debug, Default)]
struct Waiting {
    saves: BTreeMap<WorkerId, Save>,
    /// Counts what was put in.
    put: u64,
    state: Writer,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Idle,
    Writing,
}

impl Saver {
    pub(crate) fn new(paths: Arc<Paths>, tracker: TaskTracker) -> Self {
        Self { waiting: Arc::default(), written: Arc::new(watch::channel(0).0), paths, tracker }
    }

    /// Has a worker's state written soon.
    pub(crate) fn save(&self, file: WorkerFile) {
        self.put(file.id.clone(), Save::Write(Box::new(file)));
    }

    /// Has a worker's file removed soon.
    pub(crate) fn remove(&self, id: &WorkerId) {
        self.put(id.clone(), Save::Remove);
    }

    /// Waits until everything that was put in before is written.
    pub(crate) async fn flush(&self) {
        let put = self.lock().put;
        // The sender lives as long as this handle.
        drop(self.written.subscribe().wait_for(|written| *written >= put).await);
    }

    fn put(&self, id: WorkerId, save: Save) {
        let mut waiting = self.lock();
        waiting.saves.insert(id, save);
        waiting.put += 1;
        if waiting.state == Writer::Idle {
            waiting.state = Writer::Writing;
            drop(waiting);
            let saver = self.clone();
            self.tracker.spawn_blocking(move || saver.write_all());
        }
    }

    fn write_all(&self) {
        loop {
            let (saves, put) = {
                let mut waiting = self.lock();
                if waiting.saves.is_empty() {
                    waiting.state = Writer::Idle;
                    return;
                }
                (std::mem::take(&mut waiting.saves), waiting.put)
            };
            for (id, save) in &saves {
                self.write(id, save);
            }
            self.written.send_replace(put);
        }
    }

    fn write(&self, id: &WorkerId, save: &Save) {
        let path = self.paths.worker(id);
        let result = match save {
            Save::Write(file) => statefile::write_json(&path, file),
            Save::Remove => remove(path),
        };
        if let Err(error) = result {
            tracing::error!(worker.name = %id, %error, "failed to keep the state of worker `{id}`: {error}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(path: PathBuf) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
