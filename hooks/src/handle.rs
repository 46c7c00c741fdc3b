//! The handle that others have of the hooks: what is told, what waits, and trying again.

use skep_common::api::{DeliveryInfo, DeliveryQuery, DeliveryState, HookList, HookTested, HookUse};
use skep_common::code::{ApiError, Code};
use skep_common::ids::DeliveryId;
use skep_config::Environment;
use skep_supervisor::engine::Engine;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{Actor, Call};

/// Calls that may wait for the actor; beyond that, callers wait.
const CALLS: usize = 64;

/// Deliveries in a list, where the client does not say, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// What hooks are made of.
#[derive(Debug)]
pub struct HooksOptions {
    /// What is watched.
    pub engine: Engine,
    /// The environment that the daemon was started in.
    pub environment: Environment,
    /// Where tasks are spawned.
    pub tracker: TaskTracker,
    /// Ends them. What is on its way then is tried again by the next daemon, with the same id.
    pub stop: CancellationToken,
}

/// The handle.
#[derive(Debug, Clone)]
pub struct Hooks {
    calls: mpsc::Sender<Call>,
}

/// The answer to a call that may fail.
pub(crate) type ReplyTo<T> = oneshot::Sender<Result<T, ApiError>>;

impl Hooks {
    /// Starts to watch and to tell. The outbox is read meanwhile.
    #[must_use]
    pub fn start(options: HooksOptions) -> Self {
        let (calls, receiver) = mpsc::channel(CALLS);
        let HooksOptions { engine, environment, tracker, stop } = options;
        let actor = Actor::new(engine, environment, tracker.clone());
        tracker.spawn(async move {
            stop.run_until_cancelled_owned(actor.run(receiver)).await;
        });
        Self { calls }
    }

    /// The hooks and how they do.
    ///
    /// # Errors
    ///
    /// `shutting_down`.
    pub async fn list(&self) -> Result<HookList, ApiError> {
        self.ask(Call::List).await
    }

    /// How often each hook was used.
    ///
    /// # Errors
    ///
    /// `shutting_down`.
    pub async fn uses(&self) -> Result<Vec<HookUse>, ApiError> {
        let hooks = self.list().await?.hooks;
        Ok(hooks.into_iter().map(|hook| HookUse { hook: hook.name, counts: hook.counts }).collect())
    }

    /// Deliveries, the latest first.
    ///
    /// # Errors
    ///
    /// `invalid_value` for a limit out of bounds, `shutting_down`.
    pub async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<DeliveryInfo>, ApiError> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(ApiError::new(Code::InvalidValue, "`limit` must be from 1 to 1000"));
        }
        if query.state == Some(DeliveryState::Unknown) {
            return Err(ApiError::new(Code::InvalidValue, "`state` is none that a delivery can have"));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.ask(|reply| Call::Deliveries(query, limit, reply)).await
    }

    /// Tries a delivery again that waits or was given up.
    ///
    /// # Errors
    ///
    /// `delivery_not_found`, `hook_not_found`, `storage_failed`, `shutting_down`.
    pub async fn retry(&self, id: DeliveryId) -> Result<DeliveryInfo, ApiError> {
        self.ask(|reply| Call::Retry(id, reply)).await
    }

    /// Forgets a delivery that waits or was given up. One that is on its way may still arrive.
    ///
    /// # Errors
    ///
    /// `delivery_not_found`, `storage_failed`, `shutting_down`.
    pub async fn dismiss(&self, id: DeliveryId) -> Result<(), ApiError> {
        self.ask(|reply| Call::Dismiss(id, reply)).await
    }

    /// Sends an event of its own to a hook, once, and says what came of it.
    ///
    /// # Errors
    ///
    /// `hook_not_found`, `overloaded` while another test of the hook runs, `shutting_down`.
    pub async fn test(&self, hook: &str) -> Result<HookTested, ApiError> {
        self.ask(|reply| Call::Test(hook.to_owned(), reply)).await
    }

    async fn ask<T>(&self, call: impl FnOnce(ReplyTo<T>) -> Call) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| shutting_down())?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }
}

fn shutting_down() -> ApiError {
    ApiError::new(Code::ShuttingDown, "the daemon is stopping")
}
