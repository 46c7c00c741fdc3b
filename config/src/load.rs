//! The layers: defaults < file < environment < flags. All or nothing: settings come out whole and checked, or a
//! [`ConfigError`] that names every problem with file, line and column.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use skep_common::session::PermissionMode;
use toml::de::DeValue;

use crate::env::{self, Environment};
use crate::paths::{Paths, PathsError};
use crate::read;
use crate::schema::{Refusal, Setting};
use crate::settings::Settings;

/// The default file, which `skep config init` writes: every key, documented, at its default.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The largest configuration file.
const MAX_FILE: u64 = 1 << 20;

/// What flags say. They win over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--socket`
    pub socket: Option<PathBuf>,
    /// `--dir`
    pub dir: Option<PathBuf>,
    /// `--capacity`, for every kind of worker.
    pub capacity: Option<u32>,
    /// `--permission-mode`
    pub permission_mode: Option<PermissionMode>,
    /// `--debug`; false says nothing.
    pub debug: bool,
    /// `--port`
    pub port: Option<u16>,
    /// `--host`; none says nothing.
    pub hosts: Vec<String>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The environment names no usable place.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// The file cannot be read.
    #[error("read the configuration file `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path is no regular file.
    #[error("read the configuration file `{}`: it is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is over 1 MiB.
    #[error("read the configuration file `{}`: it is larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What it says is wrong; every problem is listed.
    #[error("{}", render(origin, problems))]
    Invalid {
        /// The file, or where else the text came from.
        origin: String,
        /// The problems, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, or the variable or flag; empty if the file is no TOML.
    pub key: String,
    /// Line and column from 1, if it stands in a file.
    pub at: Option<(usize, usize)>,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

fn render(origin: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match problem.at {
            Some(_) => format!("{origin}:{problem}"),
            None => problem.to_string(),
        })
        .collect();
    lines.join("\n")
}

/// Paths and settings for this environment and these flags; the paths' socket is the one that the settings name.
pub fn open(environment: &Environment, overrides: &Overrides) -> Result<(Paths, Settings), ConfigError> {
    let paths = Paths::resolve(environment, overrides.socket.clone())?;
    let settings = load(&paths, environment, overrides)?;
    Ok((paths.for_settings(&settings), settings))
}

/// The settings: defaults < `paths.config_file()` (which may be missing) < environment < flags.
pub fn load(
    paths: &Paths,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let file = paths.config_file();
    let origin = file.display().to_string();
    let mut settings = match read_file(file)? {
        Some(text) => parse(&text, &origin)?,
        None => Settings::default(),
    };
    let mut sources = Vec::new();
    let mut problems = apply_environment(&mut settings, environment, &mut sources);
    apply_flags(&mut settings, overrides, &mut sources);
    if problems.is_empty() && !sources.is_empty() {
        problems = check_again(&settings, &sources);
    }
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError::Invalid { origin, problems }) }
}

/// The settings that this text gives over the defaults. `origin` names the text in errors.
pub fn parse(text: &str, origin: &str) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    let problems = read::read(text, &mut settings);
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(ConfigError::Invalid { origin: origin.to_owned(), problems })
    }
}

fn read_file(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let before = String::from_utf8_lossy(&bytes[..valid]);
        ConfigError::Invalid {
            origin: path.display().to_string(),
            problems: vec![Problem {
                key: String::new(),
                at: Some(read::position(&before, before.len())),
                message: String::from("the file is not valid UTF-8 here"),
            }],
        }
    })?;
    Ok(Some(text))
}

/// Which key was set by what: a variable or a flag.
type Sources = Vec<(&'static str, &'static str)>;

