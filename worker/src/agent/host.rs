//! An agent process and the sessions that it serves: one task that owns the process and reads its output.
//!
//! ```text
//!   agent ══ stdout ═▶ host ─┬─ seat ─▶ driver ─▶ session      what is said goes where the switchboard says
//!         ◀═ stdin ══════════┴── seat ◀─ driver ◀─ session     every seat writes by itself
//! ```
//!
//! A seat takes a few reads' worth of messages. While one is full nothing more is read, so an agent that floods waits for
//! the journal. Where several sessions sit, none waits for ever: a session that takes nothing for some seconds loses its
//! seat, and the others go on. The host never looks into a session's affairs; it must not know what a turn is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Serialize;
use skep_common::ids::Process;
use skep_config::env;
use skep_sys::capture::Capture;
use skep_sys::spawn::{ExitCause, SpawnError};
use skep_sys::tree::Tree;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::client::uses::Offers;
use super::connection::{CallError, Connection, Deaf};
use super::ears::Ears;
use super::launch::Launch;
use super::process::{AgentProcess, Silence, Stderr, Surroundings, framed};
use super::start::Begun;
use super::stop::Stop;
use super::switchboard::{Left, SeatId, Switchboard};
use crate::acp::message::{self, Id, METHOD_NOT_FOUND, NOT_FOUND, RpcError};
use crate::acp::peer::{Batch, Writer};

mod task;

use task::Task;

/// How many reads' worth of messages may wait in a seat.
const WAITING: usize = 4;

/// Whose process is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// One session's.
    Session,
    /// No session's more than another's: it is shared, or waits for one.
    Anybody,
}

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
    offers: Offers,
    board: Mutex<Switchboard<mpsc::Sender<Batch>>>,
    stop: watch::Sender<Stop>,
    exited: watch::Receiver<Option<ExitCause>>,
    ended: watch::Receiver<Option<Ended>>,
    /// Where its standard error is heard, if it is not one session's.
    ears: Option<Ears>,
    /// What it answered to `initialize`; asked by the first seat.
    begun: OnceCell<Begun>,
    /// It does not read what it is told.
    deaf: AtomicBool,
    /// It is ended since one of its sessions does not end in it.
    sacrificed: AtomicBool,
}

/// A handle that keeps nothing alive.
#[derive(Debug)]
pub(super) struct WeakHost(Weak<Line>);

impl WeakHost {
    /// The process, unless it has ended.
    pub(super) fn get(&self) -> Option<Host> {
        self.0.upgrade().map(Host).filter(|host| host.has_ended().is_none())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.get().is_some()
    }
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// How its first process exited.
    pub(super) cause: ExitCause,
    /// Why it was given up, unless it was told to end.
    silence: Option<Silence>,
    /// Another session did not end in it.
    sacrificed: bool,
}

impl Ended {
    /// What a call gets that waited for it.
    pub(super) fn error(self) -> CallError {
        match self.silence {
            None if self.sacrificed => CallError::Sacrificed,
            Some(Silence::Closed) => CallError::Silent,
            Some(Silence::Exited(cause)) => CallError::Ended(cause),
            None => CallError::Ended(self.cause),
        }
    }
}

