//! An agent process and the sessions that it serves: one task that owns the process and reads its output.
//!
//! ```text
//!   agent ══ stdout ═▶ host ─┬─ seat ─▶ driver ─▶ session      what is said goes where the switchboard says
//!         ◀═ stdin ══════════┴── seat ◀─ driver ◀─ session     every seat writes by itself
//! ```
//!
//! A seat takes a few reads' worth of messages. While one is full nothing more is read, so an agent that floods waits for
//! the journal. Where several sessions sit, none waits for ever: a session that takes nothing for [`PATIENCE`] loses its
//! seat, and the others go on. The host never looks into a session's affairs; it must not know what a turn is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use skep_common::ids::Process;
use skep_sys::capture::Capture;
use skep_sys::spawn::{ExitCause, SpawnError};
use skep_sys::tree::{self, Tree};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::DRAIN;
use super::connection::{CallError, Connection, Deaf};
use super::launch::Launch;
use super::process::{AgentProcess, Silence, framed};
use super::stop::Stop;
use super::switchboard::{Left, Route, SeatId, Switchboard};
use super::wire;
use crate::acp::message::{self, Id, METHOD_NOT_FOUND, Message, RpcError};
use crate::acp::peer::{Batch, Writer};

/// How many reads' worth of messages may wait in a seat.
const WAITING: usize = 4;

/// How long a full seat may keep the others from being read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of a dead agent's stderr is waited for.
const STDERR_DRAIN: Duration = Duration::from_millis(500);

/// A handle on an agent process.
#[derive(Debug, Clone)]
pub(super) struct Host(Arc<Line>);

/// What the host's task and the seats share.
#[derive(Debug)]
struct Line {
    process: Process,
    tree: Tree,
    writer: Mutex<Option<Writer>>,
    frames: Option<Capture>,
    board: Mutex<Switchboard<mpsc::Sender<Batch>>>,
    stop: watch::Sender<Stop>,
    exited: watch::Receiver<Option<ExitCause>>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// How its first process exited.
    pub(super) cause: ExitCause,
    /// Why it was given up, unless it was told to end.
    silence: Option<Silence>,
}

impl Ended {
    /// What a call gets that waited for it.
    pub(super) fn error(self) -> CallError {
        match self.silence {
            Some(Silence::Closed) => CallError::Silent,
            Some(Silence::Exited(cause)) => CallError::Ended(cause),
            None => CallError::Ended(self.cause),
        }
    }
}

impl Host {
    /// Starts the process. It ends when it is told to, by itself, or when nobody has a seat any more.
    pub(super) fn start(launch: &Launch, exe: &Path, tracker: &TaskTracker) -> Result<Self, SpawnError> {
        let (process, writer) = AgentProcess::spawn(launch, exe, tracker)?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (exiting, exited) = watch::channel(None);
        let (ending, ended) = watch::channel(None);
        let line = Arc::new(Line {
            process: process.child.process.clone(),
            tree: process.tree.clone(),
            writer: Mutex::new(Some(writer)),
            frames: launch.frames.clone(),
            board: Mutex::default(),
            stop,
            exited,
            ended,
        });
        let task = Task {
            line: Arc::clone(&line),
            process,
            eof_grace: launch.eof_grace,
            stop_grace: launch.stop_grace,
            stop: stopped,
            exited: exiting,
            ended: ending,
            waiting: VecDeque::new(),
            until: None,
        };
        tracker.spawn(task.run());
        Ok(Self(line))
    }

    /// A seat for a session; none once the process is to end.
    pub(super) fn join(&self) -> Option<Connection> {
        let (line, inbox) = mpsc::channel(WAITING);
        let seat = self.0.board().join(line)?;
        Some(Connection::new(self.clone(), seat, inbox))
    }

    /// Gives up a seat; the process is killed if it was the last one and nobody said how it is to end.
    pub(super) fn leave(&self, seat: SeatId) {
        if self.0.board().leave(seat) == Left::Nobody {
            self.stop(Stop::Kill);
        }
    }

    /// Who it is.
    pub(super) fn process(&self) -> &Process {
        &self.0.process
    }

    /// Its tree.
    pub(super) fn tree(&self) -> &Tree {
        &self.0.tree
    }

    /// Names a seat's session; false if the agent gave that name to another one.
    pub(super) fn name(&self, seat: SeatId, session: &str) -> bool {
        self.0.board().name(seat, session)
    }

