//! What a journal says about its session: the records folded into the state that a worker, recovery and the
//! supervisor's index go on from.
//!
//! Pure. The fold never fails: a journal with a corrupt record in its middle gives the best answer that the others
//! allow.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use skep_common::event::{
    AgentStarted, Event, PermissionRequested, PermissionResolved, PromptQueued, PromptSteered, Record,
    TurnEnded,
};
use skep_common::ids::{AnswerId, PermissionId, PromptId, SessionId};
use skep_common::session::{
    Cause, Consent, ContentBlock, DecidedBy, Head, PendingPermission, Resolution, SessionSnapshot,
    SessionSpec, SessionState, TurnInfo, TurnOutcome, TurnSummary,
};
use skep_common::usage::Used;

/// How many ended prompts and answered permission requests are remembered, so that a second delivery gets the first
/// reply.
const REMEMBERED: usize = 1_000;

/// How many turn starts are remembered.
const TURN_STARTS: usize = 256;

/// The state of a session, as of one record.
#[derive(Debug, Clone)]
pub struct Projection {
    /// The session's settings as they are now; none if the first record is lost.
    pub spec: Option<SessionSpec>,
    /// The settings are not those of the first record any more.
    pub changed: bool,
    /// Where the session stands.
    pub state: SessionState,
    /// Why, where the state needs a reason.
    pub why: Option<String>,
    /// The turn that runs (or ran when the writer died).
    pub turn: Option<RunningTurn>,
    /// Prompts that wait, oldest first.
    pub queue: VecDeque<QueuedPrompt>,
    /// The queue waits for a person, for this cause. Never set while the queue is empty.
    pub held: Option<Cause>,
    /// Permission requests that wait, oldest first.
    pub waiting: Vec<PendingPermission>,
    /// Requests that a client answered after which the agent has given no sign of life.
    pub undelivered: Vec<PermissionId>,
    /// The last turn that ended.
    pub last_turn: Option<TurnSummary>,
    /// What all turns have used.
    pub used: Used,
    /// The agent process that was started and has not been seen to exit.
    pub agent: Option<AgentStarted>,
    /// The agent's own id for the session, needed to load it again.
    pub agent_session: Option<String>,
    /// When the agent made that session (wall clock): no later than the record that tells it.
    pub agent_session_since: Option<Timestamp>,
    /// Why the agent that was started last is gone, if it is.
    pub left: Option<Cause>,
    /// The prompt of the last turn, if that was cut off and can be run again.
    pub cut_off: Option<QueuedPrompt>,
    /// The branch of git that the session's directory was seen on last.
    pub git_branch: Option<String>,
    /// The names of the keys with which the agent was started last.
    pub keys: Vec<String>,
    /// Why the session was closed, if it was.
    pub closed: Option<Cause>,
    /// The epoch of the last writer.
    pub epoch: u64,
    /// The last record's number.
    pub seq: u64,
    /// When the last record was appended.
    pub updated_at: Timestamp,
    /// Where the last turns begin, oldest first: the seq of `turn_started`, or of the `prompt_queued` right before it.
    pub turn_starts: VecDeque<u64>,
    prompts: Remembered<PromptId, PromptRecord>,
    resolved: Remembered<PermissionId, PermissionResolved>,
    answers: Remembered<AnswerId, PermissionId>,
}

/// A prompt that waits in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedPrompt {
    /// The prompt.
    pub prompt: PromptId,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// Through which front end and user it came.
    pub via: String,
    /// Whose consent comes with it.
    pub consent: Consent,
    /// Seconds until its turn is cancelled.
    pub timeout_seconds: Option<u64>,
    /// The prompt whose turn was cut off, if this runs it again.
    pub retry_of: Option<PromptId>,
    /// The seq of its `prompt_queued`.
    pub seq: u64,
}

/// The turn that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTurn {
    /// Its prompt.
    pub prompt: PromptId,
    /// When it started.
    pub started_at: Timestamp,
    /// The seq of its `turn_started`.
    pub seq: u64,
    /// The prompts that were steered into it.
    pub steered: Vec<PromptId>,
}

