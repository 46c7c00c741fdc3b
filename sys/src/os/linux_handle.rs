//! A process handle on Linux: a pidfd. It never means another process, however often the number is used again.

#![expect(
    unsafe_code,
    reason = "pidfd_send_signal with flags, and an AsyncFd's promise to own its descriptor"
)]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::exit::ExitCause;

/// `PIDFD_SIGNAL_PROCESS_GROUP` (Linux 6.9): the group that the process leads, in one step.
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// One process, living or unreaped.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    fd: AsyncFd<OwnedFd>,
}

impl ProcessHandle {
    /// Opens whatever process has this number now; the caller checks afterwards who that is. Needs a tokio runtime.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let fd = open_pidfd(pid)?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the `AsyncFd` drops it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd })
    }

    /// Resolves when the process has ended. Reaps nothing.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.fd.readable().await.map(drop)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        send(self.fd.get_ref(), signal, 0)
    }

    /// Signals the group that this process leads.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        send(self.fd.get_ref(), signal, SIGNAL_PROCESS_GROUP)
    }

    /// How the process, a child of ours, ended; `None` while it runs. It stays a zombie and keeps its number.
    pub(crate) fn peek(&self) -> io::Result<Option<ExitCause>> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG)
    }

    /// Reaps the child if it has ended.
    pub(crate) fn try_reap(&self) -> io::Result<Option<ExitCause>> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Blocks this thread until the process has ended, at most so long. Whether it has.
    pub(crate) fn block_until_ended(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self, options: WaitIdOptions) -> io::Result<Option<ExitCause>> {
        loop {
            match waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options) {
                Ok(status) => return Ok(status.map(|status| cause(&status))),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reaps the child with this number if it has ended.
pub(crate) fn try_reap_pid(pid: u32) -> io::Result<Option<ExitCause>> {
    let status = waitid(WaitId::Pid(to_pid(pid)?), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
    Ok(status.map(|status| cause(&status)))
}

/// Sends a signal to `pid` if `is_it` still says so once its pidfd is held.
pub(crate) fn signal_checked(pid: u32, signal: Signal, is_it: impl FnOnce() -> bool) -> io::Result<bool> {
    let fd = open_pidfd(pid)?;
    if !is_it() {
        return Ok(false);
    }
    send(&fd, signal, 0).map(|()| true)
}

fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    Ok(pidfd_open(to_pid(pid)?, PidfdFlags::empty())?)
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a process id"))
}

fn send(fd: &OwnedFd, signal: Signal, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call; a null siginfo is what the kernel takes for
    // "as kill(2) would fill it"; the call touches no memory of ours. rustix's wrapper has no flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd.as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn cause(status: &WaitIdStatus) -> ExitCause {
    if let Some(code) = status.exit_status() {
        ExitCause::Code(code)
    } else if let Some(signal) = status.terminating_signal() {
        ExitCause::Signal(signal, status.dumped())
    } else {
        ExitCause::Unknown
    }
}
