//! A session's records on the screen: as text for people, or each as its JSON line.

use skep_common::event::Record;
use skep_common::transcript::{Narrator, Piece};

use crate::client::follow::Item;
use crate::error::CliError;
use crate::render::printer::{Printer, Scope};
use crate::render::screen::Screen;

/// Shows records.
#[derive(Debug)]
pub(crate) struct Transcript {
    screen: Screen,
    narrator: Narrator,
    printer: Printer,
}

impl Transcript {
    /// Everything that happens, on standard output.
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, narrator: Narrator::default(), printer: Printer::new(screen, Scope::Transcript) }
    }

    /// The agent's output alone; with `actions`, what it does goes to standard error.
    pub(crate) fn output_only(screen: Screen, actions: bool) -> Self {
        let printer = Printer::new(screen, Scope::OutputOnly { actions });
        Self { screen, narrator: Narrator::default(), printer }
    }

    /// Shows items, in one write.
    pub(crate) fn show(&mut self, items: &[Item]) -> Result<(), CliError> {
        if self.screen.json() {
            return self.show_json(items);
        }
        let pieces = self.pieces(items);
        self.printer.print(&pieces)
    }

    /// Says what a person should know about the stream itself, on a line of its own.
    pub(crate) fn remark(&mut self, item: &Item) -> Result<(), CliError> {
        if let Some(remark) = item.remark() {
            self.finish()?;
            self.screen.say(remark);
        }
        Ok(())
    }

    /// Takes note of a record that is on the screen already.
    pub(crate) fn note(&mut self, record: &Record) {
        drop(self.narrator.describe(record));
    }

    /// The text that [`Transcript::show`] would write.
    pub(crate) fn render(&mut self, items: &[Item]) -> Result<String, CliError> {
        let pieces = self.pieces(items);
        self.printer.render(&pieces)
    }

    /// Ends the text: colours off, and a new line where one is missing.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        if self.screen.json() { Ok(()) } else { self.printer.finish() }
    }

    fn pieces(&mut self, items: &[Item]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for item in items {
            match item {
                Item::Record(record, _) => pieces.extend(self.narrator.describe(record)),
                Item::Unreadable { .. } => pieces.push(Piece::unreadable()),
                Item::Gap { first_seq } => pieces.push(Piece::gap(*first_seq)),
                Item::Away | Item::Back => {}
            }
        }
        pieces
    }

    fn show_json(&self, items: &[Item]) -> Result<(), CliError> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Record(_, json) | Item::Unreadable { json } => {
                    out.extend_from_slice(json);
                    out.push(b'\n');
                }
                Item::Gap { first_seq } => {
                    let line = serde_json::json!({"kind": "gap", "first_seq": first_seq});
                    out.extend_from_slice(format!("{line}\n").as_bytes());
                }
                Item::Away | Item::Back => {}
            }
        }
        self.screen.raw(&out)
    }
}
