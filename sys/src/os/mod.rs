//! What differs between platforms, behind one set of signatures: the process table, environments, process handles.
//!
//! `table`: [`ProcessStat`], `stat(pid)`, `numbers()`, `last_number()`, `now()`, `name(pid)`, `environ(pid, buffer)`,
//! `boot_id()`. `handle`: `ProcessHandle`, which signals and waits for one process that cannot be mistaken for a later one with the same number.

#[cfg(target_os = "linux")]
#[path = "linux_handle.rs"]
pub(crate) mod handle;
#[cfg(target_os = "linux")]
#[path = "linux_table.rs"]
pub(crate) mod table;

#[cfg(target_os = "linux")]
#[path = "linux_holders.rs"]
mod holders;
#[cfg(target_os = "linux")]
pub(crate) use holders::tcp_holders;

/// macOS tells only its own tools.
#[cfg(target_os = "macos")]
pub(crate) fn tcp_holders(
    _from: std::net::SocketAddr,
    _to: std::net::SocketAddr,
) -> std::io::Result<crate::peer::Holders> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "macos")]
#[path = "macos_handle.rs"]
pub(crate) mod handle;
#[cfg(target_os = "macos")]
#[path = "macos_table.rs"]
pub(crate) mod table;

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    /// In the platform's own unit; compared, never converted.
    pub(crate) start_time: u64,
    /// A zombie without a living thread, or less.
    pub(crate) dead: bool,
    /// A kernel thread: it has no environment and is nobody's business.
    pub(crate) kernel: bool,
}