impl Host {
    /// Starts the process. It ends when it is told to, by itself, or when nobody has a seat any more.
    pub(super) fn start(
        launch: &Launch,
        of: Of,
        exe: &Path,
        tracker: &TaskTracker,
    ) -> Result<Self, SpawnError> {
        let (surroundings, ears) = surroundings(launch, of);
        let (process, writer) = AgentProcess::spawn(launch, surroundings, exe, tracker)?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (exiting, exited) = watch::channel(None);
        let (ending, ended) = watch::channel(None);
        let line = Arc::new(Line {
            process: process.child.process.clone(),
            tree: process.tree.clone(),
            writer: Mutex::new(Some(writer)),
            frames: launch.frames.clone(),
            offers: launch.offers,
            board: Mutex::default(),
            stop,
            exited,
            ended,
            ears,
            begun: OnceCell::new(),
            deaf: AtomicBool::new(false),
            sacrificed: AtomicBool::new(false),
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

    /// A seat, for a session if there is one already; none once the process is to end.
    pub(super) fn join(&self, session: Option<&Launch>) -> Option<Connection> {
        let (line, inbox) = mpsc::channel(WAITING);
        let seat = self.0.board().join(line)?;
        if let Some(launch) = session {
            self.hear(seat, launch);
        }
        Some(Connection::new(self.clone(), seat, inbox))
    }

    /// The process's standard error goes into this session's log, too.
    pub(super) fn hear(&self, seat: SeatId, launch: &Launch) {
        if let Some(ears) = &self.0.ears {
            ears.add(seat, launch.stderr.clone());
        }
    }

    /// A handle that does not keep the process's line open.
    pub(super) fn weak(&self) -> WeakHost {
        WeakHost(Arc::downgrade(&self.0))
    }

    /// What the process answered to `initialize`.
    pub(super) fn begun(&self) -> &OnceCell<Begun> {
        &self.0.begun
    }

    /// Asks the switchboard, or tells it something.
    pub(super) fn board<T>(&self, ask: impl FnOnce(&mut Switchboard<mpsc::Sender<Batch>>) -> T) -> T {
        ask(&mut self.0.board())
    }

    /// Whether it does not read what it is told.
    pub(super) fn is_deaf(&self) -> bool {
        self.0.deaf.load(Ordering::Relaxed)
    }

    /// Kills the process although others sit there: one of its sessions does not end in it.
    pub(super) fn sacrifice(&self) {
        self.0.sacrificed.store(true, Ordering::Relaxed);
        self.stop(Stop::Kill);
    }

    /// Gives up a seat; the process is killed if it was the last one and nobody said how it is to end.
    pub(super) fn leave(&self, seat: SeatId) {
        if let Some(ears) = &self.0.ears {
            ears.remove(seat);
        }
        let left = self.0.board().leave(seat);
        if left == Left::Nobody {
            self.stop(Stop::Kill);
        }
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

    /// Answers a request that no session takes.
    pub(super) fn decline(&self, id: &Id, method: &str) -> Result<(), Deaf> {
        let error = if self.0.offers.has(method) {
            RpcError::new(NOT_FOUND, "no session of that name is ready")
        } else {
            self.not_offered(method)
        };
        self.respond(id, Err::<&(), _>(&error))
    }

    /// What an agent gets that asks for something which it is not offered.
    pub(super) fn not_offered(&self, method: &str) -> RpcError {
        RpcError::new(METHOD_NOT_FOUND, format!("skep does not offer `{}`", message::clip(method, 80)))
    }

    /// Answers a request of the agent's, and waits until there is room for the answer.
    pub(super) async fn answer(
        &self,
        id: &Id,
        result: Result<&impl Serialize, &RpcError>,
    ) -> Result<(), Deaf> {
        let line = message::response(id, result).map_err(|_| Deaf)?;
        self.sends(&line);
        let writer = self.0.writer().clone().ok_or(Deaf)?;
        Ok(writer.send(line).await?)
    }

    fn sends(&self, line: &[u8]) {
        if let Some(frames) = &self.0.frames {
            frames.push(&framed(b"> ", line.strip_suffix(b"\n").unwrap_or(line)));
        }
    }

    fn send(&self, line: Vec<u8>) -> Result<(), Deaf> {
        self.sends(&line);
        let sent = self.0.writer().as_ref().ok_or(Deaf)?.try_send(line);
        if sent.is_err() {
            self.0.deaf.store(true, Ordering::Relaxed);
        }
        Ok(sent?)
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

/// What the process is started with, as one session's own or as nobody's.
fn surroundings(launch: &Launch, of: Of) -> (Surroundings, Option<Ears>) {
    let common = launch.common.as_ref().filter(|_| of == Of::Anybody);
    let Some(common) = common else {
        let stderr = Stderr::Log(launch.stderr.clone());
        return (Surroundings { env: launch.env.0.clone(), mark: launch.mark.clone(), stderr }, None);
    };
    let mark = (env::SKEP_AGENT_PROCESS.to_owned(), Uuid::new_v4().to_string());
    let mut variables = common.env.0.clone();
    variables.push((mark.0.clone().into(), mark.1.clone().into()));
    // No session's mark finds it, so the worker's must, should the worker die.
    variables.extend(std::env::var_os(env::SKEP_WORKER_RUN).map(|run| (env::SKEP_WORKER_RUN.into(), run)));
    let ears = Ears::default();
    (Surroundings { env: variables, mark, stderr: Stderr::Ears(ears.clone()) }, Some(ears))
}
