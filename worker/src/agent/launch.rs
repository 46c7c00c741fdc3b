//! What an agent process is started with: command, directory, declared environment, the mark of its session.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_common::environment::CapturedEnvironment;
use skep_common::ids::WorkerId;
use skep_common::session::content::ATTACHMENTS;
use skep_common::session::{SessionKind, SessionSpec};
use skep_config::env_file::EnvFileError;
use skep_config::{AgentPreset, Directories, Driver, Quirk, ResumeBy, Settings, Share, env};
use skep_sys::capture::{Capture, LogSpec, LogWriter};
use skep_sys::rooted::Roots;

use super::choices::Wanted;
use super::client::uses::Offers;
use super::coarse_clock::NotBefore;
use super::environment::{self, Sources, Variables};
use super::mcp::{Own, Servers};

/// How long a history that comes late is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// What a process is started with that is not to be one session's own.
#[derive(Debug, Clone)]
pub struct Common {
    /// The environment without what names a session.
    pub env: Environment,
    /// Which directories one process serves.
    pub directories: Directories,
    /// Whether sessions share one.
    pub shared: bool,
    /// How many are kept ready.
    pub warm: u32,
    /// How long each of those waits.
    pub warm_timeout: Duration,
    /// The preset, to see whether it is still the same.
    pub preset: AgentPreset,
}

/// Everything that starting an agent takes.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The preset's name.
    pub agent: String,
    /// The agent's program and arguments.
    pub argv: Vec<OsString>,
    /// The session's directory.
    pub cwd: PathBuf,
    /// The whole environment.
    pub env: Environment,
    /// The names of the keys in it.
    pub keys: Vec<String>,
    /// The environment variable that marks the session's processes.
    pub mark: (String, String),
    /// The agent's own id for the session, if it is to be brought back.
    pub resume: Option<String>,
    /// How it is brought back.
    pub resume_by: ResumeBy,
    /// When it may be brought back, where that is not at once.
    pub not_before: Option<NotBefore>,
    /// How long the start may take.
    pub start_timeout: Duration,
    /// How long the agent may take to end after its stdin was closed.
    pub eof_grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub stop_grace: Duration,
    /// The method by which the agent is signed in.
    pub authenticate: Option<String>,
    /// The agent's own mode that fits the session's.
    pub mode: Option<String>,
    /// The model and options that are set when it has opened the session.
    pub(crate) choices: Wanted,
    /// What skep does for it as its client.
    pub(crate) offers: Offers,
    /// The session's directory as it is on the disk, for what is offered.
    pub(crate) roots: Option<Roots>,
    /// The MCP servers that it is given.
    pub(crate) mcp: Servers,
    /// How long the agent must tell no history after it loaded a session; zero where it is known to tell it before.
    pub quiet: Duration,
    /// The agent leaves the command of a cancelled turn running.
    pub leaves_tools: bool,
    /// What a process is started with that sessions share or that waits for one, where the preset wants that.
    pub common: Option<Common>,
    /// Where the session's attachments are.
    pub attachments: PathBuf,
    /// Where its stderr goes.
    pub stderr: Capture,
    /// Where raw frames go, with `--debug`.
    pub frames: Option<Capture>,
}

/// An agent's environment. Its values may be keys: `Debug` shows the names.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment(pub Vec<(OsString, OsString)>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Who starts an agent, for [`Launch::new`].
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The worker.
    pub worker: &'a WorkerId,
    /// The session's directory under the state directory.
    pub session_dir: &'a Path,
    /// skep's own program.
    pub exe: &'a Path,
    /// The writer of captured output.
    pub logs: &'a LogWriter,
    /// Whether raw frames are kept.
    pub debug: bool,
    /// What a client gave of its environment.
    pub captured: Option<&'a CapturedEnvironment>,
}

