//! Starting an agent's process with pipes: what every driver does alike.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use skep_sys::shim;
use skep_sys::spawn::{Child, SpawnError, SpawnSpec, Stdio3, spawn};
use tokio::net::unix::pipe;

/// A process just started, and our ends of its pipes. Dropping the child kills its group as a backstop.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(crate) child: Child,
    /// None where it was started without an input.
    pub(crate) stdin: Option<pipe::Sender>,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
}

impl Piped {
    /// Starts `argv` in `cwd` through the shim of our own binary `exe`, in a session of its own. Without `input` its
    /// standard input is `/dev/null`.
    pub(crate) fn spawn(
        exe: &Path,
        argv: Vec<OsString>,
        cwd: PathBuf,
        env: Vec<(OsString, OsString)>,
        input: bool,
    ) -> Result<Self, SpawnError> {
        let (program, args) = shim::command(exe, argv);
        let mut child = spawn(SpawnSpec {
            program,
            args,
            cwd,
            env,
            stdin: if input { Stdio3::Pipe } else { Stdio3::Null },
            stdout: Stdio3::Pipe,
            stderr: Stdio3::Pipe,
            new_group: false,
        })?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| missing(exe))?;
        let stderr = child.stderr.take().ok_or_else(|| missing(exe))?;
        Ok(Self { child, stdin, stdout, stderr })
    }
}

/// A pipe that was asked for is not there.
pub(crate) fn missing(exe: &Path) -> SpawnError {
    let source = io::Error::other("a pipe to the agent is missing");
    SpawnError::Os { program: exe.to_owned(), source }
}
