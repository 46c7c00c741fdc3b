//! A worker's process while it lives: the handle to it, its pipes, what it holds.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;

use jiff::Timestamp;
use skep_common::framing::LineSplitter;
use skep_common::ids::{Process, SessionId, WorkerId};
use skep_common::protocol::{Command, MAX_LINE};
use skep_common::session::Cause;
use skep_config::env::SKEP_SESSION;
use skep_sys::capture::{Capture, PumpEnd};
use skep_sys::exit::ExitCause;
use skep_sys::spawn::{Child, Signal};
use skep_sys::tree::Tree;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Input;
use super::intake::Garbage;
use super::reports::pump_stderr;
use crate::worker_file::{RUN_MARK, marked_tree};

/// Commands that wait for a worker; more are refused.
const COMMANDS: usize = 64;

/// Sessions of which a process is remembered to have held them, beside those that it holds.
const PAST_SESSIONS: usize = 1024;

/// A process and all that belongs to it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) child: Child,
    pub(super) mark: String,
    pub(super) started_at: Timestamp,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: Option<pipe::Receiver>,
    /// What is being written to stdin.
    pub(super) unwritten: VecDeque<u8>,
    pub(super) commands: Option<mpsc::Receiver<Command>>,
    pub(super) lines: LineSplitter,
    pub(super) garbage: Garbage,
    pub(super) sessions: Sessions,
    pub(super) version: Option<String>,
    pub(super) journal_stalled_ms: u64,
    pub(super) exit: Option<ExitCause>,
    /// Moves stderr into the log.
    pub(super) pump: JoinHandle<PumpEnd>,
    /// Gone when the process is: from then on the pump has little time.
    pub(super) alive: Option<oneshot::Sender<()>>,
}

/// The sessions of a process: those it holds, and those whose marks its tree may still carry.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    held: BTreeSet<SessionId>,
    past: VecDeque<SessionId>,
}

impl Live {
    pub(super) fn new(mut child: Child, mark: String, log: &Capture, tracker: &TaskTracker) -> Self {
        let (alive, gone) = oneshot::channel();
        let pump = tracker.spawn(pump_stderr(child.stderr.take(), log.clone(), gone));
        Self {
            mark,
            started_at: Timestamp::now(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            child,
            unwritten: VecDeque::new(),
            commands: None,
            lines: LineSplitter::new(MAX_LINE),
            garbage: Garbage::default(),
            sessions: Sessions::default(),
            version: None,
            journal_stalled_ms: 0,
            exit: None,
            pump,
            alive: Some(alive),
        }
    }

    pub(super) fn process(&self) -> Process {
        self.child.process.clone()
    }

    /// Opens the queue for commands; the other end is the slot for the directory.
    pub(super) fn open_commands(&mut self) -> mpsc::Sender<Command> {
        let (slot, commands) = mpsc::channel(COMMANDS);
        self.commands = Some(commands);
        slot
    }

    /// Puts a command behind what is being written and writes as much as the pipe takes.
    pub(super) fn write(&mut self, command: &Command) -> Result<(), serde_json::Error> {
        if self.stdin.is_none() {
            return Ok(());
        }
        serde_json::to_writer(&mut self.unwritten, command)?;
        self.unwritten.push_back(b'\n');
        self.write_on();
        Ok(())
    }

    pub(super) fn write_on(&mut self) {
        while let Some(stdin) = &self.stdin
            && !self.unwritten.is_empty()
        {
            match stdin.try_write(self.unwritten.as_slices().0) {
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // It closed its stdin or is gone; its exit tells the rest.
                    self.stdin = None;
                    self.unwritten.clear();
                }
            }
        }
    }

    /// The shutdown command, which carries the cause, then SIGTERM, and SIGCONT so that a stopped one can obey.
    pub(super) fn terminate(&mut self, cause: Cause, id: &WorkerId) {
        if let Err(error) = self.write(&Command::Shutdown { cause }) {
            tracing::error!(worker.name = %id, %error, "failed to write a shutdown for worker `{id}`");
        }
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            if let Err(error) = self.child.signal(signal) {
                tracing::warn!(worker.name = %id, %error, "failed to send {signal} to worker `{id}`");
            }
        }
    }

    pub(super) fn kill(&self, id: &WorkerId) {
        for result in [self.child.signal_group(Signal::SIGKILL), self.child.signal(Signal::SIGKILL)] {
            if let Err(error) = result {
                tracing::warn!(worker.name = %id, %error, "failed to kill worker `{id}`");
            }
        }
    }

    /// Everything that may be left of it.
    pub(super) fn trees(&self) -> Vec<Tree> {
        let root = &self.child.process;
        let sessions =
            self.sessions.marks().map(|id| marked_tree(root.clone(), SKEP_SESSION, &id.to_string()));
        std::iter::once(marked_tree(root.clone(), RUN_MARK, &self.mark)).chain(sessions).collect()
    }
}

impl Sessions {
    pub(super) fn held(&self) -> impl Iterator<Item = &SessionId> {
        self.held.iter()
    }

    /// Whether it ever held any.
    pub(super) fn none_ever(&self) -> bool {
        self.held.is_empty() && self.past.is_empty()
    }

    fn marks(&self) -> impl Iterator<Item = &SessionId> {
        self.held.iter().chain(&self.past)
    }

    /// True if that is new.
    pub(super) fn hold(&mut self, id: SessionId) -> bool {
        self.held.insert(id)
    }

    /// True if it was held.
    pub(super) fn release(&mut self, id: SessionId) -> bool {
        let held = self.held.remove(&id);
        if held && !self.past.contains(&id) {
            if self.past.len() == PAST_SESSIONS {
                self.past.pop_front();
            }
            self.past.push_back(id);
        }
        held
    }
}

/// What the process does next. Never anything while there is none.
pub(super) async fn input(live: Option<&mut Live>, reading: bool) -> Input {
    let Some(live) = live.filter(|live| live.exit.is_none()) else { return pending().await };
    let Live { child, stdin, stdout, unwritten, commands, .. } = live;
    let readable = async {
        match stdout {
            // An error shows when it is read.
            Some(stdout) => drop(stdout.readable().await),
            None => pending().await,
        }
    };
    let writable = async {
        match stdin {
            Some(stdin) => drop(stdin.writable().await),
            None => pending().await,
        }
    };
    let command = async {
        match commands {
            Some(commands) => commands.recv().await,
            None => pending().await,
        }
    };
    let busy = !unwritten.is_empty();
    tokio::select! {
        cause = child.exited() => Input::Exited(cause),
        () = readable, if reading => Input::Readable,
        () = writable, if busy => Input::Writable,
        command = command, if !busy => Input::Command(command.map(Box::new)),
    }
}
