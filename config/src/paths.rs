//! Where skep keeps its files. Everything is computed from the captured environment; nothing is created here.
//!
//! `SKEP_HOME` puts all of it into one directory, so that tests and several instances live side by side (G18). Else
//! state is under `XDG_STATE_HOME/skep` and the configuration is `XDG_CONFIG_HOME/skep/config.toml`. No path comes
//! from a variable that a login session sets and takes away, such as `XDG_RUNTIME_DIR`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use skep_common::ids::{SessionId, WorkerId};

use crate::env::{self, Environment};
use crate::settings::Settings;

/// The paths of one skep instance, all absolute and UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    state_dir: PathBuf,
    config_file: PathBuf,
    socket: PathBuf,
}

/// The environment names no usable place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// Neither `HOME` nor the password database knows a home directory.
    #[error("find a home directory: set HOME, or set SKEP_HOME to an absolute directory")]
    NoHome,
    /// A path that must be absolute is not.
    #[error("use {source_name} = `{}`: the path must be absolute", path.display())]
    Relative {
        /// The variable or option.
        source_name: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// A path that is not UTF-8; skep's files and messages are JSON and could not name it.
    #[error("use {source_name} = `{}`: the path must be valid UTF-8", path.display())]
    NotUtf8 {
        /// The variable or option.
        source_name: &'static str,
        /// Its value.
        path: PathBuf,
    },
}

impl Paths {
    /// The paths for this environment. The socket is `socket_override` (a flag), else `SKEP_SOCKET`, else
    /// `skepd.sock` in the state directory; [`Paths::for_settings`] adds what the configuration file says.
    pub fn resolve(environment: &Environment, socket_override: Option<PathBuf>) -> Result<Self, PathsError> {
        let (state_dir, config_file) = match environment.get(env::SKEP_HOME) {
            Some(home) => {
                let home = checked(env::SKEP_HOME, home)?;
                let config = home.join("config.toml");
                (home, config)
            }
            None => {
                let state = base(environment, env::XDG_STATE_HOME, ".local/state")?;
                let config = base(environment, env::XDG_CONFIG_HOME, ".config")?;
                (state.join("skep"), config.join("skep/config.toml"))
            }
        };
        let socket = match socket_override {
            Some(path) => checked("--socket", path.as_os_str())?,
            None => match environment.get(env::SKEP_SOCKET) {
                Some(path) => checked(env::SKEP_SOCKET, path)?,
                None => state_dir.join("skepd.sock"),
            },
        };
        Ok(Self { state_dir, config_file, socket })
    }

    /// The same paths with the socket that the merged settings name, if they name one.
    #[must_use]
    pub fn for_settings(&self, settings: &Settings) -> Self {
        match &settings.daemon.socket {
            Some(socket) => Self { socket: socket.clone(), ..self.clone() },
            None => self.clone(),
        }
    }

    /// The directory that holds everything except the configuration (and that too under `SKEP_HOME`).
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The configuration file; it need not exist.
    #[must_use]
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// The daemon's Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon's lock file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state_dir.join("daemon.lock")
    }

    /// The daemon's state file (S7).
    #[must_use]
    pub fn daemon_file(&self) -> PathBuf {
        self.state_dir.join("daemon.json")
    }

    /// The durable epoch counter.
    #[must_use]
    pub fn epoch(&self) -> PathBuf {
        self.state_dir.join("epoch")
    }

    /// The bearer token (0600).
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.state_dir.join("token")
    }

    /// Scoped tokens and signed-in browsers, hashed (0600).
    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.state_dir.join("tokens.json")
    }

    /// The password's hash (0600), where no other file is configured.
    #[must_use]
    pub fn password(&self) -> PathBuf {
        self.state_dir.join("password")
    }

    /// The certificate that skep made for itself, with its key (0600).
    #[must_use]
    pub fn tls_key(&self) -> PathBuf {
        self.state_dir.join("tls.pem")
    }

    /// That certificate alone, for clients to trust.
    #[must_use]
    pub fn tls_certificate(&self) -> PathBuf {
        self.state_dir.join("certificate.pem")
    }

    /// The log of who did what (0600).
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.jsonl")
    }

    /// The page that leads a browser to its login link (0600).
    #[must_use]
    pub fn login_page(&self) -> PathBuf {
        self.state_dir.join("open.html")
    }

    /// What hooks have to tell, and how far they have (0600).
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.state_dir.join("outbox.jsonl")
    }

    /// The directory of all sessions.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.state_dir.join("sessions")
    }

    /// One session's directory.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> PathBuf {
        self.sessions().join(id.to_string())
    }

    /// The directory of the workers' records.
    #[must_use]
    pub fn workers(&self) -> PathBuf {
        self.state_dir.join("workers")
    }

    /// One worker's record.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> PathBuf {
        self.workers().join(format!("{id}.json"))
    }

    /// The directory of registry files (C6).
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.state_dir.join("registry")
    }

    /// The directory of logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// The telemetry log `logs/{date}/{workspace}.log` (C5). Whatever could leave the directory is replaced.
    #[must_use]
    pub fn telemetry_log(&self, date: &str, workspace: &str) -> PathBuf {
        self.logs().join(file_name(date)).join(format!("{}.log", file_name(workspace)))
    }

    /// A worker's process log `logs/{name}.log` (C5).
    #[must_use]
    pub fn worker_log(&self, id: &WorkerId) -> PathBuf {
        self.logs().join(format!("{id}.log"))
    }
}

