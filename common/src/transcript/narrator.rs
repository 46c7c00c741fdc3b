//! What records have to say, in words.

use std::collections::HashMap;

use super::update::{self, Told};
use super::{Piece, Tone};
use crate::environment::needed;
use crate::event::{Event, PermissionResolved, PromptQueued, Record, TurnStarted};
use crate::ids::{PermissionId, PromptId};
use crate::sanitise::one_line;
use crate::session::content::prompt_words;
use crate::session::{DecidedBy, SessionState, TurnOutcome};
use crate::words;

/// Turns records into pieces, one after another. Owner of what was told already.
#[derive(Debug, Default)]
pub struct Narrator {
    turn: Turn,
    /// The words of the prompts that wait for their turn.
    queued: HashMap<PromptId, String>,
    /// What the agent asked and nobody has decided.
    asked: Vec<(PermissionId, String)>,
    told: Told,
}

/// Whose turn it is.
#[derive(Debug, Default)]
enum Turn {
    /// Nobody's, as far as is known.
    #[default]
    None,
    /// This prompt's, which was told.
    Prompt(PromptId, String),
    /// A prompt's whose words nobody told.
    Unknown,
}

impl Narrator {
    /// What a record has to say.
    pub fn describe(&mut self, record: &Record) -> Vec<Piece> {
        match &record.event {
            Event::Update(raw) => update::pieces(raw, self.turn.words(), &mut self.told),
            Event::PromptQueued(prompt) => self.prompted(prompt),
            Event::TurnStarted(turn) => self.started(turn),
            Event::PromptSteered(prompt) => vec![Piece::Prompt(prompt_words(&prompt.content))],
            Event::PromptDropped(dropped) => {
                self.queued.remove(&dropped.prompt);
                if self.turn.is(dropped.prompt) {
                    self.turn = Turn::None;
                }
                quiet(format!("a queued prompt was dropped: {}", words::cause(dropped.cause)))
            }
            Event::QueueHeld(held) => {
                self.requeue();
                note(
                    Tone::Warn,
                    format!(
                        "{} queued prompt(s) wait: {}; the next prompt or `skep release` lets them go on",
                        held.prompts,
                        words::cause(held.cause)
                    ),
                )
            }
            Event::QueueReleased(released) => quiet(format!("queue released by {}", released.via)),
            Event::SessionChanged(changed) => {
                quiet(format!("settings changed by {}: {}", changed.by, changed.changes.in_words()))
            }
            Event::PermissionRequested(request) => {
                // Told when it turns out to be a person's: a mode or a rule may answer it at once.
                let wish = words::wish(&request.tool_kind, &request.title);
                self.asked.push((request.permission, wish));
                Vec::new()
            }
            Event::State(changed) if needed(changed.why.as_deref()).next().is_some() => {
                let why = changed.why.as_deref().unwrap_or_default();
                note(Tone::Warn, format!("needs you: {why}; a prompt from a shell that has them goes on"))
            }
            Event::State(changed) if changed.state == SessionState::NeedsYou => {
                self.asked.drain(..).map(|(_, wish)| Piece::Asked(wish)).collect()
            }
            Event::PermissionResolved(resolved) => self.resolved(resolved),
            Event::TurnEnded(end) => {
                self.told.clear();
                self.asked.clear();
                self.turn = Turn::None;
                let ended = Piece::Ended(end.outcome, words::turn_ended(end));
                let again = "it is not run again by itself; `skep prompt SESSION --retry-interrupted` does";
                let again = (end.outcome == TurnOutcome::Interrupted).then(|| quiet(String::from(again)));
                std::iter::once(ended).chain(again.into_iter().flatten()).collect()
            }
            Event::AgentExited(exit) => quiet(words::agent_exited(exit)),
            Event::Note(remark) => note(tone(&remark.level), remark.text.clone()),
            Event::SessionClosed(closed) => quiet(format!("session closed: {}", words::cause(closed.cause))),
            Event::SessionOpened(_)
            | Event::WriterOpened(_)
            | Event::AgentStarted(_)
            | Event::State(_)
            | Event::GitBranch(_)
            | Event::Unknown { .. } => Vec::new(),
        }
    }

    /// A prompt is told where its turn begins: at once in a session at rest, else when it starts.
    fn prompted(&mut self, prompt: &PromptQueued) -> Vec<Piece> {
        let text = prompt_words(&prompt.content);
        if matches!(self.turn, Turn::None) && self.queued.is_empty() {
            self.turn = Turn::Prompt(prompt.prompt, text.clone());
            return vec![Piece::Prompt(text)];
        }
        let first = text.lines().next().unwrap_or_default();
        let more = if text.lines().nth(1).is_some() { " …" } else { "" };
        let told = quiet(format!("queued: {}{more}", one_line(first)));
        self.queued.insert(prompt.prompt, text);
        told
    }

    fn started(&mut self, turn: &TurnStarted) -> Vec<Piece> {
        if self.turn.is(turn.prompt) {
            return Vec::new();
        }
        let queued = self.queued.remove(&turn.prompt);
        if let Some(text) = turn.content.as_deref().map(prompt_words).or(queued) {
            self.turn = Turn::Prompt(turn.prompt, text.clone());
            return vec![Piece::Prompt(text)];
        }
        self.turn = Turn::Unknown;
        Vec::new()
    }

    /// A prompt whose turn did not begin waits like the others.
    fn requeue(&mut self) {
        if let Turn::Prompt(prompt, text) = std::mem::take(&mut self.turn) {
            self.queued.insert(prompt, text);
        }
    }

    fn resolved(&mut self, resolved: &PermissionResolved) -> Vec<Piece> {
        let asked = self.asked.iter().position(|(id, _)| *id == resolved.permission);
        let wish = asked.map(|at| self.asked.remove(at).1);
        match (wish, &resolved.by) {
            // Whoever typed the command knows it.
            (_, DecidedBy::OwnCommand) => Vec::new(),
            (Some(wish), _) => vec![Piece::Decided(format!("{wish}: {}", words::resolved(resolved)))],
            (None, _) => vec![Piece::Decided(words::resolved(resolved))],
        }
    }
}

impl Turn {
    fn is(&self, prompt: PromptId) -> bool {
        matches!(self, Self::Prompt(id, _) if *id == prompt)
    }

    fn words(&self) -> &str {
        match self {
            Self::Prompt(_, text) => text,
            Self::None | Self::Unknown => "",
        }
    }
}

fn tone(level: &str) -> Tone {
    match level {
        "info" => Tone::Quiet,
        "error" => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn quiet(text: String) -> Vec<Piece> {
    note(Tone::Quiet, text)
}

fn note(tone: Tone, text: String) -> Vec<Piece> {
    vec![Piece::Note(tone, text)]
}
