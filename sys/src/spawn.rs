//! The one way in which skep starts a process (promises 7, 12, 13, 21; style rule 35).
//!
//! std's `Command` without `pre_exec`, so that it can use `posix_spawn`: the declared environment and nothing else, no
//! descriptor beyond the three, no blocked signal. The umask and the dispositions of ignored signals are inherited;
//! [`crate::daemonize::settle`] and the [`crate::shim`] put them right.
//!
//! ```text
//! spawn → running → ended (seen by pidfd, still a zombie that pins its number) → reap → gone
//!                     └ signal_group may be called until here ┘
//! ```
//!
//! The owner of a [`Child`] is the only one who reaps it. Dropping one that was not reaped kills its group.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use skep_common::ids::Process;
use tokio::net::unix::pipe;

use crate::children;
use crate::descriptors;
pub use crate::exit::ExitCause;
use crate::os::handle::ProcessHandle;
use crate::process;
pub use crate::signal::Signal;
use crate::signal::with_empty_mask;

/// How long a dropped child is waited for after SIGKILL. One that hangs in the kernel is left to the orphan sweep.
const DROP_WAIT: Duration = Duration::from_millis(200);

/// Where the program is looked for when the environment declares no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to start.
pub struct SpawnSpec {
    /// An absolute path, a path relative to `cwd`, or a name to find in the `PATH` of `env`.
    pub program: PathBuf,
    /// The arguments, without the program's name.
    pub args: Vec<OsString>,
    /// The directory to start in.
    pub cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Standard input.
    pub stdin: Stdio3,
    /// Standard output.
    pub stdout: Stdio3,
    /// Standard error.
    pub stderr: Stdio3,
    /// Whether it leads a process group of its own. Not for the shim, which makes a session of its own.
    pub new_group: bool,
}

/// One of the three standard descriptors of a new process.
#[derive(Debug)]
pub enum Stdio3 {
    /// `/dev/null`.
    Null,
    /// A pipe whose other end is in the [`Child`].
    Pipe,
    /// The same as this process has.
    Inherit,
    /// This descriptor.
    Fd(OwnedFd),
}

