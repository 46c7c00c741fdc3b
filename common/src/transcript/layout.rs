//! Pieces one below the other: where a line begins, what is quoted, what is marked.

use super::{Look, Piece};
use crate::sanitise::{Colours, Filter, one_line};

/// How text looks where it goes.
pub trait Ink {
    /// Appends a part of a stream of text that somebody else wrote.
    fn stream(&mut self, text: &str, out: &mut String);

    /// Ends the stream: whatever it left switched on is switched off.
    fn end_stream(&mut self, out: &mut String);

    /// Appends a marked line, or a part of one, that holds no control character.
    fn line(&mut self, look: Look, text: &str, out: &mut String);
}

/// No colours, and nothing that a terminal obeys.
#[derive(Debug)]
pub struct PlainInk(Filter);

impl Default for PlainInk {
    fn default() -> Self {
        Self(Filter::new(Colours::Drop))
    }
}

impl Ink for PlainInk {
    fn stream(&mut self, text: &str, out: &mut String) {
        self.0.push(text, out);
    }

    fn end_stream(&mut self, out: &mut String) {
        self.0.finish(out);
    }

    fn line(&mut self, _: Look, text: &str, out: &mut String) {
        out.push_str(text);
    }
}

/// Puts pieces one below the other. Owner of the place where the text stands.
#[derive(Debug, Default)]
pub struct Layout {
    mid_line: bool,
    thinking: bool,
}

impl Layout {
    /// Appends a piece.
    pub fn push(&mut self, piece: &Piece, ink: &mut impl Ink, out: &mut String) {
        let Some(look) = piece.look() else { return self.stream(piece.words(), ink, out) };
        match look {
            Look::Thought => self.thought(piece.words(), ink, out),
            Look::Prompt => {
                self.end_line(ink, out);
                for line in piece.words().lines() {
                    marked(look, line, ink, out);
                }
            }
            Look::Tool | Look::Remark(_) => {
                self.end_line(ink, out);
                marked(look, piece.words(), ink, out);
            }
        }
    }

    /// Ends the stream, and the line if one has begun.
    pub fn end_line(&mut self, ink: &mut impl Ink, out: &mut String) {
        ink.end_stream(out);
        self.thinking = false;
        if std::mem::take(&mut self.mid_line) {
            out.push('\n');
        }
    }

    fn stream(&mut self, text: &str, ink: &mut impl Ink, out: &mut String) {
        if self.thinking {
            self.end_line(ink, out);
        }
        let before = out.len();
        ink.stream(text, out);
        if let Some(last) = last_visible(&out[before..]) {
            self.mid_line = last != '\n';
        }
    }

    fn thought(&mut self, text: &str, ink: &mut impl Ink, out: &mut String) {
        if !self.thinking {
            self.end_line(ink, out);
            self.thinking = true;
        }
        for part in text.split_inclusive('\n') {
            let line = one_line(part.trim_end_matches(['\n', '\r']));
            if self.mid_line {
                ink.line(Look::Thought, &line, out);
            } else {
                marked_part(Look::Thought, &line, ink, out);
            }
            self.mid_line = !part.ends_with('\n');
            if !self.mid_line {
                out.push('\n');
            }
        }
    }
}

fn marked(look: Look, text: &str, ink: &mut impl Ink, out: &mut String) {
    marked_part(look, &one_line(text), ink, out);
    out.push('\n');
}

fn marked_part(look: Look, line: &str, ink: &mut impl Ink, out: &mut String) {
    ink.line(look, &format!("{} {line}", look.mark()), out);
}

/// The last character that a reader sees, colours aside; none where there is nothing to see.
fn last_visible(mut text: &str) -> Option<char> {
    while let Some(before) = text.strip_suffix('m')
        && let Some((rest, parameters)) = before.rsplit_once("\u{1b}[")
        && parameters.bytes().all(|b| b.is_ascii_digit() || matches!(b, b';' | b':'))
    {
        text = rest;
    }
    text.chars().next_back()
}
