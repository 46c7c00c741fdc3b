//! The registry: one file for every process of skep that others may want to see (C6): workers, and each foreground `run`
//! or `attach`.
//!
//! Each process writes its own entry and removes it; an entry whose process is gone is removed by whoever lists. What a
//! file says is checked before it is believed.

use std::io;
use std::path::{Path, PathBuf};

use skep_common::api::RegistryEntry;
use skep_common::ids::WorkerId;
use skep_config::Paths;
use skep_sys::process::is_alive;
use skep_sys::statefile;

/// No entry of ours is larger.
const MAX_BYTES: u64 = 64 * 1024;

/// Longer texts do not come from us.
const MAX_TEXT: usize = 4096;

/// The registry's directory.
#[derive(Debug, Clone)]
pub struct Registry {
    directory: PathBuf,
}

/// An entry of a living process, with the name under which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The file's name without its ending: a worker's id, or a name that the process chose.
    pub name: WorkerId,
    /// What it says.
    pub entry: RegistryEntry,
}

/// This process's own entry; removed when this is dropped.
#[derive(Debug)]
pub struct Registration {
    path: PathBuf,
}

impl Registry {
    /// The registry of a state directory.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self { directory: paths.registry() }
    }

    /// Writes an entry. It needs no sync: after a power loss there is no process.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &WorkerId, entry: &RegistryEntry) -> io::Result<Registration> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.path(name);
        statefile::write_unsynced(&path, &serde_json::to_vec(entry)?)?;
        Ok(Registration { path })
    }

    /// Removes an entry. None is no error.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn remove(&self, name: &WorkerId) -> io::Result<()> {
        remove(&self.path(name))
    }

    /// The entries of all living processes, by name. Stale ones are removed, unbelievable ones moved aside; both are
    /// logged.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. No directory is an empty registry.
    pub fn list(&self) -> io::Result<Vec<Registered>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for file in entries {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
            if let Some(name) = name
                && let Some(entry) = living(&path)
            {
                found.push(Registered { name, entry });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn path(&self, name: &WorkerId) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "failed to remove the registry entry `{}`", self.path.display());
        }
    }
}

/// The entry in a file, if it is to be believed and its process lives.
fn living(path: &Path) -> Option<RegistryEntry> {
    match read(path) {
        Ok(entry) if is_alive(&entry.process) => return Some(entry),
        Ok(entry) => {
            // Written anew between the look at the process and the removal? Then that process writes no second time,
            // so look again.
            if read(path).is_ok_and(|again| again.process == entry.process)
                && let Err(error) = remove(path)
            {
                tracing::warn!(%error, "failed to remove the stale registry entry `{}`", path.display());
            }
        }
        Err(ReadEntry::Gone) => {}
        Err(ReadEntry::Invalid(why)) => match statefile::quarantine(path) {
            Ok(moved_to) => {
                tracing::warn!(
                    "registry entry `{}` is invalid ({why}); it is kept as `{}`",
                    path.display(),
                    moved_to.display()
                );
            }
            Err(error) => tracing::warn!(%error, "registry entry `{}` is invalid: {why}", path.display()),
        },
    }
    None
}

enum ReadEntry {
    Gone,
    Invalid(String),
}

fn read(path: &Path) -> Result<RegistryEntry, ReadEntry> {
    let from_io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadEntry::Gone,
        _ => ReadEntry::Invalid(error.to_string()),
    };
    if std::fs::symlink_metadata(path).map_err(from_io)?.len() > MAX_BYTES {
        return Err(ReadEntry::Invalid("it is too large".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(from_io)?;
    let entry: RegistryEntry =
        serde_json::from_slice(&bytes).map_err(|error| ReadEntry::Invalid(error.to_string()))?;
    check(&entry).map_err(|why| ReadEntry::Invalid(why.to_owned()))?;
    Ok(entry)
}

fn check(entry: &RegistryEntry) -> Result<(), &'static str> {
    let is_text = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if entry.process.pid == 0 || i32::try_from(entry.process.pid).is_err() {
        return Err("its pid is out of range");
    }
    if !Path::new(&entry.cwd).is_absolute() || !is_text(&entry.cwd) {
        return Err("its directory is no absolute path");
    }
    let texts = [&entry.version, &entry.hostname, &entry.process.boot_id];
    if texts.into_iter().chain(&entry.url).any(|text| text.is_empty() || !is_text(text)) {
        return Err("a text is missing, too long, or has control characters");
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use skep_common::ids::Process;
    use skep_common::session::{PermissionMode, SessionKind};
    use skep_config::Environment;

    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(&Environment::of([("SKEP_HOME", dir.path())]), None).unwrap();
        (dir, Registry::new(&paths))
    }

    fn entry(process: Process) -> RegistryEntry {
        RegistryEntry {
            process,
            session_id: None,
            cwd: "/work".into(),
            started_at: Timestamp::now(),
            kind: SessionKind::Interactive,
            url: None,
            mode: PermissionMode::Ask,
            version: "0.1.0".into(),
            hostname: "host".into(),
        }
    }

    fn name(text: &str) -> WorkerId {
        text.parse().unwrap()
    }

    #[test]
    fn c6_living_processes_are_listed_and_stale_entries_cleaned_up() {
        let (_dir, registry) = registry();
        assert_eq!(registry.list().unwrap(), []);
        let own = entry(skep_sys::process::current());
        let registration = registry.write(&name("own"), &own).unwrap();
        let reused = Process { start_time: 1, ..own.process.clone() };
        std::mem::forget(registry.write(&name("stale"), &entry(reused)).unwrap());
        let rebooted = Process { boot_id: "earlier".into(), ..own.process.clone() };
        std::mem::forget(registry.write(&name("earlier"), &entry(rebooted)).unwrap());
        assert_eq!(registry.list().unwrap(), [Registered { name: name("own"), entry: own }]);
        assert_eq!(std::fs::read_dir(&registry.directory).unwrap().count(), 1);
        drop(registration);
        assert_eq!(registry.list().unwrap(), []);
        registry.remove(&name("own")).unwrap();
    }

    #[test]
    fn c6_an_entry_that_is_not_to_be_believed_is_put_aside() {
        let (_dir, registry) = registry();
        let own = skep_sys::process::current();
        let good = registry.write(&name("good"), &entry(own.clone())).unwrap();
        let bad = [
            entry(Process { pid: 0, ..own.clone() }),
            RegistryEntry { cwd: "relative".into(), ..entry(own.clone()) },
            RegistryEntry { hostname: "a\nb".into(), ..entry(own.clone()) },
            RegistryEntry { version: String::new(), ..entry(own.clone()) },
            RegistryEntry { url: Some("x".repeat(10_000)), ..entry(own.clone()) },
        ];
        for bad in bad {
            std::fs::write(registry.path(&name("bad")), serde_json::to_vec(&bad).unwrap()).unwrap();
            assert_eq!(registry.list().unwrap().len(), 1, "{bad:?}");
            assert!(!registry.path(&name("bad")).exists());
        }
        for bytes in [&b""[..], b"[]", b"{", &[b' '; 100_000]] {
            std::fs::write(registry.path(&name("bad")), bytes).unwrap();
            assert_eq!(registry.list().unwrap().len(), 1);
        }
        drop(good);
    }
}
