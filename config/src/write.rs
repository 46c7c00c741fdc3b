//! The visitor that lists every key with its value, and what is made of that list: a file, the known keys, a
//! comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::schema::{Schema, Setting, Visitor};
use crate::settings::Settings;

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    /// `[path]`
    Table(String),
    /// `[[path]]`
    Item(String),
    /// `key = value`; no value where an optional key is not set.
    Pair { table: String, key: &'static str, value: Option<toml::Value> },
}

/// Every line of these settings.
pub(crate) fn lines<S: Schema>(settings: &S) -> Vec<Line> {
    let mut lister = Lister { path: String::new(), lines: Vec::new() };
    settings.clone().visit(&mut lister);
    lister.lines
}

/// Every key, dotted.
pub(crate) fn keys<S: Schema>(settings: &S) -> Vec<String> {
    let dotted = |line| match line {
        Line::Pair { table, key, value: _ } if table.is_empty() => Some(key.to_owned()),
        Line::Pair { table, key, value: _ } => Some(format!("{table}.{key}")),
        Line::Table(_) | Line::Item(_) => None,
    };
    lines(settings).into_iter().filter_map(dotted).collect()
}

impl Settings {
    /// These settings as a file: reading it gives the same settings. Built-in agents that nothing changed are left
    /// out, since every skep knows them.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for line in lines(self) {
            // Writing to a string cannot fail.
            let _ = match line {
                Line::Table(path) => writeln!(text, "{}[{path}]", if text.is_empty() { "" } else { "\n" }),
                Line::Item(path) => writeln!(text, "\n[[{path}]]"),
                Line::Pair { key, value: Some(value), .. } => writeln!(text, "{key} = {value}"),
                Line::Pair { value: None, .. } => Ok(()),
            };
        }
        text
    }
}

struct Lister {
    path: String,
    lines: Vec<Line>,
}

impl Lister {
    fn pair(&mut self, key: &'static str, value: Option<toml::Value>) {
        self.lines.push(Line::Pair { table: self.path.clone(), key, value });
    }

    fn below<S: Schema>(&mut self, path: String, header: fn(String) -> Line, slot: &mut S) {
        self.lines.push(header(path.clone()));
        let above = std::mem::replace(&mut self.path, path);
        slot.visit(self);
        self.path = above;
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Visitor for Lister {
    fn value<T: Setting>(&mut self, key: &'static str, slot: &mut T) {
        self.pair(key, Some(slot.write()));
    }

    fn ranged<T: Setting + PartialOrd>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        _range: RangeInclusive<T>,
    ) {
        self.pair(key, Some(slot.write()));
    }

    fn optional<T: Setting>(&mut self, key: &'static str, slot: &mut Option<T>) {
        self.pair(key, slot.as_ref().map(Setting::write));
    }

    fn required<T: Setting>(&mut self, key: &'static str, slot: &mut T) {
        self.pair(key, Some(slot.write()));
    }

    fn section<S: Schema>(&mut self, key: &'static str, slot: &mut S) {
        self.below(self.dotted(key), Line::Table, slot);
    }

    fn entries<S: Schema>(
        &mut self,
        key: &'static str,
        slot: &mut BTreeMap<String, S>,
        make: fn(&str) -> Result<S, String>,
    ) {
        for (name, entry) in slot {
            if make(name).as_ref() != Ok(entry) {
                self.below(format!("{}.{name}", self.dotted(key)), Line::Table, entry);
            }
        }
    }

    fn list<S: Schema + Default>(&mut self, key: &'static str, slot: &mut Vec<S>) {
        for entry in slot {
            self.below(self.dotted(key), Line::Item, entry);
        }
    }
}
