//! The words of an `[agents.NAME]` table: how an agent is driven, resumed and read, and what is odd about it.

use crate::value::choice;

/// How skep speaks with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Driver {
    /// The Agent Client Protocol over stdio.
    #[default]
    Acp,
    /// A command per prompt, whose output is the answer.
    Oneshot,
    /// Claude Code's JSON lines, both ways, over one long-lived process.
    ClaudeStream,
}

impl Driver {
    /// Whether an agent that is driven so takes prompts while a turn runs. ACP has no word for that, and what an agent
    /// does with a second prompt all the same differs from one to the next.
    #[must_use]
    pub const fn steers(self) -> bool {
        match self {
            Self::ClaudeStream => true,
            Self::Acp | Self::Oneshot => false,
        }
    }
}

choice!(Driver { "acp" => Acp, "oneshot" => Oneshot, "claude-stream" => ClaudeStream });

/// How an agent's session is brought back in a new process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResumeBy {
    /// By what the agent offers: `session/resume`, else `session/load`; for agents without ACP, by `resume_args` where
    /// there are any.
    #[default]
    Auto,
    /// By `session/resume`, which replays nothing; for agents without ACP, by `resume_args`.
    Resume,
    /// By `session/load`, which replays the history.
    Load,
    /// Not at all.
    None,
}

choice!(ResumeBy { "auto" => Auto, "resume" => Resume, "load" => Load, "none" => None });

/// Who is served by one process of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Share {
    /// One session.
    #[default]
    Session,
    /// Sessions of a worker that start it in the same way.
    Worker,
}

choice!(Share { "session" => Session, "worker" => Worker });

/// Which directories one process of an agent serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Directories {
    /// The one that it was started in.
    #[default]
    One,
    /// Any: it takes each session's from the session.
    Any,
}

choice!(Directories { "one" => One, "any" => Any });

/// What becomes of an attachment that an agent does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Attachments {
    /// The prompt is refused.
    #[default]
    Refuse,
    /// The agent gets a link to the file in which skep keeps it.
    Link,
}

choice!(Attachments { "refuse" => Refuse, "link" => Link });

/// What is odd about an agent. skep acts on some of it; the rest is told by `skep agents --json`, for people to
/// know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quirk {
    /// It never asks for permission. Told only.
    NoPermissions,
    /// Left to its default mode, a model approves its tool calls. Told only: `mode` is what changes it.
    ModelApproves,
    /// It loses a session that is loaded within the wall-clock minute in which it was created. Such a load waits.
    SameMinuteLoad,
    /// It replays history after it has answered `session/load`.
    LateReplay,
    /// Its processes share a daemon per home directory, in whose tree tools may run: each session needs its own.
    HubDaemon,
    /// A cancelled turn's command runs on.
    CancelLeavesTool,
    /// A model's error ends the turn as if it had succeeded. Told only: every agent's turns are looked at for that.
    SilentErrors,
    /// SIGTERM does not end it. Told only: whoever outlives the grace is killed.
    IgnoresTerm,
}

choice!(Quirk {
    "no_permissions" => NoPermissions,
    "model_approves" => ModelApproves,
    "same_minute_load" => SameMinuteLoad,
    "late_replay" => LateReplay,
    "hub_daemon" => HubDaemon,
    "cancel_leaves_tool" => CancelLeavesTool,
    "silent_errors" => SilentErrors,
    "ignores_term" => IgnoresTerm,
});

/// The word that stands in the file.
macro_rules! as_written {
    ($($type:ty),+) => {
        $(impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::schema::Setting::write(self).as_str().unwrap_or_default())
            }
        })+
    };
}

as_written!(Driver, ResumeBy, Quirk);
