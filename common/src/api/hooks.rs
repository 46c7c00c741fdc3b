//! `/hooks` and `/deliveries`: who is told of what happens, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeliveryId, SessionId, WorkerId};

/// What a hook tells of. The word stands as `type` in what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// A session waits for a person: a permission request, or keys that nobody has given.
    NeedsYou,
    /// A turn ended, however it did.
    TurnEnded,
    /// A session cannot go on.
    SessionFailed,
    /// A worker is not restarted until a person says so.
    WorkerParked,
    /// Somebody tried the hook.
    Test,
    /// An event of a newer skep.
    #[serde(other)]
    Unknown,
}

impl HookEvent {
    /// The event as it stands in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs_you",
            Self::TurnEnded => "turn_ended",
            Self::SessionFailed => "session_failed",
            Self::WorkerParked => "worker_parked",
            Self::Test => "test",
            Self::Unknown => "unknown",
        }
    }
}

/// How often a hook was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct HookCounts {
    /// Deliveries that wait for their next attempt, or are on their way.
    pub pending: u64,
    /// Deliveries that were given up and are kept for `retry`.
    pub dead: u64,
    /// Deliveries that arrived, since the hook was first used.
    pub delivered: u64,
    /// Attempts that failed, since the hook was first used.
    pub failed_attempts: u64,
    /// Deliveries that were lost because too many waited, or too many had been given up.
    pub dropped: u64,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HookInfo {
    /// Its name in the configuration.
    pub name: String,
    /// What it tells of.
    pub on: Vec<HookEvent>,
    /// Where to: scheme, host and port of the address, or the program. Nothing that may be secret.
    pub target: String,
    /// How often it was used.
    pub counts: HookCounts,
    /// When its next attempt is due, if a delivery waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What its last attempt that failed ran into, while deliveries wait or were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// `GET /hooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HookList {
    /// The configured hooks, by name.
    pub hooks: Vec<HookInfo>,
    /// Why deliveries cannot be kept on disk, if they cannot: until that is over nothing new is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `POST /hooks/{name}/test`: what came of one attempt. It is not kept and not repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HookTested {
    /// The id that it was sent with.
    pub id: DeliveryId,
    /// Whether it arrived.
    pub delivered: bool,
    /// What the other side said, or what went wrong.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its next attempt, or is on its way.
    Pending,
    /// It was given up.
    Dead,
    /// It arrived.
    Delivered,
    /// A state of a newer skep.
    #[serde(other)]
    Unknown,
}

/// One event for one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeliveryInfo {
    /// Its id: the same with every attempt (`webhook-id`).
    pub id: DeliveryId,
    /// The hook.
    pub hook: String,
    /// What it tells of.
    pub event: HookEvent,
    /// The session that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// When that happened.
    pub at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What the last attempt ran into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// `GET /deliveries`: the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeliveryList {
    /// The deliveries.
    pub deliveries: Vec<DeliveryInfo>,
}

/// The query of `GET /deliveries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// Only those of this hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Only those that stand so. Of those that arrived the last hundred since the daemon's start are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeliveryState>,
    /// At most so many (1 to 1,000; default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(minimum = 1, maximum = 1_000))]
    pub limit: Option<u32>,
}

/// What a hook's counts are in metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HookUse {
    /// The hook.
    pub hook: String,
    /// How often it was used.
    pub counts: HookCounts,
}
