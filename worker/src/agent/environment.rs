//! The environment of an agent process, as if its user had started it by hand in that directory.
//!
//! A later layer wins: what the client gave (or, where no client gave anything, the same variables of the worker's own
//! environment), the agent's `env_file`, its `env`, what its preset sets for the permission mode, skep's own variables.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use skep_common::environment::{CapturedEnvironment, DECLARED, Secret, is_listed};
use skep_common::session::PermissionMode;
use skep_config::env::{HOME, PATH};
use skep_config::env_file::{self, EnvFileError};
use skep_config::{AgentPreset, Settings};

/// Variables, later ones winning. What `Debug` shows of it is names.
pub(super) type Variables = Vec<(OsString, OsString)>;

/// Where an agent's variables come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    /// What a client gave, if one did.
    pub(super) captured: Option<&'a CapturedEnvironment>,
    /// What may be passed on beside the declared variables and the agent's keys.
    pub(super) listed: &'a [String],
}

impl<'a> Sources<'a> {
    pub(super) fn new(captured: Option<&'a CapturedEnvironment>, settings: &'a Settings) -> Self {
        Self { captured, listed: &settings.session.capture_env }
    }

    /// The user's environment, as far as the agent gets it.
    fn base(self, preset: &AgentPreset) -> Variables {
        match self.captured {
            Some(given) => given
                .iter()
                .filter(|(name, _)| self.passes(preset, name))
                .map(|(name, value)| (name.into(), value.reveal().into()))
                .collect(),
            None => std::env::vars_os()
                .filter(|(name, _)| name.to_str().is_some_and(|name| self.passes(preset, name)))
                .collect(),
        }
    }

    fn passes(self, preset: &AgentPreset, name: &str) -> bool {
        is_listed(name, DECLARED) || self.is_key(preset, name)
    }

    /// Whether the agent needs this variable of its user, beyond what every agent gets.
    fn is_key(self, preset: &AgentPreset, name: &str) -> bool {
        is_listed(name, preset.keys.iter().chain(self.listed).map(String::as_str))
    }

    /// Where programs are looked for.
    pub(super) fn search_path(self) -> OsString {
        let given = self.captured.and_then(|given| given.get(PATH)).map(OsString::from);
        given.or_else(|| std::env::var_os(PATH)).unwrap_or_default()
    }
}

/// Everything that an agent gets in any session but skep's own variables.
///
/// # Errors
///
/// When its `env_file` cannot be used.
pub(super) fn declared(
    preset: &AgentPreset,
    mode: PermissionMode,
    sources: Sources<'_>,
) -> Result<Variables, EnvFileError> {
    let mut variables = sources.base(preset);
    let home = last(&variables, HOME).map(OsStr::to_owned);
    let file = from_file(preset, home.as_deref())?;
    variables.extend(file.into_iter().map(|(name, value)| (name.into(), value.reveal().into())));
    let set = preset.env.iter().chain(preset.mode_env.of(mode).into_iter().flatten());
    variables.extend(set.map(|(name, value)| (name.into(), value.into())));
    Ok(variables)
}

fn from_file(preset: &AgentPreset, home: Option<&OsStr>) -> Result<Vec<(String, Secret)>, EnvFileError> {
    match &preset.env_file {
        Some(file) => env_file::read(&env_file::place(Path::new(file), home.map(Path::new))),
        None => Ok(Vec::new()),
    }
}

/// The names of the keys that an agent with these variables has: those of its preset and the configured ones. An empty
/// value is none.
pub(super) fn keys(variables: &Variables, preset: &AgentPreset, sources: Sources<'_>) -> Vec<String> {
    let mut names: Vec<String> = variables
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| sources.is_key(preset, name) && !is_listed(name, DECLARED))
        .filter(|name| last(variables, name).is_some_and(|value| !value.is_empty()))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Which of the keys that the agent once had are not among these variables. An empty value says that it is to go
/// without.
pub(super) fn missing(variables: &Variables, had: &[String]) -> Vec<String> {
    had.iter().filter(|name| last(variables, name).is_none()).cloned().collect()
}

fn last<'a>(variables: &'a Variables, name: &str) -> Option<&'a OsStr> {
    variables.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn captured(pairs: &[(&str, &str)]) -> CapturedEnvironment {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
        CapturedEnvironment::new(pairs).unwrap()
    }

    fn settings(more: &str) -> Settings {
        let text = format!(
            "session.capture_env = [\"EXTRA_*\"]\n[agents.a]\ncommand = [\"a\"]\nkeys = [\"A_KEY\"]\n{more}"
        );
        skep_config::parse(&text, "test").unwrap()
    }

    fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
        last(variables, name).and_then(OsStr::to_str)
    }

    #[test]
    fn what_the_client_gave_is_all_that_the_agent_sees_of_its_user() {
        let (settings, given) =
            (settings(""), captured(&[("PATH", "/client"), ("A_KEY", "k"), ("OTHER", "x")]));
        let preset = &settings.agents["a"];
        let sources = Sources::new(Some(&given), &settings);
        let variables = declared(preset, PermissionMode::Ask, sources).unwrap();
        assert_eq!((value(&variables, "PATH"), value(&variables, "A_KEY")), (Some("/client"), Some("k")));
        // The test's own environment has a HOME; the client gave none.
        assert_eq!((value(&variables, "HOME"), value(&variables, "OTHER")), (None, None));
        assert_eq!(sources.search_path(), "/client");
        assert_eq!(keys(&variables, preset, sources), ["A_KEY"]);
        let none = declared(preset, PermissionMode::Ask, Sources::new(None, &settings)).unwrap();
        assert_eq!(value(&none, "PATH").map(OsString::from), std::env::var_os("PATH"));
    }

    #[test]
    fn a_later_layer_wins() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("keys"), "A_KEY=file\nB=file\nC=file\n").unwrap();
        std::fs::set_permissions(dir.path().join("keys"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = settings(
            "env_file = \"~/keys\"\nenv = { B = \"env\", C = \"env\" }\nmode_env.plan = { C = \"mode\" }\n\
             mode_env.ask = {}\n",
        );
        let given =
            captured(&[("HOME", dir.path().to_str().unwrap()), ("A_KEY", "client"), ("EXTRA_1", "e")]);
        let (preset, sources) = (&settings.agents["a"], Sources::new(Some(&given), &settings));
        let variables = declared(preset, PermissionMode::Plan, sources).unwrap();
        let shown = ["A_KEY", "B", "C", "EXTRA_1"].map(|name| value(&variables, name).unwrap());
        assert_eq!(shown, ["file", "env", "mode", "e"]);
        assert_eq!(keys(&variables, preset, sources), ["A_KEY", "EXTRA_1"]);
        std::fs::remove_file(dir.path().join("keys")).unwrap();
        assert!(declared(preset, PermissionMode::Plan, sources).is_err());
    }

    #[test]
    fn a_key_is_missing_if_nobody_gives_it_and_not_if_it_is_given_empty() {
        let had = ["A_KEY".to_owned(), "EXTRA_1".to_owned()];
        let variables = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        assert_eq!(missing(&variables(&[]), &had), had);
        assert_eq!(missing(&variables(&[("A_KEY", "k"), ("EXTRA_1", "")]), &had), Vec::<String>::new());
    }
}
