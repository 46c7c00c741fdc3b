//! The task that owns an agent's process: reads it, gives every seat its own, ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use skep_sys::spawn::ExitCause;
use skep_sys::tree;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Ended, Host, Line};
use crate::acp::message::Message;
use crate::acp::peer::Batch;
use crate::agent::DRAIN;
use crate::agent::process::{AgentProcess, Silence};
use crate::agent::stderr;
use crate::agent::stop::Stop;
use crate::agent::switchboard::{Route, SeatId};
use crate::agent::wire;

/// How long a full seat may keep the others from being read.
const PATIENCE: Duration = Duration::from_secs(5);

/// The task that owns the process.
pub(super) struct Task {
    pub(super) line: Arc<Line>,
    pub(super) process: AgentProcess,
    pub(super) eof_grace: Duration,
    pub(super) stop_grace: Duration,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) exited: watch::Sender<Option<ExitCause>>,
    pub(super) ended: watch::Sender<Option<Ended>>,
    /// What was read for seats that had no room for it.
    pub(super) waiting: VecDeque<(SeatId, Batch)>,
    /// When the first of these loses its seat.
    pub(super) until: Option<Instant>,
}

impl Task {
    /// Serves the process to its end, and tells how that was.
    pub(super) async fn run(mut self) {
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
        stderr::drained(&mut self.process.stderr).await;
        let sacrificed = self.line.sacrificed.load(Ordering::Relaxed);
        self.ended.send_replace(Some(Ended { cause, silence, sacrificed }));
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
