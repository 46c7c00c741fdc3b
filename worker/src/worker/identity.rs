//! Who this worker is, and its registry file (C6).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use skep_common::api::RegistryEntry;
use skep_common::ids::Process;
use skep_common::protocol::WorkerSettings;
use skep_common::session::{PermissionMode, SessionKind};
use skep_sys::{process, statefile};

use super::WorkerArgs;

/// The worker's process and its entry in the registry.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) process: Process,
    entry: RegistryEntry,
    path: PathBuf,
}

impl Identity {
    /// Writes the registry file. The directory and the mode are guesses until the supervisor says hello.
    pub(super) fn register(args: &WorkerArgs) -> io::Result<Self> {
        let directory = args.state_dir.join("registry");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let process = process::current();
        let hostname = nix::unistd::gethostname()?.to_string_lossy().into_owned();
        let entry = RegistryEntry {
            process: process.clone(),
            session_id: None,
            cwd: std::env::current_dir()?.to_string_lossy().into_owned(),
            started_at: Timestamp::now(),
            kind: SessionKind::Daemon,
            url: None,
            mode: PermissionMode::Ask,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname,
        };
        let identity = Self { process, entry, path: directory.join(format!("{}.json", args.id)) };
        identity.write(&identity.entry)?;
        Ok(identity)
    }

    /// Writes it anew with what the supervisor said. It is for people; a failure is only logged.
    pub(super) fn learn(&self, settings: &WorkerSettings) {
        let entry =
            RegistryEntry { cwd: settings.dir.clone(), mode: settings.permission_mode, ..self.entry.clone() };
        if entry != self.entry
            && let Err(error) = self.write(&entry)
        {
            tracing::warn!(%error, "failed to write the registry file");
        }
    }

    /// Removes the registry file, unless a successor of the same id has written its own.
    pub(super) fn unregister(&self) {
        let ours = statefile::read_json::<RegistryEntry>(&self.path)
            .is_ok_and(|entry| entry.is_some_and(|entry| entry.process == self.process));
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "failed to remove the registry file");
        }
    }

    fn write(&self, entry: &RegistryEntry) -> io::Result<()> {
        statefile::write_unsynced(&self.path, &statefile::to_bytes(entry)?)
    }
}
