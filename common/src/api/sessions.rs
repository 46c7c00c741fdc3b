//! `/sessions`: what a session looks like from outside, and what can be asked of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProcessUsage;
use crate::environment::needed;
use crate::ids::{PromptId, SessionId, SessionName, WorkerId};
use crate::session::{
    AgentProcess, Cause, ChangedSetting, Head, PendingPermission, PermissionMode, SessionKind,
    SessionOptions, SessionState, TurnInfo, TurnSummary,
};
use crate::usage::Used;

/// A session, as lists and single look-ups show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// The sessions from inside of which it was opened, the outermost first; the last one opened it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<SessionId>,
    /// The worker that holds it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The agent process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_process: Option<AgentProcess>,
    /// When the agent last gave a sign of life, once its turn has gone without one for some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_silent_since: Option<Timestamp>,
    /// What the agent's processes use, all together, looked at now and then; with an agent that several sessions share, what
    /// all of them use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_usage: Option<ProcessUsage>,
    /// What keeps it from hibernating, once it was to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_awake: Option<String>,
    /// The branch of git that its directory was on when a turn last began or ended; the beginning of a commit's name if
    /// none was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<String>,
    /// What all its turns have used, as far as the agents told.
    #[serde(default, skip_serializing_if = "Used::is_empty")]
    pub used: Used,
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

impl SessionInfo {
    /// The session that opened it, if one did.
    #[must_use]
    pub fn parent(&self) -> Option<SessionId> {
        self.lineage.last().copied()
    }

    /// The keys that nobody has given, where the session needs a person for them.
    pub fn needed_keys(&self) -> impl Iterator<Item = &str> {
        let needs = self.state == SessionState::NeedsYou && self.waiting.is_empty();
        needed(self.why.as_deref().filter(|_| needs))
    }
}

/// `GET /sessions`: a page. With `Accept: text/event-stream`, or as a WebSocket, all open sessions come first as event
/// `snapshot`, then every changed session as event `session` (data: [`SessionInfo`]), removed ones as event `removed`
/// (data: `{"id":…}`); not replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// The sessions, the latest created first.
    pub sessions: Vec<SessionInfo>,
    /// Pass it as `cursor` for the next page; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The query of `GET /sessions`. What is left out filters nothing, except that closed sessions must be asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Closed sessions too.
    #[serde(default)]
    pub all: bool,
    /// Only closed ones, or only open ones; not together with `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SessionState>,
    /// Only those of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Only those whose name begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// Only those that were started so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SessionKind>,
    /// Only those that work in exactly this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Only those that were opened from inside this session, or from inside such a one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<SessionId>,
    /// Only those that wait for a person (`true`), or only those that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_you: Option<bool>,
    /// At most so many (1 to 500; default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// The `next` of the page before. Sessions that came or went meanwhile shift nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `POST /sessions`: 201 when created, 200 when `continue_open` found it open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// From inside of which session it is asked for: found out by the server, never said by a client.
    #[serde(skip)]
    pub opener: Option<Opener>,
    /// Not built yet: answered with `not_supported` when true.
    #[serde(default)]
    pub sandbox: bool,
    /// `same-dir`; `worktree` is not built yet and answered with `not_supported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_mode: Option<String>,
}

/// From inside of which session another one is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opener {
    /// That session.
    pub session: SessionId,
    /// Whether that is known by descent from its agent; else by what the one who asks shows, which could be another's.
    pub by_descent: bool,
    /// The session below which alone the one who asks may act, if there is such a limit; `session` or one above it.
    pub confined_to: Option<SessionId>,
}

const fn daemon_kind() -> SessionKind {
    SessionKind::Daemon
}

/// The answer to `PATCH /sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SettingsChanged {
    /// The session as it is now.
    pub session: SessionInfo,
    /// What came of each setting that the request named.
    pub changed: Vec<ChangedSetting>,
}

/// `POST /sessions/{id}/cancel`. No running turn is no error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Kill: no grace for the agent.
    #[serde(default)]
    pub force: bool,
}

/// The query of `DELETE /sessions/{id}` (an open session is removed only with `force`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// Kill it first if it is open.
    #[serde(default)]
    pub force: bool,
}
