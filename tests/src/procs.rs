//! Every process on the machine, seen through `/proc`: who still carries a test's directory, and who is alive.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::cmd::pid;

/// A process that has to do with a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Where the mark was found: `environment`, `arguments`, `directory`, or an open file.
    pub found: String,
}

/// Every process but this one that carries `mark` (a path) in its environment, arguments, working directory or open
/// files. Zombies count: nobody may leave those either.
#[must_use]
pub fn carrying(mark: &Path) -> Vec<Trace> {
    let mark = mark.as_os_str().as_encoded_bytes();
    pids().into_iter().filter_map(|pid| trace(pid, mark)).collect()
}

fn trace(pid: u32, mark: &[u8]) -> Option<Trace> {
    let dir = format!("/proc/{pid}");
    let command = fs::read(format!("{dir}/cmdline")).ok()?;
    let has = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    let found = if has(&command) {
        "arguments".to_owned()
    } else if fs::read(format!("{dir}/environ")).is_ok_and(|environment| has(&environment)) {
        "environment".to_owned()
    } else if link_has(Path::new(&format!("{dir}/cwd")), &has) {
        "directory".to_owned()
    } else {
        open_file(&dir, &has)?
    };
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some(Trace { pid, command, found })
}

fn open_file(dir: &str, has: &impl Fn(&[u8]) -> bool) -> Option<String> {
    let files = fs::read_dir(format!("{dir}/fd")).ok()?;
    let path = files.flatten().map(|file| file.path()).find(|path| link_has(path, has))?;
    fs::read_link(&path).ok().map(|target| format!("open file {}", target.display()))
}

fn link_has(link: &Path, has: &impl Fn(&[u8]) -> bool) -> bool {
    fs::read_link(link).is_ok_and(|target| has(target.as_os_str().as_encoded_bytes()))
}

/// Every process but this one.
fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| *pid != own).collect()
}

/// The processes whose parent is `parent`.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether the process runs (a zombie does not).
#[must_use]
pub fn is_running(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether the process is a zombie.
#[must_use]
pub fn is_zombie(pid: u32) -> bool {
    state(pid) == Some('Z')
}

/// How many file descriptors the process holds.
///
/// # Panics
///
/// When it is gone.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

/// The process's proportional share of memory in KiB.
///
/// # Panics
///
/// When it is gone.
#[must_use]
pub fn memory_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    field(&text, "Pss:").expect("the kernel tells the share")
}

/// The processor time that a process has used.
///
/// # Panics
///
/// When it is gone.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Fields 14 and 15 (proc_pid_stat(5)), in hundredths of a second.
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// How often the process's threads have gone to sleep by themselves, and so how often something woke them.
#[must_use]
pub fn wake_ups(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    texts.filter_map(|text| field(&text, "voluntary_ctxt_switches:")).sum()
}

/// The number behind a name that begins a line of a `/proc` file.
#[must_use]
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The letter of the process's state.
fn state(pid: u32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 2..].chars().next()
}

/// The process's environment, as text.
///
/// # Errors
///
/// When it is gone or not ours.
pub fn environment(pid: u32) -> Result<Vec<String>, ErrorKind> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).map_err(|error| error.kind())?;
    let variables = bytes.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
    Ok(variables.map(|variable| String::from_utf8_lossy(variable).into_owned()).collect())
}

/// Sends a signal to a process that belongs to the test.
///
/// # Panics
///
/// When it is gone.
#[track_caller]
pub fn signal(number: u32, signal: Signal) {
    if let Err(error) = kill(pid(number), signal) {
        panic!("could not send {signal} to {number}: {error}");
    }
}
