//! Puts pieces on the screen: which stream, which colour, where a new line begins.
//!
//! Owner of the place of the cursor and of the filter through which an agent's output passes. When standard output
//! is not a terminal, an agent's output leaves byte for byte.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::narrate::{Piece, Tone};
use super::sanitise::{Colours, Filter, one_line};
use super::screen::Screen;
use crate::error::CliError;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The agent's output alone; what else happens goes to standard error, if a person wants to know.
    OutputOnly,
    /// Everything, prompts included, on standard output.
    Transcript,
}

/// Prints pieces.
#[derive(Debug)]
pub(crate) struct Printer {
    screen: Screen,
    scope: Scope,
    /// Show what the agent does even when not verbose.
    actions: bool,
    filter: Option<Filter>,
    mid_line: bool,
    in_thought: bool,
}

impl Printer {
    /// A printer at the beginning of a line.
    pub(crate) const fn new(screen: Screen, scope: Scope, actions: bool) -> Self {
        let colours = if screen.out.colour { Colours::Keep } else { Colours::Drop };
        let filter = if screen.out.terminal { Some(Filter::new(colours)) } else { None };
        Self { screen, scope, actions, filter, mid_line: false, in_thought: false }
    }

    /// Shows pieces and flushes.
    pub(crate) fn print(&mut self, pieces: &[Piece]) -> Result<(), CliError> {
        let out = self.render(pieces);
        self.write(&out)
    }

    /// What is to be written to standard output for these pieces.
    pub(crate) fn render(&mut self, pieces: &[Piece]) -> String {
        let mut out = String::new();
        for piece in pieces {
            self.piece(piece, &mut out);
        }
        out
    }

    /// Ends a stream of output: colours off, and a new line if a person looks at it.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        let mut out = String::new();
        self.end_line(&mut out);
        self.write(&out)
    }

    fn write(&self, out: &str) -> Result<(), CliError> {
        if out.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        Ok(stdout.flush()?)
    }

    fn piece(&mut self, piece: &Piece, out: &mut String) {
        match piece {
            Piece::Output(text) => {
                if self.in_thought {
                    self.end_line(out);
                }
                self.stream(text, out);
            }
            Piece::Thought(text) => self.thought(text, out),
            Piece::Prompt(text) => {
                if self.scope == Scope::Transcript {
                    self.prompt(text, out);
                }
            }
            Piece::Action(text) => self.side_line(Style::new().dimmed(), "•", text, self.actions, out),
            Piece::Line(tone, text) => {
                let wanted = matches!(tone, Tone::Warn | Tone::Bad) && self.actions;
                self.side_line(style(*tone), mark(*tone), text, wanted, out);
            }
        }
    }

    fn stream(&mut self, text: &str, out: &mut String) {
        match &mut self.filter {
            Some(filter) => filter.push(text, out),
            None => out.push_str(text),
        }
        if let Some(last) = text.chars().next_back() {
            self.mid_line = last != '\n';
        }
    }

    fn thought(&mut self, text: &str, out: &mut String) {
        if self.scope == Scope::OutputOnly && !self.screen.verbose {
            return;
        }
        if !self.in_thought {
            self.end_line(out);
            self.in_thought = true;
        }
        let mut clean = String::new();
        Filter::new(Colours::Drop).push(text, &mut clean);
        let painted = self.stream_of_lines().paint(Style::new().dimmed(), &clean);
        self.mid_line = !clean.ends_with('\n');
        if self.scope == Scope::Transcript {
            out.push_str(&painted);
        } else {
            // The thoughts of an agent are no output of the command; nobody at standard error misses nothing (G22).
            drop(io::stderr().lock().write_all(painted.as_bytes()));
        }
    }

    fn prompt(&mut self, text: &str, out: &mut String) {
        self.end_line(out);
        for line in text.lines() {
            let line = format!("> {}", one_line(line));
            out.push_str(&self.screen.out.paint(Style::new().bold(), &line));
            out.push('\n');
        }
    }

    /// A line beside the output: on standard output in a transcript, else on standard error if it is wanted.
    fn side_line(&mut self, style: Style, mark: &str, text: &str, wanted: bool, out: &mut String) {
        let text = format!("{mark} {}", one_line(text));
        if self.scope == Scope::Transcript {
            self.end_line(out);
            out.push_str(&self.screen.out.paint(style, &text));
            out.push('\n');
        } else if wanted || self.screen.verbose {
            if self.screen.out.terminal {
                self.end_line(out);
            }
            drop(self.write(out));
            out.clear();
            self.screen.say(self.screen.err.paint(style, &text));
        }
    }

    fn end_line(&mut self, out: &mut String) {
        if let Some(filter) = &mut self.filter {
            filter.finish(out);
        }
        let own = self.scope == Scope::Transcript || self.screen.out.terminal;
        if std::mem::take(&mut self.mid_line) && own {
            out.push('\n');
        }
        self.in_thought = false;
    }

    const fn stream_of_lines(&self) -> super::screen::Stream {
        match self.scope {
            Scope::Transcript => self.screen.out,
            Scope::OutputOnly => self.screen.err,
        }
    }
}

const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Quiet => Style::new().dimmed(),
        Tone::Good => colour(AnsiColor::Green),
        Tone::Warn => colour(AnsiColor::Yellow),
        Tone::Bad => colour(AnsiColor::Red),
    }
}

const fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Quiet => "·",
        Tone::Good => "✓",
        Tone::Warn => "!",
        Tone::Bad => "✗",
    }
}

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}
