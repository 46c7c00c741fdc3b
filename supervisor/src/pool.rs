//! The pool: which workers there are, and the one handle to them.
//!
//! An actor (`actor`) owns the set of workers; each worker has a driver task of its own (`driver`), which owns
//! its process, its state and its file. [`PoolHandle`] is all that others see: requests to it are answered by the driver
//! concerned, commands go to the worker without passing the actor, and what workers do comes out as [`PoolEvent`]s.
//!
//! The pool places no session and reads no journal.

mod actor;
mod directory;
mod handle;
mod leftovers;
mod plan;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use skep_common::api::WorkerInfo;
use skep_common::ids::WorkerId;
use skep_common::protocol::{Report, WorkerHello};
use skep_common::session::Cause;
use skep_config::{Environment, Paths, Settings};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::launch::LaunchOptions;

pub(crate) use directory::Directory;
pub use directory::SendError;
pub use handle::PoolHandle;

/// Events that wait for a consumer; beyond that, drivers coalesce and then stop reading.
const EVENTS: usize = 1024;

/// What a pool is made of.
#[derive(Debug)]
pub struct PoolOptions {
    /// The configuration.
    pub settings: Settings,
    /// Where files are.
    pub paths: Paths,
    /// The program that is started as `exe worker --id X --state-dir D`.
    pub exe: PathBuf,
    /// This supervisor's epoch.
    pub epoch: u64,
    /// What the start of the daemon said.
    pub launch: LaunchOptions,
    /// The workers' directory where neither options nor configuration name one.
    pub dir: PathBuf,
    /// The environment of which workers get the declared part.
    pub environment: Environment,
    /// Keeps the pool's tasks.
    pub tracker: TaskTracker,
}

/// What the pool tells its consumer, in order per worker.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few wait at a time, and most are the large one")]
pub enum PoolEvent {
    /// A worker said hello and takes commands.
    Up {
        /// The worker.
        worker: WorkerId,
        /// What it said.
        hello: WorkerHello,
    },
    /// A worker reported: [`Report::Ack`], [`Report::Session`], [`Report::Head`] or [`Report::Released`]. Of sessions
    /// and heads the latest may stand for several; no acknowledgement is lost.
    Report {
        /// The worker.
        worker: WorkerId,
        /// The report.
        report: Report,
    },
    /// A worker's process and its whole tree are gone.
    Down {
        /// The worker.
        worker: WorkerId,
        /// How it ended, for people.
        cause: String,
        /// Why.
        kind: Cause,
    },
    /// A worker's state changed.
    Changed(WorkerInfo),
    /// A worker is no longer in the pool.
    Removed(WorkerId),
}

/// The pool.
#[derive(Debug)]
pub struct Pool;

impl Pool {
    /// Starts the pool and its configured workers, after it has stopped what an earlier supervisor left behind.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the directory of the workers' files or the thread that writes their logs cannot be made.
    pub fn start(options: PoolOptions) -> io::Result<(PoolHandle, mpsc::Receiver<PoolEvent>)> {
        let (events, receiver) = mpsc::channel(EVENTS);
        Ok((actor::start(options, events)?, receiver))
    }
}
