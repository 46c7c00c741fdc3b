//! The journal's events: what happened in a session, one numbered record each.
//!
//! On disk and on the wire an event is `{"seq":N,"at":"RFC 3339","kind":"…","data":{…}}`; on disk a checksum field
//! follows (crate `skep-journal`). Readers keep kinds that they do not know (`Event::Unknown`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::{PermissionId, PromptId, WorkerId};
use crate::session::{
    Cause, Consent, ContentBlock, DecidedBy, PermissionOption, Resolution, SessionChange, SessionSpec,
    SessionState, TurnOutcome,
};
use crate::usage::Usage;

/// An event with its number and time.
#[derive(Debug, Clone)]
pub struct Record {
    /// From 1, without gaps, stable for the session's whole life.
    pub seq: u64,
    /// When it was appended (wall clock).
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The session exists.
    SessionOpened(SessionOpened),
    /// The session's settings changed.
    SessionChanged(SessionChanged),
    /// A writer holds the lease from here on.
    WriterOpened(WriterOpened),
    /// A prompt was accepted.
    PromptQueued(PromptQueued),
    /// A queued prompt will not run.
    PromptDropped(PromptDropped),
    /// Queued prompts wait until a person prompts or releases them.
    QueueHeld(QueueHeld),
    /// The queue goes on.
    QueueReleased(QueueReleased),
    /// A prompt goes to the agent.
    TurnStarted(TurnStarted),
    /// Another prompt goes into the turn that runs.
    PromptSteered(PromptSteered),
    /// An ACP session update, exactly as the agent sent it (the `update` member of `session/update`).
    Update(Box<RawValue>),
    /// The agent asks for permission.
    PermissionRequested(PermissionRequested),
    /// It was decided.
    PermissionResolved(PermissionResolved),
    /// The turn is over.
    TurnEnded(TurnEnded),
    /// An agent process serves the session.
    AgentStarted(AgentStarted),
    /// It is gone.
    AgentExited(AgentExited),
    /// The session's state changed.
    State(StateChanged),
    /// The session's directory is on another branch of git.
    GitBranch(GitBranch),
    /// A remark of skep's own, for people.
    Note(Note),
    /// The session is closed for good.
    SessionClosed(SessionClosed),
    /// A kind that this version does not know.
    Unknown {
        /// The kind.
        kind: String,
        /// Its data, untouched.
        data: Box<RawValue>,
    },
}

/// Data of `session_opened`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionOpened {
    /// The session's settings.
    pub spec: SessionSpec,
}

/// Data of `session_changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionChanged {
    /// What changed, and nothing else; `null` where what the session had been given was taken back.
    pub changes: SessionChange,
    /// Who changed it: front end and user, for example `cli uid=1000`, or why skep took a change back.
    pub by: String,
}

/// Data of `writer_opened`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WriterOpened {
    /// The writer's epoch: one more than the last writer's.
    pub epoch: u64,
    /// The worker, or none where the supervisor recovers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The writer's pid, for people.
    pub pid: u32,
    /// The skep version that writes.
    pub version: String,
}

/// Data of `prompt_queued`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptQueued {
    /// The prompt.
    pub prompt: PromptId,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// Through which front end and user it came, for example `cli uid=1000`.
    pub via: String,
    /// Whose consent comes with it.
    #[serde(default)]
    pub consent: Consent,
    /// Seconds until its turn is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The prompt whose turn was cut off, if this runs it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<PromptId>,
}

/// Data of `prompt_dropped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptDropped {
    /// The prompt.
    pub prompt: PromptId,
    /// Why.
    pub cause: Cause,
}

/// Data of `queue_held`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct QueueHeld {
    /// Why.
    pub cause: Cause,
    /// How many prompts wait.
    pub prompts: u32,
}

/// Data of `queue_released`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct QueueReleased {
    /// Who released it.
    pub via: String,
}

/// Data of `turn_started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnStarted {
    /// The prompt that runs.
    pub prompt: PromptId,
    /// What it says, where it waited in the queue: who reads from the turn's start on knows it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<ContentBlock>>,
}

/// Data of `prompt_steered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptSteered {
    /// The prompt; it ends with the turn.
    pub prompt: PromptId,
    /// The prompt whose turn takes it.
    pub turn: PromptId,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// Through which front end and user it came, for example `cli uid=1000`.
    pub via: String,
    /// Whose consent comes with it.
    #[serde(default)]
    pub consent: Consent,
}

