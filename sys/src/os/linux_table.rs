//! The process table of Linux, read from `/proc` with as few system calls as it takes.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::ProcessStat;

/// The kernel's `PF_KTHREAD`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// No environment is longer (the kernel allows a quarter of the stack limit, 2 MiB by default).
const ENVIRON_MAX: usize = 8 * 1024 * 1024;

pub(crate) fn stat(pid: u32) -> Option<ProcessStat> {
    let mut buffer = [0u8; 1024];
    let fd =
        openat(CWD, format!("/proc/{pid}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&fd, &mut buffer).ok()?;
    parse_stat(&buffer[..length])
}

/// The number of every process that this mount of `/proc` shows.
pub(crate) fn numbers() -> io::Result<Vec<u32>> {
    pids("/proc")
}

/// The number that was given out last in our pid namespace: as long as it stays, nobody forked. Threads count too.
pub(crate) fn last_number() -> Option<u32> {
    let mut buffer = [0u8; 128];
    let fd = openat(CWD, "/proc/loadavg", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&fd, &mut buffer).ok()?;
    text(&buffer[..length])?.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// This moment in the unit of [`ProcessStat::start_time`]: clock ticks since the machine started.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    let ticks = rustix::param::clock_ticks_per_second();
    // As the kernel rounds: down.
    seconds * ticks + nanos * ticks / 1_000_000_000
}

/// The name of a process's program, at most 15 bytes of it.
pub(crate) fn name(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}

/// The direct children of this process, adopted orphans included.
pub(crate) fn own_children() -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in pids("/proc/self/task")? {
        match std::fs::read_to_string(format!("/proc/self/task/{thread}/children")) {
            Ok(text) => {
                children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            // A thread may end between the listing and the reading.
            Err(error) if thread_is_gone(&error, thread) => {}
            // A kernel without CONFIG_PROC_CHILDREN.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return children_by_parent(),
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

fn thread_is_gone(error: &io::Error, thread: u32) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
        || (error.kind() == io::ErrorKind::NotFound
            && !std::fs::exists(format!("/proc/self/task/{thread}")).unwrap_or(false))
}

fn children_by_parent() -> io::Result<Vec<u32>> {
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
    if !owned_by_us(pid)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let read = read_capped(&format!("/proc/{pid}/environ"), buffer);
    if read.is_ok() && !buffer.is_empty() {
        return Ok(());
    }
    // The first thread may have ended before the others: the memory then hangs on those only.
    for thread in pids(&format!("/proc/{pid}/task"))?.into_iter().filter(|thread| *thread != pid) {
        if read_capped(&format!("/proc/{pid}/task/{thread}/environ"), buffer).is_ok() && !buffer.is_empty() {
            return Ok(());
        }
    }
    read
}

fn owned_by_us(pid: u32) -> io::Result<bool> {
    let stat = rustix::fs::stat(format!("/proc/{pid}"))?;
    Ok(stat.st_uid == rustix::process::geteuid().as_raw())
}

fn read_capped(path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    File::open(path)?.take(ENVIRON_MAX as u64).read_to_end(buffer).map(drop)
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn pids(directory: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::with_capacity(256);
    for entry in std::fs::read_dir(directory)? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// Parses proc(5) `/proc/pid/stat`. The command's name stands in parentheses and may itself hold any byte.
fn parse_stat(line: &[u8]) -> Option<ProcessStat> {
    let pid = text(&line[..memchr::memchr(b' ', line)?])?.parse().ok()?;
    let after_name = &line[memchr::memrchr(b')', line)? + 1..];
    let fields: Vec<&str> = text(after_name)?.split_ascii_whitespace().collect();
    // `fields[0]` is field 3 of the manual page.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let id = |number: usize| u32::try_from(field(number)?).ok();
    let state = *fields.first()?;
    let threads = field(20)?;
    Some(ProcessStat {
        pid,
        parent: id(4)?,
        group: id(5)?,
        session: id(6)?,
        start_time: field(22)?,
        dead: matches!(state, "X" | "x") || (state == "Z" && threads <= 1),
        kernel: field(9)? & KERNEL_THREAD != 0,
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p13_a_command_name_cannot_forge_the_fields_behind_it() {
        let line = b"42 (a) R 1 1 1 (\xff) S 7 8 9 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 555 0 0\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.group, stat.session, stat.start_time), (42, 7, 8, 9, 555));
        assert!(!stat.dead && !stat.kernel);
    }

    #[test]
    fn a_zombie_with_living_threads_is_not_dead() {
        let line = |state: &str, threads: u32| {
            format!("1 (x) {state} 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0").into_bytes()
        };
        assert!(parse_stat(&line("Z", 1)).unwrap().dead);
        assert!(!parse_stat(&line("Z", 2)).unwrap().dead);
        assert!(!parse_stat(&line("S", 1)).unwrap().dead);
    }

    #[test]
    fn garbage_is_no_process() {
        for line in [
            &b""[..],
            b"1",
            b"1 (x",
            b"1 (x)",
            b"1 (x) S 1",
            b"x (x) S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 5",
        ] {
            assert!(parse_stat(line).is_none());
        }
    }
}