/// The session's agent cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No preset or configured agent of that name.
    #[error("no agent is named `{0}`; `skep agents` lists them")]
    Unknown(String),
    /// Its program is not there.
    #[error("the program `{program}` of agent `{agent}` was not found{hint}")]
    Missing {
        /// The agent.
        agent: String,
        /// Its program.
        program: String,
        /// What to do, with a separator, or nothing.
        hint: String,
    },
    /// The file with its variables cannot be used.
    #[error("the env_file of agent `{agent}` cannot be used: {source}")]
    EnvFile {
        /// The agent.
        agent: String,
        /// Why.
        source: EnvFileError,
    },
    /// The session's own home directory cannot be made.
    #[error("the home directory of agent `{agent}` in this session cannot be made: {why}")]
    Home {
        /// The agent.
        agent: String,
        /// What the system said.
        why: String,
    },
}

/// Whether the agent is the built-in shell agent itself, not one that was configured under its name.
#[must_use]
pub fn is_built_in_shell(settings: &Settings, agent: &str) -> bool {
    settings.agents.get(agent).is_some_and(AgentPreset::is_own_shell)
}

impl Launch {
    /// What the session's agent is started with.
    ///
    /// # Errors
    ///
    /// When the agent is not known or its program is not there.
    pub fn new(spec: &SessionSpec, origin: Origin<'_>, resume: Option<String>) -> Result<Self, LaunchError> {
        let settings = origin.settings;
        let preset =
            settings.agents.get(&spec.agent).ok_or_else(|| LaunchError::Unknown(spec.agent.clone()))?;
        let sources = Sources::new(origin.captured, settings);
        let offers = Offers::of(preset);
        let mut argv = command(preset, &sources.search_path())?;
        if preset.driver != Driver::Oneshot {
            argv.extend(preset.mode_args.of(spec.permission_mode).into_iter().flatten().map(OsString::from));
            let model = spec.options.model.as_deref();
            argv.extend(
                model.into_iter().flat_map(|model| preset.model_arguments(model)).map(OsString::from),
            );
        }
        if preset.private_home {
            private_home(&home(origin.session_dir))
                .map_err(|error| LaunchError::Home { agent: spec.agent.clone(), why: error.to_string() })?;
        }
        let shell = is_built_in_shell(settings, &spec.agent);
        let env = environment(spec, origin, preset, shell)
            .map_err(|source| LaunchError::EnvFile { agent: spec.agent.clone(), source })?;
        let log = |name: &str| LogSpec {
            path: origin.session_dir.join(name),
            max_bytes: settings.logs.max_bytes.as_u64(),
            files: settings.logs.files,
        };
        Ok(Self {
            agent: spec.agent.clone(),
            argv,
            cwd: PathBuf::from(&spec.cwd),
            offers,
            roots: offers.any().then(|| Roots::new(&[PathBuf::from(&spec.cwd)]).ok()).flatten(),
            common: common(preset, origin, &env),
            mcp: Servers::of(&settings.mcp, &spec.options, &env, own(origin)),
            keys: environment::keys(&env, preset, sources),
            env: Environment(env),
            mark: (env::SKEP_SESSION.to_owned(), spec.id.to_string()),
            resume,
            resume_by: preset.resume,
            not_before: None,
            start_timeout: settings.session.agent_start_timeout,
            eof_grace: preset.eof_grace,
            stop_grace: settings.session.stop_grace,
            authenticate: preset.authenticate.clone(),
            mode: preset.mode.of(spec.permission_mode).cloned(),
            choices: Wanted {
                model: spec.options.model.clone(),
                named_at_start: !preset.model_args.is_empty(),
                options: spec.options.set.clone(),
            },
            quiet: quiet(preset),
            leaves_tools: preset.has_quirk(Quirk::CancelLeavesTool),
            attachments: origin.session_dir.join(ATTACHMENTS),
            stderr: Capture::new(origin.logs, log("process.log")),
            frames: origin.debug.then(|| Capture::new(origin.logs, log("debug.log"))),
        })
    }
}

