//! What a shell leaves behind: directory and environment, from the hidden helper `skep agent shell-snapshot FIFO` to the
//! agent.
//!
//! The environment has its user's keys, so it goes through a named pipe and is never in a file; the agent keeps only what
//! a command has changed.

use std::ffi::OsString;
use std::future;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use skep_sys::statefile;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::state::OsText;

/// How much a snapshot may take, in bytes: Linux gives no environment of more than 6 MiB, which JSON may make longer.
const LIMIT: usize = 32 * 1024 * 1024;

/// How much one read takes, which is also what a pipe holds.
const READ: usize = 64 * 1024;

/// A shell's state at its exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The directory by its logical name, which keeps symlinks.
    pub(super) cwd: OsText,
    /// Every exported variable.
    pub(super) env: Vec<(OsText, OsText)>,
}

/// The helper. It says nothing: its only voice is the pipe, and without one the session's state stays as it was.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(fifo), None) = (args.next(), args.next()) else { return ExitCode::from(2) };
    let Some(cwd) = directory() else { return ExitCode::FAILURE };
    let env = std::env::vars_os().map(|(name, value)| (OsText(name), OsText(value))).collect();
    let snapshot = Snapshot { cwd: OsText(cwd.into_os_string()), env };
    let written = statefile::to_bytes(&snapshot).and_then(|bytes| send(Path::new(&fifo), &bytes));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes to the pipe that the agent reads; without a reader, at once an error.
fn send(fifo: &Path, bytes: &[u8]) -> io::Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(fifo)?;
    fcntl(&opened, FcntlArg::F_SETFL(OFlag::empty()))?;
    (&opened).write_all(bytes)
}

/// The agent's end of the pipe of one command. The pipe goes with it.
#[derive(Debug)]
pub(super) struct Incoming {
    fifo: PathBuf,
    pipe: pipe::Receiver,
    buffer: Box<[u8]>,
    bytes: Vec<u8>,
}

impl Incoming {
    /// Makes the pipe, for its owner alone.
    pub(super) fn new(fifo: PathBuf) -> io::Result<Self> {
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Open for writing too: else it would be at its end before and after each writer.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(&fifo);
        match pipe {
            Ok(pipe) => Ok(Self { fifo, pipe, buffer: vec![0; READ].into_boxed_slice(), bytes: Vec::new() }),
            Err(error) => {
                drop(std::fs::remove_file(&fifo));
                Err(error)
            }
        }
    }

    /// Takes what has come; never resolves if nothing can come any more. Cancel-safe.
    pub(super) async fn read(&mut self) {
        match self.pipe.read(&mut self.buffer).await {
            Ok(count @ 1..) => self.take(count),
            Ok(0) | Err(_) => future::pending().await,
        }
    }

    fn take(&mut self, count: usize) {
        // What is too long is read all the same, so that its writer can end, and is no snapshot.
        if self.bytes.len() <= LIMIT {
            self.bytes.extend_from_slice(&self.buffer[..count]);
        }
    }

    /// The snapshot, once its shell has ended: then all of it is in the pipe, or was read.
    pub(super) fn finish(mut self) -> Option<Snapshot> {
        loop {
            match nix::unistd::read(&self.pipe, &mut self.buffer) {
                Ok(count @ 1..) if self.bytes.len() <= LIMIT => self.take(count),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        (self.bytes.len() <= LIMIT).then(|| serde_json::from_slice(&self.bytes).ok()).flatten()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.fifo));
    }
}

/// `PWD` if it names this directory, else what the kernel says.
fn directory() -> Option<PathBuf> {
    let actual = std::env::current_dir().ok()?;
    let same = |a: &Path, b: &Path| match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let logical = std::env::var_os("PWD").map(PathBuf::from);
    logical.filter(|logical| logical.is_absolute() && same(logical, &actual)).or(Some(actual))
}