/// A prompt that was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptRecord {
    /// The seq of its `prompt_queued` or `prompt_steered` (of its `turn_started`, if the former is lost).
    pub seq: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits in the queue.
    Queued,
    /// Its turn runs, or the one into which it was steered.
    Running,
    /// That turn ended so.
    Ended(TurnOutcome),
    /// It was taken out of the queue.
    Dropped(Cause),
}

impl Default for Projection {
    fn default() -> Self {
        Self {
            spec: None,
            changed: false,
            state: SessionState::Queued,
            why: None,
            turn: None,
            queue: VecDeque::new(),
            held: None,
            waiting: Vec::new(),
            undelivered: Vec::new(),
            last_turn: None,
            used: Used::default(),
            agent: None,
            agent_session: None,
            agent_session_since: None,
            left: None,
            cut_off: None,
            git_branch: None,
            keys: Vec::new(),
            closed: None,
            epoch: 0,
            seq: 0,
            updated_at: Timestamp::UNIX_EPOCH,
            turn_starts: VecDeque::new(),
            prompts: Remembered::new(),
            resolved: Remembered::new(),
            answers: Remembered::new(),
        }
    }
}

impl Projection {
    /// Takes the next record.
    pub fn apply(&mut self, record: &Record) {
        self.touch(record.seq, record.at);
        match &record.event {
            Event::SessionOpened(opened) => self.spec = Some(opened.spec.clone()),
            Event::SessionChanged(changed) => {
                self.changed = true;
                if let Some(spec) = &mut self.spec {
                    spec.take(spec.settings().changed(&changed.changes));
                }
            }
            Event::WriterOpened(opened) => self.epoch = self.epoch.max(opened.epoch),
            Event::PromptQueued(queued) => self.queued(record.seq, queued),
            Event::PromptDropped(dropped) => self.dropped(dropped.prompt, dropped.cause),
            Event::QueueHeld(held) => self.held = (!self.queue.is_empty()).then_some(held.cause),
            Event::QueueReleased(_) => self.held = None,
            Event::TurnStarted(started) => self.turn_started(record, started.prompt),
            Event::PromptSteered(steered) => self.steered(record.seq, steered),
            Event::Update(_) => self.update(),
            Event::PermissionRequested(asked) => self.asked(record.at, asked),
            Event::PermissionResolved(resolved) => self.resolved(resolved),
            Event::TurnEnded(ended) => self.turn_ended(record.at, ended),
            Event::AgentStarted(started) => {
                if started.context == "new" {
                    self.agent_session_since = Some(record.at);
                }
                self.agent_session = Some(started.agent_session.clone());
                self.keys.clone_from(&started.keys);
                self.left = None;
                self.agent = Some(started.clone());
            }
            Event::AgentExited(exited) => {
                self.agent = None;
                self.left = Some(exited.cause);
            }
            Event::State(changed) => {
                self.state = changed.state;
                self.why.clone_from(&changed.why);
            }
            Event::GitBranch(now) => self.git_branch.clone_from(&now.branch),
            Event::SessionClosed(closed) => self.session_closed(closed.cause),
            Event::Note(_) | Event::Unknown { .. } => {}
        }
    }

    /// Takes a record of kind `update`, or of a kind that is not known, without a look at its data.
    pub(crate) fn skip(&mut self, seq: u64, is_update: bool) {
        self.seq = self.seq.max(seq);
        if is_update {
            self.update();
        }
    }

    /// Sets when the last record was appended.
    pub(crate) fn touch(&mut self, seq: u64, at: Timestamp) {
        self.seq = self.seq.max(seq);
        self.updated_at = at;
    }

    /// A prompt that was accepted before, if it is remembered: everything that waits or runs, and the last 1,000.
    #[must_use]
    pub fn prompt(&self, prompt: PromptId) -> Option<PromptRecord> {
        self.prompts.get(&prompt).copied()
    }

    /// Which request a client's answer was for, and what came of it.
    #[must_use]
    pub fn answer(&self, answer: AnswerId) -> Option<&PermissionResolved> {
        self.resolved.get(self.answers.get(&answer)?)
    }