/// Why a process did not start. None of this is fatal for the caller (promise 7).
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error("program `{}` was not found", program.display())]
    NotFound {
        /// As it was asked for.
        program: PathBuf,
    },
    /// The file is there but may not be executed.
    #[error("program `{}` is not executable", program.display())]
    NotExecutable {
        /// The file that was found.
        program: PathBuf,
    },
    /// The directory to start in cannot be entered.
    #[error("directory `{}` cannot be entered", cwd.display())]
    Directory {
        /// As it was asked for.
        cwd: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused: out of processes, memory or descriptors, a bad executable.
    #[error("program `{}` could not be started", program.display())]
    Os {
        /// The file that was to be executed.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A process started by [`spawn`], owned: it is reaped by [`Child::reap`] or when this is dropped.
#[derive(Debug)]
pub struct Child {
    /// Who it is.
    pub process: Process,
    /// Our end of its standard input, if that is a pipe.
    pub stdin: Option<pipe::Sender>,
    /// Our end of its standard output, if that is a pipe.
    pub stdout: Option<pipe::Receiver>,
    /// Our end of its standard error, if that is a pipe.
    pub stderr: Option<pipe::Receiver>,
    owned: Owned,
}

/// Starts a process. Must be called within a tokio runtime, which watches for its exit.
///
/// # Errors
///
/// When it could not be started; nothing is left behind then.
pub fn spawn(spec: SpawnSpec) -> Result<Child, SpawnError> {
    check_directory(&spec.cwd)?;
    let program = resolve(&spec)?;
    let failed = |source| SpawnError::Os { program: program.clone(), source };
    let mut command = command(&program, spec);
    let mut child = {
        let mut children = children::lock();
        descriptors::seal().map_err(failed)?;
        let child = with_empty_mask(|| command.spawn()).and_then(|result| result).map_err(failed)?;
        children.insert(child.id());
        child
    };
    let owned = Owned::take(child.id()).map_err(failed)?;
    Ok(Child {
        process: process::identity(owned.pid)
            .ok_or_else(|| failed(io::Error::other("it has no identity")))?,
        stdin: child
            .stdin
            .take()
            .map(|pipe| pipe::Sender::from_owned_fd(pipe.into()))
            .transpose()
            .map_err(failed)?,
        stdout: child
            .stdout
            .take()
            .map(|pipe| pipe::Receiver::from_owned_fd(pipe.into()))
            .transpose()
            .map_err(failed)?,
        stderr: child
            .stderr
            .take()
            .map(|pipe| pipe::Receiver::from_owned_fd(pipe.into()))
            .transpose()
            .map_err(failed)?,
        owned,
    })
}

impl Child {
    /// Resolves when the process itself has ended, whoever still holds its pipes (promise 12). It is not reaped by
    /// this: the zombie keeps its number, so that its group can still be signalled.
    pub async fn exited(&self) -> ExitCause {
        let handle = self.owned.handle();
        if let Some(cause) = handle.peek().unwrap_or(Some(ExitCause::Unknown)) {
            return cause;
        }
        match handle.ended().await.and_then(|()| handle.peek()) {
            Ok(Some(cause)) => cause,
            Ok(None) | Err(_) => ExitCause::Unknown,
        }
    }

    /// How it ended, if it has. Reaps nothing.
    #[must_use]
    pub fn has_exited(&self) -> Option<ExitCause> {
        self.owned.handle().peek().unwrap_or(Some(ExitCause::Unknown))
    }

    /// Signals the process. A zombie takes it silently.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.owned.handle().signal(signal)
    }

    /// Signals the group that the process leads: safe as long as it is not reaped. If it leads none (yet), the
    /// process alone.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        self.owned.signal_group(signal)
    }

    /// Reaps it, and says how it ended. Kills its group first if it still runs: whoever wants it to end by itself
    /// awaits [`Child::exited`] before.
    pub fn reap(mut self) -> ExitCause {
        self.owned.end()
    }

    /// Lets it go on without an owner: it is neither killed nor reaped by this handle any more.
    pub fn release(mut self) -> Process {
        self.owned.release();
        self.process.clone()
    }
}

impl fmt::Debug for SpawnSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsStr> = self.env.iter().map(|(name, _)| name.as_os_str()).collect();
        f.debug_struct("SpawnSpec")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("cwd", &self.cwd)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// The duty to reap one child.
#[derive(Debug)]
struct Owned {
    pid: u32,
    /// `None` once the duty is done.
    handle: Option<ProcessHandle>,
}

impl Owned {
    /// Takes over a child that was just spawned: unreaped, so its number is its own and the handle is opened without
    /// a race.
    fn take(pid: u32) -> io::Result<Self> {
        match ProcessHandle::open(pid) {
            Ok(handle) => Ok(Self { pid, handle: Some(handle) }),
            Err(error) => {
                signal_group_of(pid, Signal::SIGKILL);
                children::lock().remove(pid);
                Err(error)
            }
        }
    }

    fn handle(&self) -> &ProcessHandle {
        self.handle.as_ref().expect("the handle is given up only by methods that take the child")
    }

    fn signal_group(&self, signal: Signal) -> io::Result<()> {
        if !signal_group_of(self.pid, signal) {
            return self.handle().signal(signal);
        }
        Ok(())
    }

    fn end(&mut self) -> ExitCause {
        let Some(handle) = self.handle.take() else { return ExitCause::Unknown };
        let mut seen = handle.peek();
        if matches!(seen, Ok(None)) {
            signal_group_of(self.pid, Signal::SIGKILL);
            // The group may not exist yet, or be another one.
            drop(handle.signal(Signal::SIGKILL));
            drop(handle.block_until_ended(DROP_WAIT));
            seen = handle.peek();
        }
        let mut children = children::lock();
        let reaped = handle.try_reap();
        children.remove(self.pid);
        drop(children);
        reaped.ok().flatten().or_else(|| seen.ok().flatten()).unwrap_or(ExitCause::Unknown)
    }

