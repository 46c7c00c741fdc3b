//! What one worker is to be: the settings it is told in its hello, and the rules it lives under.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use skep_common::environment::{DECLARED, is_listed};
use skep_common::ids::WorkerId;
use skep_common::protocol::WorkerSettings;
use skep_common::session::PermissionMode;
use skep_config::Environment;

use crate::launch::SpawnMode;
use crate::lifecycle::policy::Policy;

/// What one worker is to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) id: WorkerId,
    pub(crate) kind: String,
    pub(crate) origin: Origin,
    pub(crate) dir: PathBuf,
    pub(crate) spawn_mode: SpawnMode,
    pub(crate) capacity: u32,
    pub(crate) permission_mode: PermissionMode,
    pub(crate) sandbox: bool,
    /// The merged configuration as TOML, one text for all workers.
    pub(crate) config: Arc<str>,
    /// The variables that the agents' presets have passed on.
    pub(crate) keys: Arc<BTreeSet<String>>,
    pub(crate) policy: Policy,
}

/// Where a worker comes from; it decides what is left when it ends for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration's `count`: it stays in the list.
    Configured,
    /// Somebody added it: it goes.
    Added,
}

/// What all workers of a pool have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) exe: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) epoch: u64,
    pub(crate) debug: bool,
    /// The daemon's environment, of which a worker gets the declared part.
    pub(crate) environment: Environment,
}

impl Spec {
    pub(crate) fn settings(&self, common: &Common) -> WorkerSettings {
        WorkerSettings {
            id: self.id.clone(),
            kind: self.kind.clone(),
            dir: self.dir.to_string_lossy().into_owned(),
            spawn_mode: self.spawn_mode.as_str().to_owned(),
            capacity: self.capacity,
            permission_mode: self.permission_mode,
            sandbox: self.sandbox,
            state_dir: common.state_dir.to_string_lossy().into_owned(),
            config: self.config.to_string(),
        }
    }
}

/// The part of the daemon's environment that workers get, and agents for which no client gave any: what is declared, and
/// what the configuration and their agents' presets name (promise 21).
pub(crate) fn declared(environment: &Environment, keys: &BTreeSet<String>) -> Vec<(OsString, OsString)> {
    let is_declared = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        name == skep_config::env::SKEP_HOME
            || is_listed(name, DECLARED.into_iter().chain(keys.iter().map(String::as_str)))
    };
    environment
        .iter()
        .filter(|(name, _)| is_declared(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p21_a_worker_gets_declared_variables_and_nothing_else() {
        let environment = Environment::of([
            ("PATH", "/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("https_proxy", "http://proxy"),
            ("SKEP_SESSION", "outer"),
            ("SECRET_TOKEN", "x"),
            ("MODEL_KEY", "k"),
            ("LD_PRELOAD", "evil.so"),
        ]);
        let names = |keys: &[&str]| -> Vec<OsString> {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            declared(&environment, &keys).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[]), ["LC_ALL", "PATH", "https_proxy"]);
        assert_eq!(names(&["MODEL_KEY", "NOT_SET"]), ["LC_ALL", "MODEL_KEY", "PATH", "https_proxy"]);
    }
}
