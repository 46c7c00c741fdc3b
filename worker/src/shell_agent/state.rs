//! What a session keeps: directory, changes to the environment, history, remembered permissions. One file per
//! session, written durably before a prompt is answered, so that `session/load` finds it in another process.
//!
//! The environment is kept as the difference to the agent's own, so that what the user did not touch (a new
//! `SSH_AUTH_SOCK`, say) comes fresh from the agent's environment after a load.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skep_config::env;
use skep_sys::statefile;

use super::snapshot::Snapshot;

/// How many commands the history holds.
const HISTORY: usize = 100;

/// How many commands are remembered as always allowed.
const ALLOWED: usize = 1_000;

/// How much of a command the history holds, in characters.
const COMMAND: usize = 4_000;

/// The version of the file.
const VERSION: u32 = 1;

/// Variables that each shell sets for itself; their values are not the user's.
const SHELLS_OWN: [&str; 4] = ["_", "PWD", "SHLVL", "A__z"];

/// Environment variables by name.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// What a session keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    cwd: OsText,
    set: Vec<(OsText, OsText)>,
    unset: Vec<OsText>,
    history: VecDeque<Past>,
    allowed: VecDeque<String>,
}

/// A command that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    /// The command, clipped.
    pub(super) command: String,
    /// Its exit status; none if it was cancelled.
    pub(super) exit_code: Option<i32>,
    /// The beginning of its output.
    pub(super) summary: String,
}

impl State {
    /// A fresh session's.
    pub(super) fn new(cwd: &Path) -> Self {
        Self {
            version: VERSION,
            cwd: OsText(cwd.as_os_str().to_owned()),
            set: Vec::new(),
            unset: Vec::new(),
            history: VecDeque::new(),
            allowed: VecDeque::new(),
        }
    }

    /// The directory of the next command.
    pub(super) fn cwd(&self) -> &Path {
        Path::new(&self.cwd.0)
    }

    /// The commands that ran, oldest first.
    pub(super) fn history(&self) -> impl Iterator<Item = &Past> {
        self.history.iter()
    }

    /// The next command's variables, over the agent's own.
    pub(super) fn variables(&self, base: &Variables) -> Variables {
        let mut variables = base.clone();
        for name in &self.unset {
            variables.remove(&name.0);
        }
        variables.extend(self.set.iter().map(|(name, value)| (name.0.clone(), value.0.clone())));
        variables
    }

    /// Takes over what a command left behind.
    pub(super) fn apply(&mut self, snapshot: Snapshot, base: &Variables) {
        let seen: Variables = snapshot.env.into_iter().map(|(name, value)| (name.0, value.0)).collect();
        self.cwd = snapshot.cwd;
        self.set = seen
            .iter()
            .filter(|(name, value)| is_users(name) && base.get(*name) != Some(*value))
            .map(|(name, value)| (OsText(name.clone()), OsText(value.clone())))
            .collect();
        self.unset = base
            .keys()
            .filter(|name| is_users(name) && !seen.contains_key(*name))
            .map(|name| OsText(name.clone()))
            .collect();
    }

    /// Adds a command to the history.
    pub(super) fn remember(&mut self, past: Past) {
        let command = past.command.chars().take(COMMAND).collect();
        self.history.push_back(Past { command, ..past });
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// Whether this very command was allowed for good.
    pub(super) fn is_allowed(&self, command: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == command)
    }

    /// Remembers that this very command is allowed.
    pub(super) fn allow(&mut self, command: &str) {
        if !self.is_allowed(command) {
            self.allowed.push_back(command.to_owned());
        }
        while self.allowed.len() > ALLOWED {
            self.allowed.pop_front();
        }
    }
}

/// Whether a variable is the user's to change: not the shell's own, and none of skep's marks, which every process of a
/// session carries.
fn is_users(name: &OsStr) -> bool {
    !SHELLS_OWN.iter().any(|own| name == *own) && !name.as_bytes().starts_with(b"SKEP_")
}

/// Where sessions are kept.
#[derive(Debug, Clone)]
pub(super) struct Store {
    directory: PathBuf,
}

/// How long files are kept that nobody else tidies up.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The place of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The client named it, and tidies it up.
    Given(PathBuf),
    /// The agent's own, shared by every client that names none.
    Own(PathBuf),
}

