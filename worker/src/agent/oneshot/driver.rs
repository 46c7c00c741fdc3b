//! The one-shot driver: one task for each prompt, which asks where the command needs consent, runs it, reads it, and
//! ends its whole tree.
//!
//! ```text
//!   consent? ─▶ spawn ─▶ read … ─▶ exit, cancel or stop ─▶ nothing left ─▶ finished
//!      └── denied, cancelled ──────────────────────────────────────────────▲
//! ```
//!
//! The session hears the same as from an ACP agent. The output is read only while the session has room for it; the
//! last event says how the run ended and that nothing of it is left.

use std::path::{Path, PathBuf};

use skep_common::session::content::Takes;
use skep_sys::capture::pump;
use skep_sys::spawn::{Child, ExitCause, SpawnError};
use skep_sys::tree::{self, Tree};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::ending::Finished;
use super::plan::{ALLOW, Plan};
use super::reading::{Heard, Reading};
use crate::acp::message::Id;
use crate::agent::DRAIN;
use crate::agent::acp::{Agent, FromAgent, Gone, Said, Started, Stop, ToAgent};
use crate::agent::launch::Launch;
use crate::agent::piped::Piped;
use crate::agent::stderr;

/// How much is read at once.
const READ_SIZE: usize = 64 * 1024;

/// How much a dead command can have left in its output pipe.
const LEFT: usize = 4 << 20;

/// The only question that this driver asks.
const QUESTION: u64 = 1;

/// A command for a prompt.
#[derive(Debug)]
pub(crate) struct Run {
    /// Program, directory, environment, logs.
    pub(crate) launch: Launch,
    /// What the command is.
    pub(crate) plan: Plan,
    /// The agent's title.
    pub(crate) title: String,
}

impl Run {
    /// Starts it. It ends by itself, when it is told to stop, or when the handle is dropped.
    pub(crate) fn start(self, exe: PathBuf, tracker: &TaskTracker) -> Agent {
        let (agent, inbox, outbox, stop) = Agent::channels();
        let driver = Driver { run: self, inbox, outbox, stop, started: None };
        let spawner = tracker.clone();
        tracker.spawn(async move { driver.drive(&exe, &spawner).await });
        agent
    }
}

#[derive(Debug)]
struct Driver {
    run: Run,
    inbox: mpsc::Receiver<ToAgent>,
    outbox: mpsc::Sender<FromAgent>,
    stop: watch::Receiver<Stop>,
    /// The session id with which the start was told.
    started: Option<String>,
}

/// The answer to the question.
enum Consent {
    Given,
    Denied,
    Stopped,
}

/// Why reading came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Exited,
    Stopped,
}

impl Driver {
    async fn drive(mut self, exe: &Path, tracker: &TaskTracker) {
        let consent = self.consent().await;
        if !matches!(consent, Consent::Given) {
            return self.finished(Finished::unstarted(matches!(consent, Consent::Stopped))).await;
        }
        let mut command = match Command::spawn(&self.run, exe, tracker) {
            Ok(command) => command,
            Err(error) => {
                let why = format!("agent `{}` could not be started: {error}", self.run.launch.agent);
                self.close_logs();
                return self
                    .say(FromAgent::Gone(Gone { status: None, told: false, ready: false, why }))
                    .await;
            }
        };
        let mut reading = Reading::new(self.run.plan.output, self.run.plan.resumed.clone());
        if self.run.plan.resumed.is_some() || self.run.plan.output == skep_config::Output::Text {
            self.tell_start(&command, self.run.plan.resumed.clone().unwrap_or_default()).await;
        }
        let end = self.read(&mut command, &mut reading).await;
        let status = self.sweep(&mut command, end).await;
        self.drain(&mut command, &mut reading).await;
        if self.started.is_none() {
            self.tell_start(&command, String::new()).await;
        }
        let stderr = command.stderr(&self.run.launch).await;
        drop(command);
        let stopped = end == End::Stopped;
        let Reading { failure, limit, .. } = reading;
        self.finished(Finished { status: Some(status), stopped, failure, limit, stderr }).await;
    }