    /// Sends a request without waiting for room or answer; its id.
    pub(super) fn request(&self, seat: SeatId, method: &str, params: &impl Serialize) -> Result<u64, Deaf> {
        let id = self.0.board().call(seat, method);
        self.send(message::request(id, method, params).map_err(|_| Deaf)?)?;
        Ok(id)
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), Deaf> {
        self.send(message::notification(method, params).map_err(|_| Deaf)?)
    }

    /// Answers a request of the agent's.
    pub(super) fn respond(&self, id: &Id, result: Result<&impl Serialize, &RpcError>) -> Result<(), Deaf> {
        self.send(message::response(id, result).map_err(|_| Deaf)?)
    }

    /// Answers a request for something that skep does not offer.
    pub(super) fn decline(&self, id: &Id, method: &str) -> Result<(), Deaf> {
        let error =
            RpcError::new(METHOD_NOT_FOUND, format!("skep does not offer `{}`", message::clip(method, 80)));
        self.respond(id, Err::<&(), _>(&error))
    }

    fn send(&self, line: Vec<u8>) -> Result<(), Deaf> {
        if let Some(frames) = &self.0.frames {
            frames.push(&framed(b"> ", line.strip_suffix(b"\n").unwrap_or(&line)));
        }
        Ok(self.0.writer().as_ref().ok_or(Deaf)?.try_send(line)?)
    }

    /// Ends the process. A kill follows a gentle stop, never the other way round.
    pub(super) fn stop(&self, how: Stop) {
        self.0.board().close();
        self.0.stop.send_if_modified(|now| now.raise(how));
    }

    /// How it ended, if it has.
    pub(super) fn has_ended(&self) -> Option<Ended> {
        self.0.ended.borrow().clone()
    }

    /// Whether the process itself has ended, without having been told to.
    pub(super) fn has_exited(&self) -> bool {
        self.0.exited.borrow().is_some()
    }

    /// Resolves when the process itself has ended without having been told to, whatever else is left.
    pub(super) async fn exited(&self) -> ExitCause {
        let mut exited = self.0.exited.clone();
        let exited = exited.wait_for(Option::is_some).await;
        exited.ok().and_then(|exited| *exited).unwrap_or(ExitCause::Unknown)
    }

    /// Resolves when nothing of its tree is left.
    pub(super) async fn ended(&self) -> ExitCause {
        let mut ended = self.0.ended.clone();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.as_ref().map(|ended| ended.cause)).unwrap_or(ExitCause::Unknown)
    }
}

impl Line {
    fn board(&self) -> MutexGuard<'_, Switchboard<mpsc::Sender<Batch>>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that owns the process.
struct Task {
    line: Arc<Line>,
    process: AgentProcess,
    eof_grace: Duration,
    stop_grace: Duration,
    stop: watch::Receiver<Stop>,
    exited: watch::Sender<Option<ExitCause>>,
    ended: watch::Sender<Option<Ended>>,
    /// What was read for seats that had no room for it.
    waiting: VecDeque<(SeatId, Batch)>,
    /// When the first of these loses its seat.
    until: Option<Instant>,
}

impl Task {
    async fn run(mut self) {
        let silence = self.serve().await;
        self.line.board().close();
        if let Some(Silence::Exited(cause)) = silence {
            self.exited.send_replace(Some(cause));
        }
        let gently = silence.is_none() && *self.stop.borrow() == Stop::Gently;
        let cause = if gently {
            self.ladder().await
        } else {
            *self.line.writer() = None;
            self.process.sweep().await
        };
        if silence.is_some() {
            self.drain().await;
        }
        // Its writers are dead, so this is short.
        drop(timeout(STDERR_DRAIN, &mut self.process.stderr).await);
        self.ended.send_replace(Some(Ended { cause, silence }));
        // What waits in the seats is still heard; then they find out.
        let seats: Vec<SeatId> = self.line.board().seats().collect();
        for seat in seats {
            self.line.board().leave(seat);
        }
    }

    /// Serves until the process is to end (then nothing), or does not go on.
    async fn serve(&mut self) -> Option<Silence> {
        let mut stop = self.stop.clone();
        loop {
            let step = tokio::select! {
                biased;
                _ = stop.wait_for(|how| *how != Stop::No) => return None,
                step = self.step() => step,
            };
            if let Err(silence) = step {
                return Some(silence);
            }
        }
    }

