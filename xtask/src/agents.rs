//! The tests with agents that others wrote: npm packages at pinned versions, installed into the user's cache once for
//! each lock file. What is in place is whole; what an interrupted installation left is in nobody's way.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use skep_tests::agents::{PINNED, cache_dir, pinned_dir};

use crate::run::{cargo, run, say, tool};

/// Installs the agents if they are not there, and runs their tests.
pub(crate) fn test() -> Result<()> {
    install()?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    run(cargo().args([
        "nextest",
        "run",
        "--profile",
        "agents",
        "--package",
        "skep-tests",
        "--test",
        "agents",
    ]))
}

fn install() -> Result<()> {
    let dir = cache_dir();
    if dir.is_dir() {
        return Ok(());
    }
    say(&format!("installing the tests' agents into {} (once, some minutes, 1.6 GB)", dir.display()));
    let cache = dir.parent().context("the cache is a directory in another")?;
    fs::create_dir_all(cache).with_context(|| format!("failed to make {}", cache.display()))?;
    let begun = tempfile::Builder::new().prefix("installing-").tempdir_in(cache)?;
    fill(begun.path())?;
    match fs::rename(begun.path(), &dir) {
        // Somebody else was faster; theirs is the same.
        Err(_) if dir.is_dir() => Ok(()),
        renamed => renamed.with_context(|| format!("failed to put the agents into {}", dir.display())),
    }
}

fn fill(dir: &Path) -> Result<()> {
    for name in PINNED {
        fs::copy(pinned_dir().join(name), dir.join(name))
            .with_context(|| format!("failed to copy {name}"))?;
    }
    let mut npm = tool("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(dir);
    run(&mut npm).context("failed to install the tests' agents (npm and its registry are needed)")
}
