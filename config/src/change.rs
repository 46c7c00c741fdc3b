//! What a reload changes, and whom it concerns (promise 23).

use std::collections::BTreeMap;

use crate::pool::PoolSettings;
use crate::settings::Settings;
use crate::write::{Line, lines};

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Applies {
    /// With the reload.
    AtOnce,
    /// When every worker is restarted.
    AllWorkers,
    /// When the workers of this kind are restarted.
    WorkersOf(&'static str),
    /// When the daemon is started the next time.
    NextStart,
}

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, dotted; for rules and agents the table.
    pub key: String,
    /// When the new value takes effect.
    pub applies: Applies,
}

impl Change {
    /// Whether a worker of `kind` must be restarted for it.
    #[must_use]
    pub fn restarts(&self, kind: &str) -> bool {
        match self.applies {
            Applies::AllWorkers => true,
            Applies::WorkersOf(changed) => changed == kind,
            Applies::AtOnce | Applies::NextStart => false,
        }
    }
}

impl Settings {
    /// What differs between these settings and `new`, by key, each once.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let (old, new) = (by_key(self), by_key(new));
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter(|key| old.get(*key) != new.get(*key))
            .map(|key| Change { key: key.clone(), applies: applies(key) })
            .collect()
    }
}

/// Every key with its value as text; all rules as one key, and each agent as one.
fn by_key(settings: &Settings) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for line in lines(settings) {
        let (key, text) = match line {
            Line::Table(_) => continue,
            Line::Item(path) => (path, String::from(";")),
            Line::Pair { table, key, value } => {
                let text = value.map(|value| value.to_string()).unwrap_or_default();
                if let Some(agent) = agent_of(&table) {
                    let inner = &table[agent.len()..];
                    (agent.to_owned(), format!("{inner}.{key}={text},"))
                } else if table == "permissions.rules" {
                    (table, format!("{key}={text},"))
                } else {
                    (format!("{table}.{key}"), text)
                }
            }
        };
        values.entry(key).or_default().push_str(&text);
    }
    values
}

/// `agents.NAME` of a table of that agent, or below it; the same of MCP servers and hooks.
fn agent_of(table: &str) -> Option<&str> {
    let section = ["agents.", "mcp.", "hooks."].into_iter().find(|section| table.starts_with(section))?;
    let name = table[section.len()..].split('.').next()?;
    Some(&table[..section.len() + name.len()])
}

fn applies(key: &str) -> Applies {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    match (section, rest) {
        ("daemon", "dir") | ("agents" | "permissions" | "mcp", _) => Applies::AllWorkers,
        ("daemon" | "api", _) | ("logs", "level" | "debug") => Applies::NextStart,
        ("pool", rest) => match rest.split_once('.') {
            Some((PoolSettings::BACKGROUND, "capacity" | "dir" | "permission_mode")) => {
                Applies::WorkersOf(PoolSettings::BACKGROUND)
            }
            Some((PoolSettings::REMOTE_CONTROL, "capacity" | "dir" | "permission_mode")) => {
                Applies::WorkersOf(PoolSettings::REMOTE_CONTROL)
            }
            Some(_) | None => Applies::AtOnce,
        },
        // What the supervisor decides itself; the rest of the section is the workers'.
        (
            "session",
            "default_agent" | "when_busy" | "max_open" | "allowed_roots" | "keep_closed"
            | "keep_closed_bytes" | "memory_budget",
        ) => Applies::AtOnce,
        ("session", _) => Applies::AllWorkers,
        _ => Applies::AtOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<(String, Applies)> {
        let parse = |text| crate::parse(text, "test").unwrap();
        parse(old).changes(&parse(new)).into_iter().map(|change| (change.key, change.applies)).collect()
    }

    #[test]
    fn p23_a_reload_names_what_it_changes_and_whom_it_concerns() {
        assert_eq!(changes("", ""), []);
        let one = |key: &str, applies| vec![(key.to_owned(), applies)];
        assert_eq!(changes("", "restart.first_delay = '0 s'"), one("restart.first_delay", Applies::AtOnce));
        assert_eq!(
            changes("", "pool.background.capacity = 9"),
            one("pool.background.capacity", Applies::WorkersOf("background"))
        );
        assert_eq!(
            changes("pool.remote-control.count = 2", ""),
            one("pool.remote-control.count", Applies::AtOnce)
        );
        assert_eq!(
            changes("", "session.idle_timeout = '1 h'"),
            one("session.idle_timeout", Applies::AllWorkers)
        );
        assert_eq!(changes("", "daemon.socket = '/x'"), one("daemon.socket", Applies::NextStart));
        assert_eq!(changes("", "agents.gemini.env.A = 'b'"), one("agents.gemini", Applies::AllWorkers));
        assert_eq!(changes("", "mcp.m.command = 'x'"), one("mcp.m", Applies::AllWorkers));
        assert_eq!(changes("", "hooks.h.command = ['x']"), one("hooks.h", Applies::AtOnce));
        assert_eq!(changes("", "agents.gemini.mode.ask = 'x'"), one("agents.gemini", Applies::AllWorkers));
    }

    #[test]
    fn p23_changed_added_and_reordered_rules_are_one_change() {
        let allow = "[[permissions.rules]]\ntool='execute'\naction='allow'\n";
        let deny = "[[permissions.rules]]\ntool='read'\naction='deny'\n";
        let rules = vec![(String::from("permissions.rules"), Applies::AllWorkers)];
        assert_eq!(changes("", allow), rules);
        assert_eq!(changes(&format!("{allow}{deny}"), &format!("{deny}{allow}")), rules);
    }

    #[test]
    fn p23_a_restart_concerns_only_the_changed_kind() {
        let change = Change { key: String::from("x"), applies: Applies::WorkersOf("background") };
        assert!(change.restarts("background") && !change.restarts("remote-control"));
    }
}
