//! `[agents.NAME]`: the agents that sessions can run, built-in and configured (N1).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::oneshot::{self, ModeArgs, Output};
use crate::schema::{Schema, Visitor};
use crate::value::choice;

/// How skep speaks with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Driver {
    /// The Agent Client Protocol over stdio.
    #[default]
    Acp,
    /// A command for each prompt.
    Oneshot,
}

choice!(Driver { "acp" => Acp, "oneshot" => Oneshot });

/// Where an agent is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// In skep itself.
    BuiltIn,
    /// In the configuration file, wholly or in part.
    Configured,
}

/// An agent.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentPreset {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// How skep speaks with it.
    pub driver: Driver,
    /// Its program and arguments. One-shot: with placeholders.
    pub command: Vec<String>,
    /// One-shot: what the command writes.
    pub output: Output,
    /// One-shot: what brings the agent's own session back, with `{session}`.
    pub resume_args: Vec<String>,
    /// One-shot: what makes the command keep to a permission mode.
    pub mode_args: ModeArgs,
    /// Variables that it gets beside the declared ones.
    pub env: BTreeMap<String, String>,
    /// How long it may take to end after its stdin was closed. Default 2 s.
    pub eof_grace: Duration,
    /// The method by which it is signed in at its start, where it offers that.
    pub authenticate: Option<String>,
    /// The agent's own mode for each of skep's permission modes, as far as it has one.
    pub modes: BTreeMap<String, String>,
    /// What it does otherwise than others: [`AgentPreset::LATE_REPLAY`], [`AgentPreset::CANCEL_LEAVES_TOOL`].
    pub quirks: Vec<String>,
    /// What to do when its program is missing.
    pub hint: Option<String>,
    /// Where it is defined.
    pub source: Source,
}

impl AgentPreset {
    /// The name of the built-in shell agent.
    pub const SHELL: &str = "shell";

    /// The quirk of an agent that replays a loaded session after it has answered.
    pub const LATE_REPLAY: &str = "late_replay";

    /// The quirk of an agent that leaves the command of a cancelled turn running.
    pub const CANCEL_LEAVES_TOOL: &str = "cancel_leaves_tool";

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            driver: Driver::Acp,
            command: Vec::new(),
            output: Output::Text,
            resume_args: Vec::new(),
            mode_args: ModeArgs::default(),
            env: BTreeMap::new(),
            eof_grace: Duration::from_secs(2),
            authenticate: None,
            modes: BTreeMap::new(),
            quirks: Vec::new(),
            hint: None,
            source: Source::BuiltIn,
        }
    }

    /// Whether it is known to do this.
    #[must_use]
    pub fn has_quirk(&self, quirk: &str) -> bool {
        self.quirks.iter().any(|known| known == quirk)
    }

    /// Where its program is: the path itself if it has a slash, else the first hit in `search_path` (`PATH`).
    #[must_use]
    pub fn find(&self, search_path: &OsStr) -> Option<PathBuf> {
        let program = Path::new(self.command.first()?);
        if program.components().count() > 1 {
            return is_executable(program).then(|| program.to_owned());
        }
        std::env::split_paths(search_path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(program))
            .find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl AgentPreset {
    /// What is wrong with the words that stand for modes and quirks.
    fn check_words(&self) -> Vec<(&'static str, String)> {
        let modes = ["ask", "accept-edits", "plan", "deny", "bypass"];
        let quirks = [Self::LATE_REPLAY, Self::CANCEL_LEAVES_TOOL];
        let strange = |key, word: &str, known: &[&str]| {
            (!known.contains(&word)).then(|| (key, format!("`{word}` is none of {}", known.join(", "))))
        };
        let modes = self.modes.keys().filter_map(|mode| strange("modes", mode, &modes));
        modes.chain(self.quirks.iter().filter_map(|quirk| strange("quirks", quirk, &quirks))).collect()
    }
}

/// Names of variables only: values may be keys.
impl fmt::Debug for AgentPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentPreset")
            .field("name", &self.name)
            .field("title", &self.title)
            .field("driver", &self.driver)
            .field("command", &self.command)
            .field("output", &self.output)
            .field("resume_args", &self.resume_args)
            .field("mode_args", &self.mode_args)
            .field("env", &self.env.keys())
            .field("eof_grace", &self.eof_grace)
            .field("authenticate", &self.authenticate)
            .field("modes", &self.modes)
            .field("quirks", &self.quirks)
            .field("hint", &self.hint)
            .field("source", &self.source)
            .finish()
    }
}

