//! `[agents.NAME]`: the agents that sessions can run, built-in and configured (N1).
//!
//! An agent is data. The built-in ones are a file of the same tables that users write (`presets.toml`), read by the
//! same code; a user's table of the same name changes single keys of a built-in one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_common::environment::is_name;
use skep_common::session::content::Takes;

use crate::oneshot::{self, ModeArgs, Output};
use crate::schema::{Schema, Visitor};
use crate::value::nearest;

mod built_in;
mod modes;
mod words;

#[cfg(test)]
mod tests;

pub use built_in::{PRESETS_TOML, built_in};
pub use modes::PerMode;
pub use words::{Attachments, Directories, Driver, Quirk, ResumeBy, Share};

/// What `session_clock` may be.
const SESSION_CLOCK: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

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
    /// Its program and arguments. In a one-shot command `{prompt}` is the prompt, which else comes on standard input.
    pub command: Vec<String>,
    /// Variables that it gets beside the declared ones.
    pub env: BTreeMap<String, String>,
    /// A file with more of them, that nobody else may read: absolute, or `~/…`. `env` wins over it.
    pub env_file: Option<String>,
    /// Names of variables that are passed on to it: keys, and where its model is.
    pub keys: Vec<String>,
    /// Whether each session has a home directory of its own, which hides the user's logins from it.
    pub private_home: bool,
    /// The id of the ACP method by which it is signed in at each start, where it offers any. Without it, it finds the
    /// user's own login, and if it asks for one all the same, its only method by a key is used.
    pub authenticate: Option<String>,
    /// How a session is brought back. Default by what it offers.
    pub resume: ResumeBy,
    /// What brings back the session of an agent without ACP: arguments behind the others, with `{session}` in one.
    pub resume_args: Vec<String>,
    /// The arguments that name a session's model, with `{model}` in one; for an agent that takes it at its start.
    pub model_args: Vec<String>,
    /// What becomes of an attachment that it does not take. Default: the prompt is refused.
    pub attachments: Attachments,
    /// What a one-shot agent writes. Default plain text.
    pub output: Output,
    /// Who is served by one process of it. Default one session.
    pub share: Share,
    /// Which directories one process of it serves. Default the one that it was started in.
    pub directories: Directories,
    /// How many processes of it each worker keeps ready for new sessions. Default none.
    pub warm: u32,
    /// Whether it may read and write files through skep (ACP's `fs/*`). Default no: it has tools of its own.
    pub client_fs: bool,
    /// Whether it may run commands through skep (ACP's `terminal/*`). Default no.
    pub client_terminal: bool,
    /// How long it may take to end after its stdin was closed. Default 2 s.
    pub eof_grace: Duration,
    /// The arguments with which its program says its version and ends; none if it cannot.
    pub version_args: Vec<String>,
    /// The version that all this was found out with.
    pub tested: Option<String>,
    /// What is odd about it.
    pub quirks: Vec<Quirk>,
    /// How coarse the clock is by which it names its sessions, for [`Quirk::SameMinuteLoad`]. Default 1 min.
    pub session_clock: Duration,
    /// What to do when its program is missing.
    pub hint: Option<String>,
    /// The id of its own mode (or mode option) to set, for each of our permission modes.
    pub mode: PerMode<String>,
    /// Arguments that follow its command in a permission mode.
    pub mode_args: ModeArgs,
    /// Variables that it gets in a permission mode.
    pub mode_env: PerMode<BTreeMap<String, String>>,
    /// Where it is defined.
    pub source: Source,
}

impl AgentPreset {
    /// The name of the built-in shell agent.
    pub const SHELL: &str = "shell";

