//! The visitor that reads a parsed file into settings and collects everything that is wrong with it.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::load::Problem;
use crate::schema::{Refusal, Schema, Setting, Visitor};
use crate::value::{found, nearest};
use crate::write::keys;

/// Reads `text` over what `into` holds. Where it returns problems, `into` is half read and of no use.
pub(crate) fn read<S: Schema>(text: &str, into: &mut S) -> Vec<Problem> {
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let at = error.span().map(|span| position(text, span.start));
            return vec![Problem { key: String::new(), at, message: error.message().to_owned() }];
        }
    };
    let mut problems = Vec::new();
    let all_keys = keys(into);
    let mut reader = Reader {
        text,
        table: root.get_ref(),
        span: 0..0,
        path: String::new(),
        known: Vec::new(),
        all_keys: &all_keys,
        problems: &mut problems,
    };
    reader.table(into);
    problems.sort_by_key(|problem| problem.at);
    problems
}

struct Reader<'a, 'i> {
    text: &'a str,
    table: &'a DeTable<'i>,
    /// Where the table is named.
    span: Range<usize>,
    /// Its dotted name; empty for the root.
    path: String,
    /// The keys that it may have, as far as visited.
    known: Vec<&'static str>,
    /// Every key of the file, dotted.
    all_keys: &'a [String],
    problems: &'a mut Vec<Problem>,
}

impl<'a, 'i> Reader<'a, 'i> {
    /// Reads one table: its keys, then what it has too many, then what does not fit together.
    fn table<S: Schema>(&mut self, slot: &mut S) {
        let before = self.problems.len();
        slot.visit(self);
        self.report_unknown();
        slot.configured();
        if self.problems.len() > before {
            return;
        }
        for (key, complaint) in slot.check() {
            let span = self.find(key).unwrap_or_else(|| self.span.clone());
            let key = self.dotted(key);
            let message = format!("`{key}`: {complaint}");
            self.problem(key, &span, message);
        }
    }