    /// What was decided on a permission request, if it is remembered.
    #[must_use]
    pub fn resolution(&self, permission: PermissionId) -> Option<&PermissionResolved> {
        self.resolved.get(&permission)
    }

    /// The session as lists show it while no worker holds it.
    #[must_use]
    pub fn snapshot(&self, id: SessionId, head: Head) -> SessionSnapshot {
        SessionSnapshot {
            id,
            state: self.state,
            why: self.why.clone(),
            head,
            turn: self.turn.as_ref().map(|t| TurnInfo { prompt: t.prompt, started_at: t.started_at }),
            queued: self.queue.iter().map(|queued| queued.prompt).collect(),
            queue_held: self.held.is_some(),
            waiting: self.waiting.clone(),
            last_turn: self.last_turn.clone(),
            agent: None,
            agent_silent_since: None,
            kept_awake: None,
            git_branch: self.git_branch.clone(),
            used: self.used.clone(),
            settings: None,
            worker: None,
            updated_at: self.updated_at,
        }
    }

    fn queued(&mut self, seq: u64, queued: &PromptQueued) {
        if self.closed.is_some() || self.prompts.get(&queued.prompt).is_some() {
            return;
        }
        self.prompts.insert(queued.prompt, PromptRecord { seq, fate: Fate::Queued });
        let waiting = QueuedPrompt {
            prompt: queued.prompt,
            content: queued.content.clone(),
            via: queued.via.clone(),
            consent: queued.consent,
            timeout_seconds: queued.timeout_seconds,
            retry_of: queued.retry_of,
            seq,
        };
        // What is run again came before those that wait.
        match waiting.retry_of {
            Some(_) => self.queue.push_front(waiting),
            None => self.queue.push_back(waiting),
        }
    }

    fn dropped(&mut self, prompt: PromptId, cause: Cause) {
        if self.unqueue(prompt).is_some() {
            self.settle(prompt, Fate::Dropped(cause));
        }
    }

    fn turn_started(&mut self, record: &Record, prompt: PromptId) {
        if let Some(lost) = self.turn.take() {
            // Its `turn_ended` is lost to corruption; a session runs one turn at a time.
            self.lose(lost);
        }
        self.used.turns += 1;
        self.cut_off = self.unqueue(prompt);
        let queued = self.cut_off.as_ref().map(|queued| queued.seq);
        let seq = queued.unwrap_or(record.seq);
        self.prompts.insert(prompt, PromptRecord { seq, fate: Fate::Running });
        self.turn = Some(RunningTurn { prompt, started_at: record.at, seq: record.seq, steered: Vec::new() });
        self.held = None;
        if self.turn_starts.len() == TURN_STARTS {
            self.turn_starts.pop_front();
        }
        self.turn_starts.push_back(queued.filter(|q| q + 1 == record.seq).unwrap_or(record.seq));
    }

    fn steered(&mut self, seq: u64, steered: &PromptSteered) {
        if self.closed.is_some() || self.prompts.get(&steered.prompt).is_some() {
            return;
        }
        self.prompts.insert(steered.prompt, PromptRecord { seq, fate: Fate::Running });
        match &mut self.turn {
            Some(turn) if turn.prompt == steered.turn => {
                turn.steered.push(steered.prompt);
                if let Some(cut_off) = &mut self.cut_off {
                    // Run again, the turn is told all that was said in it.
                    cut_off.content.extend(steered.content.iter().cloned());
                }
            }
            // The beginning of its turn is lost to corruption.
            Some(_) | None => {
                let outcome = match self.prompts.get(&steered.turn) {
                    Some(PromptRecord { fate: Fate::Ended(outcome), .. }) => *outcome,
                    _ => TurnOutcome::Unknown,
                };
                self.settle(steered.prompt, Fate::Ended(outcome));
            }
        }
    }

