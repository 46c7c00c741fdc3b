//! The engine's methods for workers.

use skep_common::api::{AddWorker, SessionInfo, WorkerInfo};
use skep_common::code::{ApiError, Code};

use super::Engine;
use super::actor::Call;
use super::port::WorkerAction;

impl Engine {
    /// The workers, by id, each with the sessions that it holds.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>, ApiError> {
        let open = self.ask(|reply| Call::List(false, reply)).await?;
        Ok(self.workers_with(&open))
    }

    /// The same, with what each of them uses now.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn workers_with_usage(&self) -> Result<Vec<WorkerInfo>, ApiError> {
        let mut workers = self.workers().await?;
        // The whole process table is read.
        let measured = tokio::task::spawn_blocking(move || {
            let table = skep_sys::usage::Table::read();
            for worker in &mut workers {
                worker.usage = worker.process.as_ref().and_then(|process| table.tree(process.pid));
            }
            workers
        });
        measured.await.map_err(|_| ApiError::new(Code::Internal, "the look at the process table crashed"))
    }

    pub(super) fn workers_with(&self, open: &[SessionInfo]) -> Vec<WorkerInfo> {
        let mut workers = self.shared.workers.list();
        for worker in &mut workers {
            let held = open.iter().filter(|session| session.worker.as_ref() == Some(&worker.id));
            worker.sessions = held.map(|session| session.id).collect();
            worker.sessions.sort_unstable();
        }
        workers
    }

    /// The number of the latest change of any worker, to wait on.
    #[must_use]
    pub fn worker_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.workers_changed.clone()
    }

    /// The pids of the workers' processes.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        self.shared.workers.list().iter().filter_map(|worker| Some(worker.process.as_ref()?.pid)).collect()
    }

    /// A worker by its id or its pid (C3).
    ///
    /// # Errors
    ///
    /// `worker_not_found`.
    pub async fn worker(&self, wanted: &str) -> Result<WorkerInfo, ApiError> {
        let pid = wanted.parse::<u32>().ok();
        let workers = self.workers().await?;
        let by_id = workers.iter().find(|worker| worker.id.as_str() == wanted);
        let by_pid =
            || workers.iter().find(|worker| pid.is_some() && worker.process.as_ref().map(|p| p.pid) == pid);
        by_id.or_else(by_pid).cloned().ok_or_else(|| {
            let shown: String = wanted.chars().take(80).flat_map(char::escape_debug).collect();
            ApiError::new(Code::WorkerNotFound, format!("no worker `{shown}`"))
        })
    }

    /// Adds a worker and starts it.
    ///
    /// # Errors
    ///
    /// When the kind is unknown, the id taken or the kind's limit reached.
    pub async fn add_worker(&self, worker: AddWorker) -> Result<WorkerInfo, ApiError> {
        if self.shared.stopping.is_cancelled() {
            return Err(super::core::shutting_down());
        }
        self.shared.workers.add(worker).await
    }

    /// Restarts, parks, unparks or kills a worker.
    ///
    /// # Errors
    ///
    /// `worker_not_found`, `worker_state`, `shutting_down`.
    pub async fn act_on_worker(&self, wanted: &str, action: WorkerAction) -> Result<(), ApiError> {
        let worker = self.worker(wanted).await?;
        self.shared.workers.act(&worker.id, action).await
    }
}
