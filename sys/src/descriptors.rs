//! Which descriptors a new program gets: the three standard ones (promise 21).

#![expect(unsafe_code, reason = "close_range has no safe interface")]

use std::io;

#[cfg(target_os = "linux")]
use nix::libc;

/// Marks every descriptor from 3 on close-on-exec, those too that this process inherited by accident.
#[cfg(target_os = "linux")]
pub(crate) fn seal() -> io::Result<()> {
    close_range(3, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from 3 on.
///
/// # Safety
///
/// Nothing in this process may use a descriptor from 3 on afterwards; the only safe thing to do next is to exec.
#[cfg(target_os = "linux")]
pub(crate) unsafe fn close_all() -> io::Result<()> {
    close_range(3, 0)
}

#[cfg(target_os = "linux")]
fn close_range(first: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed; without it the caller (`close_all`) vouches that nobody
    // uses the descriptors. No memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor from 3 on close-on-exec.
#[cfg(not(target_os = "linux"))]
pub(crate) fn seal() -> io::Result<()> {
    for fd in open_descriptors()? {
        // SAFETY: sets a flag on a descriptor by number; one that is gone by now is an error that changes nothing.
        unsafe { nix::libc::fcntl(fd, nix::libc::F_SETFD, nix::libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Closes every descriptor from 3 on.
///
/// # Safety
///
/// As on Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) unsafe fn close_all() -> io::Result<()> {
    // Those are gone with the exec that follows.
    seal()
}

#[cfg(not(target_os = "linux"))]
fn open_descriptors() -> io::Result<Vec<i32>> {
    let names = std::fs::read_dir("/dev/fd")?;
    Ok(names
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|fd| *fd > 2)
        .collect())
}
