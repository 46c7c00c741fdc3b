//! How a worker ends on purpose: its exit codes, and `workers/<id>.exit.json`, by which an adopter tells a wanted exit
//! from a crash.

use std::path::{Path, PathBuf};

use skep_common::ids::WorkerId;
use skep_common::protocol::WantedExit;
use skep_common::session::Cause;
use skep_sys::statefile;

/// Done.
pub(super) const DONE: u8 = 0;
/// The worker could not start.
pub(super) const FAILED: u8 = 1;
/// Nothing that a restart would mend (S5): the settings or the protocol are not for this binary.
pub(super) const PERMANENT: u8 = 78;

/// Where a worker says that it wanted to end.
pub(super) fn path(state_dir: &Path, worker: &WorkerId) -> PathBuf {
    state_dir.join("workers").join(format!("{worker}.exit.json"))
}

/// Says that the worker wants to end. Nothing depends on it but a count of failures, so a failure is only logged.
pub(super) fn write(state_dir: &Path, worker: &WorkerId, code: u8, why: &str) {
    let path = path(state_dir, worker);
    let exit = WantedExit { code: i32::from(code), why: why.to_owned() };
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| statefile::write_unsynced(&path, &statefile::to_bytes(&exit)?));
    if let Err(error) = written {
        tracing::warn!(%error, "failed to write {}", path.display());
    }
}

/// The cause in words.
pub(super) fn why(cause: Cause) -> String {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::from("unknown"),
    }
}