    /// The agent that nothing is known of yet but its name.
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            driver: Driver::Acp,
            command: Vec::new(),
            env: BTreeMap::new(),
            env_file: None,
            keys: Vec::new(),
            private_home: false,
            authenticate: None,
            resume: ResumeBy::Auto,
            resume_args: Vec::new(),
            model_args: Vec::new(),
            attachments: Attachments::Refuse,
            output: Output::Text,
            share: Share::Session,
            directories: Directories::One,
            warm: 0,
            client_fs: false,
            client_terminal: false,
            eof_grace: Duration::from_secs(2),
            version_args: Vec::new(),
            tested: None,
            quirks: Vec::new(),
            session_clock: Duration::from_secs(60),
            hint: None,
            mode: PerMode::default(),
            mode_args: PerMode::default(),
            mode_env: PerMode::default(),
            source: Source::BuiltIn,
        }
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

    /// The arguments that name this model; empty where the agent takes none at its start.
    pub fn model_arguments(&self, model: &str) -> impl Iterator<Item = String> {
        self.model_args.iter().map(move |arg| arg.replace("{model}", model))
    }

    /// Whether this is odd about it.
    #[must_use]
    pub fn has_quirk(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Names of variables only: values may be keys.
impl fmt::Debug for AgentPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentPreset")
            .field("name", &self.name)
            .field("driver", &self.driver)
            .field("command", &self.command)
            .field("env", &self.env.keys())
            .field("env_file", &self.env_file)
            .field("keys", &self.keys)
            .field("authenticate", &self.authenticate)
            .field("resume", &self.resume)
            .field("mode", &self.mode)
            .field("quirks", &self.quirks)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What an `[agents.NAME]` table starts from: the built-in agent of that name, or an empty one.
pub(crate) fn start_from(name: &str) -> Result<AgentPreset, String> {
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !valid {
        return Err(String::from("an agent's name is 1 to 64 letters, digits, `_` or `-`"));
    }
    Ok(built_in::find(name).cloned().unwrap_or_else(|| AgentPreset::named(name)))
}

impl Schema for AgentPreset {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("title", &mut self.title);
        v.value("driver", &mut self.driver);
        v.value("command", &mut self.command);
        v.value("env", &mut self.env);
        v.optional("env_file", &mut self.env_file);
        v.value("keys", &mut self.keys);
        v.value("private_home", &mut self.private_home);
        v.optional("authenticate", &mut self.authenticate);
        v.value("resume", &mut self.resume);
        v.value("resume_args", &mut self.resume_args);
        v.value("model_args", &mut self.model_args);
        v.value("attachments", &mut self.attachments);
        v.value("output", &mut self.output);
        v.value("share", &mut self.share);
        v.value("directories", &mut self.directories);
        v.ranged("warm", &mut self.warm, 0..=16);
        v.value("client_fs", &mut self.client_fs);
        v.value("client_terminal", &mut self.client_terminal);
        v.ranged("eof_grace", &mut self.eof_grace, Duration::ZERO..=Duration::from_secs(600));
        v.value("version_args", &mut self.version_args);
        v.optional("tested", &mut self.tested);
        v.value("quirks", &mut self.quirks);
        v.ranged("session_clock", &mut self.session_clock, SESSION_CLOCK);
        v.optional("hint", &mut self.hint);
        v.section("mode", &mut self.mode);
        v.section("mode_args", &mut self.mode_args);
        v.section("mode_env", &mut self.mode_env);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let checks = [
            ("command", self.wrong_command()),
            ("keys", self.wrong_keys()),
            ("env_file", self.wrong_env_file()),
            ("private_home", self.wrong_private_home()),
            ("authenticate", self.wrong_for_driver(self.authenticate.is_some(), Driver::Acp)),
            ("mode", self.wrong_for_driver(!self.mode.is_empty(), Driver::Acp)),
            ("client_fs", self.wrong_for_driver(self.client_fs, Driver::Acp)),
            ("client_terminal", self.wrong_for_driver(self.client_terminal, Driver::Acp)),
            ("share", self.wrong_for_many(self.share == Share::Worker)),
            ("warm", self.wrong_for_many(self.warm > 0)),
            ("attachments", self.wrong_attachments()),
            ("model_args", self.wrong_model_args()),
            ("version_args", has_nul(&self.version_args)),
            ("mode_args", self.mode_args.values().find_map(|args| has_nul(args))),
        ];
        let wrong = checks.into_iter().filter_map(|(key, wrong)| Some((key, wrong?)));
        wrong.chain(oneshot::check(self)).collect()
    }

    fn configured(&mut self) {
        self.source = Source::Configured;
    }
}

