//! The turn machine and its prompt queue: one turn at a time, every accepted prompt ends or is dropped exactly once,
//! and a prompt that was accepted before never runs again. Pure: no clock, no I/O; the session's actor journals what
//! is returned and performs it.
//!
//! ```text
//!            accept                          end
//!   idle ──────────────▶ running ──────────────────────▶ idle ── next ──▶ running …
//!     ▲                    │  ▲                            │
//!     │                    └──┘ accept (queue, steer),   │ hold
//!     │                         cancel                     │
//!     └──────── release, accept ◀──────────── held ◀───────┘
//! ```

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use skep_common::ids::PromptId;
use skep_common::session::{Cause, Consent, ContentBlock, TurnInfo, WhenBusy};

pub mod outcome;
mod running;

use running::Running;
pub use running::{STEERED, STEERED_BYTES, Steering};

/// How many ids of accepted prompts are remembered.
pub const REMEMBERED: usize = 1000;

/// A prompt that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its id.
    pub id: PromptId,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// Whose consent comes with it.
    pub consent: Consent,
    /// The prompt whose turn was cut off, if this runs it again.
    pub retry_of: Option<PromptId>,
    /// Seconds until its turn is cancelled.
    pub timeout_seconds: Option<u64>,
}

impl Prompt {
    fn bytes(&self) -> usize {
        let length = |block: &ContentBlock| match block {
            ContentBlock::Text { text } => text.len(),
            ContentBlock::Resource { resource } => resource.text.as_ref().map_or(0, String::len),
            // Their bytes are kept in files.
            ContentBlock::Image { .. } | ContentBlock::Audio { .. } | ContentBlock::ResourceLink { .. } => 0,
        };
        self.content.iter().map(length).sum()
    }

    /// Its text: the text blocks, joined by newlines.
    #[must_use]
    pub fn text(&self) -> String {
        let text = |block: &'_ ContentBlock| match block {
            ContentBlock::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.content.iter().filter_map(text).collect::<Vec<_>>().join("\n")
    }
}

/// Why a prompt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A turn runs, and the request said `refuse`.
    #[error("a turn is running; wait for it, or ask for the prompt to be queued")]
    Busy,
    /// A turn runs, the request said `steer`, and the agent takes no prompts meanwhile.
    #[error(
        "a turn is running, and the session's agent takes no prompt meanwhile: ask for it to be queued \
         (`when_busy` = `queue`)"
    )]
    CannotSteer,
    /// The running turn has taken as many prompts as it may.
    #[error("the running turn takes no more prompts: ask for it to be queued (`when_busy` = `queue`)")]
    SteeredEnough,
    /// The queue is full.
    #[error("the session's prompt queue is full")]
    QueueFull,
}

/// What became of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It had been accepted before; nothing is to be done.
    Duplicate {
        /// The seq of its `prompt_queued` event.
        seq: u64,
        /// Whether it still waits.
        queued: bool,
        /// The running turn's prompt, where it was steered into that turn.
        steered_into: Option<PromptId>,
    },
    /// It is new. Journal it, then start what is to start.
    New {
        /// The prompt whose turn starts now: this one, or the first of a queue that it released.
        start: Option<PromptId>,
        /// Whether it released a held queue.
        released: bool,
        /// Whether it waits behind another.
        queued: bool,
    },
    /// It is new, and belongs to the running turn from now on. Journal it, then give it to the agent.
    Steered {
        /// The prompt of that turn.
        into: PromptId,
    },
}

/// What a cancel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The running turn is to be cancelled.
    Turn,
    /// It was asked for before, or there is nothing to cancel.
    Nothing,
    /// This waiting prompt was dropped.
    Dropped(PromptId),
    /// No such prompt was ever accepted.
    Unknown,
}

/// A turn that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its prompt, with all that was said in the turn.
    pub prompt: Prompt,
    /// The prompts that were steered into it, and are over with it.
    pub steered: Vec<PromptId>,
    /// Why a cancel was asked for, if one was.
    pub cancel: Option<Cause>,
}

/// The turn and the queue of one session.
#[derive(Debug, Clone)]
pub struct Turns {
    running: Option<Running>,
    queue: VecDeque<Prompt>,
    held: bool,
    limit: usize,
    seqs: HashMap<PromptId, u64>,
    order: VecDeque<PromptId>,
}

