//! The agents that others wrote, for the tests: npm packages and a Python SDK at pinned versions, each checked against
//! the lock file's hash, installed into the user's cache once for each lock file. What is in place is whole; what an
//! interrupted installation left is in nobody's way. Where a registry cannot be reached, the tests have failed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use skep_tests::agents::{
    PINNED, PYTHON_PINNED, cache_dir, mcp_cache_dir, mcp_dir, pinned_dir, python_cache_dir, python_dir,
    web_cache_dir, web_dir,
};

use crate::run::{cargo, output, run, say, tool};
use crate::tools;

/// Installs the agents if they are not there, and runs their tests alone.
pub(crate) fn test() -> Result<()> {
    install()?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let nextest = tools::cargo_nextest()?;
    run(tool(nextest).args(["nextest", "run", "--package", "skep-tests", "--test", "agents"]))
}

/// Installs the agents and the Python SDK if they are not there.
pub(crate) fn install() -> Result<()> {
    let npm = cache_dir();
    if !npm.is_dir() {
        say(&format!("installing the tests' agents into {} (once, a minute or more, 1.7 GB)", npm.display()));
        place(&npm, fill)?;
    }
    let python = python_cache_dir();
    if !knows_the_sdk(&python) {
        // The Python that it was made for may be gone.
        if python.is_dir() {
            fs::remove_dir_all(&python).with_context(|| format!("failed to remove {}", python.display()))?;
        }
        say(&format!(
            "installing the Python SDK and the API's testers into {} (once, a minute, 90 MB)",
            python.display()
        ));
        place(&python, fill_python)?;
        ensure!(knows_the_sdk(&python), "{} cannot import the SDK", python.display());
    }
    install_web()?;
    install_mcp()
}

/// Installs the MCP Inspector if it is not there.
fn install_mcp() -> Result<()> {
    let mcp = mcp_cache_dir();
    if mcp.is_dir() {
        return Ok(());
    }
    say(&format!("installing the MCP Inspector into {} (once, some seconds, 180 MB)", mcp.display()));
    place(&mcp, |dir| ci(&mcp_dir(), dir))
}

/// Installs the tools of the client in `web/` if they are not there.
fn install_web() -> Result<()> {
    let web = web_cache_dir();
    if web.is_dir() {
        return Ok(());
    }
    say(&format!("installing the web client's tools into {} (once, some seconds, 40 MB)", web.display()));
    place(&web, |dir| ci(&web_dir(), dir))
}

/// Makes a directory of the cache in one step, as far as anybody else can see.
fn place(dir: &Path, fill: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let cache = dir.parent().context("the cache is a directory in another")?;
    fs::create_dir_all(cache).with_context(|| format!("failed to make {}", cache.display()))?;
    let begun = tempfile::Builder::new().prefix("installing-").tempdir_in(cache)?;
    fill(begun.path())?;
    match fs::rename(begun.path(), dir) {
        // Somebody else was faster; theirs is the same.
        Err(_) if dir.is_dir() => Ok(()),
        renamed => renamed.with_context(|| format!("failed to put the agents into {}", dir.display())),
    }
}

fn knows_the_sdk(python: &Path) -> bool {
    output(
        tool(python.join("bin/python"))
            .args(["-c", "import acp, prometheus_client, schemathesis, websockets"]),
    )
    .is_ok()
}

fn fill_python(dir: &Path) -> Result<()> {
    let missing = "failed to make an environment: Python 3.10 or newer with `venv` and `pip` is needed (on Debian the \
                   packages python3-venv and python3-pip)";
    run(tool("python3").args(["-m", "venv"]).arg(dir)).context(missing)?;
    let mut pip = tool(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--require-hashes", "--only-binary=:all:", "--requirement"]);
    run(pip.arg(python_dir().join(PYTHON_PINNED)))
        .context("failed to install the Python SDK (the registry of Python's packages is needed)")
}

fn fill(dir: &Path) -> Result<()> {
    ci(&pinned_dir(), dir)?;
    // The one script that an agent needs: it puts opencode's program for this machine into its place.
    let opencode = dir.join("node_modules/opencode-ai");
    run(tool(dir.join("node_modules/.bin/node")).arg("postinstall.mjs").current_dir(opencode))
}

/// Installs what the lock file in `pins` says.
fn ci(pins: &Path, dir: &Path) -> Result<()> {
    for name in PINNED {
        fs::copy(pins.join(name), dir.join(name)).with_context(|| format!("failed to copy {name}"))?;
    }
    let mut npm = tool("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(dir);
    run(&mut npm).context("failed to install what tests need (npm and its registry are needed)")?;
    all_checked(&dir.join("node_modules/.package-lock.json"))
}

/// Whether each package that npm installed has a hash. The lock has some without: packages for other systems, which
/// npm insists on and does not install.
fn all_checked(installed: &Path) -> Result<()> {
    let text = fs::read_to_string(installed).context("failed to read what npm installed")?;
    let list: Value = serde_json::from_str(&text).context("what npm installed is no JSON")?;
    let packages = list["packages"].as_object().context("npm lists what it installed")?;
    let unchecked: Vec<&String> =
        packages.iter().filter(|(_, package)| package["integrity"].is_null()).map(|(name, _)| name).collect();
    ensure!(unchecked.is_empty(), "installed without a hash in the lock file: {unchecked:?}");
    Ok(())
}