fn apply_environment(
    settings: &mut Settings,
    environment: &Environment,
    sources: &mut Sources,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut variables = Variables { environment, sources, problems: &mut problems };
    variables.set_some(env::SKEP_SOCKET, "daemon.socket", &mut settings.daemon.socket);
    variables.set(env::SKEP_AGENT, "session.default_agent", &mut settings.session.default_agent);
    variables.set(
        env::SKEP_PERMISSION_MODE,
        "session.permission_mode",
        &mut settings.session.permission_mode,
    );
    variables.set(env::SKEP_LOG, "logs.level", &mut settings.logs.level);
    variables.set(env::SKEP_AUTH, "api.auth", &mut settings.api.auth);
    variables.set_some(env::SKEP_PASSWORD_FILE, "api.password_file", &mut settings.api.password_file);
    problems
}

struct Variables<'a> {
    environment: &'a Environment,
    sources: &'a mut Sources,
    problems: &'a mut Vec<Problem>,
}

impl Variables<'_> {
    fn set<T: Setting>(&mut self, name: &'static str, key: &'static str, slot: &mut T) {
        if let Some(value) = self.get(name, key) {
            *slot = value;
        }
    }

    fn set_some<T: Setting>(&mut self, name: &'static str, key: &'static str, slot: &mut Option<T>) {
        if let Some(value) = self.get(name, key) {
            *slot = Some(value);
        }
    }

    fn get<T: Setting>(&mut self, name: &'static str, key: &'static str) -> Option<T> {
        let value = self.environment.get(name)?;
        let read = match value.to_str() {
            Some(text) => T::read(&DeValue::String(Cow::Borrowed(text))),
            None => Err(Refusal::Value(String::from("it is not valid UTF-8"))),
        };
        match read {
            Ok(value) => {
                self.sources.push((key, name));
                Some(value)
            }
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Type => String::new(),
                    Refusal::Value(why) => format!("; {why}"),
                };
                let shown: String = value.to_string_lossy().chars().take(60).collect();
                let message =
                    format!("the variable {name} is the text {shown:?}, expected {}{why}", T::expected());
                self.problems.push(Problem { key: name.to_owned(), at: None, message });
                None
            }
        }
    }
}

fn apply_flags(settings: &mut Settings, overrides: &Overrides, sources: &mut Sources) {
    let Overrides { socket, dir, capacity, permission_mode, debug, .. } = overrides;
    if let Some(socket) = socket {
        settings.daemon.socket = Some(socket.clone());
        sources.push(("daemon.socket", "--socket"));
    }
    if let Some(dir) = dir {
        settings.daemon.dir = Some(dir.clone());
        sources.push(("daemon.dir", "--dir"));
    }
    if let Some(capacity) = *capacity {
        settings.pool.remote_control.capacity = capacity;
        settings.pool.background.capacity = capacity;
        sources.push(("pool.remote-control.capacity", "--capacity"));
        sources.push(("pool.background.capacity", "--capacity"));
    }
    if let Some(mode) = *permission_mode {
        settings.session.permission_mode = mode;
        sources.push(("session.permission_mode", "--permission-mode"));
    }
    if *debug {
        settings.logs.debug = true;
    }
    apply_api_flags(settings, overrides, sources);
}

fn apply_api_flags(settings: &mut Settings, overrides: &Overrides, sources: &mut Sources) {
    let api = &mut settings.api;
    if let Some(port) = overrides.port {
        api.port = Some(port);
        sources.push(("api.port", "--port"));
    }
    if !overrides.hosts.is_empty() {
        api.hosts.clone_from(&overrides.hosts);
        sources.push(("api.hosts", "--host"));
    }
}

/// Checks merged settings by the file's own rules, and names the variable or flag that broke one.
fn check_again(settings: &Settings, sources: &Sources) -> Vec<Problem> {
    let mut problems = read::read(&settings.to_toml(), &mut Settings::default());
    for problem in &mut problems {
        problem.at = None;
        let source = sources.iter().rev().find(|(key, _)| *key == problem.key);
        if let Some((_, source)) = source {
            problem.message = format!("{source}: {}", problem.message);
            problem.key = (*source).to_owned();
        }
    }
    problems.dedup_by(|a, b| a.key == b.key);
    problems
}
