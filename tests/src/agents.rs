//! The agents of other people that the tests drive: npm packages at the versions of `tests/agents/`, and the protocol's
//! Python SDK, installed once for each lock file into a cache outside the tree.

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

/// Where the agents and clients on the Python SDK lie, and the file that pins it.
#[must_use]
pub fn python_dir() -> PathBuf {
    pinned_dir().join("python")
}

/// The file in [`python_dir`] that pins the Python SDK.
pub const PYTHON_PINNED: &str = "requirements.txt";

/// Where the pinned agents belong: `skep-tests/agents-HASH` in the user's cache directory. The directory appears
/// whole or not at all.
///
/// # Panics
///
/// When the pins cannot be read, or there is no home.
#[must_use]
pub fn cache_dir() -> PathBuf {
    cache("agents", &PINNED.map(|name| pinned_dir().join(name)))
}

/// The same for the Python SDK: an environment in `skep-tests/python-HASH`.
///
/// # Panics
///
/// When the pins cannot be read, or there is no home.
#[must_use]
pub fn python_cache_dir() -> PathBuf {
    cache("python", &[python_dir().join(PYTHON_PINNED)])
}

/// The same for the tools of the client in `web/`: a `node_modules` in `skep-tests/web-HASH`.
///
/// # Panics
///
/// When the pins cannot be read, or there is no home.
#[must_use]
pub fn web_cache_dir() -> PathBuf {
    cache("web", &PINNED.map(|name| web_dir().join(name)))
}

/// The same for the MCP Inspector: a `node_modules` in `skep-tests/mcp-HASH`.
///
/// # Panics
///
/// When the pins cannot be read, or there is no home.
#[must_use]
pub fn mcp_cache_dir() -> PathBuf {
    cache("mcp", &PINNED.map(|name| mcp_dir().join(name)))
}

/// Where the MCP Inspector is pinned, by [`PINNED`] of its own.
#[must_use]
pub fn mcp_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/mcp")
}

/// The MCP Inspector's program.
///
/// # Panics
///
/// When it is not installed, naming the command that installs it.
#[must_use]
pub fn mcp_inspector() -> PathBuf {
    installed(mcp_cache_dir().join("node_modules/.bin/mcp-inspector"))
}

/// The client in `web/`, which has [`PINNED`] of its own.
#[must_use]
pub fn web_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("web")
}

fn cache(name: &str, pins: &[PathBuf]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for path in pins {
        match std::fs::read(path) {
            Ok(bytes) => hasher.write(&bytes),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| Path::new(&set("HOME").expect("HOME is set")).join(".cache"));
    cache.join("skep-tests").join(format!("{name}-{:016x}", hasher.finish()))
}

/// The programs of the installed agents, and of the Node.js that runs them.
///
/// # Panics
///
/// When they are not installed, naming the command that installs them.
#[must_use]
pub fn programs() -> PathBuf {
    installed(cache_dir().join("node_modules/.bin"))
}

/// The Python that has the SDK.
///
/// # Panics
///
/// When it is not installed, naming the command that installs it.
#[must_use]
pub fn python() -> PathBuf {
    installed(python_cache_dir().join("bin/python"))
}

/// What the client in `web/` is built with and needs.
///
/// # Panics
///
/// When it is not installed, naming the command that installs it.
#[must_use]
pub fn web_modules() -> PathBuf {
    installed(web_cache_dir().join("node_modules"))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: `cargo xtask check` installs the agents, or `cargo xtask agents` alone",
        path.display(),
    );
    path
}
