//! The process table of macOS, through libproc and sysctl. Written to the headers, not tested there yet.

#![expect(unsafe_code, reason = "libproc and sysctl have no safe interface")]

use std::io;
use std::mem::{MaybeUninit, size_of};

use nix::libc;

use super::ProcessStat;

pub(crate) fn stat(pid: u32) -> Option<ProcessStat> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: the buffer is as large as the call is told, and outlives it.
    let written = unsafe {
        libc::proc_pidinfo(
            libc::c_int::try_from(pid).ok()?,
            libc::PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast(),
            size,
        )
    };
    if written != size {
        return None;
    }
    // SAFETY: the call filled the whole structure.
    let info = unsafe { info.assume_init() };
    // SAFETY: asks for a number; a process that is gone is an error.
    let session = unsafe { libc::getsid(libc::c_int::try_from(pid).ok()?) };
    Some(ProcessStat {
        pid,
        parent: info.pbi_ppid,
        group: info.pbi_pgid,
        session: u32::try_from(session).unwrap_or(0),
        start_time: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        dead: info.pbi_status == libc::SZOMB,
        kernel: pid == 0,
    })
}

/// The number that was given out last; not to be had here.
pub(crate) fn last_number() -> Option<u32> {
    None
}

/// This moment in the unit of [`ProcessStat::start_time`]: microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The name of a process's program.
pub(crate) fn name(pid: u32) -> Option<String> {
    let mut name = [0u8; 2 * libc::MAXCOMLEN + 1];
    let room = u32::try_from(name.len()).ok()?;
    // SAFETY: the buffer is as large as the call is told, and outlives it.
    let length = unsafe { libc::proc_name(libc::c_int::try_from(pid).ok()?, name.as_mut_ptr().cast(), room) };
    let name = name.get(..usize::try_from(length).ok()?)?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The number of every process.
pub(crate) fn numbers() -> io::Result<Vec<u32>> {
    // SAFETY: a null buffer asks for the number of processes.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let room = usize::try_from(count).map_err(|_| io::Error::last_os_error())? + 64;
    let mut pids: Vec<libc::pid_t> = vec![0; room];
    let bytes = libc::c_int::try_from(room * size_of::<libc::pid_t>()).map_err(io::Error::other)?;
    // SAFETY: the buffer is as large as the call is told, and outlives it.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
    pids.truncate(usize::try_from(count).map_err(|_| io::Error::last_os_error())?);
    Ok(pids.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect())
}

/// The direct children of this process.
pub(crate) fn own_children() -> io::Result<Vec<u32>> {
    let own = std::process::id();
    Ok(numbers()?
        .into_iter()
        .filter_map(stat)
        .filter(|stat| stat.parent == own)
        .map(|stat| stat.pid)
        .collect())
}

/// Reads the environment of `pid` into `buffer`: entries that each end in a NUL.
pub(crate) fn environ(pid: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let arguments = process_arguments(pid).ok_or_else(io::Error::last_os_error)?;
    buffer.extend_from_slice(skip_arguments(&arguments).unwrap_or_default());
    Ok(())
}

/// The kernel's copy of arguments and environment: a count, the program's path, NULs, arguments, environment.
fn process_arguments(pid: u32) -> Option<Vec<u8>> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, libc::c_int::try_from(pid).ok()?];
    let mut bytes = vec![0u8; 1024 * 1024];
    let mut size = bytes.len();
    // SAFETY: name and buffer are as large as the call is told, and outlive it.
    let result = unsafe {
        libc::sysctl(name.as_mut_ptr(), 3, bytes.as_mut_ptr().cast(), &raw mut size, std::ptr::null_mut(), 0)
    };
    bytes.truncate(size);
    (result == 0).then_some(bytes)
}

fn skip_arguments(bytes: &[u8]) -> Option<&[u8]> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let path_end = memchr::memchr(0, rest)?;
    let mut rest = &rest[path_end..];
    rest = &rest[rest.iter().position(|byte| *byte != 0)?..];
    for _ in 0..i32::from_ne_bytes(*count) {
        rest = &rest[memchr::memchr(0, rest)? + 1..];
    }
    Some(rest)
}

/// The boot's time stands for it.
pub(crate) fn boot_id() -> io::Result<String> {
    let mut name = [libc::CTL_KERN, libc::KERN_BOOTTIME];
    let mut time = MaybeUninit::<libc::timeval>::zeroed();
    let mut size = size_of::<libc::timeval>();
    // SAFETY: name and buffer are as large as the call is told, and outlive it.
    let result = unsafe {
        libc::sysctl(name.as_mut_ptr(), 2, time.as_mut_ptr().cast(), &raw mut size, std::ptr::null_mut(), 0)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call filled it, and a zeroed one is valid too.
    let time = unsafe { time.assume_init() };
    Ok(format!("{}.{:06}", time.tv_sec, time.tv_usec))
}
