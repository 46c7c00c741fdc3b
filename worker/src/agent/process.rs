//! An agent's process and its pipes, just started.

use std::ffi::OsString;
use std::path::Path;

use skep_sys::capture::{Capture, pump};
use skep_sys::spawn::{Child, ExitCause, SpawnError};
use skep_sys::tree::{self, Tree};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::DRAIN;
use super::ears::Ears;
use super::launch::Launch;
use super::piped::{Piped, missing};
use crate::acp::peer::{Batch, Reader, Writer, writer};

/// An agent's process. Whoever has it ends it by [`Self::sweep`], which kills the whole tree before the child is
/// reaped; dropping it kills the group as a backstop.
#[derive(Debug)]
pub(super) struct AgentProcess {
    pub(super) child: Child,
    pub(super) tree: Tree,
    pub(super) reader: Reader<pipe::Receiver>,
    /// Ends when stderr is drained.
    pub(super) stderr: JoinHandle<()>,
    _write_loop: DropGuard,
}

/// What a process is started with beside its command.
pub(super) struct Surroundings {
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) mark: (String, String),
    pub(super) stderr: Stderr,
}

/// Where a process's standard error goes.
pub(super) enum Stderr {
    /// Into one session's log.
    Log(Capture),
    /// Into the logs of all sessions that it serves.
    Ears(Ears),
}

/// Why nothing comes from an agent any more.
#[derive(Debug, Clone)]
pub(super) enum Silence {
    /// It ended.
    Exited(ExitCause),
    /// It closed its output and went on running.
    Closed,
}

impl AgentProcess {
    /// Starts the agent through our own binary's shim, so that it has a session of its own.
    pub(super) fn spawn(
        launch: &Launch,
        surroundings: Surroundings,
        exe: &Path,
        tracker: &TaskTracker,
    ) -> Result<(Self, Writer), SpawnError> {
        let (argv, cwd) = (launch.argv.clone(), launch.cwd.clone());
        let Piped { child, stdin, stdout, stderr } = Piped::spawn(exe, argv, cwd, surroundings.env, true)?;
        let stdin = stdin.ok_or_else(|| missing(exe))?;
        let stop = CancellationToken::new();
        let over = stop.clone();
        let stderr = match surroundings.stderr {
            Stderr::Log(log) => tracker.spawn(async move {
                pump(stderr, log, over.cancelled_owned(), DRAIN).await;
            }),
            Stderr::Ears(ears) => tracker.spawn(ears.pump(stderr, over, DRAIN)),
        };
        let (writer, write_loop) = writer(stdin);
        let stopped = stop.clone();
        tracker.spawn(async move { stopped.run_until_cancelled(write_loop).await });
        let mut reader = Reader::new(stdout);
        if let Some(frames) = launch.frames.clone() {
            reader = reader.with_tap(Box::new(move |line| frames.push(&framed(b"< ", line))));
        }
        let tree = Tree { root: child.process.clone(), mark: Some(surroundings.mark) };
        Ok((Self { child, tree, reader, stderr, _write_loop: stop.drop_guard() }, writer))
    }

    /// Reads once, or sees the agent end. Cancel-safe.
    pub(super) async fn read(&mut self) -> Result<Batch, Silence> {
        tokio::select! {
            biased;
            batch = self.reader.read() => match batch {
                Ok(Some(batch)) => Ok(batch),
                Ok(None) | Err(_) => Err(match timeout(DRAIN, self.child.exited()).await {
                    Ok(cause) => Silence::Exited(cause),
                    Err(_) => Silence::Closed,
                }),
            },
            cause = self.child.exited() => Err(Silence::Exited(cause)),
        }
    }

    /// Waits for the agent's exit; reads and drops what it still says, so that it is not stuck writing.
    pub(super) async fn wait(&mut self) -> ExitCause {
        loop {
            tokio::select! {
                biased;
                cause = self.child.exited() => return cause,
                read = self.reader.read() => if !matches!(read, Ok(Some(_))) {
                    return self.child.exited().await;
                },
            }
        }
    }

    /// Kills whatever is left of the tree, and says how the agent itself ended.
    pub(super) async fn sweep(&mut self) -> ExitCause {
        tree::kill(std::slice::from_ref(&self.tree)).await;
        let cause = timeout(DRAIN, self.child.exited()).await;
        cause.unwrap_or(ExitCause::Unknown)
    }
}

/// A line as it is kept with `--debug`.
pub(super) fn framed(direction: &[u8], line: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(line.len() + 3);
    framed.extend_from_slice(direction);
    framed.extend_from_slice(line);
    framed.push(b'\n');
    framed
}
