//! The process behind a conversation: its pipes, its tree, its end. Dropping it kills the group as a backstop.

use std::ffi::OsString;
use std::path::Path;

use skep_common::framing::{Frame, LineSplitter};
use skep_sys::capture::{Capture, PumpEnd, pump};
use skep_sys::spawn::{Child, ExitCause, SpawnError};
use skep_sys::tree::{self, Tree};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::acp::peer::{Closed, MAX_FRAME, Writer, writer};
use crate::agent::DRAIN;
use crate::agent::acp::Stop;
use crate::agent::launch::Launch;
use crate::agent::piped::{Piped, missing};
use crate::agent::stderr;

/// How much is read at once.
const READ_SIZE: usize = 64 * 1024;

/// A running `claude` and its pipes.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) tree: Tree,
    stdout: pipe::Receiver,
    open: bool,
    buffer: Box<[u8]>,
    splitter: LineSplitter,
    writer: Option<Writer>,
    stderr: JoinHandle<PumpEnd>,
    frames: Option<Capture>,
    _over: DropGuard,
}

/// What one read brought.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Whole lines, in order.
    pub(super) lines: Vec<Vec<u8>>,
    /// The lengths of lines that were over the limit and dropped.
    pub(super) dropped: Vec<usize>,
}

impl Process {
    /// Starts the agent with `args` behind its own through our own binary's shim, in a session of its own.
    pub(super) fn spawn(
        launch: &Launch,
        args: &[String],
        exe: &Path,
        tracker: &TaskTracker,
    ) -> Result<Self, SpawnError> {
        let argv = launch.argv.iter().cloned().chain(args.iter().map(OsString::from)).collect();
        let (cwd, env) = (launch.cwd.clone(), launch.env.0.clone());
        let Piped { child, stdin, stdout, stderr } = Piped::spawn(exe, argv, cwd, env, true)?;
        let stdin = stdin.ok_or_else(|| missing(exe))?;
        let over = CancellationToken::new();
        let stderr =
            tracker.spawn(pump(stderr, launch.stderr.clone(), over.clone().cancelled_owned(), DRAIN));
        let (writer, write_loop) = writer(stdin);
        let stopped = over.clone();
        tracker.spawn(async move { stopped.run_until_cancelled(write_loop).await });
        Ok(Self {
            tree: Tree { root: child.process.clone(), mark: Some(launch.mark.clone()) },
            child,
            stdout,
            open: true,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            splitter: LineSplitter::new(MAX_FRAME),
            writer: Some(writer),
            stderr,
            frames: launch.frames.clone(),
            _over: over.drop_guard(),
        })
    }

    /// Writes a line without waiting for room.
    pub(super) fn write(&self, line: Vec<u8>) -> Result<(), Closed> {
        self.keep(b"> ", &line);
        self.writer.as_ref().ok_or(Closed)?.try_send(line)
    }

    /// Reads once; `None` once the agent has exited. Cancel-safe.
    pub(super) async fn read(&mut self) -> Option<Batch> {
        tokio::select! {
            biased;
            batch = Self::fill(&mut self.stdout, &mut self.buffer, &mut self.splitter), if self.open => match batch {
                Some(batch) => {
                    batch.lines.iter().for_each(|line| self.keep(b"< ", line));
                    Some(batch)
                }
                None => {
                    // It may go on without an output for a moment; its exit is what counts.
                    self.open = false;
                    Some(Batch::default())
                }
            },
            _ = self.child.exited() => None,
        }
    }

    async fn fill(
        stdout: &mut pipe::Receiver,
        buffer: &mut [u8],
        splitter: &mut LineSplitter,
    ) -> Option<Batch> {
        let count = stdout.read(buffer).await.unwrap_or(0);
        let mut batch = Batch::default();
        if count == 0 {
            batch.lines.push(splitter.finish()?);
            return Some(batch);
        }
        splitter.push(&buffer[..count], |frame| match frame {
            Frame::Line(line) => batch.lines.push(line.to_vec()),
            Frame::TooLong(length) => batch.dropped.push(length),
        });
        Some(batch)
    }

    /// Ends it: end of file, SIGTERM, SIGKILL; a [`Stop::Kill`] on the way, or first of all, cuts that short. Nothing of
    /// its tree is left.
    pub(super) async fn end(&mut self, launch: &Launch, mut how: watch::Receiver<Stop>) -> ExitCause {
        self.writer = None;
        let trees = [self.tree.clone()];
        let gently = async {
            let exited = async { while self.read().await.is_some() {} };
            if timeout(launch.eof_grace, exited).await.is_err() {
                tree::terminate(&trees, launch.stop_grace).await;
            }
        };
        tokio::select! {
            biased;
            _ = how.wait_for(|how| *how == Stop::Kill) => {}
            () = gently => {}
        }
        self.sweep().await
    }

    /// Kills whatever is left of the tree, and says how the agent itself ended.
    pub(super) async fn sweep(&mut self) -> ExitCause {
        self.writer = None;
        tree::kill(std::slice::from_ref(&self.tree)).await;
        timeout(DRAIN, self.child.exited()).await.unwrap_or(ExitCause::Unknown)
    }

    /// What a dead agent had still written; its tree is dead, so the pipe ends.
    pub(super) async fn rest(&mut self) -> Option<Batch> {
        if !self.open {
            return None;
        }
        let filled = timeout(DRAIN, Self::fill(&mut self.stdout, &mut self.buffer, &mut self.splitter)).await;
        let batch = filled.ok().flatten();
        self.open = batch.is_some();
        batch
    }

    /// The last line of its standard error, once it is dead.
    pub(super) async fn last_words(&mut self, launch: &Launch) -> Option<String> {
        stderr::drained(&mut self.stderr).await;
        stderr::last_line(&launch.stderr)
    }

    /// Keeps a raw line, with `--debug`.
    fn keep(&self, direction: &[u8], line: &[u8]) {
        if let Some(frames) = &self.frames {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            frames.push(&[direction, line, b"\n"].concat());
        }
    }
}
