//! A terminal for programs that behave differently for a person: a pseudo-terminal and the program on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};

use crate::cmd::{Cmd, pid};
use crate::procs::children;
use crate::wait::{SOON, wait_for};

/// A program that runs on a terminal of its own; killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
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
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        // setsid(1) makes its standard input the controlling terminal, so that Ctrl-C is a signal.
        let mut command = cmd.env("TERM", "xterm-256color").wrapped(["setsid", "--ctty", "--wait"]).command();
        command.stdin(slave(&pty.slave)).stdout(slave(&pty.slave)).stderr(slave(&pty.slave));
        let child = command.spawn().expect("setsid is installed");
        drop(command);
        drop(pty.slave);
        let master = File::from(pty.master);
        let screen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let mut reader = master.try_clone().expect("a descriptor");
        let filled = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                filled.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
                filled.1.notify_all();
            }
        });
        Self { child, master, screen }
    }

    /// Types text, as a person would; `\r` is Enter, `\x03` is Ctrl-C.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes input");
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
