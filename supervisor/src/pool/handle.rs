//! The handle to the pool: cheap to clone, all that others see of it.

use std::sync::Arc;

use skep_common::api::{AddWorker, WorkerInfo};
use skep_common::code::{ApiError, Code};
use skep_common::ids::WorkerId;
use skep_common::protocol::Command;
use skep_common::session::Cause;
use skep_config::Settings;
use tokio::sync::{mpsc, oneshot};

use super::actor::Request;
use super::directory::{Directory, SendError};
use crate::driver::Ask;
use crate::saver::Saver;

/// The handle to the pool.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) directory: Arc<Directory>,
    pub(super) saver: Saver,
}

impl PoolHandle {
    /// Hands a command to a worker that is up. Never waits for the worker: what does not fit is refused.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] when the worker is not up, [`SendError::Busy`] when it does not read its commands.
    pub fn send(&self, worker: &WorkerId, command: Command) -> Result<(), SendError> {
        self.directory.send(worker, command)
    }

    /// Every worker, by id.
    #[must_use]
    pub fn list(&self) -> Vec<WorkerInfo> {
        self.directory.list()
    }

    /// One worker.
    #[must_use]
    pub fn get(&self, worker: &WorkerId) -> Option<WorkerInfo> {
        self.directory.get(worker)
    }

    /// Adds a worker and starts it.
    ///
    /// # Errors
    ///
    /// [`Code::WorkerState`] when the id is taken, [`Code::PoolFull`] when the kind has its most workers,
    /// [`Code::InvalidValue`] for an unknown kind, a capacity of 0 or a directory that is none.
    pub async fn add(&self, worker: AddWorker) -> Result<WorkerInfo, ApiError> {
        let info = self.request(|reply| Request::Add { worker, reply }).await??;
        self.saver.flush().await;
        Ok(info)
    }

    /// Stops the worker and starts it again, whatever state it is in. Answers when the old process's tree is gone.
    ///
    /// # Errors
    ///
    /// [`Code::WorkerNotFound`], [`Code::ShuttingDown`].
    pub async fn restart(&self, worker: &WorkerId) -> Result<(), ApiError> {
        self.ask(worker, Ask::Restart(Cause::WorkerStopped)).await
    }

    /// Stops the worker until it is unparked. Answers when its tree is gone and the parking is on the disk.
    ///
    /// # Errors
    ///
    /// [`Code::WorkerNotFound`], [`Code::ShuttingDown`].
    pub async fn park(&self, worker: &WorkerId) -> Result<(), ApiError> {
        self.ask(worker, Ask::Park).await
    }

    /// Starts a parked worker; its failures are forgotten (promise 8).
    ///
    /// # Errors
    ///
    /// [`Code::WorkerNotFound`], [`Code::WorkerState`] when the worker is stopped, [`Code::ShuttingDown`].
    pub async fn unpark(&self, worker: &WorkerId) -> Result<(), ApiError> {
        self.ask(worker, Ask::Unpark).await
    }

    /// Kills the worker at once, for good. One of the configured pool stays in the list as stopped, also over restarts
    /// of the daemon, until it is restarted; any other is removed. Answers when its tree is gone.
    ///
    /// # Errors
    ///
    /// [`Code::WorkerNotFound`], [`Code::ShuttingDown`].
    pub async fn kill(&self, worker: &WorkerId) -> Result<(), ApiError> {
        self.ask(worker, Ask::Kill(Cause::Killed)).await
    }

    /// Like [`PoolHandle::kill`], but gracefully: for a worker that is idle. The second call kills at once.
    ///
    /// # Errors
    ///
    /// [`Code::WorkerNotFound`], [`Code::ShuttingDown`].
    pub async fn remove(&self, worker: &WorkerId) -> Result<(), ApiError> {
        self.ask(worker, Ask::Stop(Cause::WorkerStopped)).await
    }

    /// Takes a new configuration: workers whose settings changed are restarted (their ids are the answer), surplus ones
    /// are stopped, missing ones started (promise 23).
    pub async fn reload(&self, settings: Settings) -> Vec<WorkerId> {
        let settings = Box::new(settings);
        self.request(|reply| Request::Reload { settings, reply }).await.unwrap_or_default()
    }

    /// Stops every worker, starts none any more, and returns when all are gone (S8). The second call kills at once.
    pub async fn shutdown(&self, cause: Cause) {
        // An answer that never comes means that the pool has ended, which is what was asked for.
        drop(self.request(|reply| Request::Shutdown { cause, reply }).await);
        self.saver.flush().await;
    }

    async fn ask(&self, worker: &WorkerId, ask: Ask) -> Result<(), ApiError> {
        let worker = worker.clone();
        self.request(|reply| Request::Worker { worker, ask, reply }).await??;
        self.saver.flush().await;
        Ok(())
    }

    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| shutting_down())?;
        answer.await.map_err(|_| shutting_down())
    }
}

pub(crate) fn shutting_down() -> ApiError {
    ApiError::new(Code::ShuttingDown, "the daemon is stopping")
}