    fn release(&mut self) {
        if self.handle.take().is_some() {
            children::lock().remove(self.pid);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.handle.is_some() {
            signal_group_of(self.pid, Signal::SIGKILL);
            self.end();
        }
    }
}

/// Signals the group that the unreaped child `pid` leads; false if it leads none.
fn signal_group_of(pid: u32, signal: Signal) -> bool {
    i32::try_from(pid).is_ok_and(|group| group > 1 && killpg(Pid::from_raw(group), signal).is_ok())
}

fn check_directory(cwd: &Path) -> Result<(), SpawnError> {
    let failed = |source| SpawnError::Directory { cwd: cwd.to_owned(), source };
    if !std::fs::metadata(cwd).map_err(failed)?.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    rustix::fs::access(cwd, rustix::fs::Access::EXEC_OK).map_err(|errno| failed(errno.into()))
}

/// Finds the program ourselves: std can use `posix_spawn` with an environment of our own only for a path, and a missing
/// program gets a name.
fn resolve(spec: &SpawnSpec) -> Result<PathBuf, SpawnError> {
    if spec.program.as_os_str().as_encoded_bytes().contains(&b'/') {
        let path = std::path::absolute(spec.cwd.join(&spec.program))
            .map_err(|source| SpawnError::Os { program: spec.program.clone(), source })?;
        return match executable(&path) {
            Some(true) => Ok(path),
            Some(false) => Err(SpawnError::NotExecutable { program: path }),
            None => Err(SpawnError::NotFound { program: path }),
        };
    }
    let path = spec.env.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map_or_else(|| OsStr::new(DEFAULT_PATH), |(_, value)| value.as_os_str());
    find_in_path(&spec.program, path, &spec.cwd)
}

/// The file that a program name stands for under this `PATH`.
///
/// # Errors
///
/// When no directory of the path has it, or none has it executable.
pub fn find_in_path(program: &Path, path: &OsStr, cwd: &Path) -> Result<PathBuf, SpawnError> {
    let mut refused = None;
    for directory in std::env::split_paths(path) {
        let candidate = cwd.join(directory).join(program);
        match executable(&candidate) {
            Some(true) if !program.as_os_str().is_empty() => return Ok(candidate),
            Some(false) => refused = refused.or(Some(candidate)),
            Some(true) | None => {}
        }
    }
    Err(match refused {
        Some(program) if program.is_file() => SpawnError::NotExecutable { program },
        Some(_) | None => SpawnError::NotFound { program: program.to_owned() },
    })
}

/// Whether the file may be executed; `None` if there is none.
fn executable(path: &Path) -> Option<bool> {
    let metadata = std::fs::metadata(path).ok()?;
    let any_bit = metadata.permissions().mode() & 0o111 != 0;
    Some(metadata.is_file() && any_bit && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
}

#[expect(clippy::disallowed_methods, reason = "this is the function that everything else must pass through")]
fn command(program: &Path, spec: SpawnSpec) -> Command {
    let mut command = Command::new(program);
    command.args(spec.args).current_dir(spec.cwd).env_clear().envs(spec.env);
    command.stdin(spec.stdin.into_std()).stdout(spec.stdout.into_std()).stderr(spec.stderr.into_std());
    if spec.new_group {
        command.process_group(0);
    }
    command
}

impl Stdio3 {
    fn into_std(self) -> Stdio {
        match self {
            Self::Null => Stdio::null(),
            Self::Pipe => Stdio::piped(),
            Self::Inherit => Stdio::inherit(),
            Self::Fd(fd) => Stdio::from(fd),
        }
    }
}
