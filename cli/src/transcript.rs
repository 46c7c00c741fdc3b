//! A session's records on the screen: as text for people, or each as its JSON line.

use skep_common::event::Record;
use skep_common::sanitise;
use skep_common::transcript::{Narrator, Piece};

use crate::client::follow::Item;
use crate::error::CliError;
use crate::render::printer::{Printer, Scope};
use crate::render::screen::Screen;

/// Shows records. They are told in the order in which they are handed over, and written when that is asked for.
#[derive(Debug)]
pub(crate) struct Transcript {
    screen: Screen,
    narrator: Narrator,
    printer: Printer,
    pieces: Vec<Piece>,
    json: Vec<u8>,
}

impl Transcript {
    /// Everything that happens, on standard output.
    pub(crate) fn new(screen: Screen) -> Self {
        Self::with_scope(screen, Scope::Transcript)
    }

    /// The agent's output alone; with `actions`, what it does goes to standard error.
    pub(crate) fn output_only(screen: Screen, actions: bool) -> Self {
        Self::with_scope(screen, Scope::OutputOnly { actions })
    }

    fn with_scope(screen: Screen, scope: Scope) -> Self {
        Self {
            screen,
            narrator: Narrator::default(),
            printer: Printer::new(screen, scope),
            pieces: Vec::new(),
            json: Vec::new(),
        }
    }

    /// Takes an item that is to be shown.
    pub(crate) fn add(&mut self, item: &Item) {
        if self.screen.json() {
            return self.add_json(item);
        }
        match item {
            Item::Record(record, _) => self.pieces.extend(self.narrator.describe(record)),
            Item::Unreadable { .. } => self.pieces.push(Piece::unreadable()),
            Item::Gap { first_seq } => self.pieces.push(Piece::gap(*first_seq)),
            Item::Away | Item::Back => {}
        }
    }

    /// Takes note of a record that is on the screen already, or not to be shown.
    pub(crate) fn note(&mut self, record: &Record) {
        drop(self.narrator.describe(record));
    }

    /// Whether nothing waits to be shown.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.json.is_empty()
    }

    /// Shows what was taken, in one write.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        if self.screen.json() {
            let json = std::mem::take(&mut self.json);
            return if json.is_empty() { Ok(()) } else { self.screen.raw(&json) };
        }
        self.printer.print(&std::mem::take(&mut self.pieces))
    }

    /// The text that [`Transcript::flush`] would write.
    pub(crate) fn render(&mut self) -> Result<String, CliError> {
        self.printer.render(&std::mem::take(&mut self.pieces))
    }

    /// Says what a person should know about the stream itself, on a line of its own.
    pub(crate) fn remark(&mut self, item: &Item) -> Result<(), CliError> {
        if let Some(remark) = item.remark() {
            self.finish()?;
            self.screen.say(remark);
        }
        Ok(())
    }

    /// Ends the text: colours off, and a new line where one is missing.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        self.flush()?;
        if self.screen.json() { Ok(()) } else { self.printer.finish() }
    }

    fn add_json(&mut self, item: &Item) {
        match item {
            Item::Record(_, json) | Item::Unreadable { json } => {
                if self.screen.out.terminal {
                    self.json.extend(sanitise::json(&String::from_utf8_lossy(json)).bytes());
                } else {
                    self.json.extend_from_slice(json);
                }
                self.json.push(b'\n');
            }
            Item::Gap { first_seq } => {
                let line = serde_json::json!({"kind": "gap", "first_seq": first_seq});
                self.json.extend_from_slice(format!("{line}\n").as_bytes());
            }
            Item::Away | Item::Back => {}
        }
    }
}
