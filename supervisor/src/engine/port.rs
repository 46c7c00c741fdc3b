//! What the engine needs of a pool of workers. The pool itself is one; tests have another, without processes.

use std::fmt;
use std::pin::Pin;

use skep_common::api::{AddWorker, WorkerInfo};
use skep_common::code::ApiError;
use skep_common::ids::WorkerId;
use skep_common::protocol::Command;
use skep_common::session::Cause;
use skep_config::Settings;

use crate::pool::{PoolHandle, SendError};

/// A future behind the trait object.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a person does to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerAction {
    /// Stop it and start it again.
    Restart,
    /// Stop it and do not start it again.
    Park,
    /// Start it again.
    Unpark,
    /// Kill it at once, for good.
    Kill,
    /// Stop an idle one for good.
    Retire,
}

/// A pool of workers.
pub trait Workers: fmt::Debug + Send + Sync + 'static {
    /// Hands a command to a worker that is up, without waiting for it.
    ///
    /// # Errors
    ///
    /// When the worker is not up, or does not read its commands.
    fn send(&self, worker: &WorkerId, command: Command) -> Result<(), SendError>;
    /// Every worker, by id.
    fn list(&self) -> Vec<WorkerInfo>;
    /// Adds a worker and starts it.
    fn add(&self, worker: AddWorker) -> Answer<Result<WorkerInfo, ApiError>>;
    /// Does something to a worker.
    fn act(&self, worker: &WorkerId, action: WorkerAction) -> Answer<Result<(), ApiError>>;
    /// Takes new settings; says which workers were restarted for them.
    fn reload(&self, settings: Settings) -> Answer<Vec<WorkerId>>;
    /// Ends every worker and comes back when all are gone (S8). A second call kills at once.
    fn shutdown(&self, cause: Cause) -> Answer<()>;
}

impl Workers for PoolHandle {
    fn send(&self, worker: &WorkerId, command: Command) -> Result<(), SendError> {
        Self::send(self, worker, command)
    }

    fn list(&self) -> Vec<WorkerInfo> {
        Self::list(self)
    }

    fn add(&self, worker: AddWorker) -> Answer<Result<WorkerInfo, ApiError>> {
        let pool = self.clone();
        Box::pin(async move { pool.add(worker).await })
    }

    fn act(&self, worker: &WorkerId, action: WorkerAction) -> Answer<Result<(), ApiError>> {
        let (pool, worker) = (self.clone(), worker.clone());
        Box::pin(async move {
            match action {
                WorkerAction::Restart => pool.restart(&worker).await,
                WorkerAction::Park => pool.park(&worker).await,
                WorkerAction::Unpark => pool.unpark(&worker).await,
                WorkerAction::Kill => pool.kill(&worker).await,
                WorkerAction::Retire => pool.remove(&worker).await,
            }
        })
    }

    fn reload(&self, settings: Settings) -> Answer<Vec<WorkerId>> {
        let pool = self.clone();
        Box::pin(async move { pool.reload(settings).await })
    }

    fn shutdown(&self, cause: Cause) -> Answer<()> {
        let pool = self.clone();
        Box::pin(async move { pool.shutdown(cause).await })
    }
}
