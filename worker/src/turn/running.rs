//! The turn that runs, and the prompts that it takes beside its own. Pure.

use jiff::Timestamp;
use skep_common::ids::PromptId;
use skep_common::session::Cause;

use super::{Prompt, Refusal};

/// How many prompts one turn takes beside its own.
pub const STEERED: usize = 32;

/// How many bytes of text they may have together.
pub const STEERED_BYTES: usize = 4 << 20;

/// Whether the agent takes prompts in the turn that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// It never does.
    Never,
    /// It has not been given the turn's own prompt yet.
    Later,
    /// It does.
    Now,
}

/// A turn that runs.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) prompt: Prompt,
    pub(super) started_at: Timestamp,
    pub(super) cancel: Option<Cause>,
    /// What was steered into it, and its bytes of text.
    pub(super) steered: Vec<PromptId>,
    steered_bytes: usize,
}

impl Running {
    pub(super) fn new(prompt: Prompt, started_at: Timestamp) -> Self {
        Self { prompt, started_at, cancel: None, steered: Vec::new(), steered_bytes: 0 }
    }

    /// Takes a prompt into the turn.
    pub(super) fn steer(&mut self, prompt: Prompt) -> Result<PromptId, Refusal> {
        let bytes = self.steered_bytes.saturating_add(prompt.bytes());
        if self.steered.len() >= STEERED || bytes > STEERED_BYTES {
            return Err(Refusal::SteeredEnough);
        }
        self.steered_bytes = bytes;
        self.steered.push(prompt.id);
        // Run again, the turn is told all that was said in it.
        self.prompt.content.extend(prompt.content);
        Ok(self.prompt.id)
    }
}
