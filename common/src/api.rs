//! The bodies of the HTTP API, shared by the server and our own client.
//!
//! Requests refuse unknown fields (G13); answers may grow, so clients ignore what they do not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AnswerId, PermissionId, Process, PromptId, SessionId, SessionName, WorkerId};
use crate::protocol::Decision;
use crate::session::{
    AgentProcess, Cause, Consent, ContentBlock, Head, PendingPermission, PermissionMode, SessionKind,
    SessionOptions, SessionState, TurnInfo, TurnSummary, WhenBusy,
};

/// The version of the API that this build serves; it is part of every path.
pub const API: &str = "/api/v1";

/// A session, as lists and single look-ups show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SessionName>,
    /// The agent's name.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// What started it.
    pub kind: SessionKind,
    /// Where it stands.
    pub state: SessionState,
    /// Why, where the state needs a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What happens to permission requests.
    pub permission_mode: PermissionMode,
    /// Closes after its first turn.
    #[serde(default)]
    pub ephemeral: bool,
    /// What it was given beyond that.
    #[serde(default, skip_serializing_if = "SessionOptions::is_empty")]
    pub options: SessionOptions,
    /// The worker that holds it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The agent process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_process: Option<AgentProcess>,
    /// When the agent last gave a sign of life, once its turn has gone without one for some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_silent_since: Option<Timestamp>,
    /// The turn that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnInfo>,
    /// The last turn that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<TurnSummary>,
    /// Prompts that wait.
    pub queued: Vec<PromptId>,
    /// They wait for a person.
    pub queue_held: bool,
    /// Permission requests that wait.
    pub waiting: Vec<PendingPermission>,
    /// How far the journal is committed; `head.seq` is the newest cursor.
    pub head: Head,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// `GET /sessions`. With `Accept: text/event-stream` the same list comes first as event `snapshot`, then every
/// changed session as event `session` (data: [`SessionInfo`]), removed ones as event `removed` (data: `{"id":…}`);
/// not replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionList {
    /// The sessions, newest change first.
    pub sessions: Vec<SessionInfo>,
}

/// The query of `GET /sessions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Closed sessions too.
    #[serde(default)]
    pub all: bool,
}

/// `POST /sessions`: 201 when created, 200 when `continue_open` found it open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The client's own id for it (invalid: 422; taken: 409). G14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SessionId>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SessionName>,
    /// The agent; the configured default where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Its directory, absolute.
    pub cwd: String,
    /// What happens to permission requests; the configured default where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// What starts it.
    #[serde(default = "daemon_kind")]
    pub kind: SessionKind,
    /// Close it after its first turn.
    #[serde(default)]
    pub ephemeral: bool,
    /// Whatever else it is given.
    #[serde(default, skip_serializing_if = "SessionOptions::is_empty")]
    pub options: SessionOptions,
    /// If the name is open, continue that session (a differing agent, directory, mode or option: `session_conflict`).
    #[serde(default)]
    pub continue_open: bool,
    /// Not built yet: answered with `not_supported` when true.
    #[serde(default)]
    pub sandbox: bool,
    /// `same-dir`; `worktree` is not built yet and answered with `not_supported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_mode: Option<String>,
}

const fn daemon_kind() -> SessionKind {
    SessionKind::Daemon
}

/// `POST /sessions/{id}/prompts`: 202.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    /// The client's id for it; a second delivery is acknowledged, not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PromptId>,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// What to do while a turn runs; the configured default where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_busy: Option<WhenBusy>,
    /// Whose consent comes with it; `own_command` is honoured over the Unix socket only, from outside any session.
    #[serde(default)]
    pub consent: Consent,
    /// Seconds until its turn is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptAccepted {
    /// The session.
    pub session: SessionId,
    /// The prompt.
    pub prompt: PromptId,
    /// Whether it waits behind another.
    pub queued: bool,
    /// Whether this id had been accepted before.
    pub duplicate: bool,
    /// The seq of its `prompt_queued` event: follow with `?after=seq - 1`.
    pub seq: u64,
}

/// `POST /runs`: create or continue a session and prompt it, in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The session.
    pub session: CreateSession,
    /// The prompt.
    pub prompt: PromptRequest,
}

