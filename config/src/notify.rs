//! `[notify]`: how a person hears that a session needs them, is done, or failed.

use crate::schema::{Schema, Visitor};
use crate::value::choice;

/// What a person hears about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// A permission request waits.
    NeedsYou,
    /// A turn completed.
    Done,
    /// A turn or a session failed.
    Failed,
}

choice!(Occasion { "needs-you" => NeedsYou, "done" => Done, "failed" => Failed });

/// How a person hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// A command and its arguments, run for each occasion; empty: none.
    pub command: Vec<String>,
    /// Ring the terminal's bell in `run` and `attach`. Default true.
    pub bell: bool,
    /// Which occasions. Default all.
    pub on: Vec<Occasion>,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            bell: true,
            on: vec![Occasion::NeedsYou, Occasion::Done, Occasion::Failed],
        }
    }
}

impl Schema for NotifySettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("command", &mut self.command);
        v.value("bell", &mut self.bell);
        v.value("on", &mut self.on);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        match self.command.first() {
            Some(program) if program.is_empty() => {
                vec![("command", String::from("its first item, the program, is empty"))]
            }
            _ => Vec::new(),
        }
    }
}
