//! One client's way through one session's journal, at its own pace: what it is shown next.
//!
//! Nothing is copied through the supervisor: the head's bell rings, and the file is read in blocks when the client can
//! take more. A slow client costs one block. How a step is written down is the affair of `sse` and `socket`.

use std::time::Duration;

use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, Record};
use skep_common::ids::{PromptId, SessionId};
use skep_common::session::Head;
use skep_journal::{CursorError, Line, Reader};
use skep_supervisor::engine::Engine;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stream::refusal;

/// What a stream reads at once.
const BLOCK: usize = 16 * 1024;

/// A reader that is at most so many events behind reads them at once: they were just written and lie in memory. One that
/// is further behind may have to wait for the disk, and does so on another thread.
const NEAR: u64 = 512;

/// What a follower begins with.
pub(crate) struct Begin {
    /// Where it stands in the journal.
    pub(crate) reader: Reader,
    /// The journal's bell.
    pub(crate) head: watch::Receiver<Head>,
    /// The session, and whether it is closed already.
    pub(crate) session: SessionId,
    pub(crate) closed: bool,
    /// Ends after the turn of this prompt, instead of with the session.
    pub(crate) until: Option<PromptId>,
}

/// One client that follows one session.
pub(crate) struct Follower {
    reader: Option<Reader>,
    head: watch::Receiver<Head>,
    epoch: Option<u64>,
    heartbeat: Duration,
    stop: CancellationToken,
    session: SessionId,
    engine: Engine,
    until: Option<PromptId>,
    /// The session has been closed, or its last event was seen: the stream may be complete.
    closing: bool,
    done: Option<Step>,
}

/// What is shown next.
#[derive(Debug)]
pub(crate) enum Step {
    /// The writer's epoch, at the start and when it changes.
    Epoch(u64),
    /// Events.
    Lines(Vec<Line>),
    /// Nothing has happened for a while.
    Beat,
    /// The next events are gone: the last step.
    Failed(ApiError),
    /// Everything was shown, and nothing will follow: the last step.
    Complete,
    /// The daemon stops: the last step.
    Stopping,
}

impl Follower {
    /// A client at its beginning.
    pub(crate) fn new(begin: Begin, engine: Engine, heartbeat: Duration, stop: CancellationToken) -> Self {
        Self {
            reader: Some(begin.reader),
            head: begin.head,
            epoch: None,
            heartbeat,
            stop,
            session: begin.session,
            engine,
            until: begin.until,
            closing: begin.closed,
            done: None,
        }
    }

    /// What is shown next; waits until there is something. Not cancel-safe: a call must be waited for.
    pub(crate) async fn next(&mut self) -> Step {
        if let Some(last) = self.done.take() {
            return last;
        }
        let silent_until = Instant::now() + self.heartbeat;
        let mut changes = self.engine.changes();
        loop {
            let head = *self.head.borrow_and_update();
            if self.epoch != Some(head.epoch) {
                self.epoch = Some(head.epoch);
                return Step::Epoch(head.epoch);
            }
            match self.read(head).await {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Step::Lines(self.look_at(lines)),
                Err(error) => return Step::Failed(refusal(&error)),
            }
            if self.closing && self.is_complete(head).await {
                return Step::Complete;
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return self.bereft().await },
                changed = changes.changed(), if self.closing => if changed.is_err() { return self.bereft().await },
                () = tokio::time::sleep_until(silent_until) => return Step::Beat,
                () = self.stop.cancelled() => return Step::Stopping,
            }
        }
    }

    async fn read(&mut self, head: Head) -> Result<Vec<Line>, CursorError> {
        let Some(mut reader) = self.reader.take() else { return Ok(Vec::new()) };
        if head.seq.saturating_sub(reader.position()) <= NEAR {
            let read = reader.read(head, BLOCK);
            self.reader = Some(reader);
            return read;
        }
        let read = tokio::task::spawn_blocking(move || (reader.read(head, BLOCK), reader)).await;
        let (read, reader) = read.map_err(|error| CursorError::Io(std::io::Error::other(error)))?;
        self.reader = Some(reader);
        read
    }

    /// Notices the end of what is followed; what comes after it is not shown.
    fn look_at(&mut self, mut lines: Vec<Line>) -> Vec<Line> {
        self.closing |= lines.iter().any(|line| kind(line) == "session_closed");
        if let Some(prompt) = self.until
            && let Some(end) = lines.iter().position(|line| ends(line, prompt))
        {
            lines.truncate(end + 1);
            self.done = Some(Step::Complete);
        }
        lines
    }

    /// Whether the session is closed for good and all of it was sent.
    async fn is_complete(&self, head: Head) -> bool {
        match self.engine.session(&self.session.to_string()).await {
            Ok(info) => info.state.is_closed() && info.worker.is_none() && info.head.seq <= head.seq,
            Err(error) => error.code == Code::SessionNotFound,
        }
    }

    /// Why nobody tells of the session any more: it is gone, or the daemon stops and its next one goes on.
    async fn bereft(&self) -> Step {
        match self.engine.session(&self.session.to_string()).await {
            Err(error) if error.code == Code::SessionNotFound => Step::Complete,
            Ok(info) if info.state.is_closed() => Step::Complete,
            Ok(_) | Err(_) => Step::Stopping,
        }
    }
}

/// The kind of a line's event.
pub(crate) fn kind(line: &Line) -> &str {
    match line {
        Line::Record(record) => record.kind(),
        Line::Corrupt { .. } => "corrupt",
    }
}

/// Whether nothing of this prompt comes after this line.
fn ends(line: &Line, prompt: PromptId) -> bool {
    if !matches!(kind(line), "turn_ended" | "prompt_dropped") {
        return false;
    }
    let Line::Record(record) = line else { return false };
    match record.decode() {
        Ok(Record { event: Event::TurnEnded(ended), .. }) => ended.ends(prompt),
        Ok(Record { event: Event::PromptDropped(dropped), .. }) => dropped.prompt == prompt,
        _ => false,
    }
}