/// The agents that skep knows by itself: the shell agent, and the model agents whose ACP command is known.
#[must_use]
pub fn built_in() -> BTreeMap<String, AgentPreset> {
    let model = |name: &str, title: &str, command: &[&str], packages: &str| AgentPreset {
        title: title.to_owned(),
        command: command.iter().map(|part| (*part).to_owned()).collect(),
        hint: Some(format!("npm install -g {packages}")),
        ..AgentPreset::named(name)
    };
    let mut codex = model("codex", "Codex", &["codex-acp"], "@agentclientprotocol/codex-acp");
    codex.eof_grace = Duration::from_secs(8);
    codex.quirks = vec![AgentPreset::CANCEL_LEAVES_TOOL.to_owned()];
    let mut gemini = model("gemini", "Gemini CLI", &["gemini", "--acp"], "@google/gemini-cli");
    gemini.quirks = vec![AgentPreset::LATE_REPLAY.to_owned()];
    let mut claude =
        model("claude", "Claude Code", &["claude-agent-acp"], "@agentclientprotocol/claude-agent-acp");
    claude.eof_grace = Duration::from_secs(4);
    let agents = [
        shell(),
        claude,
        codex,
        gemini,
        model("opencode", "opencode", &["opencode", "acp"], "opencode-ai"),
        model("pi", "pi", &["pi-acp"], "pi-acp @earendil-works/pi-coding-agent"),
        model("qwen", "Qwen Code", &["qwen", "--acp"], "@qwen-code/qwen-code"),
    ];
    agents.into_iter().map(|agent| (agent.name.clone(), agent)).collect()
}

fn shell() -> AgentPreset {
    AgentPreset {
        title: String::from("Built-in shell agent"),
        command: vec![own_program(), String::from("agent"), String::from("shell")],
        eof_grace: Duration::from_millis(500),
        ..AgentPreset::named(AgentPreset::SHELL)
    }
}

/// This binary's path. After an upgrade in place the kernel calls the old file `… (deleted)`; the new one is meant.
fn own_program() -> String {
    static PATH: std::sync::LazyLock<String> = std::sync::LazyLock::new(look_for_own_program);
    PATH.clone()
}

fn look_for_own_program() -> String {
    let path = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let Some(mut path) = path else { return String::from("skep") };
    if let Some(replaced) = path.strip_suffix(" (deleted)") {
        path.truncate(replaced.len());
    }
    path
}

/// What an `[agents.NAME]` table starts from: the built-in agent of that name, or an empty one.
pub(crate) fn start_from(name: &str) -> Result<AgentPreset, String> {
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !valid {
        return Err(String::from("an agent's name is 1 to 64 letters, digits, `_` or `-`"));
    }
    Ok(built_in().remove(name).unwrap_or_else(|| AgentPreset::named(name)))
}

impl Schema for AgentPreset {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("title", &mut self.title);
        v.value("driver", &mut self.driver);
        v.value("command", &mut self.command);
        v.value("output", &mut self.output);
        v.value("resume_args", &mut self.resume_args);
        v.value("mode_args", &mut self.mode_args);
        v.value("env", &mut self.env);
        v.ranged("eof_grace", &mut self.eof_grace, Duration::ZERO..=Duration::from_secs(600));
        v.optional("authenticate", &mut self.authenticate);
        v.value("modes", &mut self.modes);
        v.value("quirks", &mut self.quirks);
        v.optional("hint", &mut self.hint);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let complaint = match self.command.first() {
            None => "an agent needs a `command`: a list of its program and arguments",
            Some(program) if program.is_empty() => "the first item of `command`, the program, is empty",
            Some(_) if self.command.iter().any(|part| part.contains('\0')) => "`command` contains a NUL",
            Some(_) => return oneshot::check(self).into_iter().chain(self.check_words()).collect(),
        };
        vec![("command", complaint.to_owned())]
    }

    fn configured(&mut self) {
        self.source = Source::Configured;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_a_program_is_found_in_the_search_path_or_by_its_own_path() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("gemini");
        let gemini = built_in().remove("gemini").unwrap();
        assert_eq!(gemini.find(directory.path().as_os_str()), None);
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        assert_eq!(gemini.find(directory.path().as_os_str()), None, "not executable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(gemini.find(directory.path().as_os_str()), Some(program.clone()));
        let absolute =
            AgentPreset { command: vec![program.to_str().unwrap().to_owned()], ..AgentPreset::named("x") };
        assert_eq!(absolute.find(OsStr::new("")), Some(program));
        assert_eq!(gemini.find(OsStr::new(".")), None, "a relative directory is not searched");
    }

    #[test]
    fn secrets_in_the_environment_stay_out_of_debug_output() {
        let mut agent = AgentPreset::named("x");
        agent.env.insert(String::from("API_KEY"), String::from("hunter2"));
        let debug = format!("{agent:?}");
        assert!(debug.contains("API_KEY") && !debug.contains("hunter2"), "{debug}");
    }
}
