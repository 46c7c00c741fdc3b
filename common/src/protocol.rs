//! What supervisor and worker say to each other: newline-delimited JSON, commands down, reports up.
//!
//! Both sides begin with a hello, so that the protocol can be picked up at any moment. A worker obeys one controller,
//! the one with the highest epoch. Commands are idempotent by their ids. Heads and snapshots are coalesced: the
//! latest wins.

use serde::{Deserialize, Serialize};

use crate::code::ApiError;
use crate::environment::CapturedEnvironment;
use crate::ids::{AnswerId, IncomingId, PermissionId, Process, PromptId, RequestId, SessionId, WorkerId};
use crate::session::{
    Cause, ChangedSetting, Consent, ContentBlock, Head, PermissionMode, SessionChange, SessionSettings,
    SessionSnapshot, SessionSpec, WhenBusy,
};

/// The protocol that this build speaks. A supervisor also speaks the one before.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest line on a worker's pipes, in bytes. A longer one is dropped and reported (G13).
pub const MAX_LINE: usize = 8 * 1024 * 1024;

/// How often a worker sends [`Report::Heartbeat`] (promise 9).
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);

/// For how long a worker keeps nothing ready after [`Command::SpareMemory`].
pub const SPARE_MEMORY: std::time::Duration = std::time::Duration::from_secs(600);

/// Supervisor to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Who commands from here on. First on every connection.
    Hello(ControllerHello),
    /// Do something and acknowledge it with [`Report::Ack`].
    Request {
        /// Chosen by the sender; the acknowledgement carries it.
        id: RequestId,
        /// What to do.
        action: Action,
    },
    /// End every turn as interrupted for `cause`, stop every agent, exit 0. SIGTERM means the same with
    /// [`Cause::WorkerStopped`].
    Shutdown {
        /// Why.
        cause: Cause,
    },
    /// Memory is short: end the agent processes that wait for a session, and keep none ready for [`SPARE_MEMORY`].
    SpareMemory,
    /// A command of a newer supervisor; answered by nothing, logged.
    #[serde(other)]
    Unknown,
}

/// The first line down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerHello {
    /// [`PROTOCOL_VERSION`] of the supervisor.
    pub protocol: u32,
    /// The supervisor's skep version.
    pub version: String,
    /// The supervisor's epoch; a lower one than the worker has seen is answered `fenced`.
    pub epoch: u64,
    /// What the worker is to be.
    pub settings: WorkerSettings,
}

