//! Signals: their names, and the state that every process of ours starts from (promise 21).

#![expect(unsafe_code, reason = "signal dispositions have no safe interface")]

use std::io;

use nix::libc;
pub use nix::sys::signal::Signal;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, pthread_sigmask, signal};
use skep_common::ids::Process;

use crate::os::{handle, table};
use crate::process::is_about;

#[cfg(target_os = "linux")]
const LAST_SIGNAL: libc::c_int = 64;
#[cfg(not(target_os = "linux"))]
const LAST_SIGNAL: libc::c_int = 31;

/// Sends `signal` to this very process, by pidfd where there is one. `Ok(false)` if it is gone, whoever has its
/// number now.
///
/// # Errors
///
/// When the process is there but may not be signalled.
pub fn send(process: &Process, signal: Signal) -> io::Result<bool> {
    let is_it = || table::stat(process.pid).is_some_and(|stat| is_about(&stat, process) && !stat.dead);
    match handle::signal_checked(process.pid, signal, is_it) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        result => result,
    }
}

/// Gives every ignored signal its default disposition and blocks none, as a fresh process should have them, whoever
/// started it (`nohup` and a shell's `&` leave signals ignored). SIGPIPE included: a caller that is a Rust program and
/// goes on running calls [`ignore_sigpipe`] afterwards. Handlers stay; exec resets those.
///
/// # Errors
///
/// When the mask cannot be set.
pub fn reset_ignored() -> io::Result<()> {
    for number in 1..=LAST_SIGNAL {
        if disposition::is_ignored(number) {
            disposition::reset(number);
        }
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// Ignores SIGPIPE, as the Rust runtime does at start.
///
/// # Errors
///
/// When the disposition cannot be set.
pub fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

/// Runs `action` with no signal blocked in this thread, so that a process started by it blocks none either.
pub(crate) fn with_empty_mask<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), Some(&mut before))?;
    let result = action();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result)
}

/// By the system call, not by the C library, which hides the two signals that it uses itself: inherited ignored, those
/// are no less ignored for it.
#[cfg(target_os = "linux")]
mod disposition {
    use nix::libc;

    /// Larger than the kernel's `sigaction` on every architecture; its first word is the handler. All zero is SIG_DFL.
    type KernelAction = [usize; 8];

    /// The size of the kernel's signal set.
    const SET_SIZE: usize = 8;

    pub(super) fn is_ignored(number: libc::c_int) -> bool {
        let mut action: KernelAction = [0; 8];
        let none = std::ptr::null::<KernelAction>();
        // SAFETY: only asks, into memory that is large enough and outlives the call.
        let asked =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, number, none, action.as_mut_ptr(), SET_SIZE) };
        asked == 0 && action[0] == libc::SIG_IGN
    }

    pub(super) fn reset(number: libc::c_int) {
        let default: KernelAction = [0; 8];
        let none = std::ptr::null_mut::<KernelAction>();
        // SAFETY: SIG_DFL runs no code of ours; the kernel reads a structure that is smaller than this.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), none, SET_SIZE) };
    }
}

#[cfg(not(target_os = "linux"))]
mod disposition {
    use std::mem::MaybeUninit;

    use nix::libc;

    pub(super) fn is_ignored(number: libc::c_int) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: only asks, into memory that outlives the call.
        let asked = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: a zeroed `sigaction` is a valid one, whether or not the call filled it.
        asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
    }

    pub(super) fn reset(number: libc::c_int) {
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}