/// Where skep itself is. Sessions lie two levels below the state directory.
fn own(origin: Origin<'_>) -> Own<'_> {
    let state_dir = origin.session_dir.parent().and_then(Path::parent).unwrap_or(origin.session_dir);
    Own { exe: origin.exe, state_dir }
}

/// The agent's program, found, and its arguments.
pub(super) fn command(preset: &AgentPreset, search: &OsStr) -> Result<Vec<OsString>, LaunchError> {
    let program = preset.find(search).ok_or_else(|| LaunchError::Missing {
        agent: preset.name.clone(),
        program: preset.command.first().cloned().unwrap_or_default(),
        hint: preset.hint.as_ref().map(|hint| format!("; try: {hint}")).unwrap_or_default(),
    })?;
    let mut argv = vec![program.into_os_string()];
    argv.extend(preset.command.iter().skip(1).map(OsString::from));
    Ok(argv)
}

/// The home directory of a session that has one of its own.
fn home(session_dir: &Path) -> PathBuf {
    session_dir.join("agent").join("home")
}

fn private_home(home: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home)
}

/// The names of variables that belong to one session.
const OF_A_SESSION: [&str; 4] =
    [env::SKEP_SESSION, env::SKEP_SESSION_NAME, env::SKEP_SESSION_KIND, env::SKEP_LOG_PATH];

/// What a process is started with that is no session's own. With `--debug` each session has a process of its own, since
/// raw frames do not say whose they are.
fn common(preset: &AgentPreset, origin: Origin<'_>, env: &[(OsString, OsString)]) -> Option<Common> {
    let shared = preset.share == Share::Worker;
    if origin.debug || !(shared || preset.warm > 0) {
        return None;
    }
    let own = |name: &OsString| OF_A_SESSION.iter().any(|own| name == own);
    Some(Common {
        env: Environment(env.iter().filter(|(name, _)| !own(name)).cloned().collect()),
        directories: preset.directories,
        shared,
        warm: preset.warm,
        warm_timeout: origin.settings.session.warm_timeout,
        preset: preset.clone(),
    })
}

/// An agent that nobody has looked at may replay late.
fn quiet(preset: &AgentPreset) -> Duration {
    let known = skep_config::agents::built_in().contains_key(&preset.name);
    if known && !preset.has_quirk(Quirk::LateReplay) { Duration::ZERO } else { QUIET }
}

fn environment(
    spec: &SessionSpec,
    origin: Origin<'_>,
    preset: &AgentPreset,
    shell: bool,
) -> Result<Variables, EnvFileError> {
    let sources = Sources::new(origin.captured, origin.settings);
    let mut env = environment::declared(preset, spec.permission_mode, sources)?;
    let kind = match spec.kind {
        SessionKind::Interactive => "interactive",
        SessionKind::Bg => "bg",
        SessionKind::Daemon => "daemon",
    };
    let mut set = |name: &str, value: OsString| env.push((name.into(), value));
    if preset.private_home {
        set(env::HOME, home(origin.session_dir).into());
    }
    set(env::SKEP_SESSION, spec.id.to_string().into());
    if let Some(name) = &spec.name {
        set(env::SKEP_SESSION_NAME, name.as_str().into());
    }
    set(env::SKEP_SESSION_KIND, kind.into());
    set(env::SKEP_LOG_PATH, origin.session_dir.join("process.log").into());
    set(env::SKEP_WORKER, origin.worker.as_str().into());
    if shell {
        set(env::SKEP_SHELL_STATE, origin.session_dir.join("agent").into());
    }
    Ok(env)
}

/// Which of the keys that the session's agent once had it would lack if it were started now. What else is wrong with its
/// start is told there.
#[must_use]
pub fn missing_keys(
    spec: &SessionSpec,
    settings: &Settings,
    captured: Option<&CapturedEnvironment>,
    had: &[String],
) -> Vec<String> {
    let Some(preset) = settings.agents.get(&spec.agent).filter(|_| !had.is_empty()) else {
        return Vec::new();
    };
    match environment::declared(preset, spec.permission_mode, Sources::new(captured, settings)) {
        Ok(variables) => environment::missing(&variables, had),
        Err(_) => Vec::new(),
    }
}
