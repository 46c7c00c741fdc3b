//! One terminal: a command, everything that it started, and the end of what they wrote.
//!
//! ```text
//!   start ─▶ runs ─▶ exited (its first process is a zombie, which pins its number) ─▶ let go
//!              └── kill: the whole tree; the output stays ──▲            release ────────┘
//! ```
//!
//! A task owns the process and its pipe, and reads on for as long as anybody holds the pipe's other end. Dropping a
//! terminal kills its group as a backstop.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use skep_config::env;
use skep_sys::shim;
use skep_sys::spawn::{Child, ExitCause, SpawnError, SpawnSpec, Stdio3, spawn};
use skep_sys::tree::Tree;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::output::Output;
use crate::agent::DRAIN;

/// How much one read takes.
const READ_SIZE: usize = 16 * 1024;

/// How much is read of what an ended command had still written, in bytes: a pipe holds no more.
const REST: usize = 1024 * 1024;

/// How a command ended, once it has.
pub(super) type Exit = watch::Receiver<Option<ExitCause>>;

/// A terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    /// All its processes.
    pub(super) tree: Tree,
    /// The turn that made it.
    pub(super) turn: u64,
    /// How its command ended, once it has.
    pub(super) exit: Exit,
    output: Arc<Mutex<Output>>,
    owner: JoinHandle<()>,
    _stop: DropGuard,
}

/// What a terminal runs.
pub(super) struct Run {
    pub(super) argv: Vec<OsString>,
    pub(super) cwd: PathBuf,
    /// The whole environment, but for the terminal's own mark.
    pub(super) env: Vec<(OsString, OsString)>,
    /// How much of the output is kept, in bytes.
    pub(super) keep: usize,
    pub(super) turn: u64,
}

impl Terminal {
    /// Starts a command through the shim of our own binary `exe`, in a session of its own and without an input.
    pub(super) fn start(run: Run, exe: &Path, tracker: &TaskTracker) -> Result<Self, SpawnError> {
        let Run { argv, cwd, mut env, keep, turn } = run;
        let mark = (env::SKEP_TERMINAL.to_owned(), Uuid::new_v4().to_string());
        env.push((mark.0.clone().into(), mark.1.clone().into()));
        let failed = |source: io::Error| SpawnError::Os { program: exe.to_owned(), source };
        let (sender, receiver) = pipe::pipe().map_err(failed)?;
        let stdout = sender.into_blocking_fd().map_err(failed)?;
        let stderr = stdout.try_clone().map_err(failed)?;
        let (program, args) = shim::command(exe, argv);
        let child = spawn(SpawnSpec {
            program,
            args,
            cwd,
            env,
            stdin: Stdio3::Null,
            stdout: Stdio3::Fd(stdout),
            stderr: Stdio3::Fd(stderr),
            new_group: false,
        })?;
        let tree = Tree { root: child.process.clone(), mark: Some(mark) };
        let output = Arc::new(Mutex::new(Output::new(keep)));
        let (exited, exit) = watch::channel(None);
        let stop = CancellationToken::new();
        let owner = Owner { child, pipe: receiver, output: Arc::clone(&output), exited };
        let owner = tracker.spawn(owner.run(stop.clone()));
        Ok(Self { tree, turn, exit, output, owner, _stop: stop.drop_guard() })
    }

    /// The answer to `terminal/output`.
    pub(super) fn shown(&self) -> Value {
        let ended = *self.exit.borrow();
        let (text, truncated) = lock(&self.output).text(ended.is_some());
        json!({"output": text, "truncated": truncated, "exitStatus": ended.map(status)})
    }

    /// Lets go of the command, which is dead by now.
    pub(super) async fn let_go(self) {
        let Self { owner, exit, _stop: stop, .. } = self;
        found_dead(exit).await;
        drop(stop);
        // It only ends early if it panicked, and then there is nothing left to own.
        drop(owner.await);
    }
}

/// Waits until the owner of a command that was killed has seen its end, so that whoever waits for that hears it.
pub(super) async fn found_dead(mut exit: Exit) {
    drop(timeout(DRAIN, exit.wait_for(Option::is_some)).await);
}

/// How a command ended, as ACP says it.
pub(super) fn status(cause: ExitCause) -> Value {
    let signal = cause.signal().map(|number| match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => number.to_string(),
    });
    json!({"exitCode": cause.code(), "signal": signal})
}

struct Owner {
    child: Child,
    pipe: pipe::Receiver,
    output: Arc<Mutex<Output>>,
    exited: watch::Sender<Option<ExitCause>>,
}

impl Owner {
    async fn run(mut self, stop: CancellationToken) {
        let mut buffer = vec![0; READ_SIZE];
        let (mut open, mut runs) = (true, true);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                cause = self.child.exited(), if runs => {
                    runs = false;
                    self.read_rest(&mut buffer);
                    self.exited.send_replace(Some(cause));
                }
                read = self.pipe.read(&mut buffer), if open => match read {
                    Ok(count @ 1..) => lock(&self.output).push(&buffer[..count]),
                    Ok(_) | Err(_) => open = false,
                },
            }
        }
    }

    /// Reads what the command had written when it ended, so that whoever hears of the end finds its last words. What the
    /// runtime has not heard of yet is read, too, so not by its means.
    fn read_rest(&self, buffer: &mut [u8]) {
        let mut left = REST;
        while left > 0 {
            match nix::unistd::read(self.pipe.as_fd(), buffer) {
                Ok(count @ 1..) => {
                    lock(&self.output).push(&buffer[..count]);
                    left = left.saturating_sub(count);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
