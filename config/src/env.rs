//! The registry of environment variables that skep reads or sets, and the captured environment.
//!
//! The environment is captured once, in `main`, and passed as a value, so that tests inject their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// Everything of skep in one directory: configuration, state, sockets, logs. Read.
pub const SKEP_HOME: &str = "SKEP_HOME";
/// The daemon's socket; overrides `daemon.socket`. Read.
pub const SKEP_SOCKET: &str = "SKEP_SOCKET";
/// The agent of new sessions; overrides `session.default_agent`. Read.
pub const SKEP_AGENT: &str = "SKEP_AGENT";
/// The permission mode of new sessions; overrides `session.permission_mode`. Read.
pub const SKEP_PERMISSION_MODE: &str = "SKEP_PERMISSION_MODE";
/// The telemetry log's level; overrides `logs.level`. Read.
pub const SKEP_LOG: &str = "SKEP_LOG";
/// How clients over TCP show who they are; overrides `api.auth`. Read.
pub const SKEP_AUTH: &str = "SKEP_AUTH";
/// The file with the password; overrides `api.password_file`. Read.
pub const SKEP_PASSWORD_FILE: &str = "SKEP_PASSWORD_FILE";
/// The token under which `skep mcp` acts. Read.
pub const SKEP_TOKEN: &str = "SKEP_TOKEN";

/// The session that a process belongs to; also the mark by which its tree is found (C7, N4). Set.
pub const SKEP_SESSION: &str = "SKEP_SESSION";
/// That session's name, if it has one. Set.
pub const SKEP_SESSION_NAME: &str = "SKEP_SESSION_NAME";
/// What started that session: `interactive`, `bg` or `daemon`. Set.
pub const SKEP_SESSION_KIND: &str = "SKEP_SESSION_KIND";
/// Where that session's process log is. Set.
pub const SKEP_LOG_PATH: &str = "SKEP_LOG_PATH";
/// The worker that a process belongs to; the mark of a worker's tree. Set.
pub const SKEP_WORKER: &str = "SKEP_WORKER";
/// The one run of that worker that a process belongs to; what a dead worker leaves is found by it. Set.
pub const SKEP_WORKER_RUN: &str = "SKEP_WORKER_RUN";
/// The agent process that serves several sessions, or waits for one; the mark of its tree. Set.
pub const SKEP_AGENT_PROCESS: &str = "SKEP_AGENT_PROCESS";
/// The terminal of an agent's that a process belongs to; the mark by which a release finds all of it. Set.
pub const SKEP_TERMINAL: &str = "SKEP_TERMINAL";
/// Where the built-in shell agent keeps its sessions' directory, environment and history. Set for it, and read by it.
pub const SKEP_SHELL_STATE: &str = "SKEP_SHELL_STATE";
/// The built-in shell agent's command that a process belongs to; the mark by which a cancel finds all of it. Set.
pub const SKEP_COMMAND: &str = "SKEP_COMMAND";
/// What a hook's command is told of: `needs_you`, `turn_ended`, `session_failed`, `worker_parked` or `test`. Set.
pub const SKEP_EVENT: &str = "SKEP_EVENT";
/// That hook's name. Set.
pub const SKEP_HOOK: &str = "SKEP_HOOK";
/// The delivery's id, the same with every attempt; also the mark by which all that the command starts is found. Set.
pub const SKEP_DELIVERY: &str = "SKEP_DELIVERY";

/// The home directory; the password database is asked where it is missing. Read.
pub const HOME: &str = "HOME";
/// Where configuration lives; `~/.config` where it is missing. Read.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Where state lives; `~/.local/state` where it is missing. Read.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// Where commands are looked for. Read.
pub const PATH: &str = "PATH";
/// The user's shell; the built-in shell agent uses it if it knows it. Read.
pub const SHELL: &str = "SHELL";
/// Any value: no colours. Read.
pub const NO_COLOR: &str = "NO_COLOR";
/// The service manager's socket for readiness and status. Read.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The environment as it was when it was captured.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    passwd_home: Option<PathBuf>,
}

impl Environment {
    /// This process's environment. The password database is asked only where `HOME` is missing.
    #[must_use]
    pub fn capture() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os().collect();
        let mut captured = Self { variables, passwd_home: None };
        if captured.get(HOME).is_none() {
            captured.passwd_home =
                nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir);
        }
        captured
    }

    /// An environment of these variables only.
    #[must_use]
    pub fn of<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { variables, passwd_home: None }
    }

    /// The same environment, whose user's home is `home` by the password database.
    #[must_use]
    pub fn with_passwd_home(self, home: impl Into<PathBuf>) -> Self {
        Self { passwd_home: Some(home.into()), ..self }
    }

    /// A variable's value. An empty one counts as missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The home directory: `HOME`, else the password database's.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.get(HOME).map(PathBuf::from).or_else(|| self.passwd_home.clone())
    }

    /// Every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_missing_and_values_stay_out_of_debug_output() {
        let environment = Environment::of([("HOME", ""), ("TOKEN", "secret")]).with_passwd_home("/home/p");
        assert_eq!(environment.get(HOME), None);
        assert_eq!(environment.home(), Some(PathBuf::from("/home/p")));
        let debug = format!("{environment:?}");
        assert!(debug.contains("TOKEN") && !debug.contains("secret"), "{debug}");
    }
}