impl Turns {
    /// No turn, and a queue of at most `limit` prompts.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let (queue, seqs, order) = (VecDeque::new(), HashMap::new(), VecDeque::new());
        Self { running: None, queue, held: false, limit, seqs, order }
    }

    /// What a journal says: the prompts that wait (held, since nobody knows what they were queued behind), and the
    /// ids that were accepted before, oldest first.
    #[must_use]
    pub fn restored(
        limit: usize,
        queue: impl IntoIterator<Item = Prompt>,
        known: impl IntoIterator<Item = (PromptId, u64)>,
    ) -> Self {
        let mut turns = Self::new(limit);
        for (prompt, seq) in known {
            turns.numbered(prompt, seq);
        }
        turns.queue.extend(queue);
        turns.held = !turns.queue.is_empty();
        turns
    }

    /// Takes a prompt, or refuses it. One that runs a turn again goes before those that wait: it came before them once.
    ///
    /// # Errors
    ///
    /// When a turn runs and the caller does not want to wait, the agent takes no prompts meanwhile (or no more), or the
    /// queue is full.
    pub fn accept(
        &mut self,
        prompt: Prompt,
        how: (WhenBusy, Steering),
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        if let Some(duplicate) = self.duplicate(prompt.id) {
            return Ok(duplicate);
        }
        if self.steers(how)?
            && let Some(running) = &mut self.running
        {
            let id = prompt.id;
            let into = running.steer(prompt)?;
            self.numbered(id, 0);
            return Ok(Accepted::Steered { into });
        }
        let waits = self.running.is_some() || !self.queue.is_empty();
        if waits && self.queue.len() >= self.limit {
            return Err(Refusal::QueueFull);
        }
        let id = prompt.id;
        self.numbered(id, 0);
        self.enqueue(prompt);
        let released = self.running.is_none() && std::mem::take(&mut self.held);
        let start = self.next(now).map(|prompt| prompt.id);
        Ok(Accepted::New { start, released, queued: start != Some(id) })
    }

    /// Whether a new prompt would go into the running turn.
    ///
    /// # Errors
    ///
    /// When a turn runs, and the prompt can neither go into it nor wait for it.
    pub fn steers(&self, how: (WhenBusy, Steering)) -> Result<bool, Refusal> {
        let Some(running) = &self.running else { return Ok(false) };
        match how {
            (WhenBusy::Refuse, _) => Err(Refusal::Busy),
            (WhenBusy::Steer, Steering::Never) => Err(Refusal::CannotSteer),
            (WhenBusy::Steer, Steering::Now) => Ok(running.cancel.is_none()),
            (WhenBusy::Steer, Steering::Later) | (WhenBusy::Queue, _) => Ok(false),
        }
    }

    fn duplicate(&self, prompt: PromptId) -> Option<Accepted> {
        let running = self.running.as_ref().filter(|running| running.steered.contains(&prompt));
        let steered_into = running.map(|running| running.prompt.id);
        let seq = *self.seqs.get(&prompt)?;
        Some(Accepted::Duplicate { seq, queued: self.waits(prompt), steered_into })
    }

    /// Takes a prompt that cannot run before a person has done something: it waits, and the queue is held.
    ///
    /// # Errors
    ///
    /// When the queue is full.
    pub fn shelve(&mut self, prompt: Prompt) -> Result<Accepted, Refusal> {
        if let Some(duplicate) = self.duplicate(prompt.id) {
            return Ok(duplicate);
        }
        if self.queue.len() >= self.limit.max(1) {
            return Err(Refusal::QueueFull);
        }
        self.numbered(prompt.id, 0);
        self.enqueue(prompt);
        self.held = true;
        Ok(Accepted::New { start: None, released: false, queued: true })
    }

    fn enqueue(&mut self, prompt: Prompt) {
        match prompt.retry_of {
            Some(_) => self.queue.push_front(prompt),
            None => self.queue.push_back(prompt),
        }
    }

    /// Takes the prompt out of the queue that waits to run a turn again, for another that does the same.
    pub fn supersede(&mut self) -> Option<PromptId> {
        let at = self.queue.iter().position(|waiting| waiting.retry_of.is_some())?;
        let superseded = self.queue.remove(at)?;
        self.held &= !self.queue.is_empty();
        Some(superseded.id)
    }

    /// Records the seq under which a prompt was journalled.
    pub fn numbered(&mut self, prompt: PromptId, seq: u64) {
        if self.seqs.insert(prompt, seq).is_none() {
            self.order.push_back(prompt);
        }
        while self.order.len() > REMEMBERED.max(2 * self.limit) {
            if let Some(oldest) = self.order.pop_front() {
                self.seqs.remove(&oldest);
            }
        }
    }

    /// Cancels the running turn (`None`), or whatever the prompt is doing. One that was steered is part of its turn.
    pub fn cancel(&mut self, prompt: Option<PromptId>, cause: Cause) -> Cancelled {
        if let Some(running) = &mut self.running
            && prompt.is_none_or(|prompt| prompt == running.prompt.id || running.steered.contains(&prompt))
        {
            return match running.cancel.replace(running.cancel.unwrap_or(cause)) {
                None => Cancelled::Turn,
                Some(_) => Cancelled::Nothing,
            };
        }
        let Some(prompt) = prompt else { return Cancelled::Nothing };
        if let Some(at) = self.queue.iter().position(|waiting| waiting.id == prompt) {
            self.queue.remove(at);
            self.held &= !self.queue.is_empty();
            return Cancelled::Dropped(prompt);
        }
        if self.seqs.contains_key(&prompt) { Cancelled::Nothing } else { Cancelled::Unknown }
    }

    /// Ends the running turn, if one runs.
    pub fn end(&mut self) -> Option<Ended> {
        let running = self.running.take()?;
        Some(Ended { prompt: running.prompt, steered: running.steered, cancel: running.cancel })
    }

    /// Starts the next prompt, if none runs, one waits and the queue is not held.
    pub fn next(&mut self, now: Timestamp) -> Option<&Prompt> {
        if self.running.is_some() || self.held {
            return None;
        }
        let prompt = self.queue.pop_front()?;
        Some(&self.running.insert(Running::new(prompt, now)).prompt)
    }

    /// Holds the queue; says how many prompts wait if this changed anything.
    pub fn hold(&mut self) -> Option<u32> {
        if self.held || self.queue.is_empty() {
            return None;
        }
        self.held = true;
        Some(u32::try_from(self.queue.len()).unwrap_or(u32::MAX))
    }

    /// Lets a held queue go on; false if it was not held.
    pub fn release(&mut self) -> bool {
        std::mem::take(&mut self.held)
    }

    /// Drops every prompt that waits.
    pub fn drop_queue(&mut self) -> Vec<PromptId> {
        self.held = false;
        self.queue.drain(..).map(|prompt| prompt.id).collect()
    }

    /// The prompt that runs.
    #[must_use]
    pub fn running(&self) -> Option<&Prompt> {
        self.running.as_ref().map(|running| &running.prompt)
    }

    /// The same for lists.
    #[must_use]
    pub fn info(&self) -> Option<TurnInfo> {
        let running = self.running.as_ref()?;
        Some(TurnInfo { prompt: running.prompt.id, started_at: running.started_at })
    }

    /// Whether the running turn is being cancelled.
    #[must_use]
    pub fn cancelling(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.cancel.is_some())
    }

    /// Why the running turn is being cancelled, if it is.
    #[must_use]
    pub fn cancel_cause(&self) -> Option<Cause> {
        self.running.as_ref().and_then(|running| running.cancel)
    }

    /// Whether the prompt was accepted before, as far as is remembered.
    #[must_use]
    pub fn knows(&self, prompt: PromptId) -> bool {
        self.seqs.contains_key(&prompt)
    }

    /// The prompts that wait, oldest first.
    #[must_use]
    pub fn queued(&self) -> Vec<PromptId> {
        self.queue.iter().map(|prompt| prompt.id).collect()
    }

    /// Whether they wait for a person.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held
    }

    fn waits(&self, prompt: PromptId) -> bool {
        self.queue.iter().any(|waiting| waiting.id == prompt)
    }
}

#[cfg(test)]
mod tests;
