//! The options that a daemon is started with (S3), on the command line, as settings, and as words for its next start.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use skep_common::ids::SessionName;
use skep_common::keys::StartRequest;
use skep_config::Overrides;
use skep_supervisor::launch::{self, LaunchOptions};

use crate::arguments::{Mode, SpawnMode, refuse_unbuilt};
use crate::context::Context;
use crate::error::CliError;
use crate::start::directory;

/// The options of `daemon start` and `daemon run`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DaemonOptions {
    /// The workers' directory; the current one where none is given.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where sessions run.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) spawn_mode: Option<SpawnMode>,
    /// Sessions per worker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) capacity: Option<u32>,
    /// What happens to permission requests of sessions that name no mode.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) permission_mode: Option<Mode>,
    /// Run agents in a sandbox (not supported yet).
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Open the session of this name at once.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<SessionName>,
    /// Listen on this TCP port as well; 0 picks one. Without `--host`: on 127.0.0.1.
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Listen there over TCP; may be given more than once. Any address that is not loopback needs a password.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
}

impl DaemonOptions {
    /// Refuses what is not built yet.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        refuse_unbuilt(self.sandbox, self.spawn_mode)
    }

    /// The listeners that they ask for.
    pub(crate) fn listeners(&self) -> Vec<StartRequest> {
        let request = |host: Option<&String>| StartRequest { port: self.port, host: host.cloned() };
        match (self.port, self.hosts.is_empty()) {
            (None, true) => Vec::new(),
            (Some(_), true) => vec![request(None)],
            (_, false) => self.hosts.iter().map(|host| request(Some(host))).collect(),
        }
    }

    /// The same options as words of a command line, the directory resolved.
    pub(crate) fn words(&self) -> Result<Vec<OsString>, CliError> {
        let mut words = Vec::new();
        let mut push = |name: &str, value: String| words.push(OsString::from(format!("--{name}={value}")));
        if let Some(dir) = &self.dir {
            push("dir", directory(Some(dir))?);
        }
        if let Some(capacity) = self.capacity {
            push("capacity", capacity.to_string());
        }
        if let Some(mode) = self.permission_mode {
            push("permission-mode", skep_common::words::mode(mode.into()).to_owned());
        }
        if let Some(name) = &self.name {
            push("name", name.to_string());
        }
        if let Some(port) = self.port {
            push("port", port.to_string());
        }
        for host in &self.hosts {
            push("host", host.clone());
        }
        Ok(words)
    }

    /// What they say over the configuration.
    pub(crate) fn overrides(&self, ctx: &Context) -> Result<Overrides, CliError> {
        Ok(Overrides {
            socket: ctx.explicit_socket.then(|| ctx.paths.socket().to_owned()),
            dir: self.dir.as_deref().map(|dir| directory(Some(dir))).transpose()?.map(PathBuf::from),
            capacity: self.capacity,
            permission_mode: self.permission_mode.map(Into::into),
            debug: ctx.debug,
            port: self.port,
            hosts: self.hosts.clone(),
        })
    }

    /// What they say of workers.
    pub(crate) fn launch(&self, ctx: &Context) -> Result<LaunchOptions, CliError> {
        Ok(LaunchOptions {
            dir: self.dir.as_deref().map(|dir| directory(Some(dir))).transpose()?.map(PathBuf::from),
            spawn_mode: match self.spawn_mode {
                None | Some(SpawnMode::SameDir) => launch::SpawnMode::SameDir,
                Some(SpawnMode::Worktree) => launch::SpawnMode::Worktree,
            },
            capacity: self.capacity,
            permission_mode: self.permission_mode.map(Into::into),
            sandbox: self.sandbox,
            name: self.name.clone(),
            debug: ctx.debug,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_the_words_for_the_next_start_say_the_same() {
        let options = DaemonOptions {
            dir: Some(PathBuf::from("/")),
            capacity: Some(3),
            permission_mode: Some(Mode::AcceptEdits),
            name: Some("work".parse().unwrap()),
            port: Some(0),
            hosts: vec![String::from("::1"), String::from("localhost")],
            ..DaemonOptions::default()
        };
        let words: Vec<_> = options.words().unwrap().into_iter().map(|w| w.into_string().unwrap()).collect();
        let said = ["--dir=/", "--capacity=3", "--permission-mode=accept-edits", "--name=work", "--port=0"];
        assert_eq!(words[..5], said);
        assert_eq!(words[5..], ["--host=::1", "--host=localhost"]);
    }
}
