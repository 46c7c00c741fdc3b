//! A session's records for people: the one account of a session that every front end shows (C5). Pure.
//!
//! A [`Narrator`] turns records into [`Piece`]s: what happened, in words. A [`Layout`] puts pieces one below the other;
//! how they look is decided by an [`Ink`]. [`Transcript`] is both with [`PlainInk`]: text that is safe for a terminal.

mod layout;
mod narrator;
mod update;

pub use layout::{Ink, Layout, PlainInk};
pub use narrator::Narrator;

use crate::event::Record;
use crate::session::TurnOutcome;

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A prompt that goes to the agent.
    Prompt(String),
    /// What the agent says: a part of a stream, to be shown exactly.
    Text(String),
    /// What the agent's tools print: a part of the same stream.
    Output(String),
    /// What the agent thinks: a part of a stream.
    Thought(String),
    /// What the agent does.
    Tool(String),
    /// The agent waits for a person's permission.
    Asked(String),
    /// A permission request was decided.
    Decided(String),
    /// A turn's end.
    Ended(TurnOutcome, String),
    /// What else happened.
    Note(Tone, String),
}

/// How a line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// By the way.
    Quiet,
    /// It went well.
    Good,
    /// Look here.
    Warn,
    /// It went wrong.
    Bad,
}

/// What a line is, by which it is marked and coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A line of a prompt.
    Prompt,
    /// A line of a thought.
    Thought,
    /// What the agent does.
    Tool,
    /// A remark.
    Remark(Tone),
}

impl Look {
    /// The mark at the line's beginning.
    #[must_use]
    pub const fn mark(self) -> char {
        match self {
            Self::Prompt => '>',
            Self::Thought => '~',
            Self::Tool => '•',
            Self::Remark(Tone::Quiet) => '·',
            Self::Remark(Tone::Good) => '✓',
            Self::Remark(Tone::Warn) => '!',
            Self::Remark(Tone::Bad) => '✗',
        }
    }
}

impl Piece {
    /// What the piece is; none for text and output, which stand as they came.
    #[must_use]
    pub const fn look(&self) -> Option<Look> {
        Some(match self {
            Self::Text(_) | Self::Output(_) => return None,
            Self::Prompt(_) => Look::Prompt,
            Self::Thought(_) => Look::Thought,
            Self::Tool(_) => Look::Tool,
            Self::Asked(_) => Look::Remark(Tone::Warn),
            Self::Decided(_) => Look::Remark(Tone::Quiet),
            Self::Ended(outcome, _) => Look::Remark(tone(*outcome)),
            Self::Note(tone, _) => Look::Remark(*tone),
        })
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Prompt(text)
            | Self::Text(text)
            | Self::Output(text)
            | Self::Thought(text)
            | Self::Tool(text)
            | Self::Asked(text)
            | Self::Decided(text)
            | Self::Ended(_, text)
            | Self::Note(_, text) => text,
        }
    }

    /// In place of a record that cannot be read.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::Note(Tone::Bad, String::from("an event cannot be read: it is damaged"))
    }

    /// In place of records that are gone.
    #[must_use]
    pub fn gap(first_seq: u64) -> Self {
        Self::Note(Tone::Warn, format!("older events are not kept any more; the first one is {first_seq}"))
    }
}

const fn tone(outcome: TurnOutcome) -> Tone {
    match outcome {
        TurnOutcome::Completed => Tone::Good,
        TurnOutcome::Cancelled => Tone::Warn,
        TurnOutcome::Suspect
        | TurnOutcome::Refused
        | TurnOutcome::Failed
        | TurnOutcome::Interrupted
        | TurnOutcome::Limit
        | TurnOutcome::Unknown => Tone::Bad,
    }
}

/// Records as plain text, one after another.
#[derive(Debug, Default)]
pub struct Transcript {
    narrator: Narrator,
    layout: Layout,
    ink: PlainInk,
}

impl Transcript {
    /// Appends what a record has to say to `out`.
    pub fn push(&mut self, record: &Record, out: &mut String) {
        for piece in self.narrator.describe(record) {
            self.layout.push(&piece, &mut self.ink, out);
        }
    }

    /// Appends a mark in place of a record that cannot be read.
    pub fn push_unreadable(&mut self, out: &mut String) {
        self.layout.push(&Piece::unreadable(), &mut self.ink, out);
    }
}

#[cfg(test)]
mod tests;
