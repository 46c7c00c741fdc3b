//! The agents of other people that the tests drive: npm packages at the versions of `tests/agents/`, installed once
//! for each lock file into a cache outside the tree.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

/// The files that pin the agents.
pub const PINNED: [&str; 2] = ["package.json", "package-lock.json"];

/// Where [`PINNED`] lie.
#[must_use]
pub fn pinned_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agents")
}

/// Where the pinned agents belong: `skep-tests/agents-HASH` in the user's cache directory. The directory appears
/// whole or not at all.
///
/// # Panics
///
/// When the pins cannot be read, or there is no home.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for name in PINNED {
        let path = pinned_dir().join(name);
        match std::fs::read(&path) {
            Ok(bytes) => hasher.write(&bytes),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| Path::new(&set("HOME").expect("HOME is set")).join(".cache"));
    cache.join("skep-tests").join(format!("agents-{:016x}", hasher.finish()))
}

/// The programs of the installed agents, and of the Node.js that runs them.
///
/// # Panics
///
/// When they are not installed, naming the command that installs them.
#[must_use]
pub fn programs() -> PathBuf {
    let dir = cache_dir().join("node_modules/.bin");
    assert!(
        dir.is_dir(),
        "{} is missing: `cargo xtask check` installs the agents, or `cargo xtask agents` alone",
        dir.display(),
    );
    dir
}
