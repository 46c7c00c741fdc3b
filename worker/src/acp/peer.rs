//! One end of a JSON-RPC connection over a pair of pipes: a reader, a writer, and the calls that wait.
//!
//! The reader hands over messages in the order in which they came, answers included, so that an answer is never
//! seen before the updates that preceded it. It owns at most one unfinished line ([`MAX_FRAME`]); it reads only when
//! it is asked to, so a busy owner pushes back on the peer. Noise is counted, never answered. Nothing here spawns: the
//! writer's loop is a future for its owner's task tracker.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;
use skep_common::framing::{Frame, LineSplitter};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::message::{self, Id, Message, RpcError};

/// The longest line that is read, in bytes; a longer one is dropped.
pub const MAX_FRAME: usize = 64 * 1024 * 1024;

/// How much one read takes.
const READ_SIZE: usize = 64 * 1024;

/// How many lines may wait for the peer to read them.
const OUTGOING: usize = 64;

/// How many bytes of lines may wait: a cancelled flood must not have megabytes on their way.
const OUTGOING_BYTES: usize = 256 * 1024;

/// Sees every raw line before it is interpreted.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// The reading half.
pub struct Reader<R> {
    inner: R,
    splitter: LineSplitter,
    buffer: Box<[u8]>,
    tap: Option<Tap>,
    ended: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What one read brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// How many lines were no messages.
    pub noise: u64,
    /// The lengths of the lines that were over [`MAX_FRAME`] and dropped.
    pub dropped: Vec<usize>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads messages from `inner`.
    pub fn new(inner: R) -> Self {
        Self::with_limit(inner, MAX_FRAME)
    }

    /// The same with another limit on a line's length.
    pub fn with_limit(inner: R, limit: usize) -> Self {
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Self { inner, splitter: LineSplitter::new(limit), buffer, tap: None, ended: false }
    }

    /// Shows every raw line to `tap` first.
    #[must_use]
    pub fn with_tap(self, tap: Tap) -> Self {
        Self { tap: Some(tap), ..self }
    }

    /// Reads once and returns what that completed (perhaps nothing yet); `None` at the end of the stream.
    ///
    /// Cancel-safe: a dropped call loses no byte.
    ///
    /// # Errors
    ///
    /// When the pipe cannot be read.
    pub async fn read(&mut self) -> io::Result<Option<Batch>> {
        if self.ended {
            return Ok(None);
        }
        let count = self.inner.read(&mut self.buffer).await?;
        let mut batch = Batch::default();
        if count == 0 {
            self.ended = true;
            if let Some(last) = self.splitter.finish() {
                take(&mut batch, self.tap.as_mut(), Frame::Line(&last));
                return Ok(Some(batch));
            }
            return Ok(None);
        }
        let tap = &mut self.tap;
        self.splitter.push(&self.buffer[..count], |frame| take(&mut batch, tap.as_mut(), frame));
        Ok(Some(batch))
    }
}

fn take(batch: &mut Batch, tap: Option<&mut Tap>, frame: Frame<'_>) {
    match frame {
        Frame::TooLong(length) => batch.dropped.push(length),
        Frame::Line(line) => {
            if let Some(tap) = tap {
                tap(line);
            }
            match message::parse(line) {
                Ok(message) => batch.messages.push(message),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) => batch.noise += 1,
            }
        }
    }
}

/// The writing half: a cloneable handle on the writer's loop.
#[derive(Debug, Clone)]
pub struct Writer {
    lines: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
}

