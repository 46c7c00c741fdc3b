//! The tools that checks and tests need beyond the toolchain, at fixed versions, in `target/tools`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::run::{cargo, output, run, say, target, tool};

const CARGO_DENY: &str = "0.20.2";
const CARGO_NEXTEST: &str = "0.9.143";

/// Where tools are installed.
fn tools() -> PathBuf {
    target().join("tools")
}

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    cargo_deny()?;
    cargo_nextest()?;
    Ok(())
}

/// The path of cargo-deny, installed if it is missing.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny", CARGO_DENY, &[])
}

/// The path of cargo-nextest: any that is installed, else our own.
pub(crate) fn cargo_nextest() -> Result<PathBuf> {
    if output(cargo().args(["nextest", "--version"])).is_ok() {
        return Ok("cargo-nextest".into());
    }
    cargo_tool("cargo-nextest", CARGO_NEXTEST, &["--no-default-features", "--features", "default-no-update"])
}

fn cargo_tool(name: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let path = tools().join("bin").join(name);
    let has = |found: String| found.contains(version);
    if output(tool(&path).arg("--version")).is_ok_and(has) {
        return Ok(path);
    }
    say(&format!("installing {name} {version} into {} (once, some minutes)", tools().display()));
    let package = format!("{name}@{version}");
    let mut install = cargo();
    install.args(["install", "--locked", "--quiet", "--root"]).arg(tools()).arg(package).args(options);
    run(&mut install).with_context(|| format!("failed to install {name}"))?;
    Ok(path)
}