/// Data of `permission_requested`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PermissionRequested {
    /// The request.
    pub permission: PermissionId,
    /// The prompt whose turn asks.
    pub prompt: PromptId,
    /// ACP's tool kind; `other` where the agent names none.
    pub tool_kind: String,
    /// What the agent wants to do, for a person.
    pub title: String,
    /// What can be answered.
    pub options: Vec<PermissionOption>,
    /// ACP's `toolCall` as the agent sent it.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub tool_call: Box<RawValue>,
}

/// Data of `permission_resolved`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PermissionResolved {
    /// The request.
    pub permission: PermissionId,
    /// What was decided.
    pub resolution: Resolution,
    /// The chosen option's id, where one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// Who or what decided.
    pub by: DecidedBy,
}

/// Data of `turn_ended`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TurnEnded {
    /// The prompt that ran.
    pub prompt: PromptId,
    /// The prompts that were steered into the turn, which ended with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steered: Vec<PromptId>,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why, where that is not the agent's own doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// ACP's stop reason, where the agent gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// More, for a person: `exit status 3`, an agent's error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The exit status of the built-in shell agent's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it has used, as far as the agent told.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
}

impl TurnEnded {
    /// Whether this is the prompt's end: its own turn's, or that of the turn into which it was steered.
    #[must_use]
    pub fn ends(&self, prompt: PromptId) -> bool {
        self.prompt == prompt || self.steered.contains(&prompt)
    }
}

/// Data of `agent_started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentStarted {
    /// The agent's own name and version.
    pub title: String,
    /// Its pid, for people.
    pub pid: u32,
    /// The agent's own id for the session, needed to load it again.
    pub agent_session: String,
    /// Whether the agent's context was brought back: `new`, `loaded`, `resumed`.
    pub context: String,
    /// The names of the variables with keys that it was given; never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// Data of `agent_exited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentExited {
    /// `exit status 1`, `signal 9 (SIGKILL)`.
    pub status: String,
    /// Why.
    pub cause: Cause,
}

/// Data of `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StateChanged {
    /// The new state.
    pub state: SessionState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Data of `git_branch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GitBranch {
    /// The branch, or the beginning of the commit's name if none is checked out; none outside of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Data of `note`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Note {
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The remark.
    pub text: String,
}

/// Data of `session_closed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionClosed {
    /// Why.
    pub cause: Cause,
}

/// An event as clients see it: its number and time, and what happened. Kinds that are not listed here may come from a
/// newer skep; `corrupt` stands for a record that is damaged on disk and has neither time nor data.
#[cfg(feature = "schema")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct EventSchema {
    /// From 1, without gaps, stable for the session's whole life: the cursor.
    seq: u64,
    /// When it was appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// What kind of event: `session_opened`, `session_changed`, `writer_opened`, `prompt_queued`, `prompt_dropped`,
    /// `queue_held`, `queue_released`, `turn_started`, `prompt_steered`, `update`, `permission_requested`,
    /// `permission_resolved`, `turn_ended`, `agent_started`, `agent_exited`, `state`, `git_branch`, `note`,
    /// `session_closed`, `corrupt`.
    kind: String,
    /// What the kind says. Of `update`: an ACP session update, exactly as the agent sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<EventData>,
}

/// The data of an event, by its kind.
#[cfg(feature = "schema")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EventData {
    /// `session_opened`
    SessionOpened(SessionOpened),
    /// `session_changed`
    SessionChanged(SessionChanged),
    /// `writer_opened`
    WriterOpened(WriterOpened),
    /// `prompt_queued`
    PromptQueued(PromptQueued),
    /// `prompt_dropped`
    PromptDropped(PromptDropped),
    /// `queue_held`
    QueueHeld(QueueHeld),
    /// `queue_released`
    QueueReleased(QueueReleased),
    /// `turn_started`
    TurnStarted(TurnStarted),
    /// `prompt_steered`
    PromptSteered(PromptSteered),
    /// `permission_requested`
    PermissionRequested(PermissionRequested),
    /// `permission_resolved`
    PermissionResolved(PermissionResolved),
    /// `turn_ended`
    TurnEnded(TurnEnded),
    /// `agent_started`
    AgentStarted(AgentStarted),
    /// `agent_exited`
    AgentExited(AgentExited),
    /// `state`
    State(StateChanged),
    /// `git_branch`
    GitBranch(GitBranch),
    /// `note`
    Note(Note),
    /// `session_closed`
    SessionClosed(SessionClosed),
    /// `update`, and kinds of a newer skep
    #[schema(value_type = Object)]
    Other(serde_json::Value),
}

