//! The agents that skep knows by itself, read from `presets.toml` as a user's own tables are.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{AgentPreset, Source};
use crate::read;
use crate::schema::{Schema, Visitor};

/// The built-in presets, as they would stand in a configuration file.
pub const PRESETS_TOML: &str = include_str!("presets.toml");

static BUILT_IN: LazyLock<BTreeMap<String, AgentPreset>> = LazyLock::new(|| {
    let mut presets = Presets::default();
    let problems = read::read(PRESETS_TOML, &mut presets);
    assert!(problems.is_empty(), "the built-in presets are tested: {problems:?}");
    for preset in presets.agents.values_mut() {
        preset.source = Source::BuiltIn;
    }
    if let Some(program) = presets.agents.get_mut(AgentPreset::SHELL).and_then(|it| it.command.first_mut()) {
        *program = own_program();
    }
    presets.agents
});

/// The agents that skep knows by itself: the shell agent, and the model agents whose facts are known.
#[must_use]
pub fn built_in() -> &'static BTreeMap<String, AgentPreset> {
    &BUILT_IN
}

/// The built-in agent of that name.
pub(super) fn find(name: &str) -> Option<&'static AgentPreset> {
    BUILT_IN.get(name)
}

/// The names of the built-in agents.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.keys().map(String::as_str)
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Presets {
    agents: BTreeMap<String, AgentPreset>,
}

impl Schema for Presets {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.entries("agents", &mut self.agents, |name| Ok(AgentPreset::named(name)));
    }
}

/// This binary's path. After an upgrade in place the kernel calls the old file `… (deleted)`; the new one is meant.
fn own_program() -> String {
    let path = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let Some(mut path) = path else { return String::from("skep") };
    if let Some(replaced) = path.strip_suffix(" (deleted)") {
        path.truncate(replaced.len());
    }
    path
}
