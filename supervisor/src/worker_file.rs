//! A worker's state over restarts of the daemon: `workers/<id>.json`, and `workers/<id>.run` beside it.
//!
//! The state file holds what a person decided, the failures and the reason of a parking (promise 8); it is written
//! durably by the [`crate::saver`]. The run file is the intent: it is written before the first process is made, removed when
//! none is left, and names the mark that every process carries, so that the next supervisor finds them whatever happened
//! in between. It needs no sync: after a power loss there is no process.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_common::ids::{Process, WorkerId};
use skep_common::session::PermissionMode;
use skep_config::Paths;
use skep_sys::statefile::{self, ReadError};
use skep_sys::tree::Tree;

use crate::clock::{Clock, Stamp};
use crate::lifecycle::record::Record;

/// The variable in a worker's environment that marks its processes. Agents do not get it: they carry their session's.
pub(crate) const RUN_MARK: &str = skep_config::env::SKEP_WORKER_RUN;

/// What is kept of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerFile {
    /// The worker.
    pub(crate) id: WorkerId,
    /// Its kind.
    pub(crate) kind: String,
    /// What it is to be after a restart of the daemon.
    pub(crate) desired: Desired,
    /// Failures in a row, each after a short run.
    #[serde(default)]
    pub(crate) rapid: u32,
    /// The level of the restart delay.
    #[serde(default)]
    pub(crate) level: u32,
    /// When it failed, as far as that still counts.
    #[serde(default)]
    pub(crate) failures: Vec<Stamp>,
    /// Restarts since it was first known.
    #[serde(default)]
    pub(crate) restarts: u64,
    /// How its last process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_exit: Option<String>,
    /// Its settings, where they do not come from the configuration alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added: Option<Added>,
}

/// What a worker is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Desired {
    /// At work.
    Running,
    /// Ended by a person, until a person starts it.
    Stopped,
    /// Parked.
    Parked {
        /// Why.
        why: String,
        /// The end of its last process's stderr.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        stderr: String,
    },
}

/// What a person chose when they added a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// Its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dir: Option<PathBuf>,
    /// How many sessions it may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capacity: Option<u32>,
    /// The default mode of its sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) permission_mode: Option<PermissionMode>,
}

/// A process that was to be made, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFile {
    /// The value of [`RUN_MARK`] in its environment.
    pub(crate) mark: String,
    /// The supervisor that made it.
    pub(crate) epoch: u64,
}

impl WorkerFile {
    pub(crate) fn record(&self, clock: &Clock) -> Record {
        let failures = self.failures.iter().map(|stamp| clock.moment(stamp)).collect();
        Record::restored(self.rapid, self.level, failures)
    }
}

impl RunFile {
    pub(crate) fn path(paths: &Paths, id: &WorkerId) -> PathBuf {
        paths.worker(id).with_extension("run")
    }

    /// Writes the intent.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        statefile::write_unsynced(path, &statefile::to_bytes(self)?)
    }

    /// The tree of whatever was made.
    pub(crate) fn tree(&self) -> Tree {
        marked_tree(nobody(), RUN_MARK, &self.mark)
    }
}

/// A tree by its mark; `root` may be [`nobody`].
pub(crate) fn marked_tree(root: Process, key: &str, value: &str) -> Tree {
    Tree { root, mark: Some((key.to_owned(), value.to_owned())) }
}

/// A process that is none: for trees that are known by their mark only.
pub(crate) fn nobody() -> Process {
    Process { pid: u32::MAX, start_time: u64::MAX, boot_id: String::new() }
}

/// What a former daemon left of one worker.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) id: WorkerId,
    pub(crate) file: Option<WorkerFile>,
    pub(crate) run: Option<RunFile>,
}

/// Everything in `workers/`. A broken file is moved aside and reported, and costs its own worker its past, no more
/// (promise 19).
pub(crate) fn read_all(paths: &Paths) -> io::Result<Vec<Leftover>> {
    let mut ids: Vec<WorkerId> = Vec::new();
    for entry in std::fs::read_dir(paths.workers())? {
        let name = entry?.file_name();
        let id =
            name.to_str().and_then(|name| name.strip_suffix(".json").or_else(|| name.strip_suffix(".run")));
        if let Some(Ok(id)) = id.map(str::parse) {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into_iter().map(|id| read_one(paths, id)).collect())
}

fn read_one(paths: &Paths, id: WorkerId) -> Leftover {
    let file: Option<WorkerFile> = reported(&id, statefile::read_json(&paths.worker(&id)));
    let file = file.filter(|file| {
        let fits = file.id == id;
        if !fits {
            tracing::warn!(worker.name = %id, "ignored a state file of worker `{}` under the name of worker `{id}`", file.id);
        }
        fits
    });
    let run = reported(&id, statefile::read_json(&RunFile::path(paths, &id)));
    Leftover { id, file, run }
}

fn reported<T>(id: &WorkerId, read: Result<Option<T>, ReadError>) -> Option<T> {
    read.unwrap_or_else(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(worker.name = %id, error.source = source, "worker `{id}` goes on without its past: {error}");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_config::Environment;

    fn home() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(&Environment::of([("SKEP_HOME", dir.path())]), None).unwrap();
        std::fs::create_dir_all(paths.workers()).unwrap();
        (dir, paths)
    }

    fn file(id: &str) -> WorkerFile {
        WorkerFile {
            id: id.parse().unwrap(),
            kind: "background".into(),
            desired: Desired::Parked { why: "exit status 78".into(), stderr: "no key\n".into() },
            rapid: 3,
            level: 4,
            failures: vec![Stamp { at: jiff::Timestamp::UNIX_EPOCH, boot_id: "boot".into(), uptime_ms: 7 }],
            restarts: 9,
            last_exit: Some("exit status 1".into()),
            added: Some(Added { capacity: Some(2), ..Added::default() }),
        }
    }

    #[test]
    fn p19_a_file_cut_or_flipped_anywhere_costs_only_its_own_worker() {
        let (_dir, paths) = home();
        let (good, bad): (WorkerId, WorkerId) = ("good".parse().unwrap(), "bad".parse().unwrap());
        statefile::write_json(&paths.worker(&good), &file("good")).unwrap();
        let whole = statefile::to_bytes(&file("bad")).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x04;
            for bytes in [&whole[..at], &flipped[..]] {
                std::fs::write(paths.worker(&bad), bytes).unwrap();
                let all = read_all(&paths).unwrap();
                let bad = all.iter().find(|found| found.id == bad);
                let past = bad.and_then(|bad| bad.file.as_ref());
                assert!(past.is_none_or(|past| *past == file("bad")), "byte {at}: {past:?}");
                assert_eq!(all.iter().find(|found| found.id == good).unwrap().file, Some(file("good")));
            }
        }
    }

    #[test]
    fn p19_a_file_of_the_first_version_still_loads() {
        let (_dir, paths) = home();
        let text = r#"{"id":"remote-control-1","kind":"remote-control","desired":"running"}"#;
        std::fs::write(paths.worker(&"remote-control-1".parse().unwrap()), text).unwrap();
        let all = read_all(&paths).unwrap();
        assert_eq!(all[0].file.as_ref().unwrap().desired, Desired::Running);
    }

    #[test]
    fn p19_a_file_under_another_workers_name_is_not_believed() {
        let (_dir, paths) = home();
        statefile::write_json(&paths.worker(&"b".parse().unwrap()), &file("a")).unwrap();
        assert!(read_all(&paths).unwrap()[0].file.is_none());
    }
}