/// What a worker learns from its supervisor (S9). A session to open at once comes as the first
/// [`Action::OpenSession`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Its id.
    pub id: WorkerId,
    /// Its kind: `remote-control` or `background`.
    pub kind: String,
    /// Its directory (`--dir`).
    pub dir: String,
    /// `same-dir` or `worktree`.
    pub spawn_mode: String,
    /// How many sessions it may hold.
    pub capacity: u32,
    /// The default mode of its sessions.
    pub permission_mode: PermissionMode,
    /// Whether its sessions are sandboxed.
    pub sandbox: bool,
    /// The state directory (journals are under `sessions/`).
    pub state_dir: String,
    /// The configuration file it reads agents and session settings from, already merged, as TOML.
    pub config: String,
}

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a few at a time; the largest is written down and sent at once"
)]
pub enum Action {
    /// Create the session, or open one that exists (take its lease, rebuild queue and ids from the journal). The
    /// agent starts with the first prompt. Opening an open session is acknowledged.
    OpenSession {
        /// The session's settings.
        spec: SessionSpec,
        /// What a client gave of its environment, if the daemon still has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<CapturedEnvironment>,
    },
    /// Run a prompt, queue it, or steer it into the turn that runs.
    Prompt {
        /// The session.
        session: SessionId,
        /// The prompt; a second delivery of the same id is acknowledged and not run.
        prompt: PromptId,
        /// What it says.
        content: Vec<ContentBlock>,
        /// What to do while a turn runs.
        when_busy: WhenBusy,
        /// Whose consent comes with it.
        consent: Consent,
        /// Front end and user, for the journal.
        via: String,
        /// Seconds until its turn is cancelled with [`Cause::TimedOut`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<u64>,
        /// What the session's agents are started with from here on; none changes nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<CapturedEnvironment>,
        /// Run the turn that was cut off again; `content` is empty then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retry: bool,
        /// The directory below `incoming/` in which its attachments wait to be taken into the session, if it has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incoming: Option<IncomingId>,
    },
    /// Cancel the running turn. No turn: acknowledged.
    Cancel {
        /// The session.
        session: SessionId,
        /// Only if this prompt runs or waits (a waiting one is dropped); none means the running one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<PromptId>,
        /// Person, or time-out.
        cause: Cause,
    },
    /// Answer a permission request. The first answer wins.
    Answer {
        /// The session.
        session: SessionId,
        /// The request.
        permission: PermissionId,
        /// The answer's id; the same id gets the same reply.
        answer: AnswerId,
        /// What is decided.
        decision: Decision,
        /// Front end and user, for the journal.
        via: String,
    },
    /// Let a held queue go on.
    ReleaseQueue {
        /// The session.
        session: SessionId,
        /// Front end and user, for the journal.
        via: String,
    },
    /// Change the session's settings: all that is asked for, or nothing.
    Change {
        /// The session.
        session: SessionId,
        /// What changes.
        change: Box<SessionChange>,
        /// Front end and user, for the journal.
        via: String,
    },
    /// End the session for good, its history kept. A running turn is interrupted.
    Close {
        /// The session.
        session: SessionId,
        /// [`Cause::Person`] (stop ladder) or [`Cause::Killed`] (tree killed at once).
        cause: Cause,
    },
    /// Let go of a session without closing it: stop its agent, write its state, free its lease.
    Release {
        /// The session.
        session: SessionId,
        /// Why.
        cause: Cause,
    },
    /// An action of a newer supervisor; answered `not_supported`.
    #[serde(other)]
    Unknown,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Decision {
    /// Choose the agent's `allow_once` option (or `allow_always` with `always`).
    Allow {
        /// For good, where the agent offers it.
        #[serde(default)]
        always: bool,
    },
    /// Choose the agent's `reject_once` option (or `reject_always` with `always`).
    Deny {
        /// For good, where the agent offers it.
        #[serde(default)]
        always: bool,
    },
    /// Choose this option.
    Option {
        /// The agent's id for it.
        id: String,
    },
}

/// Worker to supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Report {
    /// Who the worker is and what it holds. First on every connection; the answer to [`Command::Hello`].
    Hello(WorkerHello),
    /// The reply to a request.
    Ack {
        /// The request.
        id: RequestId,
        /// What came of it.
        reply: Reply,
    },
    /// A session changed. The latest wins.
    Session(SessionSnapshot),
    /// A session's journal grew. The latest wins.
    Head {
        /// The session.
        session: SessionId,
        /// How far it is committed.
        head: Head,
    },
    /// The worker holds the session no more: closed, idle for too long, or released. Its lease is free.
    Released(SessionSnapshot),
    /// Still alive; sent every [`HEARTBEAT`] by a task that no disk can block.
    Heartbeat {
        /// Milliseconds that the oldest journal write has been waiting; 0 when none does.
        journal_stalled_ms: u64,
    },
    /// A controller with a lower epoch said hello.
    Fenced {
        /// The epoch that the worker obeys.
        epoch: u64,
    },
    /// A report of a newer worker; logged.
    #[serde(other)]
    Unknown,
}

/// The first line up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerHello {
    /// [`PROTOCOL_VERSION`] of the worker.
    pub protocol: u32,
    /// The worker's skep version.
    pub version: String,
    /// The epoch that it now obeys.
    pub epoch: u64,
    /// The worker's id.
    pub id: WorkerId,
    /// The worker's process.
    pub process: Process,
    /// What it holds.
    pub sessions: Vec<SessionSnapshot>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done {
        /// How far the session's journal was committed when it was done.
        head: Head,
    },
    /// The prompt runs, waits, or was steered into the turn that runs.
    Prompt {
        /// Whether it waits behind another.
        queued: bool,
        /// Whether this id had been accepted before.
        duplicate: bool,
        /// The seq of its `prompt_queued` or `prompt_steered` event.
        seq: u64,
        /// The prompt of the turn into which it was steered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steered_into: Option<PromptId>,
    },
    /// The permission request was answered.
    Answer {
        /// The chosen option's id.
        option: Option<String>,
        /// Whether the agent may.
        allowed: bool,
    },
    /// The settings were changed.
    Changed {
        /// As they are now.
        settings: Box<SessionSettings>,
        /// What came of each that was asked for.
        changed: Vec<ChangedSetting>,
    },
    /// Refused.
    Error {
        /// Why.
        error: ApiError,
    },
}

/// What a worker writes to `exit.json` before an exit that it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedExit {
    /// Its exit code.
    pub code: i32,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_messages_of_a_newer_peer_are_told_apart_from_garbage() {
        let newer = r#"{"type":"dance","steps":[1,2]}"#;
        assert_eq!(serde_json::from_str::<Command>(newer).unwrap(), Command::Unknown);
        assert_eq!(serde_json::from_str::<Report>(newer).unwrap(), Report::Unknown);
        assert!(serde_json::from_str::<Report>("{}").is_err());
        assert!(serde_json::from_str::<Report>("[]").is_err());
    }

    #[test]
    fn messages_survive_a_round_trip() {
        let command = Command::Request {
            id: RequestId::random(),
            action: Action::Cancel { session: SessionId::random(), prompt: None, cause: Cause::Person },
        };
        let line = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&line).unwrap(), command);
    }
}
