//! The hidden helper `skep agent shell-snapshot FILE`: writes this process's directory and environment, which are the
//! shell's that called it, to FILE.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use skep_sys::statefile;

use super::state::OsText;

/// A shell's state at its exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The directory by its logical name, which keeps symlinks.
    pub(super) cwd: OsText,
    /// Every exported variable.
    pub(super) env: Vec<(OsText, OsText)>,
}

/// The helper. It says nothing: its only voice is the file, and without one the session's state stays as it was.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(file), None) = (args.next(), args.next()) else { return ExitCode::from(2) };
    let Some(cwd) = directory() else { return ExitCode::FAILURE };
    let env = std::env::vars_os().map(|(name, value)| (OsText(name), OsText(value))).collect();
    let snapshot = Snapshot { cwd: OsText(cwd.into_os_string()), env };
    // Not synced: the agent reads it at once, and syncs what it makes of it.
    let written =
        statefile::to_bytes(&snapshot).and_then(|bytes| statefile::write_unsynced(Path::new(&file), &bytes));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `PWD` if it names this directory, else what the kernel says.
fn directory() -> Option<PathBuf> {
    let actual = std::env::current_dir().ok()?;
    let same = |a: &Path, b: &Path| match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let logical = std::env::var_os("PWD").map(PathBuf::from);
    logical.filter(|logical| logical.is_absolute() && same(logical, &actual)).or(Some(actual))
}