/// A record as it stands in a line: the data not looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct RawRecord<'a> {
    /// The event's number.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// The event's kind.
    #[serde(borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// The event's data.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

impl RawRecord<'_> {
    /// Looks at the data.
    ///
    /// # Errors
    ///
    /// When the data is not what the kind says. An unknown kind is no error.
    pub fn decode(&self) -> Result<Record, serde_json::Error> {
        Ok(Record { seq: self.seq, at: self.at, event: Event::decode(&self.kind, self.data)? })
    }
}

impl Record {
    /// Reads a record from its JSON line (with or without a checksum field).
    ///
    /// # Errors
    ///
    /// When the line is not a record, or its data is not what its kind says.
    pub fn from_json(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<RawRecord<'_>>(line)?.decode()
    }
}

macro_rules! event_kinds {
    ($($variant:ident => $kind:literal),* $(,)?) => {
        impl Event {
            /// The event's kind, as it stands in the journal.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                    Self::Update(_) => "update",
                    Self::Unknown { kind, .. } => kind,
                }
            }

            /// Reads an event of `kind` from its data.
            ///
            /// # Errors
            ///
            /// When the data is not what the kind says. An unknown kind is no error.
            pub fn decode(kind: &str, data: &RawValue) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $($kind => Self::$variant(serde_json::from_str(data.get())?),)*
                    "update" => Self::Update(data.to_owned()),
                    _ => Self::Unknown { kind: kind.to_owned(), data: data.to_owned() },
                })
            }

            /// Writes the event's data as JSON onto `out`.
            ///
            /// # Errors
            ///
            /// When the data cannot be written as JSON; no event of ours is such.
            pub fn encode_data(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
                match self {
                    $(Self::$variant(data) => serde_json::to_writer(out, data),)*
                    Self::Update(data) | Self::Unknown { data, .. } => {
                        out.extend_from_slice(data.get().as_bytes());
                        Ok(())
                    }
                }
            }
        }
    };
}

event_kinds! {
    SessionOpened => "session_opened",
    SessionChanged => "session_changed",
    WriterOpened => "writer_opened",
    PromptQueued => "prompt_queued",
    PromptDropped => "prompt_dropped",
    QueueHeld => "queue_held",
    QueueReleased => "queue_released",
    TurnStarted => "turn_started",
    PromptSteered => "prompt_steered",
    PermissionRequested => "permission_requested",
    PermissionResolved => "permission_resolved",
    TurnEnded => "turn_ended",
    AgentStarted => "agent_started",
    AgentExited => "agent_exited",
    State => "state",
    GitBranch => "git_branch",
    Note => "note",
    SessionClosed => "session_closed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_a_round_trip_and_an_unknown_kind_is_kept() {
        let line = r#"{"seq":7,"at":"2026-01-02T03:04:05Z","kind":"telepathy","data":{"x":[1, 2]},"crc":"00000000"}"#;
        let record = Record::from_json(line.as_bytes()).unwrap();
        assert_eq!((record.seq, record.event.kind()), (7, "telepathy"));
        let mut data = Vec::new();
        record.event.encode_data(&mut data).unwrap();
        assert_eq!(data, br#"{"x":[1, 2]}"#);
    }

    #[test]
    fn an_update_keeps_every_byte_that_the_agent_sent() {
        let raw = r#"{"sessionUpdate":"novelty","n":1.00,"é":"\ud83d"}"#;
        let event = Event::decode("update", &RawValue::from_string(raw.to_owned()).unwrap()).unwrap();
        let mut data = Vec::new();
        event.encode_data(&mut data).unwrap();
        assert_eq!(data, raw.as_bytes());
    }

    #[test]
    fn g13_data_of_the_wrong_shape_is_an_error() {
        let line = br#"{"seq":1,"at":"2026-01-02T03:04:05Z","kind":"turn_ended","data":{"prompt":5}}"#;
        assert!(Record::from_json(line).is_err());
    }
}