    /// The end of this turn is not in the journal.
    fn lose(&mut self, turn: RunningTurn) {
        for prompt in turn.steered.into_iter().chain([turn.prompt]) {
            self.settle(prompt, Fate::Ended(TurnOutcome::Unknown));
        }
    }

    fn turn_ended(&mut self, at: Timestamp, ended: &TurnEnded) {
        if ended.outcome != TurnOutcome::Interrupted {
            self.cut_off = None;
        }
        let mut over = ended.steered.clone();
        match self.turn.take() {
            Some(turn) if turn.prompt == ended.prompt => over.extend(turn.steered),
            Some(lost) => self.lose(lost),
            None => {}
        }
        for prompt in over.into_iter().chain([ended.prompt]) {
            self.unqueue(prompt);
            self.settle(prompt, Fate::Ended(ended.outcome));
        }
        self.undelivered.clear();
        self.used.end(ended.outcome, &ended.usage);
        self.last_turn = Some(TurnSummary {
            prompt: ended.prompt,
            outcome: ended.outcome,
            cause: ended.cause,
            detail: ended.detail.clone(),
            usage: ended.usage.clone(),
            ended_at: at,
        });
    }

    fn update(&mut self) {
        self.undelivered.clear();
    }

    fn asked(&mut self, at: Timestamp, asked: &PermissionRequested) {
        if self.resolved.get(&asked.permission).is_some()
            || self.waiting.iter().any(|waiting| waiting.id == asked.permission)
        {
            return;
        }
        self.waiting.push(PendingPermission {
            id: asked.permission,
            prompt: asked.prompt,
            tool_kind: asked.tool_kind.clone(),
            title: asked.title.clone(),
            options: asked.options.clone(),
            requested_at: at,
        });
    }

    fn resolved(&mut self, resolved: &PermissionResolved) {
        if resolved.resolution == Resolution::DeliveryUnknown {
            // A remark on the answer, which stays what it was.
            self.undelivered.retain(|id| *id != resolved.permission);
            return;
        }
        self.waiting.retain(|waiting| waiting.id != resolved.permission);
        if self.resolved.get(&resolved.permission).is_some() {
            return; // The first answer wins.
        }
        if let DecidedBy::Client { answer, .. } = &resolved.by {
            self.answers.insert(*answer, resolved.permission);
            self.answers.settle(*answer);
            self.undelivered.push(resolved.permission);
        }
        self.resolved.insert(resolved.permission, resolved.clone());
        self.resolved.settle(resolved.permission);
    }

    fn session_closed(&mut self, cause: Cause) {
        self.closed = Some(cause);
        self.state = SessionState::Closed;
        self.held = None;
        for queued in std::mem::take(&mut self.queue) {
            self.settle(queued.prompt, Fate::Dropped(cause));
        }
    }

    fn unqueue(&mut self, prompt: PromptId) -> Option<QueuedPrompt> {
        let at = self.queue.iter().position(|queued| queued.prompt == prompt)?;
        let queued = self.queue.remove(at);
        if self.queue.is_empty() {
            self.held = None;
        }
        queued
    }

    fn settle(&mut self, prompt: PromptId, fate: Fate) {
        let seq = self.prompts.get(&prompt).map_or(self.seq, |record| record.seq);
        self.prompts.insert(prompt, PromptRecord { seq, fate });
        self.prompts.settle(prompt);
    }
}

/// A map that forgets the oldest of its settled entries; what is not settled is kept.
#[derive(Debug, Clone)]
struct Remembered<K, V> {
    entries: HashMap<K, V>,
    settled: VecDeque<K>,
}

impl<K: Copy + Eq + std::hash::Hash, V> Remembered<K, V> {
    fn new() -> Self {
        Self { entries: HashMap::new(), settled: VecDeque::new() }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    fn insert(&mut self, key: K, value: V) {
        self.entries.insert(key, value);
    }

    /// From now on `key` may be forgotten, after those that were settled before it.
    fn settle(&mut self, key: K) {
        if self.settled.contains(&key) {
            return;
        }
        self.settled.push_back(key);
        if self.settled.len() > REMEMBERED
            && let Some(oldest) = self.settled.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}
