//! The words for a session and its turns, shared by journal, protocol and API.

mod change;
pub mod content;
mod delegation;
mod limits;
pub mod mcp;
mod options;
mod rules;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment::needed;
use crate::ids::{AnswerId, PermissionId, Process, PromptId, SessionId, SessionName, WorkerId};
use crate::usage::{Usage, Used};

pub use change::{
    ChangedSetting, LimitsChange, MAX_SECONDS, OptionsChange, Patch, SessionChange, SessionSettings,
    TakesEffect,
};
pub use content::ContentBlock;
pub use delegation::MAX_DEPTH;
pub use limits::Limits;
pub use mcp::{McpServer, McpTransport};
pub use options::{Resume, SessionOptions};
pub use rules::{MAX_RULES, RuleVerdict, SessionRule};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Waits for a place on a worker.
    Queued,
    /// Its agent is being started.
    Starting,
    /// Ready for a prompt.
    Idle,
    /// A turn runs.
    Running,
    /// A person must answer or decide.
    NeedsYou,
    /// The agent process is gone; the next prompt wakes it.
    Hibernated,
    /// A turn was cut off; nothing runs until a person prompts.
    Interrupted,
    /// Ended for good; the history is kept.
    Closed,
    /// Cannot go on; the reason is beside it.
    Failed,
    /// A state of a newer skep.
    #[serde(other)]
    Unknown,
}

impl SessionState {
    /// Whether the session has ended for good.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }

    /// Whether a worker holds the session now.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Idle | Self::Running | Self::NeedsYou)
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TurnOutcome {
    /// The agent did what it could and said so.
    Completed,
    /// The agent says it ended, but gave no text and did nothing.
    Suspect,
    /// Somebody cancelled.
    Cancelled,
    /// The agent refused.
    Refused,
    /// The agent or its command failed.
    Failed,
    /// Cut off from outside: crash, kill, shutdown.
    Interrupted,
    /// A limit was reached: of the session, of the agent, or of time (cause and detail say which).
    Limit,
    /// An outcome of a newer skep.
    #[serde(other)]
    Unknown,
}

/// Why something ended; recovery obeys it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A person asked for it.
    Person,
    /// A person killed it.
    Killed,
    /// The agent process ended by itself.
    AgentCrashed,
    /// The worker process ended by itself.
    WorkerCrashed,
    /// The supervisor went away.
    SupervisorGone,
    /// `skep daemon stop`, or the machine goes down.
    DaemonStopped,
    /// The worker was restarted or stopped on request.
    WorkerStopped,
    /// The worker is parked.
    Parked,
    /// A time limit.
    TimedOut,
    /// A limit of what the session may use.
    Limit,
    /// Idle for too long.
    Idle,
    /// Idle while memory was short.
    Memory,
    /// The session was to close with its first turn.
    Ephemeral,
    /// The command of a one-shot agent has ended by itself.
    Finished,
    /// A newer binary took over.
    Upgraded,
    /// The agent gave it up by itself.
    AgentGaveUp,
    /// Keys that its agent had are missing.
    Credentials,
    /// Its agent does not take what the prompt holds: an image, a recording, a resource.
    ContentNotSupported,
    /// The disk refused.
    StorageFailed,
    /// Nobody knows: the machine lost power, or the record is gone.
    Unknown,
    /// A cause of a newer skep.
    #[serde(other)]
    Other,
}

/// What a session does when nobody has said otherwise about a permission request (N7, S3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PermissionMode {
    /// Every request waits for a person.
    #[default]
    Ask,
    /// File edits are allowed, the rest waits.
    AcceptEdits,
    /// Reading is allowed, everything else denied.
    Plan,
    /// Everything is denied.
    Deny,
    /// Everything is allowed. Only by explicit choice.
    Bypass,
}

/// What started a session (C6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// `skep run` or `attach`: a person watches.
    #[default]
    Interactive,
    /// `skep bg`.
    Bg,
    /// The API, or a worker's own session.
    Daemon,
}

/// What to do with a prompt while a turn runs (G9, Q6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenBusy {
    /// Refuse it with `session_busy`.
    #[default]
    Refuse,
    /// Put it into the durable queue.
    Queue,
    /// Give it to the agent in the running turn, where the agent takes that; else refuse it with `not_supported`. While
    /// the turn is about to begin or to be cancelled, it is queued.
    Steer,
}

/// Whose consent comes with a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// None: the session's mode and rules decide.
    #[default]
    None,
    /// A person typed this prompt as a shell command: that is their consent to this very command, in the built-in
    /// shell agent only.
    OwnCommand,
}

/// A session's settings, kept in `session.json` and never inherited from a terminal (N8). Fixed at creation but for its
/// mode and options, which a person may change ([`SessionChange`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionSpec {
    /// The session.
    pub id: SessionId,
    /// Its name, if it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SessionName>,
    /// The agent's name: a preset or a configured one.
    pub agent: String,
    /// The working directory, absolute, symlinks resolved.
    pub cwd: String,
    /// What happens to permission requests.
    pub permission_mode: PermissionMode,
    /// What started it.
    pub kind: SessionKind,
    /// Close after the first turn (an unnamed `skep run` without `--keep`).
    #[serde(default)]
    pub ephemeral: bool,
    /// Whatever else it was given.
    #[serde(default, skip_serializing_if = "SessionOptions::is_empty")]
    pub options: SessionOptions,
    /// The sessions from inside of which it was opened, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<SessionId>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl SessionSpec {
    /// What of it can change.
    #[must_use]
    pub fn settings(&self) -> SessionSettings {
        SessionSettings { permission_mode: self.permission_mode, options: self.options.clone() }
    }

    /// Takes changed settings.
    pub fn take(&mut self, settings: SessionSettings) {
        (self.permission_mode, self.options) = (settings.permission_mode, settings.options);
    }
}

