//! Arguments that several commands take, checked where they enter.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use skep_common::api::SessionInfo;
use skep_common::ids::{InvalidName, SessionName, WorkerId};
use skep_common::session::{PermissionMode, WhenBusy};

use crate::attachments::Attachments;
use crate::error::CliError;
use crate::session_options::SessionOptionArgs;

/// A session: its name, its id, or the beginning of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRef(SessionName);

impl SessionRef {
    /// Whether this names the session in full, or by its id: the beginning of a name is no order to end something.
    pub(crate) fn means(&self, session: &SessionInfo) -> bool {
        session.name.as_ref() == Some(&self.0)
            || session.id.to_string().starts_with(&self.0.as_str().to_ascii_lowercase())
    }
}

impl FromStr for SessionRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for SessionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A worker: its id or its pid.
pub(crate) type WorkerRef = WorkerId;

/// A permission mode, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Every request waits for a person.
    Ask,
    /// File edits are allowed, the rest waits.
    AcceptEdits,
    /// Reading is allowed, everything else denied.
    Plan,
    /// Everything is denied.
    Deny,
    /// Everything is allowed.
    Bypass,
}

impl From<Mode> for PermissionMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Ask => Self::Ask,
            Mode::AcceptEdits => Self::AcceptEdits,
            Mode::Plan => Self::Plan,
            Mode::Deny => Self::Deny,
            Mode::Bypass => Self::Bypass,
        }
    }
}

/// What happens to a prompt while a turn runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Busy {
    /// It is refused.
    Refuse,
    /// It waits in the session's queue.
    Queue,
    /// It goes into the turn that runs, if the agent takes it there.
    Steer,
}

impl From<Busy> for WhenBusy {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Refuse => Self::Refuse,
            Busy::Queue => Self::Queue,
            Busy::Steer => Self::Steer,
        }
    }
}

/// What happens to this prompt if a turn runs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WhenBusyArgs {
    /// What happens to the prompt if a turn runs in the session.
    #[arg(long, value_name = "WHAT", value_enum)]
    when_busy: Option<Busy>,
    /// If a turn runs in the session, queue the prompt: the same as `--when-busy queue`.
    #[arg(long, conflicts_with_all = ["when_busy", "steer"])]
    queue: bool,
    /// If a turn runs in the session, give the prompt to the agent in that turn: the same as `--when-busy steer`.
    #[arg(long, conflicts_with = "when_busy")]
    steer: bool,
}

impl WhenBusyArgs {
    /// What was asked for, if anything was.
    pub(crate) fn wanted(self) -> Option<WhenBusy> {
        match self {
            Self { queue: true, .. } => Some(WhenBusy::Queue),
            Self { steer: true, .. } => Some(WhenBusy::Steer),
            Self { when_busy, .. } => when_busy.map(Into::into),
        }
    }
}

/// Where a session's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpawnMode {
    /// In the directory itself.
    SameDir,
    /// In a worktree of its own (not supported yet).
    Worktree,
}

/// What is not built yet is refused, never ignored.
pub(crate) fn refuse_unbuilt(sandbox: bool, spawn_mode: Option<SpawnMode>) -> Result<(), CliError> {
    if sandbox {
        return Err(CliError::not_supported("--sandbox"));
    }
    if spawn_mode == Some(SpawnMode::Worktree) {
        return Err(CliError::not_supported("--spawn-mode worktree"));
    }
    Ok(())
}

/// The options of a new session, for `run` and `bg`.
#[derive(Debug, Clone, Args)]
pub(crate) struct NewSession {
    /// The agent; `skep agents` lists them. The configured default where none is given.
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Create the session of this name, or continue it if it is open.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<SessionName>,
    /// The session's directory; the current one where none is given.
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) timeout: Option<u64>,
    /// What happens to permission requests.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) permission_mode: Option<Mode>,
    /// Allow everything: the same as `--permission-mode bypass`.
    #[arg(short = 'y', long = "yes", conflicts_with = "permission_mode")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) when_busy: WhenBusyArgs,
    /// Where the session's files are.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) spawn_mode: Option<SpawnMode>,
    /// Run the agent in a sandbox (not supported yet).
    #[arg(long)]
    pub(crate) sandbox: bool,
    #[command(flatten)]
    pub(crate) attachments: Attachments,
    #[command(flatten)]
    pub(crate) options: SessionOptionArgs,
}

impl NewSession {
    /// The permission mode that was asked for, if one was.
    pub(crate) fn mode(&self) -> Option<PermissionMode> {
        if self.yes { Some(PermissionMode::Bypass) } else { self.permission_mode.map(Into::into) }
    }
}

/// A time: a number of seconds, or numbers with units.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    const WANTED: &str = "give a time such as `90`, `90s`, `5m` or `1h30m`, from one second to 30 days";
    let seconds = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u64>().map_err(|_| String::from(WANTED))?
    } else {
        let span = jiff::SignedDuration::from_str(text).map_err(|_| String::from(WANTED))?;
        u64::try_from(span.as_secs()).map_err(|_| String::from(WANTED))?
    };
    if (1..=30 * 86_400).contains(&seconds) { Ok(seconds) } else { Err(String::from(WANTED)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g16_times_are_checked() {
        for (text, wanted) in [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400)] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in ["", "0", "-5", "soon", "1.5.3", "400d", "99999999999999999999", "0s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_and_never_ignored() {
        for (sandbox, mode) in [(true, None), (false, Some(SpawnMode::Worktree))] {
            let error = refuse_unbuilt(sandbox, mode).unwrap_err();
            assert_eq!(error.exit().status(), 2);
            assert_eq!(error.code, Some(skep_common::code::Code::NotSupported));
        }
        assert!(refuse_unbuilt(false, Some(SpawnMode::SameDir)).is_ok());
    }
}
