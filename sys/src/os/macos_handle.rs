//! A process handle on macOS: a kqueue that tells of the exit, and the number. Written to the headers, not tested
//! there yet. Signals go by number: safe for an unreaped child; for others a window as wide as the identity check stays.

#![expect(
    unsafe_code,
    reason = "waitid with WNOWAIT has no safe interface, nor has a kqueue's process filter"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::exit::ExitCause;

/// One process, living or unreaped.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    pid: Pid,
    /// Readable from the process's end on, since the event in it is never fetched.
    queue: AsyncFd<OwnedFd>,
    /// It had ended before the queue could watch it.
    ended: bool,
}

impl ProcessHandle {
    /// Opens whatever process has this number now; the caller checks afterwards who that is. Needs a tokio runtime.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let pid = to_pid(pid)?;
        let queue = kqueue()?;
        let filter = EventFilter::Proc {
            pid: rustix::process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::InvalidInput)?,
            flags: ProcessEvents::EXIT,
        };
        let watch = Event::new(filter, EventFlags::ADD, std::ptr::null_mut());
        // SAFETY: the process filter refers to no descriptor.
        let watched = unsafe { kevent(&queue, &[watch], &mut [] as &mut [Event], None) };
        // SAFETY: the descriptor is owned, so it stays open and the same until the `AsyncFd` drops it.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }?;
        Ok(Self { pid, queue, ended: watched.is_err() })
    }

    /// Resolves when the process has ended. Reaps nothing.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.queue.readable().await.map(drop)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid, signal)?)
    }

    /// Signals the group that this process leads.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        Ok(killpg(self.pid, signal)?)
    }

    /// How the process, a child of ours, ended; `None` while it runs. It stays a zombie and keeps its number.
    pub(crate) fn peek(&self) -> io::Result<Option<ExitCause>> {
        wait(self.pid, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)
    }

    /// Reaps the child if it has ended.
    pub(crate) fn try_reap(&self) -> io::Result<Option<ExitCause>> {
        wait(self.pid, libc::WEXITED | libc::WNOHANG)
    }

    /// Blocks this thread until the process has ended, at most so long. Whether it has.
    pub(crate) fn block_until_ended(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.queue, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reaps the child with this number if it has ended.
pub(crate) fn try_reap_pid(pid: u32) -> io::Result<Option<ExitCause>> {
    wait(to_pid(pid)?, libc::WEXITED | libc::WNOHANG)
}

/// Sends a signal to `pid` if `is_it` still says so.
pub(crate) fn signal_checked(pid: u32, signal: Signal, is_it: impl FnOnce() -> bool) -> io::Result<bool> {
    if !is_it() {
        return Ok(false);
    }
    kill(to_pid(pid)?, signal)?;
    Ok(true)
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a process id")),
    }
}

fn wait(pid: Pid, options: libc::c_int) -> io::Result<Option<ExitCause>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the call writes at most one siginfo into memory that outlives it.
    let result =
        unsafe { libc::waitid(libc::P_PID, pid.as_raw().cast_unsigned(), info.as_mut_ptr(), options) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a zeroed siginfo is a valid one, whether or not the call filled it.
    let info = unsafe { info.assume_init() };
    Ok((info.si_pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => ExitCause::Code(info.si_status),
        libc::CLD_KILLED => ExitCause::Signal(info.si_status, false),
        libc::CLD_DUMPED => ExitCause::Signal(info.si_status, true),
        _ => ExitCause::Unknown,
    }))
}
