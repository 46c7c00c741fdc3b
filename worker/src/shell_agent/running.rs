//! One command while it runs: its shell, its output, its processes.
//!
//! ```text
//! start → output … → the shell ends → what is left in the pipe → Exited
//!            └ kill: the whole tree, however it forked ┘
//! ```
//!
//! stdout and stderr of the command are one pipe, so their order is the command's. The shell's exit ends the command,
//! even if a background job holds the pipe. The tree is held together by group, parents and the mark `SKEP_COMMAND`.

use std::ffi::OsString;
use std::future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_common::ids::Process;
use skep_config::env;
use skep_sys::spawn::{Child, ExitCause, SpawnError, SpawnSpec, Stdio3, spawn};
use skep_sys::tree::{self, Tree};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout};

use super::script;
use super::snapshot::{Incoming, Snapshot};
use super::state::Variables;
use super::text::Decoder;

/// How much one read takes, which is also what a pipe holds.
const READ: usize = 64 * 1024;

/// After the shell's exit: silence that ends the command although somebody still holds its pipe.
const QUIET: Duration = Duration::from_millis(100);

/// After the shell's exit: how long output of background jobs is still taken for the command's (promise 12).
const DRAIN: Duration = Duration::from_secs(2);

/// From SIGTERM to SIGKILL of a cancelled command.
const GRACE: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// The shell.
    pub(super) shell: &'a Path,
    /// The snapshot helper and its first arguments.
    pub(super) helper: &'a [OsString],
    /// The pipe into which the helper writes; it does not exist yet.
    pub(super) snapshot: PathBuf,
    /// The command line.
    pub(super) command: &'a str,
    /// The directory; it must exist.
    pub(super) cwd: &'a Path,
    /// The variables, without the mark.
    pub(super) variables: Variables,
}

/// A command that could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// No pipe for what it leaves behind.
    #[error("no pipe for the shell's state: {0}")]
    State(#[source] io::Error),
    /// No pipe for its output.
    #[error("no pipe for the command's output: {0}")]
    Pipe(#[source] io::Error),
    /// Its shell did not start.
    #[error(transparent)]
    Shell(#[from] SpawnError),
}

/// What a running command does next.
#[derive(Debug)]
pub(super) enum Event {
    /// It wrote something.
    Output(String),
    /// It is over and its output is read.
    Exited(ExitCause),
}

/// What is left of a command that ended by itself.
#[derive(Debug)]
pub(super) struct Finished {
    /// The shell's state, if it wrote one.
    pub(super) snapshot: Option<Snapshot>,
    /// The pipe, if a background job holds it still.
    pub(super) held: Option<pipe::Receiver>,
}

/// Reads what background jobs write after their command's end, and drops it: a closed pipe would kill them.
pub(super) async fn discard(mut held: pipe::Receiver) {
    let mut buffer = [0; 4096];
    while matches!(held.read(&mut buffer).await, Ok(1..)) {}
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    mark: String,
    incoming: Incoming,
    /// None once it is at its end.
    output: Option<pipe::Receiver>,
    buffer: Box<[u8]>,
    decoder: Decoder,
    exit: Option<Exit>,
}

#[derive(Debug)]
struct Exit {
    cause: ExitCause,
    at: Instant,
    /// How much was read since. What the shell wrote before its end fits into the pipe, and is never cut off.
    drained: usize,
}

impl Running {
    /// Starts it.
    pub(super) fn start(job: Job<'_>) -> Result<Self, StartError> {
        let (output, input) = io::pipe().map_err(StartError::Pipe)?;
        let input = OwnedFd::from(input);
        let second = input.try_clone().map_err(StartError::Pipe)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(StartError::Pipe)?;
        let incoming = Incoming::new(job.snapshot.clone()).map_err(StartError::State)?;
        let mark = uuid::Uuid::new_v4().to_string();
        let mut variables = job.variables;
        variables.insert(OsString::from(env::SKEP_COMMAND), OsString::from(&mark));
        variables.insert(OsString::from("PWD"), job.cwd.as_os_str().to_owned());
        let child = spawn(SpawnSpec {
            program: job.shell.to_owned(),
            args: script::arguments(job.shell, job.helper, &job.snapshot, job.command),
            cwd: job.cwd.to_owned(),
            env: variables.into_iter().collect(),
            stdin: Stdio3::Null,
            stdout: Stdio3::Fd(input),
            stderr: Stdio3::Fd(second),
            new_group: true,
        })?;
        Ok(Self {
            child,
            mark,
            incoming,
            output: Some(output),
            buffer: vec![0; READ].into_boxed_slice(),
            decoder: Decoder::default(),
            exit: None,
        })
    }

    /// All processes of it.
    pub(super) fn tree(&self) -> Tree {
        tree_of(&self.child.process, &self.mark)
    }

    /// Waits for what it does next. Cancel-safe: a dropped call loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let read = match &mut self.exit {
                None => {
                    let read = async {
                        match &mut self.output {
                            Some(output) => output.read(&mut self.buffer).await,
                            None => future::pending().await,
                        }
                    };
                    tokio::select! {
                        read = read => Some(read),
                        () = self.incoming.read() => continue,
                        cause = self.child.exited() => {
                            self.exit = Some(Exit { cause, at: Instant::now(), drained: 0 });
                            continue;
                        }
                    }
                }
                Some(exit) => match &mut self.output {
                    Some(output) if exit.drained < READ || exit.at.elapsed() < DRAIN => {
                        timeout(QUIET, output.read(&mut self.buffer)).await.ok()
                    }
                    Some(_) | None => None,
                },
            };
            match (read, &mut self.exit) {
                (Some(Ok(count)), exit) if count > 0 => {
                    if let Some(exit) = exit {
                        exit.drained += count;
                    }
                    let text = self.decoder.push(&self.buffer[..count]);
                    if !text.is_empty() {
                        return Event::Output(text);
                    }
                }
                (Some(_), _) => self.output = None,
                (None, Some(exit)) => {
                    let cause = exit.cause;
                    return self.decoder.finish().map_or(Event::Exited(cause), Event::Output);
                }
                (None, None) => {}
            }
        }
    }

    /// After [`Event::Exited`]: reaps the shell.
    pub(super) fn finish(self) -> Finished {
        self.child.reap();
        Finished { snapshot: self.incoming.finish(), held: self.output }
    }

    /// Ends all processes of it: with a grace to end by themselves when it was cancelled, at once when the agent ends.
    pub(super) async fn kill(self, haste: Haste) {
        let trees = [self.tree()];
        let report = match haste {
            Haste::Grace => tree::terminate(&trees, GRACE).await,
            Haste::Now => tree::kill(&trees).await,
        };
        self.child.reap();
        if !report.is_empty() {
            tracing::warn!(survivors = report.survivors.len(), "processes of a cancelled command are left");
        }
    }
}

/// How a command is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    Grace,
    Now,
}

fn tree_of(leader: &Process, mark: &str) -> Tree {
    Tree { root: leader.clone(), mark: Some((env::SKEP_COMMAND.to_owned(), mark.to_owned())) }
}