/// The answer to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunAccepted {
    /// The session.
    pub session: SessionInfo,
    /// Whether it was created by this run.
    pub created: bool,
    /// The prompt.
    pub prompt: PromptAccepted,
}

/// `POST /sessions/{id}/cancel`. No running turn is no error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Only this prompt (dropped if it still waits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptId>,
    /// The cause to record: `person` (the default) or `timed_out`; anything else is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// `POST /sessions/{id}/close`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Kill: no grace for the agent.
    #[serde(default)]
    pub force: bool,
}

/// The query of `DELETE /sessions/{id}` (an open session is removed only with `force`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// Kill it first if it is open.
    #[serde(default)]
    pub force: bool,
}

/// `POST /sessions/{id}/permissions/{permission}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The client's id for the answer; the same id gets the same reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AnswerId>,
    /// What is decided.
    pub decision: Decision,
}

/// The answer to an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerAccepted {
    /// The session.
    pub session: SessionId,
    /// The request.
    pub permission: PermissionId,
    /// The answer.
    pub answer: AnswerId,
    /// The chosen option's id.
    pub option: Option<String>,
    /// Whether the agent may.
    pub allowed: bool,
}

/// A permission request with its session: an entry of `GET /permissions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitingPermission {
    /// The session.
    pub session: SessionId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<SessionName>,
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// The request.
    pub permission: PendingPermission,
}

/// `GET /permissions`: all that wait for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermissionList {
    /// Oldest first.
    pub permissions: Vec<WaitingPermission>,
}

/// The query of `GET /sessions/{id}/events`. With `Accept: text/event-stream` it streams: `id: seq`,
/// `event: kind`, `data:` the record; `Last-Event-ID` wins over `after`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Events after this seq; 0 (the default) is from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The writer epoch in which the cursor was seen; lets a lost epoch be noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// JSON pages only: at most so many events (1 to 1,000; default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Instead of `after`: begin so many turns back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_turns: Option<u32>,
}

/// A JSON page of events; `events` are records as [`crate::event::RawRecord`] reads them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventsPage {
    /// The records.
    pub events: Vec<Box<serde_json::value::RawValue>>,
    /// Pass it as `after` for the next page.
    pub next: u64,
    /// How far the journal is committed.
    pub head: Head,
}

/// A worker's state, for people and scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Not started.
    Idle,
    /// Spawned, no hello yet.
    Starting,
    /// At work.
    Running,
    /// Waits for its restart.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Ended, not restarted.
    Stopped,
    /// Not restarted until a person says so.
    Parked,
    /// A state of a newer skep.
    #[serde(other)]
    Unknown,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Its id.
    pub id: WorkerId,
    /// Its kind: `remote-control` or `background`.
    pub kind: String,
    /// Where it stands.
    pub state: WorkerState,
    /// Why it is parked, backing off or stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it is restarted, while it backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Timestamp>,
    /// Restarts since the daemon first knew it.
    pub restarts: u64,
    /// Failures in a row, each after a short run.
    pub rapid_failures: u32,
    /// The level of the restart delay.
    pub backoff_level: u32,
    /// How its last process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// The end of its last process's stderr (at most 4 KiB), while it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stderr: Option<String>,
    /// How many sessions it may hold.
    pub capacity: u32,
    /// The sessions that it holds.
    pub sessions: Vec<SessionId>,
    /// Its directory.
    pub dir: String,
    /// Milliseconds that its oldest journal write has been waiting, if it said so.
    #[serde(default)]
    pub journal_stalled_ms: u64,
    /// The skep version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// `GET /workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerList {
    /// The workers, by id.
    pub workers: Vec<WorkerInfo>,
}

/// `POST /workers`: add one; 201 with [`WorkerInfo`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddWorker {
    /// Its id; the next free one where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<WorkerId>,
    /// `remote-control` (the default) or `background`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// How many sessions it may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// The default mode of its sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogType {
    /// The first of the others that exists, in their order (C5).
    #[default]
    Auto,
    /// skep's own events: `logs/{date}/{workspace}.log`.
    Telemetry,
    /// What processes wrote to stderr: `logs/{name}.log`.
    Process,
    /// Verbose records, only with `--debug`.
    Debug,
    /// The session's conversation.
    Transcript,
}

