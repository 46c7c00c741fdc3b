//! What the tools take. The doc comments are what the agent reads. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use skep_common::ids::SessionName;
use skep_common::session::PermissionMode;

use crate::arguments::SessionRef;
use crate::error::CliError;

/// The longest wait, in seconds.
const LONGEST: u64 = 600;

/// How long `session_wait` waits where it is not said, in seconds: shorter than clients usually wait for a tool.
const USUAL: u64 = 50;

/// Characters of text where it is not said, and at most.
const TEXT: u32 = 8_000;
const MOST_TEXT: u32 = 50_000;

/// `session_start`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// The agent of the session, by a name that agents_list shows. Default: the configured one.
    pub(super) agent: Option<String>,
    /// The absolute path of the directory that it works in. Default: the directory of this session.
    pub(super) cwd: Option<String>,
    /// A name to find it again by: 1 to 64 letters, digits, `-` and `_`. An open session of that name is refused.
    pub(super) name: Option<String>,
    /// The first prompt. Without it the session is opened and waits for one.
    pub(super) prompt: Option<String>,
    /// What happens when its agent asks for permission. Never more than this session is allowed. Default: a person is
    /// asked, or what this session has.
    pub(super) permission_mode: Option<Mode>,
    /// Whether its agent gets these tools as well, to open sessions of its own.
    #[serde(default)]
    pub(super) delegate: bool,
    /// Wait at most so many seconds (up to 600) for the end of the first turn. Default 0: come back at once.
    #[serde(default)]
    #[schemars(range(max = 600))]
    pub(super) wait_seconds: u64,
}

/// `session_prompt`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prompt {
    /// The session: its id or its name.
    pub(super) session: String,
    /// What to say to its agent.
    pub(super) text: String,
    /// If a turn runs in it, let the prompt wait for its end. Without this it is refused then.
    #[serde(default)]
    pub(super) queue: bool,
    /// Wait at most so many seconds (up to 600) for the end of the turn. Default 0: come back at once.
    #[serde(default)]
    #[schemars(range(max = 600))]
    pub(super) wait_seconds: u64,
}

/// `session_wait`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// The session: its id or its name.
    pub(super) session: String,
    /// At most so many seconds (1 to 600). Default 50.
    #[schemars(range(min = 1, max = 600))]
    pub(super) timeout_seconds: Option<u64>,
}

/// `session_read`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// The session: its id or its name.
    pub(super) session: String,
    /// Read what came after this: the `cursor` of another tool's answer; 0 reads from the beginning. Default: the
    /// beginning of the last turn.
    pub(super) cursor: Option<u64>,
    /// About so many characters at most (100 to 50000). Default 8000.
    #[schemars(range(min = 100, max = 50_000))]
    pub(super) max_chars: Option<u32>,
}

/// `session_list`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Closed sessions too.
    #[serde(default)]
    pub(super) closed_too: bool,
    /// The `next` of the answer before, for the following page.
    pub(super) cursor: Option<String>,
}

/// `session_cancel`, `session_close`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// The session: its id or its name.
    pub(super) session: String,
}

/// A permission mode, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
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

/// The session that a tool's argument names. It goes into a path, so it is letters, digits, `-` and `_`.
pub(super) fn session(text: &str) -> Result<SessionRef, CliError> {
    let wrong = |error| super::view::invalid(format!("`session`: {error}"));
    text.parse().map_err(|error: skep_common::ids::InvalidName| wrong(error))
}

/// The name of a new session.
pub(super) fn name(text: Option<&str>) -> Result<Option<SessionName>, CliError> {
    let name = text.map(str::parse).transpose();
    name.map_err(|error: skep_common::ids::InvalidName| super::view::invalid(format!("`name`: {error}")))
}

/// How long a prompt's end is waited for; none: not at all.
pub(super) fn wait(seconds: u64) -> Result<Option<Duration>, CliError> {
    match seconds {
        0 => Ok(None),
        1..=LONGEST => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(super::view::invalid("`wait_seconds` is at most 600")),
    }
}

impl Wait {
    pub(super) fn timeout(&self) -> Result<Duration, CliError> {
        match self.timeout_seconds.unwrap_or(USUAL) {
            seconds @ 1..=LONGEST => Ok(Duration::from_secs(seconds)),
            _ => Err(super::view::invalid("`timeout_seconds` is from 1 to 600")),
        }
    }
}

impl Read {
    pub(super) fn max_chars(&self) -> Result<usize, CliError> {
        match self.max_chars.unwrap_or(TEXT) {
            chars @ 100..=MOST_TEXT => Ok(usize::try_from(chars).unwrap_or(usize::MAX)),
            _ => Err(super::view::invalid("`max_chars` is from 100 to 50000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_what_is_out_of_bounds_is_refused_before_anything_is_asked() {
        assert_eq!(wait(0).unwrap(), None);
        assert_eq!(wait(600).unwrap(), Some(Duration::from_secs(600)));
        assert!(wait(601).is_err() && wait(u64::MAX).is_err());
        let waits = |seconds| Wait { session: String::from("a"), timeout_seconds: seconds }.timeout();
        assert_eq!(waits(None).unwrap(), Duration::from_secs(50));
        assert!(waits(Some(0)).is_err() && waits(Some(601)).is_err());
        let reads = |max_chars| Read { session: String::from("a"), cursor: None, max_chars }.max_chars();
        assert_eq!(reads(None).unwrap(), 8_000);
        assert!(reads(Some(99)).is_err() && reads(Some(50_001)).is_err());
        for wrong in ["", "../daemon", "a/b", "a?b", "a b", &"x".repeat(65)] {
            assert!(session(wrong).is_err() && name(Some(wrong)).is_err(), "{wrong:?}");
        }
        assert!(session("1a2b3c4d-0000-4000-8000-000000000000").is_ok() && name(None).unwrap().is_none());
    }

    #[test]
    fn g13_unknown_arguments_and_wrong_types_are_refused() {
        for json in [
            r#"{"session":"a","bypass":true}"#,
            r#"{"session":7}"#,
            r#"{}"#,
            r#"{"session":"a","timeout_seconds":-1}"#,
        ] {
            assert!(serde_json::from_str::<Wait>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<Start>(r#"{"permission_mode":"yolo"}"#).is_err());
        assert!(serde_json::from_str::<Start>("{}").is_ok());
    }
}
