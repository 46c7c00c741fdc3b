//! Becoming a daemon: the pieces of `skep daemon run --detached`, and what every long-lived process of ours does first.
//!
//! The launcher starts the daemon with a pipe as its standard output and reads one [`Startup`] line from it. The daemon
//! calls [`settle`], then [`detach`], before it has any thread, and says [`Readiness::ready`] when it really serves, or
//! [`Readiness::failed`] with the reason. Standard error stays the launcher's until then, so a panic is seen.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::descriptors;
use crate::signal;

/// A start-up message is never longer; a longer reason is clipped.
const MESSAGE_MAX: usize = 64 * 1024;

/// Puts right what this process inherited, whoever started it: umask 077, every signal at its default (SIGPIPE ignored,
/// as everywhere in Rust), no signal blocked, no stray descriptor passed on. For the daemon and for workers, first
/// thing in `main`, before any thread.
///
/// # Errors
///
/// When the system refuses.
pub fn settle() -> io::Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    signal::reset_ignored()?;
    signal::ignore_sigpipe()?;
    descriptors::seal()
}

/// Leaves the launcher's session, terminal and directory. Standard input becomes `/dev/null`, standard output too
/// after it was kept as the readiness pipe. Before any thread.
///
/// # Errors
///
/// When the system refuses.
pub fn detach() -> io::Result<Readiness> {
    let pipe = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    new_session()?;
    rustix::process::chdir("/")?;
    let null = dev_null()?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(Readiness { pipe: Some(pipe) })
}

/// Leads a session of its own, without a terminal. Fine if it already does.
///
/// # Errors
///
/// When this process leads a group: it must not have been started with `new_group`.
pub fn new_session() -> io::Result<()> {
    // Not through rustix's type: its id is non-zero by type, and a session led from outside our pid namespace has 0.
    if nix::unistd::getsid(None)? != nix::unistd::getpid() {
        nix::unistd::setsid()?;
    }
    Ok(())
}

/// What the launcher hears from the daemon that it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Startup {
    /// It serves; the text is for the launcher (its endpoint, say).
    Ready(String),
    /// It does not; the text says why, for a person.
    Failed(String),
}

/// The daemon's end of the readiness pipe. Dropped without a word, the launcher learns that the daemon died.
#[derive(Debug)]
pub struct Readiness {
    pipe: Option<OwnedFd>,
}

impl Readiness {
    /// One without a launcher: nobody hears it.
    #[must_use]
    pub fn unheard() -> Self {
        Self { pipe: None }
    }

    /// Tells the launcher that the daemon serves, and lets go of its standard error.
    ///
    /// # Errors
    ///
    /// When standard error cannot be replaced. A launcher that has gone away is no error (G22).
    pub fn ready(self, text: &str) -> io::Result<()> {
        if self.pipe.is_some() {
            rustix::stdio::dup2_stderr(dev_null()?)?;
        }
        self.tell(&Startup::Ready(clip(text)));
        Ok(())
    }

    /// Tells the launcher why the daemon does not serve.
    pub fn failed(self, why: &str) {
        self.tell(&Startup::Failed(clip(why)));
    }

    fn tell(self, startup: &Startup) {
        let Some(pipe) = self.pipe else { return };
        let mut line = serde_json::to_vec(startup).expect("an enum of strings always serialises");
        line.push(b'\n');
        // A launcher that gave up waiting is harmless.
        drop(File::from(pipe).write_all(&line));
    }
}

/// The launcher's side: blocks until the daemon has spoken or its end of the pipe is closed. `None`: it died without a
/// word (what it wrote to standard error, the person saw).
///
/// # Errors
///
/// When the pipe cannot be read, or what came is not a [`Startup`].
pub fn await_startup(pipe: impl Read) -> io::Result<Option<Startup>> {
    let mut line = Vec::new();
    let mut pipe = pipe.take(4 * MESSAGE_MAX as u64);
    let mut block = [0; 4096];
    while !line.contains(&b'\n') {
        match pipe.read(&mut block) {
            Ok(0) => break,
            Ok(length) => line.extend_from_slice(&block[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_MAX / 2);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn dev_null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_a_pipe(tell: impl FnOnce(Readiness)) -> io::Result<Option<Startup>> {
        let (reader, writer) = io::pipe().unwrap();
        tell(Readiness { pipe: Some(writer.into()) });
        await_startup(reader)
    }

    #[test]
    fn q1_the_launcher_hears_why_the_daemon_did_not_start() {
        let why = "port taken\nby \"somebody\"";
        assert_eq!(through_a_pipe(|r| r.failed(why)).unwrap(), Some(Startup::Failed(why.to_owned())));
        assert_eq!(through_a_pipe(drop).unwrap(), None);
        let long = "ä".repeat(MESSAGE_MAX / 4 - 8);
        assert_eq!(through_a_pipe(|r| r.failed(&long)).unwrap(), Some(Startup::Failed(long)));
    }

    #[test]
    fn q1_garbage_on_the_readiness_pipe_is_an_error() {
        assert!(await_startup(&b"hello\n"[..]).is_err());
        assert!(await_startup(&b"{\"ready\":"[..]).is_err());
        assert!(await_startup(io::repeat(b'x')).is_err());
    }

    #[test]
    fn g22_a_launcher_that_has_gone_away_is_harmless() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Readiness { pipe: Some(writer.into()) }.failed("nobody listens");
    }
}
