//! Puts pieces on the screen: which stream, which colour.
//!
//! What a piece says and where it stands is the transcript's business. When standard output is not a terminal, an
//! agent's output leaves byte for byte.

use anstyle::{AnsiColor, Style};
use skep_common::sanitise::{Colours, Filter};
use skep_common::transcript::{Ink, Layout, Look, Piece, Tone};

use super::screen::{Screen, Stream};
use crate::error::CliError;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The agent's output alone; what else happens goes to standard error, if a person wants to know.
    OutputOnly {
        /// Show what the agent does even when not verbose.
        actions: bool,
    },
    /// Everything, prompts included, on standard output.
    Transcript,
}

/// Prints pieces.
#[derive(Debug)]
pub(crate) struct Printer {
    screen: Screen,
    scope: Scope,
    out: Sheet,
    beside: Sheet,
}

/// A stream, and where its text stands.
#[derive(Debug)]
struct Sheet {
    layout: Layout,
    ink: StreamInk,
}

/// Colours and filters text for a stream.
#[derive(Debug)]
struct StreamInk {
    stream: Stream,
    filter: Option<Filter>,
}

impl Printer {
    /// A printer at the beginning of a line.
    pub(crate) fn new(screen: Screen, scope: Scope) -> Self {
        Self { screen, scope, out: Sheet::new(screen.out), beside: Sheet::new(screen.err) }
    }

    /// Shows pieces and flushes.
    pub(crate) fn print(&mut self, pieces: &[Piece]) -> Result<(), CliError> {
        let out = self.render(pieces)?;
        self.write(&out)
    }

    /// What is to be written to standard output for these pieces.
    pub(crate) fn render(&mut self, pieces: &[Piece]) -> Result<String, CliError> {
        let mut out = String::new();
        for piece in pieces {
            match self.scope {
                Scope::Transcript => self.out.push(piece, &mut out),
                Scope::OutputOnly { actions } => self.output_only(piece, actions, &mut out)?,
            }
        }
        Ok(out)
    }

    /// Ends the output: colours off, and a new line if a person looks at it.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        let mut out = String::new();
        self.end_beside();
        self.end_line(&mut out);
        self.write(&out)
    }

    fn write(&self, out: &str) -> Result<(), CliError> {
        if out.is_empty() { Ok(()) } else { self.screen.raw(out.as_bytes()) }
    }

    fn output_only(&mut self, piece: &Piece, actions: bool, out: &mut String) -> Result<(), CliError> {
        let wanted = match piece.look() {
            None => {
                self.end_beside();
                self.out.push(piece, out);
                return Ok(());
            }
            Some(Look::Prompt) => false,
            Some(Look::Tool | Look::Remark(Tone::Warn | Tone::Bad)) => actions || self.screen.verbose,
            Some(Look::Thought | Look::Remark(Tone::Quiet | Tone::Good)) => self.screen.verbose,
        };
        if wanted {
            self.end_line(out);
            self.write(out)?;
            out.clear();
            let mut beside = String::new();
            self.beside.push(piece, &mut beside);
            self.screen.err_bytes(beside.as_bytes());
        }
        Ok(())
    }

    fn end_line(&mut self, out: &mut String) {
        // In a pipe, a command's output is not a text that skep may end with a line of its own.
        if self.scope == Scope::Transcript || self.screen.out.terminal {
            self.out.end_line(out);
        }
    }

    fn end_beside(&mut self) {
        let mut beside = String::new();
        self.beside.end_line(&mut beside);
        if !beside.is_empty() {
            self.screen.err_bytes(beside.as_bytes());
        }
    }
}

impl Sheet {
    fn new(stream: Stream) -> Self {
        let colours = if stream.colour { Colours::Keep } else { Colours::Drop };
        let filter = stream.terminal.then(|| Filter::new(colours));
        Self { layout: Layout::default(), ink: StreamInk { stream, filter } }
    }

    fn push(&mut self, piece: &Piece, out: &mut String) {
        self.layout.push(piece, &mut self.ink, out);
    }

    fn end_line(&mut self, out: &mut String) {
        self.layout.end_line(&mut self.ink, out);
    }
}

impl Ink for StreamInk {
    fn stream(&mut self, text: &str, out: &mut String) {
        match &mut self.filter {
            Some(filter) => filter.push(text, out),
            None => out.push_str(text),
        }
    }

    fn end_stream(&mut self, out: &mut String) {
        if let Some(filter) = &mut self.filter {
            filter.finish(out);
        }
    }

    fn line(&mut self, look: Look, text: &str, out: &mut String) {
        out.push_str(&self.stream.paint(style(look), text));
    }
}

const fn style(look: Look) -> Style {
    match look {
        Look::Prompt => Style::new().bold(),
        Look::Thought | Look::Tool | Look::Remark(Tone::Quiet) => Style::new().dimmed(),
        Look::Remark(Tone::Good) => colour(AnsiColor::Green),
        Look::Remark(Tone::Warn) => colour(AnsiColor::Yellow),
        Look::Remark(Tone::Bad) => colour(AnsiColor::Red),
    }
}

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}
