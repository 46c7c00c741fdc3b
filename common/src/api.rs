//! The bodies of the HTTP API, shared by the server and our own client.
//!
//! Requests refuse unknown fields (G13); answers may grow, so clients ignore what they do not know.

mod agents;
mod audit;
mod daemon;
mod events;
mod files;
mod hooks;
mod logs;
mod metrics;
mod permissions;
mod prompts;
mod sessions;
mod workers;

pub use agents::{AgentInfo, AgentList, AgentProbe};
pub use audit::{AuditEntry, AuditQuery};
pub use daemon::{DaemonStatus, Health, Reloaded, TlsInfo};
pub use events::{EventsPage, EventsQuery};
pub use files::{DaemonFile, RegistryEntry};
pub use hooks::{
    DeliveryInfo, DeliveryList, DeliveryQuery, DeliveryState, HookCounts, HookEvent, HookInfo, HookList,
    HookTested, HookUse,
};
pub use logs::{LogType, LogsQuery};
pub use metrics::{Metrics, ProcessUsage, SessionCount, SystemUsage, TurnCount, WorkerUsage};
pub use permissions::{AnswerAccepted, AnswerRequest, PermissionList, WaitingPermission};
pub use prompts::{PromptAccepted, PromptRequest, RunAccepted, RunQuery, RunRequest};
pub use sessions::{
    CancelRequest, CloseRequest, CreateSession, DeleteQuery, Opener, SessionInfo, SessionList, SessionQuery,
    SettingsChanged,
};
pub use workers::{AddWorker, WorkerInfo, WorkerList, WorkerState};

/// The version of the API that this build serves; it is part of every path.
pub const API: &str = "/api/v1";