impl Store {
    /// The store in this directory, which is created (0700) where it is missing.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory })
    }

    /// Where the agent's environment says: `SKEP_SHELL_STATE`, else skep's state directory.
    pub(super) fn place(variables: &Variables) -> Result<Place, skep_config::PathsError> {
        if let Some(place) =
            variables.get(OsStr::new(env::SKEP_SHELL_STATE)).filter(|place| !place.is_empty())
        {
            let place = PathBuf::from(place);
            return if place.is_absolute() {
                Ok(Place::Given(place))
            } else {
                Err(skep_config::PathsError::Relative { source_name: env::SKEP_SHELL_STATE, path: place })
            };
        }
        let environment = skep_config::Environment::capture();
        let paths = skep_config::Paths::resolve(&environment, None)?;
        Ok(Place::Own(paths.state_dir().join("shell-agent")))
    }

    /// Deletes what nobody has touched for 30 days as of `now`: sessions, and what crashes left.
    pub(super) fn sweep(&self, now: SystemTime) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let touched = entry.metadata()?.modified()?;
            let kind = entry.file_type()?;
            if (kind.is_file() || kind.is_fifo()) && now.duration_since(touched).is_ok_and(|age| age > KEPT) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Reads a session. `None`: there is none of this id.
    pub(super) fn read(&self, session: uuid::Uuid) -> Result<Option<State>, statefile::ReadError> {
        Ok(statefile::read_json::<State>(&self.path(session))?.filter(|state| state.version == VERSION))
    }

    /// Writes a session durably.
    pub(super) fn write(&self, session: uuid::Uuid, state: &State) -> io::Result<()> {
        statefile::write_json(&self.path(session), state)
    }

    /// The name of a pipe for the next snapshot.
    pub(super) fn snapshot_path(&self) -> PathBuf {
        self.directory.join(format!("snapshot-{}", uuid::Uuid::new_v4()))
    }

    fn path(&self, session: uuid::Uuid) -> PathBuf {
        self.directory.join(format!("{session}.json"))
    }
}

/// Text of the operating system: a JSON string where it is UTF-8, else a list of bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct OsText(pub(super) OsString);

impl Serialize for OsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_seq(self.0.as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for OsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = OsText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of bytes")
            }

            fn visit_str<E>(self, text: &str) -> Result<OsText, E> {
                Ok(OsText(OsString::from(text)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OsText, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(OsText(OsString::from_vec(bytes)))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

/// Hidden: variables may hold secrets.
impl fmt::Debug for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    fn snapshot(cwd: &str, pairs: &[(&str, &str)]) -> Snapshot {
        let env = variables(pairs).into_iter().map(|(name, value)| (OsText(name), OsText(value))).collect();
        Snapshot { cwd: OsText(OsString::from(cwd)), env }
    }

    #[test]
    fn changes_are_kept_over_whatever_environment_the_agent_has() {
        let base =
            variables(&[("A", "1"), ("GONE", "x"), ("SOCK", "old"), ("SKEP_SESSION", "s"), ("SHLVL", "3")]);
        let mut state = State::new(Path::new("/"));
        let after = [
            ("A", "2"),
            ("NEW", "n"),
            ("SOCK", "old"),
            ("SHLVL", "4"),
            ("_", "/helper"),
            ("SKEP_COMMAND", "c"),
        ];
        state.apply(snapshot("/tmp", &after), &base);
        assert_eq!(state.cwd(), Path::new("/tmp"));
        let later =
            variables(&[("A", "1"), ("GONE", "x"), ("SOCK", "new"), ("SKEP_SESSION", "t"), ("SHLVL", "0")]);
        assert_eq!(
            state.variables(&later),
            variables(&[("A", "2"), ("NEW", "n"), ("SOCK", "new"), ("SKEP_SESSION", "t"), ("SHLVL", "0")])
        );
    }

    #[test]
    fn n2_a_session_is_written_and_read_whatever_bytes_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path().join("a/b")).unwrap();
        let id = uuid::Uuid::new_v4();
        assert_eq!(store.read(id).unwrap(), None);
        let mut state = State::new(Path::new("/tmp"));
        let raw = OsText(OsString::from_vec(b"\xff\n\x01".to_vec()));
        let env = vec![(OsText(OsString::from("RAW")), raw)];
        state.apply(Snapshot { cwd: OsText(OsString::from("/x\u{1b}")), env }, &Variables::new());
        for n in 0..150 {
            let past = Past { command: format!("c{n}"), exit_code: Some(n), summary: String::new() };
            state.remember(past);
        }
        state.allow("ls");
        store.write(id, &state).unwrap();
        assert_eq!(store.read(id).unwrap(), Some(state.clone()));
        assert_eq!(state.history().count(), HISTORY);
        assert!(state.is_allowed("ls") && !state.is_allowed("ls "));
    }

    #[test]
    fn old_sessions_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path().to_owned()).unwrap();
        let id = uuid::Uuid::new_v4();
        store.write(id, &State::new(Path::new("/"))).unwrap();
        let now = SystemTime::now();
        store.sweep(now).unwrap();
        assert!(store.read(id).unwrap().is_some());
        store.sweep(now + KEPT + Duration::from_secs(60)).unwrap();
        assert!(store.read(id).unwrap().is_none());
    }

    #[test]
    fn p19_a_broken_session_file_is_moved_aside() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path().to_owned()).unwrap();
        let id = uuid::Uuid::new_v4();
        std::fs::write(store.path(id), b"{\"version\":1,").unwrap();
        assert!(store.read(id).is_err());
        assert_eq!(store.read(id).unwrap(), None);
    }
}