/// How far a session's journal is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Head {
    /// The last committed event's number; 0 before the first.
    pub seq: u64,
    /// The first seq of the segment that holds it (the segment file's name).
    pub segment: u64,
    /// The committed length of that segment in bytes.
    pub bytes: u64,
    /// The epoch of the writer that wrote it.
    pub epoch: u64,
}

/// One option of a permission request, as the agent gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PermissionOption {
    /// The agent's id for it.
    pub id: String,
    /// Its label.
    pub name: String,
    /// ACP's kind: `allow_once`, `allow_always`, `reject_once`, `reject_always`, or one we do not know.
    pub kind: String,
}

/// A permission request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PendingPermission {
    /// The request.
    pub id: PermissionId,
    /// The prompt whose turn asked.
    pub prompt: PromptId,
    /// ACP's tool kind: `execute`, `edit`, `read`, ….
    pub tool_kind: String,
    /// What the agent wants to do, for a person: the command, the path.
    pub title: String,
    /// What can be answered.
    pub options: Vec<PermissionOption>,
    /// When it was asked.
    pub requested_at: Timestamp,
}

/// What was decided on a permission request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The agent may.
    Allowed,
    /// The agent may not.
    Denied,
    /// The turn was cancelled while it waited.
    Cancelled,
    /// Its agent is gone; nobody can answer any more.
    Withdrawn,
    /// It was being answered when the worker died: whether the agent heard is unknown.
    DeliveryUnknown,
}

/// Who or what decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DecidedBy {
    /// A client; `via` says through which front end and user.
    Client {
        /// For example `cli uid=1000`.
        via: String,
        /// The answer's id.
        answer: AnswerId,
    },
    /// The session's permission mode.
    Mode {
        /// The mode.
        mode: PermissionMode,
    },
    /// A configured rule.
    Rule {
        /// The rule, as it stands in the configuration.
        rule: String,
    },
    /// The person's own command (`Consent::OwnCommand`).
    OwnCommand,
    /// Nobody: a time-out, a cancel, a crash.
    System {
        /// Why.
        cause: Cause,
    },
}

/// A turn that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnInfo {
    /// Its prompt.
    pub prompt: PromptId,
    /// When it started.
    pub started_at: Timestamp,
}

/// A turn that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnSummary {
    /// Its prompt.
    pub prompt: PromptId,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why, where that is not the agent's own doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// More, for a person: `exit status 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it has used, as far as the agent told.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// A running agent process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentProcess {
    /// The agent's own name and version, as it said at `initialize`.
    pub title: String,
    /// Its process.
    pub process: Process,
}

/// A session as its worker sees it; the latest one wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSnapshot {
    /// The session.
    pub id: SessionId,
    /// Where it stands.
    pub state: SessionState,
    /// Why, for `failed`, `interrupted`, `closed`, `needs_you`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How far its journal is committed.
    pub head: Head,
    /// The running turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnInfo>,
    /// Prompts that wait in the queue, oldest first.
    #[serde(default)]
    pub queued: Vec<PromptId>,
    /// The queue waits for a person.
    #[serde(default)]
    pub queue_held: bool,
    /// Permission requests that wait, oldest first.
    #[serde(default)]
    pub waiting: Vec<PendingPermission>,
    /// The last turn that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<TurnSummary>,
    /// The agent, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentProcess>,
    /// When the agent last gave a sign of life, once its turn has gone without one for some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_silent_since: Option<Timestamp>,
    /// What keeps it awake, once it was to hibernate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_awake: Option<String>,
    /// The branch of git that its directory was on when a turn last began or ended (R5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<String>,
    /// What all its turns have used.
    #[serde(default, skip_serializing_if = "Used::is_empty")]
    pub used: Used,
    /// Its settings, while a worker holds it and they are not those that it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<SessionSettings>>,
    /// The worker that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// When anything of this last changed.
    pub updated_at: Timestamp,
}

impl SessionSnapshot {
    /// The keys that nobody has given, where the session needs a person for them.
    pub fn needed_keys(&self) -> impl Iterator<Item = &str> {
        let needs = self.state == SessionState::NeedsYou && self.waiting.is_empty();
        needed(self.why.as_deref().filter(|_| needs))
    }

    /// A session of which nothing is known yet but where it stands.
    #[must_use]
    pub fn blank(id: SessionId, state: SessionState, now: Timestamp) -> Self {
        Self {
            id,
            state,
            why: None,
            head: Head::default(),
            turn: None,
            queued: Vec::new(),
            queue_held: false,
            waiting: Vec::new(),
            last_turn: None,
            agent: None,
            agent_silent_since: None,
            kept_awake: None,
            git_branch: None,
            used: Used::default(),
            settings: None,
            worker: None,
            updated_at: now,
        }
    }
}

/// The content of `sessions/<id>/session.json`: the session's settings, and its last state as a cache, written by
/// whoever holds the lease when the session is opened, comes to rest or closes. The journal is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFile {
    /// The session's settings.
    pub spec: SessionSpec,
    /// Its last known state; its head tells whether the cache is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SessionSnapshot>,
}