impl AgentPreset {
    fn wrong_command(&self) -> Option<String> {
        match self.command.first() {
            None => {
                let meant = match nearest(&self.name, built_in::names()) {
                    Some(near) => format!("; did you mean `agents.{near}`?"),
                    None => String::new(),
                };
                Some(format!("an agent needs a `command`: a list of its program and arguments{meant}"))
            }
            Some(program) if program.is_empty() => {
                Some(String::from("the first item of `command`, the program, is empty"))
            }
            Some(_) => has_nul(&self.command),
        }
    }

    fn wrong_keys(&self) -> Option<String> {
        self.keys.iter().find_map(|key| {
            if key.starts_with("SKEP_") {
                return Some(format!("{key:?} is skep's own; it is never passed on"));
            }
            // What follows a `=` may be a secret.
            let shown = key.split('=').next().unwrap_or_default();
            (!is_name(key))
                .then(|| format!("item {shown:?} is no variable's name alone; values belong into `env`"))
        })
    }

    /// A process that is not started for one session knows nothing of any.
    fn wrong_for_many(&self, is_set: bool) -> Option<String> {
        let why = if !is_set {
            return None;
        } else if self.driver != Driver::Acp {
            return self.wrong_for_driver(true, Driver::Acp);
        } else if self.private_home {
            "each of its sessions has a home directory of its own"
        } else if self.is_own_shell() {
            "the built-in shell agent keeps one session's state"
        } else {
            return None;
        };
        Some(format!("it cannot be set for this agent: {why}"))
    }

    /// Sessions that share a home directory would share the daemon: what ends one ends another.
    fn wrong_private_home(&self) -> Option<String> {
        (self.has_quirk(Quirk::HubDaemon) && !self.private_home).then(|| {
            String::from(
                "it must be true for an agent with the quirk `hub_daemon`, whose processes share a daemon in each home \
                 directory",
            )
        })
    }

    fn wrong_attachments(&self) -> Option<String> {
        let links = self.attachments == Attachments::Link;
        (links && self.is_own_shell())
            .then(|| String::from("the built-in shell agent's prompts are command lines"))
    }

    /// What it takes in a prompt, where that is known before it has said so itself.
    #[must_use]
    pub fn takes(&self) -> Option<Takes> {
        let words = Takes { words: true, ..Takes::default() };
        match self.driver {
            Driver::Acp if self.is_own_shell() => Some(Takes::default()),
            Driver::Acp => None,
            Driver::Oneshot => Some(words),
            Driver::ClaudeStream => Some(Takes { images: true, ..words }),
        }
    }

    /// Whether it is the built-in shell agent, not one that was configured under its name.
    #[must_use]
    pub fn is_own_shell(&self) -> bool {
        let own = built_in::find(Self::SHELL);
        self.name == Self::SHELL
            && own.is_some_and(|own| (own.driver, &own.command) == (self.driver, &self.command))
    }

    /// Whether `resume` is still what the built-in agent of its name has, which another driver speaks with.
    pub(crate) fn inherits_resume(&self) -> bool {
        built_in::find(&self.name).is_some_and(|own| own.driver != self.driver && own.resume == self.resume)
    }

    fn wrong_env_file(&self) -> Option<String> {
        let file = self.env_file.as_ref()?;
        let is_path = (file.starts_with('/') || file.starts_with("~/")) && !file.contains('\0');
        (!is_path).then(|| String::from("it must be an absolute path, or begin with `~/`"))
    }

    fn wrong_model_args(&self) -> Option<String> {
        let named = self.model_args.is_empty() || self.model_args.iter().any(|arg| arg.contains("{model}"));
        let unnamed = || Some(String::from("`{model}` stands in none of them"));
        if named { has_nul(&self.model_args) } else { unnamed() }
    }

    fn wrong_for_driver(&self, is_set: bool, driver: Driver) -> Option<String> {
        (is_set && self.driver != driver).then(|| {
            format!("only an agent with `driver = \"{driver}\"` has it; this one has \"{}\"", self.driver)
        })
    }
}

fn has_nul(arguments: &[String]) -> Option<String> {
    arguments.iter().any(|part| part.contains('\0')).then(|| String::from("an item contains a NUL"))
}