    /// Asks whether the command may run, where nothing else keeps it to the session's mode.
    async fn consent(&mut self) -> Consent {
        if !self.run.plan.asks {
            return Consent::Given;
        }
        let program = self.run.launch.argv.first().map(|program| program.to_string_lossy().into_owned());
        let Some(request) = self.run.plan.question(&program.unwrap_or_default()) else {
            return Consent::Denied;
        };
        self.say(FromAgent::Said(vec![Said::Permission { id: Id::from(QUESTION), request }])).await;
        let mut stop = self.stop.clone();
        loop {
            let command = tokio::select! {
                biased;
                () = Stop::told(&mut stop) => return Consent::Stopped,
                command = self.inbox.recv() => command,
            };
            match command {
                Some(ToAgent::Permission { id, option }) if id.number() == Some(QUESTION) => {
                    return if option.as_deref() == Some(ALLOW) { Consent::Given } else { Consent::Denied };
                }
                Some(ToAgent::Cancel) | None => return Consent::Stopped,
                Some(
                    ToAgent::Prompt(_)
                    | ToAgent::Steer(..)
                    | ToAgent::Permission { .. }
                    | ToAgent::TakenBack(_)
                    | ToAgent::Set(_)
                    | ToAgent::Use { .. },
                ) => {}
            }
        }
    }

    /// Reads until the command has exited or is to stop.
    async fn read(&mut self, command: &mut Command, reading: &mut Reading) -> End {
        let mut buffer = vec![0; READ_SIZE];
        let mut open = true;
        loop {
            let outbox = self.outbox.clone();
            let read = async {
                // No room, no read: a command that floods waits for the journal.
                let room = outbox.reserve().await.ok()?;
                let count = command.stdout.read(&mut buffer).await.unwrap_or(0);
                Some((room, count))
            };
            let (room, count) = tokio::select! {
                biased;
                () = Stop::told(&mut self.stop) => return End::Stopped,
                order = self.inbox.recv() => match order {
                    Some(
                        ToAgent::Prompt(_)
                        | ToAgent::Steer(..)
                        | ToAgent::Permission { .. }
                        | ToAgent::TakenBack(_)
                        | ToAgent::Set(_)
                        | ToAgent::Use { .. },
                    ) => continue,
                    Some(ToAgent::Cancel) | None => return End::Stopped,
                },
                _ = command.child.exited() => return End::Exited,
                read = read, if open => match read {
                    Some(read) => read,
                    None => return End::Stopped,
                },
            };
            if count == 0 {
                // Its descendants or itself may go on without an output.
                open = false;
                continue;
            }
            drop(room);
            let heard = reading.push(&buffer[..count]);
            command.keep(&buffer[..count]);
            self.tell(command, heard).await;
        }
    }

    /// Ends the tree: a command that was stopped gets time for it, what a command left behind does not.
    async fn sweep(&mut self, command: &mut Command, end: End) -> ExitCause {
        let trees = std::slice::from_ref(&command.tree);
        if end == End::Stopped {
            let mut stop = self.stop.clone();
            tokio::select! {
                biased;
                _ = stop.wait_for(|how| *how == Stop::Kill) => {}
                _ = tree::terminate(trees, self.run.launch.stop_grace) => {}
            }
        }
        tree::kill(trees).await;
        timeout(DRAIN, command.child.exited()).await.unwrap_or(ExitCause::Unknown)
    }