fn base(environment: &Environment, variable: &'static str, below_home: &str) -> Result<PathBuf, PathsError> {
    match environment.get(variable) {
        Some(path) => checked(variable, path),
        None => {
            let home = environment.home().ok_or(PathsError::NoHome)?;
            Ok(checked(env::HOME, home.as_os_str())?.join(below_home))
        }
    }
}

fn checked(source_name: &'static str, path: &OsStr) -> Result<PathBuf, PathsError> {
    let path = PathBuf::from(path);
    if path.to_str().is_none() {
        return Err(PathsError::NotUtf8 { source_name, path });
    }
    if !path.is_absolute() {
        return Err(PathsError::Relative { source_name, path });
    }
    Ok(path)
}

/// `text` as one safe file name: anything but letters, digits, `.`, `_` and `-` becomes `_`, and so does a leading dot.
fn file_name(text: &str) -> String {
    let name: String = text
        .chars()
        .take(100)
        .enumerate()
        .map(|(at, c)| match c {
            '.' if at > 0 => '.',
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') => c,
            _ => '_',
        })
        .collect();
    if name.is_empty() { String::from("_") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn resolve(pairs: &[(&str, &str)]) -> Result<Paths, PathsError> {
        Paths::resolve(&Environment::of(pairs.iter().copied()), None)
    }

    #[test]
    fn g18_skep_home_holds_everything_spaces_included() {
        let paths = resolve(&[("SKEP_HOME", "/tmp/a b"), ("HOME", "/home/x")]).unwrap();
        assert_eq!(paths.state_dir(), Path::new("/tmp/a b"));
        assert_eq!(paths.config_file(), Path::new("/tmp/a b/config.toml"));
        assert_eq!(paths.socket(), Path::new("/tmp/a b/skepd.sock"));
        let worker: WorkerId = "remote-control-1".parse().unwrap();
        assert_eq!(paths.worker(&worker), Path::new("/tmp/a b/workers/remote-control-1.json"));
        assert_eq!(paths.worker_log(&worker), Path::new("/tmp/a b/logs/remote-control-1.log"));
    }

    #[test]
    fn state_and_configuration_follow_xdg_then_home_then_the_password_database() {
        let paths = resolve(&[("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c")]).unwrap();
        assert_eq!(paths.state_dir(), Path::new("/s/skep"));
        assert_eq!(paths.config_file(), Path::new("/c/skep/config.toml"));
        let paths = resolve(&[("HOME", "/home/x"), ("XDG_RUNTIME_DIR", "/run/user/0")]).unwrap();
        assert_eq!(paths.state_dir(), Path::new("/home/x/.local/state/skep"));
        assert_eq!(paths.config_file(), Path::new("/home/x/.config/skep/config.toml"));
        let cron = Environment::default().with_passwd_home("/home/p");
        assert_eq!(Paths::resolve(&cron, None).unwrap().state_dir(), Path::new("/home/p/.local/state/skep"));
        assert_eq!(resolve(&[]), Err(PathsError::NoHome));
    }

    #[test]
    fn g18_the_socket_comes_from_flag_then_environment_then_file() {
        let environment = Environment::of([("SKEP_HOME", "/h"), ("SKEP_SOCKET", "/env.sock")]);
        let flag = Paths::resolve(&environment, Some("/flag.sock".into())).unwrap();
        assert_eq!(flag.socket(), Path::new("/flag.sock"));
        let paths = Paths::resolve(&environment, None).unwrap();
        assert_eq!(paths.socket(), Path::new("/env.sock"));
        let mut settings = Settings::default();
        assert_eq!(paths.for_settings(&settings), paths);
        settings.daemon.socket = Some("/file.sock".into());
        assert_eq!(paths.for_settings(&settings).socket(), Path::new("/file.sock"));
    }

    #[test]
    fn relative_and_unreadable_paths_are_refused_by_name() {
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[("SKEP_HOME", "x")], "SKEP_HOME"),
            (&[("XDG_STATE_HOME", "./x"), ("HOME", "/h")], "XDG_STATE_HOME"),
            (&[("HOME", "h")], "HOME"),
            (&[("HOME", "/h"), ("SKEP_SOCKET", "s")], "SKEP_SOCKET"),
        ];
        for (pairs, name) in cases {
            let error = resolve(pairs).unwrap_err();
            assert!(
                matches!(error, PathsError::Relative { source_name, .. } if source_name == name),
                "{error}"
            );
        }
        let raw = std::ffi::OsString::from_vec(b"/\xff".to_vec());
        let error = Paths::resolve(&Environment::of([("SKEP_HOME", raw)]), None).unwrap_err();
        assert!(matches!(error, PathsError::NotUtf8 { .. }), "{error}");
    }

    #[test]
    fn g7_a_workspace_name_never_leaves_the_log_directory() {
        let paths = resolve(&[("SKEP_HOME", "/h")]).unwrap();
        assert_eq!(paths.telemetry_log("2026-11-20", "my repo"), Path::new("/h/logs/2026-11-20/my_repo.log"));
        assert_eq!(paths.telemetry_log("..", "../../etc/x"), Path::new("/h/logs/_./_._.._etc_x.log"));
        assert_eq!(paths.telemetry_log("", ""), Path::new("/h/logs/_/_.log"));
    }
}
