//! A terminal for programs that behave differently for a person: a pseudo-terminal and the program on it.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};

use crate::cmd::{Cmd, pid};
use crate::procs::children;
use crate::wait::{SOON, wait_for};

/// A program that runs on a terminal of its own; killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: Option<File>,
    /// Ends the reader when it is closed.
    reading: Option<PipeWriter>,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
}

impl Terminal {
    /// Starts a program as the leader of a new session whose terminal this is.
    ///
    /// # Panics
    ///
    /// When there are no terminals, or the program cannot be started.
    #[must_use]
    pub fn start(cmd: Cmd) -> Self {
        let size = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        for fd in [&pty.master, &pty.slave] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor");
        }
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        // setsid(1) makes its standard input the controlling terminal, so that Ctrl-C is a signal.
        let mut command = cmd.env("TERM", "xterm-256color").wrapped(["setsid", "--ctty", "--wait"]).command();
        command.stdin(slave(&pty.slave)).stdout(slave(&pty.slave)).stderr(slave(&pty.slave));
        let child = command.spawn().expect("setsid is installed");
        drop(command);
        drop(pty.slave);
        let master = File::from(pty.master);
        let screen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let reader = master.try_clone().expect("a descriptor");
        let (end, reading) = std::io::pipe().expect("a pipe");
        let filled = Arc::clone(&screen);
        std::thread::spawn(move || read(reader, &end, &filled));
        Self { child, master: Some(master), reading: Some(reading), screen }
    }

    /// Takes the terminal away, as closing its window does, and gives the program's exit status.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn hang_up(&mut self) -> i32 {
        (self.master, self.reading) = (None, None);
        self.exit_code()
    }

    /// Types text, as a person would; `\r` is Enter, `\x03` is Ctrl-C.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        let master = self.master.as_mut().expect("the terminal is there");
        master.write_all(text.as_bytes()).expect("the terminal takes input");
    }

    /// Waits until the screen has shown `text`.
    ///
    /// # Panics
    ///
    /// When it has not in time; the message has all that it showed.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let deadline = Instant::now() + SOON;
        let (screen, changed) = &*self.screen;
        let mut seen = screen.lock().unwrap_or_else(PoisonError::into_inner);
        while !String::from_utf8_lossy(&seen).contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} on the terminal:\n{}", String::from_utf8_lossy(&seen));
            seen = changed
                .wait_timeout(seen, left.min(Duration::from_secs(1)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// All that the screen has shown.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits for the program's end and gives its exit status.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let status = wait_for(&format!("the program on the terminal to end:\n{}", self.text()), || {
            self.child.try_wait().expect("the program can be waited for")
        });
        status.code().unwrap_or(-1)
    }
}

/// Collects what the screen shows, until the program or the terminal is gone.
fn read(mut master: File, end: &PipeReader, screen: &(Mutex<Vec<u8>>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        let flags = PollFlags::POLLIN;
        let mut either = [PollFd::new(master.as_fd(), flags), PollFd::new(end.as_fd(), flags)];
        if poll(&mut either, PollTimeout::NONE).is_err() || either[1].any() == Some(true) {
            return;
        }
        let Ok(read @ 1..) = master.read(&mut buffer) else { return };
        screen.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
        screen.1.notify_all();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // setsid(1) becomes the program, or its parent.
            for child in children(self.child.id()) {
                kill(pid(child), Signal::SIGKILL).ok();
            }
            kill(pid(self.child.id()), Signal::SIGKILL).ok();
            self.child.wait().ok();
        }
    }
}