    /// What the command wrote before it ended; its tree is gone, so the pipe ends.
    async fn drain(&mut self, command: &mut Command, reading: &mut Reading) {
        let mut buffer = vec![0; READ_SIZE];
        let mut left = LEFT;
        loop {
            match timeout(DRAIN, command.stdout.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) if left >= count => {
                    left -= count;
                    command.keep(&buffer[..count]);
                    let heard = reading.push(&buffer[..count]);
                    self.tell(command, heard).await;
                }
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(_)) | Err(_) => {
                    tracing::warn!(agent.name = %self.run.launch.agent, "a dead command's output pipe stays open");
                    break;
                }
            }
        }
        let heard = reading.finish();
        self.tell(command, heard).await;
    }

    /// Tells the session what was heard, after the start. An id that comes later is told as another start.
    async fn tell(&mut self, command: &Command, heard: Vec<Heard>) {
        let mut said = Vec::with_capacity(heard.len());
        for heard in heard {
            match heard {
                Heard::Session(id) => {
                    self.say_all(&mut said).await;
                    self.tell_start(command, id).await;
                }
                Heard::Update(update) => said.push(Said::Update(update)),
                Heard::Note(text) => said.push(Said::Note(text)),
            }
            if self.started.is_none() {
                self.tell_start(command, String::new()).await;
            }
        }
        self.say_all(&mut said).await;
    }

    async fn say_all(&self, said: &mut Vec<Said>) {
        if !said.is_empty() {
            self.say(FromAgent::Said(std::mem::take(said))).await;
        }
    }

    async fn tell_start(&mut self, command: &Command, agent_session: String) {
        self.started = Some(agent_session.clone());
        let context = if self.run.plan.resumed.is_some() { "resumed" } else { "new" };
        let started = Started {
            title: self.run.title.clone(),
            tree: command.tree.clone(),
            agent_session,
            context,
            takes: Takes::default(),
            notes: self.run.launch.mcp.unused().into_iter().collect(),
            offer: None,
            returns: false,
        };
        self.say(FromAgent::Started(started)).await;
    }

    async fn finished(&self, finished: Finished) {
        self.close_logs();
        self.say(FromAgent::Finished(finished)).await;
    }

    fn close_logs(&self) {
        self.run.launch.stderr.finish();
        if let Some(frames) = &self.run.launch.frames {
            frames.finish();
        }
    }

    /// A session that listens no more has dropped its handle; there is nobody to tell.
    async fn say(&self, event: FromAgent) {
        drop(self.outbox.send(event).await);
    }
}

/// The running command. Dropping it kills its group as a backstop.
#[derive(Debug)]
struct Command {
    child: Child,
    tree: Tree,
    stdout: pipe::Receiver,
    stderr: JoinHandle<skep_sys::capture::PumpEnd>,
    frames: Option<skep_sys::capture::Capture>,
    /// Ends what still waits for its pipes.
    _over: DropGuard,
}

impl Command {
    /// Starts the command through our own binary's shim, and feeds it the prompt where that is piped in.
    fn spawn(run: &Run, exe: &Path, tracker: &TaskTracker) -> Result<Self, SpawnError> {
        let launch = &run.launch;
        let (argv, cwd, env) = (launch.argv.clone(), launch.cwd.clone(), launch.env.0.clone());
        let Piped { child, stdin, stdout, stderr } =
            Piped::spawn(exe, argv, cwd, env, run.plan.stdin.is_some())?;
        let over = CancellationToken::new();
        let ended = over.clone().cancelled_owned();
        let stderr = tracker.spawn(pump(stderr, launch.stderr.clone(), ended, DRAIN));
        if let (Some(mut stdin), Some(prompt)) = (stdin, run.plan.stdin.clone()) {
            let over = over.clone();
            // A command that does not read its input is as good as any.
            tracker.spawn(async move {
                over.run_until_cancelled(async { drop(stdin.write_all(prompt.as_bytes()).await) }).await;
            });
        }
        let tree = Tree { root: child.process.clone(), mark: Some(launch.mark.clone()) };
        Ok(Self { child, tree, stdout, stderr, frames: launch.frames.clone(), _over: over.drop_guard() })
    }

    /// Keeps raw output, with `--debug`.
    fn keep(&self, bytes: &[u8]) {
        if let Some(frames) = &self.frames {
            frames.push(bytes);
        }
    }

    /// The last line of its standard error; its writers are dead, so this is short.
    async fn stderr(&mut self, launch: &Launch) -> Option<String> {
        stderr::drained(&mut self.stderr).await;
        stderr::last_line(&launch.stderr)
    }
}