/// A line that waits, and the room that it takes until it is written; none where it was not waited for.
#[derive(Debug)]
struct Outgoing {
    line: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

/// The peer reads no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer has closed the connection")]
pub struct Closed;

/// A writer onto `inner`, and the loop that performs its writes. The loop ends when every handle is dropped (then
/// `inner` is flushed and dropped, which the peer sees as end of file) or when a write fails.
pub fn writer<W: AsyncWrite + Unpin>(inner: W) -> (Writer, impl Future<Output = io::Result<()>>) {
    let (lines, queue) = mpsc::channel(OUTGOING);
    let room = Arc::new(Semaphore::new(OUTGOING_BYTES));
    (Writer { lines, room }, write_all(inner, queue))
}

async fn write_all<W: AsyncWrite + Unpin>(
    mut inner: W,
    mut queue: mpsc::Receiver<Outgoing>,
) -> io::Result<()> {
    while let Some(first) = queue.recv().await {
        let (mut chunk, mut rooms) = (first.line, vec![first.room]);
        while chunk.len() < OUTGOING_BYTES {
            match queue.try_recv() {
                Ok(next) => {
                    chunk.extend_from_slice(&next.line);
                    rooms.push(next.room);
                }
                Err(_) => break,
            }
        }
        inner.write_all(&chunk).await?;
        inner.flush().await?;
        drop(rooms);
    }
    Ok(())
}

impl Writer {
    /// Sends a line that a function of [`message`] made; waits while the peer does not read.
    ///
    /// # Errors
    ///
    /// When the writer's loop has ended.
    pub async fn send(&self, line: Vec<u8>) -> Result<(), Closed> {
        let size = u32::try_from(line.len().min(OUTGOING_BYTES)).map_err(|_| Closed)?;
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| Closed)?;
        self.lines.send(Outgoing { line, room: Some(room) }).await.map_err(|_| Closed)
    }

    /// Sends a line if there is room for it at once.
    ///
    /// # Errors
    ///
    /// When there is no room, or the writer's loop has ended.
    pub fn try_send(&self, line: Vec<u8>) -> Result<(), Closed> {
        self.lines.try_send(Outgoing { line, room: None }).map_err(|_| Closed)
    }

    /// Sends a notification.
    ///
    /// # Errors
    ///
    /// When the writer's loop has ended, or the parameters cannot be written as JSON.
    pub async fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), Closed> {
        self.send(message::notification(method, params).map_err(|_| Closed)?).await
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// When the writer's loop has ended, or the result cannot be written as JSON.
    pub async fn respond(&self, id: &Id, result: Result<&impl Serialize, &RpcError>) -> Result<(), Closed> {
        self.send(message::response(id, result).map_err(|_| Closed)?).await
    }
}

/// Our requests that wait for their answers, for owners that await them (the driver follows the stream instead).
#[derive(Debug, Clone, Default)]
pub struct Calls {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
}

/// The answer to a request.
pub type Answer = Result<Box<RawValue>, RpcError>;

impl Calls {
    /// Registers a call: its id, and where its answer will arrive. The receiver fails when the calls are cleared.
    #[must_use]
    pub fn register(&self) -> (u64, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.calls.retain(|_, call| !call.is_closed());
        waiting.last += 1;
        let id = waiting.last;
        waiting.calls.insert(id, sender);
        (id, receiver)
    }

    /// Hands an answer to its call; false if none waits under this id (an unknown id, a double answer).
    pub fn resolve(&self, id: &Id, answer: Answer) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let call = id.number().and_then(|number| waiting.calls.remove(&number));
        call.is_some_and(|call| call.send(answer).is_ok())
    }

    /// Drops every call that waits: the peer is gone.
    pub fn clear(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).calls.clear();
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// When the peer answers with an error, or is gone (code [`message::INTERNAL_ERROR`]).
    pub async fn call(&self, writer: &Writer, method: &str, params: &impl Serialize) -> Answer {
        let gone = |_| RpcError::new(message::INTERNAL_ERROR, "the peer is gone");
        let (id, answer) = self.register();
        let line = message::request(id, method, params)
            .map_err(|error| RpcError::new(message::INVALID_PARAMS, error.to_string()))?;
        writer
            .send(line)
            .await
            .map_err(|closed| RpcError::new(message::INTERNAL_ERROR, closed.to_string()))?;
        answer.await.map_err(gone)?
    }
}

#[cfg(test)]
mod tests;
