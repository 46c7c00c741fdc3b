//! Who a process is: pid, start time and boot id together, never a bare number (promise 13).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::OnceLock;

use skep_common::ids::Process;

use crate::os::handle::ProcessHandle;
use crate::os::{ProcessStat, table};

/// Longer chains of parents than this do not exist; the limit only ends a chain that changes while it is read.
const MAX_ANCESTORS: usize = 1024;

/// The process that has this number now, a zombie included; `None` if nobody has it.
#[must_use]
pub fn identity(pid: u32) -> Option<Process> {
    table::stat(pid).map(|stat| of(&stat))
}

/// This process.
///
/// # Panics
///
/// Without a process table (`/proc` on Linux), on which everything else here depends.
#[must_use]
pub fn current() -> Process {
    identity(std::process::id()).expect("a running process is in the process table; is /proc mounted?")
}

/// Whether this very process still runs. A zombie does not.
#[must_use]
pub fn is_alive(process: &Process) -> bool {
    process.boot_id == boot_id()
        && table::stat(process.pid).is_some_and(|stat| stat.start_time == process.start_time && !stat.dead)
}

/// Resolves when this very process has ended, whoever its parent is; at once if it already has. A zombie has ended.
/// Must be called within a tokio runtime.
///
/// # Errors
///
/// When the process is there but cannot be watched.
pub async fn ended(process: &Process) -> io::Result<()> {
    let handle = match ProcessHandle::open(process.pid) {
        Ok(handle) => handle,
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
        Err(error) => return Err(error),
    };
    // The handle belongs to whoever has the number now: it is waited for only if that is the very process.
    if !is_alive(process) {
        return Ok(());
    }
    handle.ended().await
}

/// The kernel's name for the time since this machine started; the same for every process until a reboot.
#[must_use]
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| table::boot_id().unwrap_or_else(|_| String::from("unknown")))
}

/// The parents of `pid`, nearest first, without `pid` itself. They may be gone by the time this returns.
#[must_use]
pub fn ancestors(pid: u32) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut next = table::stat(pid).map_or(0, |stat| stat.parent);
    while next != 0 && chain.len() < MAX_ANCESTORS && !chain.contains(&next) {
        chain.push(next);
        next = table::stat(next).map_or(0, |stat| stat.parent);
    }
    chain
}

/// Whether `pid` was started with `key=value` in its environment. False if its environment is not ours to read.
#[must_use]
pub fn environ_has(pid: u32, key: &str, value: &str) -> bool {
    let mut buffer = Vec::new();
    table::environ(pid, &mut buffer).is_ok()
        && mark_values(&buffer, key.as_bytes()).any(|found| found == value.as_bytes())
}

/// The value of `key` in the environment that `pid` was started with, `None` if it has none.
///
/// # Errors
///
/// When its environment is empty or not ours to read, which look the same, or there is no such process.
pub fn environ_value(pid: u32, key: &str) -> io::Result<Option<OsString>> {
    let mut buffer = Vec::new();
    table::environ(pid, &mut buffer)?;
    let value = mark_values(&buffer, key.as_bytes()).next().map(<[u8]>::to_vec);
    Ok(value.map(OsString::from_vec))
}

/// The values of every entry `key=…` in an environment of NUL-terminated entries.
pub(crate) fn mark_values<'a>(environ: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    environ.split(|byte| *byte == 0).filter_map(move |entry| entry.strip_prefix(key)?.strip_prefix(b"="))
}

pub(crate) fn of(stat: &ProcessStat) -> Process {
    Process { pid: stat.pid, start_time: stat.start_time, boot_id: boot_id().to_owned() }
}

/// Whether `stat` is a line about this very process.
pub(crate) fn is_about(stat: &ProcessStat, process: &Process) -> bool {
    stat.pid == process.pid && stat.start_time == process.start_time && process.boot_id == boot_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p13_identity_is_more_than_the_number() {
        let own = current();
        assert!(is_alive(&own));
        assert_eq!(identity(own.pid), Some(own.clone()));
        assert!(!is_alive(&Process { start_time: own.start_time + 1, ..own.clone() }));
        assert!(!is_alive(&Process { boot_id: String::from("another"), ..own }));
        assert_eq!(identity(u32::MAX), None);
        assert_eq!(identity(0), None);
    }

    #[test]
    fn ancestors_end_at_the_first_process() {
        let chain = ancestors(std::process::id());
        assert_eq!(chain.first().copied(), Some(std::os::unix::process::parent_id()));
        assert!(ancestors(u32::MAX).is_empty());
    }

    #[test]
    fn an_environment_that_cannot_be_read_is_an_error_not_an_absence() {
        let path = environ_value(std::process::id(), "PATH").unwrap();
        assert_eq!(path, std::env::var_os("PATH"));
        assert_eq!(environ_value(std::process::id(), "SKEP_NO_SUCH_VARIABLE").unwrap(), None);
        assert_eq!(environ_value(u32::MAX, "PATH").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn marks_are_whole_entries() {
        let values = |environ: &'static [u8]| mark_values(environ, b"K").collect::<Vec<_>>();
        assert_eq!(values(b"A=1\0K=v\0"), [b"v"]);
        assert_eq!(values(b"K=v"), [b"v"]);
        assert!(values(b"KK=v\0A=K=v\0K\0").is_empty());
        assert_eq!(values(b"K=\0K=2\0"), [&b""[..], b"2"]);
    }
}