/// The query of `GET /workers/{id}/logs`, `GET /sessions/{id}/logs` and `GET /daemon/logs`; the answer is
/// `text/plain` (`x-skep-log-type` names the type that was chosen), endless with `follow`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Which log.
    #[serde(default, rename = "type")]
    pub log_type: LogType,
    /// Only the last so many lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Go on as the log grows.
    #[serde(default)]
    pub follow: bool,
}

/// `GET /daemon`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// `running`, or `stopping`.
    pub status: String,
    /// The daemon's pid.
    pub pid: u32,
    /// Its process identity.
    pub process: Process,
    /// Where it listens: `unix:/path`.
    pub endpoint: String,
    /// When it started.
    #[serde(rename = "startedAt")]
    pub started_at: Timestamp,
    /// Its skep version.
    pub version: String,
    /// The directory that it was started with (`--dir`).
    pub cwd: String,
    /// Its epoch.
    pub epoch: u64,
    /// The state directory.
    pub state_dir: String,
    /// The kinds of workers that it keeps.
    pub worker_kinds: Vec<String>,
    /// The way in which process trees are contained: `group+subreaper+mark` or `cgroup`.
    pub containment: String,
    /// Its workers.
    pub workers: Vec<WorkerInfo>,
    /// Its open sessions.
    pub sessions: Vec<SessionInfo>,
    /// Closed sessions that are kept.
    pub closed_sessions: u64,
    /// The configuration's problem, if the last reload was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_error: Option<String>,
}

/// `GET /health`, without a token: who serves here (Q4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `stopping`.
    pub status: String,
    /// The daemon's process.
    pub process: Process,
    /// Its skep version.
    pub version: String,
}

/// `POST /daemon/reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Workers that were restarted because their settings changed.
    pub restarted: Vec<WorkerId>,
    /// Keys that only take effect at the next start.
    pub needs_restart: Vec<String>,
}

/// An agent that skep knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// Whether its command was found.
    pub found: bool,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its command line.
    pub command: Vec<String>,
    /// How skep speaks with it: `acp`, `oneshot`, `claude-stream`.
    #[serde(default)]
    pub driver: String,
    /// The version that skep was tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<String>,
    /// What is odd about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// What to do when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it is the default.
    pub default: bool,
    /// Where it is defined: `built-in` or the configuration file.
    pub source: String,
    /// What a probe found. The daemon probes nothing; `skep agents --probe` fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<AgentProbe>,
}

/// What an agent said when it was started for a look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProbe {
    /// Its version: what its program says, else what it says as an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it can do: `load`, `resume`, `list`, `close`, `image`, `audio`, `embedded_context`, `mcp_http`, `mcp_sse`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The ids of the methods by which it can be authenticated.
    #[serde(default)]
    pub auth_methods: Vec<String>,
    /// How long it took to answer, in milliseconds; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<u64>,
    /// Why it could not be probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentList {
    /// The agents, by name.
    pub agents: Vec<AgentInfo>,
}

/// The daemon's state file `daemon.json`, by which other processes find it (S7, G20, Q4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonFile {
    /// The daemon's process.
    pub process: Process,
    /// Its socket's path.
    pub socket: String,
    /// Its skep version.
    pub version: String,
    /// Its epoch.
    pub epoch: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// The arguments that it was started with, for a restart.
    pub args: Vec<String>,
}

/// An entry of the registry `registry/<id>.json`, written by each worker and each foreground `run` or `attach` about
/// itself (C6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryEntry {
    /// Its process.
    pub process: Process,
    /// The session that it shows or holds, if it is one only.
    #[serde(rename = "sessionId", default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Its directory.
    pub cwd: String,
    /// When it started.
    #[serde(rename = "startedAt")]
    pub started_at: Timestamp,
    /// `interactive`, `bg`, `daemon`.
    pub kind: SessionKind,
    /// Where it can be reached, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its permission mode.
    pub mode: PermissionMode,
    /// Its skep version.
    pub version: String,
    /// The machine.
    pub hostname: String,
}
