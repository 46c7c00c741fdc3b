//! The turn machine and its prompt queue: one turn at a time, every accepted prompt ends or is dropped exactly once,
//! and a prompt that was accepted before never runs again. Pure: no clock, no I/O; the session's actor journals what
//! is returned and performs it.
//!
//! ```text
//!            accept                          end
//!   idle ──────────────▶ running ──────────────────────▶ idle ── next ──▶ running …
//!     ▲                    │  ▲                            │
//!     │                    └──┘ accept (queue), cancel     │ hold
//!     └──────── release, accept ◀──────────── held ◀───────┘
//! ```

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use skep_common::ids::PromptId;
use skep_common::session::{Cause, Consent, ContentBlock, TurnInfo, WhenBusy};

pub mod outcome;

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
    /// Its text: the text blocks, joined by newlines.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.content.iter().map(|ContentBlock::Text { text }| text.as_str()).collect();
        texts.join("\n")
    }
}

/// Why a prompt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A turn runs, and the request said `refuse`.
    #[error("a turn is running; wait for it, or ask for the prompt to be queued")]
    Busy,
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
    /// Its prompt.
    pub prompt: Prompt,
    /// Why a cancel was asked for, if one was.
    pub cancel: Option<Cause>,
}

#[derive(Debug)]
struct Running {
    prompt: Prompt,
    started_at: Timestamp,
    cancel: Option<Cause>,
}

/// The turn and the queue of one session.
#[derive(Debug)]
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
    /// When a turn runs and the caller does not want to wait, or the queue is full.
    pub fn accept(
        &mut self,
        prompt: Prompt,
        when_busy: WhenBusy,
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        if let Some(seq) = self.seqs.get(&prompt.id) {
            return Ok(Accepted::Duplicate { seq: *seq, queued: self.waits(prompt.id) });
        }
        if self.running.is_some() && when_busy == WhenBusy::Refuse {
            return Err(Refusal::Busy);
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

    /// Takes a prompt that cannot run before a person has done something: it waits, and the queue is held.
    ///
    /// # Errors
    ///
    /// When the queue is full.
    pub fn shelve(&mut self, prompt: Prompt) -> Result<Accepted, Refusal> {
        if let Some(seq) = self.seqs.get(&prompt.id) {
            return Ok(Accepted::Duplicate { seq: *seq, queued: self.waits(prompt.id) });
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

    /// Cancels the running turn (`None`), or whatever the prompt is doing.
    pub fn cancel(&mut self, prompt: Option<PromptId>, cause: Cause) -> Cancelled {
        if let Some(running) = &mut self.running
            && prompt.is_none_or(|prompt| prompt == running.prompt.id)
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
        self.running.take().map(|running| Ended { prompt: running.prompt, cancel: running.cancel })
    }

    /// Starts the next prompt, if none runs, one waits and the queue is not held.
    pub fn next(&mut self, now: Timestamp) -> Option<&Prompt> {
        if self.running.is_some() || self.held {
            return None;
        }
        let prompt = self.queue.pop_front()?;
        Some(&self.running.insert(Running { prompt, started_at: now, cancel: None }).prompt)
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
