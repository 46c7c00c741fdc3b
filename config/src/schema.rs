//! How a section describes its keys: once, to a visitor. Readers, writers and checkers are visitors.
//!
//! A key stands in exactly one place, its section's [`Schema::visit`], with its slot and its allowed range. So no
//! key can be read and not written, or be valid and missing from the suggestions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::de::DeValue;

/// A value that can stand in the configuration file.
pub(crate) trait Setting: Clone {
    /// What is expected, for a person: `a duration such as "30 min"`.
    fn expected() -> String;

    /// Reads it.
    fn read(value: &DeValue<'_>) -> Result<Self, Refusal>;

    /// Writes it, so that reading it gives the same value.
    fn write(&self) -> toml::Value;
}

/// Why a value was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It has another type.
    Type,
    /// It has the right type, and this is wrong with it.
    Value(String),
}

/// A table of the configuration.
pub(crate) trait Schema: Clone + PartialEq {
    /// Names every key of the table, in the order of the default file.
    fn visit<V: Visitor>(&mut self, v: &mut V);

    /// What is wrong between keys that are each in range: the key to point at (dotted, from this table), and the
    /// complaint.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Called when a file has a table for it.
    fn configured(&mut self) {}
}

/// Walks a table's keys.
pub(crate) trait Visitor {
    /// A key with any value of its type.
    fn value<T: Setting>(&mut self, key: &'static str, slot: &mut T);

    /// A key with a value in a range.
    fn ranged<T: Setting + PartialOrd>(&mut self, key: &'static str, slot: &mut T, range: RangeInclusive<T>);

    /// A key that may be missing, which means something of its own.
    fn optional<T: Setting>(&mut self, key: &'static str, slot: &mut Option<T>);

    /// A key that must be there.
    fn required<T: Setting>(&mut self, key: &'static str, slot: &mut T);

    /// A table.
    fn section<S: Schema>(&mut self, key: &'static str, slot: &mut S);

    /// A table of tables with free names. `make` gives the one to start from, or refuses the name.
    fn entries<S: Schema>(
        &mut self,
        key: &'static str,
        slot: &mut BTreeMap<String, S>,
        make: fn(&str) -> Result<S, String>,
    );

    /// An array of tables. It replaces the former one.
    fn list<S: Schema + Default>(&mut self, key: &'static str, slot: &mut Vec<S>);
}