    fn report_unknown(&mut self) {
        for (name, _) in self.table {
            let key: &str = name.get_ref();
            if self.known.contains(&key) {
                continue;
            }
            let elsewhere = || {
                self.all_keys.iter().find(|known| known.rsplit('.').next() == Some(key)).map(String::as_str)
            };
            let suggestion = match nearest(key, self.known.iter().copied()).or_else(elsewhere) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::from(";"),
            };
            let place =
                if self.path.is_empty() { String::from("at the top") } else { format!("in `{}`", self.path) };
            let dotted = self.dotted(key);
            let shown: String = dotted.chars().take(80).flat_map(char::escape_debug).collect();
            let known = self.known.join(", ");
            let message = format!("unknown key `{shown}`{suggestion} valid {place}: {known}");
            self.problem(dotted, &name.span(), message);
        }
    }

    /// The span of a key of this table or, dotted, of a table below.
    fn find(&self, key: &str) -> Option<Range<usize>> {
        let mut table = self.table;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            let (_, value) = table.get_key_value(part)?;
            if parts.peek().is_none() {
                return Some(value.span());
            }
            table = value.get_ref().as_table()?;
        }
        None
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn problem(&mut self, key: String, span: &Range<usize>, message: String) {
        self.problems.push(Problem { key, at: Some(position(self.text, span.start)), message });
    }

    fn refuse(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str, why: Option<&str>) {
        let key = self.dotted(key);
        let message = match (value.get_ref(), why) {
            // Of a list or table the complaint itself says which item is meant.
            (DeValue::Array(_) | DeValue::Table(_), Some(why)) => {
                format!("`{key}`: {why}, expected {expected}")
            }
            (found_there, Some(why)) => {
                format!("`{key}` is {}, expected {expected}; {why}", found(found_there))
            }
            (found_there, None) => format!("`{key}` is {}, expected {expected}", found(found_there)),
        };
        self.problem(key, &value.span(), message);
    }

    /// A key's value, if it stands there and can be read.
    fn get<T: Setting>(&mut self, key: &'static str) -> Option<(T, &'a Spanned<DeValue<'i>>)> {
        self.known.push(key);
        let value = self.table.get(key)?;
        match T::read(value.get_ref()) {
            Ok(read) => Some((read, value)),
            Err(refusal) => {
                let why = match &refusal {
                    Refusal::Type => None,
                    Refusal::Value(why) => Some(why.as_str()),
                };
                self.refuse(key, value, &T::expected(), why);
                None
            }
        }
    }

    /// Reads a table below this one.
    fn below<S: Schema>(
        &mut self,
        path: String,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        slot: &mut S,
    ) {
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{path}` is {}, expected a table", found(value.get_ref()));
            self.problem(path, &value.span(), message);
            return;
        };
        let mut reader = Reader {
            text: self.text,
            table,
            span,
            path,
            known: Vec::new(),
            all_keys: self.all_keys,
            problems: &mut *self.problems,
        };
        reader.table(slot);
    }
}

impl Visitor for Reader<'_, '_> {
    fn value<T: Setting>(&mut self, key: &'static str, slot: &mut T) {
        if let Some((value, _)) = self.get(key) {
            *slot = value;
        }
    }

    fn ranged<T: Setting + PartialOrd>(&mut self, key: &'static str, slot: &mut T, range: RangeInclusive<T>) {
        let Some((value, raw)) = self.get::<T>(key) else { return };
        if range.contains(&value) {
            *slot = value;
            return;
        }
        let (low, high) = (range.start().write(), range.end().write());
        self.refuse(key, raw, &T::expected(), Some(&format!("it must lie between {low} and {high}")));
    }

    fn optional<T: Setting>(&mut self, key: &'static str, slot: &mut Option<T>) {
        if let Some((value, _)) = self.get(key) {
            *slot = Some(value);
        }
    }

    fn required<T: Setting>(&mut self, key: &'static str, slot: &mut T) {
        if !self.table.contains_key(key) {
            self.known.push(key);
            let message = format!("`{}` has no `{key}`, expected {}", self.path, T::expected());
            let span = self.span.clone();
            self.problem(self.dotted(key), &span, message);
            return;
        }
        self.value(key, slot);
    }

    fn section<S: Schema>(&mut self, key: &'static str, slot: &mut S) {
        self.known.push(key);
        if let Some((name, value)) = self.table.get_key_value(key) {
            self.below(self.dotted(key), name.span(), value, slot);
        }
    }

    fn entries<S: Schema>(
        &mut self,
        key: &'static str,
        slot: &mut BTreeMap<String, S>,
        make: fn(&str) -> Result<S, String>,
    ) {
        self.known.push(key);
        let Some(value) = self.table.get(key) else { return };
        let Some(table) = value.get_ref().as_table() else {
            self.refuse(key, value, "a table", None);
            return;
        };
        for (name, value) in table {
            let text: &str = name.get_ref();
            let path = format!("{}.{text}", self.dotted(key));
            match make(text) {
                Ok(mut entry) => {
                    self.below(path, name.span(), value, &mut entry);
                    slot.insert(text.to_owned(), entry);
                }
                Err(why) => {
                    let message = format!("`{}`: {why}", path.escape_debug());
                    self.problem(path, &name.span(), message);
                }
            }
        }
    }

    fn list<S: Schema + Default>(&mut self, key: &'static str, slot: &mut Vec<S>) {
        self.known.push(key);
        let Some(value) = self.table.get(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            self.refuse(key, value, "a list of tables", None);
            return;
        };
        slot.clear();
        for (at, item) in items.iter().enumerate() {
            let mut entry = S::default();
            let path = format!("{}[{at}]", self.dotted(key));
            self.below(path, item.span(), item, &mut entry);
            slot.push(entry);
        }
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