    /// Hands over what waits, else reads once. Cancel-safe.
    async fn step(&mut self) -> Result<(), Silence> {
        let Some((seat, _)) = self.waiting.front() else {
            let batch = self.process.read().await?;
            self.sort(batch);
            return Ok(());
        };
        let seat = *seat;
        let (line, alone) = {
            let board = self.line.board();
            (board.line(seat).cloned(), board.is_alone(seat))
        };
        let Some(line) = line else {
            self.waiting.pop_front();
            return Ok(());
        };
        let until = *self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
        let room = if alone { Ok(line.reserve().await) } else { timeout_at(until, line.reserve()).await };
        self.until = None;
        match (room, self.waiting.pop_front()) {
            (Ok(Ok(room)), Some((_, batch))) => room.send(batch),
            (Ok(_), _) => {}
            (Err(_), _) => {
                tracing::error!(
                    agent.pid = self.line.process.pid,
                    "a session does not listen; it loses its seat"
                );
                self.line.board().leave(seat);
            }
        }
        Ok(())
    }

    /// Gives every seat what is its own.
    fn sort(&mut self, batch: Batch) {
        if batch.noise > 0 {
            tracing::debug!(lines = batch.noise, "the agent wrote lines that are no messages");
        }
        let mut parts: Vec<(SeatId, Batch)> = Vec::new();
        {
            let mut board = self.line.board();
            // A read that brought nothing whole is a sign of life, too; an oversized line could have been anybody's.
            let sole = board.seats().next().filter(|seat| board.is_alone(*seat));
            let seats: Vec<SeatId> =
                if batch.dropped.is_empty() { sole.into_iter().collect() } else { board.seats().collect() };
            for seat in seats {
                part(&mut parts, seat).dropped.clone_from(&batch.dropped);
            }
            for message in batch.messages {
                match board.route(&message) {
                    Route::To(seat) => part(&mut parts, seat).messages.push(message),
                    Route::Each(seats) => {
                        for seat in seats {
                            part(&mut parts, seat).messages.extend(again(&message));
                        }
                    }
                    Route::Nobody => self.refuse(&message),
                }
            }
        }
        for (seat, batch) in parts {
            self.hand_over(seat, batch);
        }
    }

    fn hand_over(&mut self, seat: SeatId, batch: Batch) {
        let full = self.waiting.iter().any(|(waiting, _)| *waiting == seat);
        let line = self.line.board().line(seat).cloned();
        let Some(line) = line else { return };
        match if full { Err(mpsc::error::TrySendError::Full(batch)) } else { line.try_send(batch) } {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(batch)) => self.waiting.push_back((seat, batch)),
        }
    }

    /// A request of no session's is refused.
    fn refuse(&self, message: &Message) {
        let Message::Request { id, method, .. } = message else { return };
        let host = Host(Arc::clone(&self.line));
        // An agent that does not read is noticed by whoever has something to say to it.
        let _told = if method == "session/request_permission" {
            host.respond(id, Ok(&wire::permission_answer(None)))
        } else {
            host.decline(id, method)
        };
    }

    /// Walks down the ladder (agents.md 6.2); a [`Stop::Kill`] on the way cuts it short.
    async fn ladder(&mut self) -> ExitCause {
        *self.line.writer() = None;
        let mut stop = self.stop.clone();
        let process = &mut self.process;
        let gently = async {
            if timeout(self.eof_grace, process.wait()).await.is_err() {
                tree::terminate(std::slice::from_ref(&process.tree), self.stop_grace).await;
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|how| *how == Stop::Kill) => {}
            () = gently => {}
        }
        self.process.sweep().await
    }

    /// What the agent wrote before it died; its tree is dead, so the pipe ends. It asks for nothing any more.
    async fn drain(&mut self) {
        let mut stop = self.stop.clone();
        let pid = self.line.process.pid;
        let drained = async {
            loop {
                while !self.waiting.is_empty() {
                    drop(self.step().await);
                }
                let Ok(Some(mut batch)) = self.process.reader.read().await else { return };
                batch.messages.retain(|message| !matches!(message, Message::Request { .. }));
                self.sort(batch);
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|how| *how == Stop::Kill) => {}
            drained = timeout(DRAIN, drained) => if drained.is_err() {
                tracing::warn!(agent.pid = pid, "a dead agent's output pipe stays open");
            }
        }
    }
}

/// The part of a read that is for this seat.
fn part(parts: &mut Vec<(SeatId, Batch)>, seat: SeatId) -> &mut Batch {
    let at = parts.iter().position(|(known, _)| *known == seat).unwrap_or(parts.len());
    if at == parts.len() {
        parts.push((seat, Batch::default()));
    }
    &mut parts[at].1
}

/// The same notification once more.
fn again(message: &Message) -> Option<Message> {
    match message {
        Message::Notification { method, params } => {
            Some(Message::Notification { method: method.clone(), params: params.clone() })
        }
        Message::Request { .. } | Message::Response { .. } => None,
    }
}
