//! `cargo xtask check`: every check and every test. All of them run, and all that failed are reported; the tests
//! come last, so that their summary is what remains on the screen.

use anyhow::{Result, bail};

use crate::run::{cargo, output, run as run_tool, say, tool};
use crate::{agents, tools};

/// Runs everything.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    report.take("tools", tools::install());
    report.take("agents", agents::install());
    report.take("format", run_tool(cargo().args(["fmt", "--all", "--check"])));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    report.take("clippy", run_tool(cargo().args(clippy)));
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    report.take("documentation", run_tool(&mut doc));
    report.take("dependencies", dependencies());
    report.advisories();
    report.take("build", run_tool(cargo().args(["build", "--workspace", "--bins"])));
    report.say();
    report.take("tests", tests());
    report.verdict()
}

/// What the checks found.
#[derive(Default)]
struct Report {
    failed: Vec<String>,
    unchecked: Vec<String>,
}

impl Report {
    fn take(&mut self, name: &str, result: Result<()>) {
        if let Err(error) = result {
            say(&format!("FAILED {name}: {error:#}"));
            self.failed.push(name.to_owned());
        }
    }

    /// Security advisories need a database from the network. Without it nothing is known, and that is said.
    fn advisories(&mut self) {
        let Ok(deny) = tools::cargo_deny() else { return };
        match output(tool(&deny).args(["fetch", "db"])) {
            Ok(_) => {
                self.take(
                    "advisories",
                    run_tool(tool(deny).args(["check", "--disable-fetch", "advisories"])),
                );
            }
            Err(error) => {
                say(&format!("{error:#}"));
                self.unchecked
                    .push("ADVISORIES NOT CHECKED: their database cannot be reached from here".to_owned());
            }
        }
    }

    fn say(&self) {
        say("");
        for unchecked in &self.unchecked {
            say(&format!("!!! {unchecked}"));
        }
        if self.failed.is_empty() {
            say("every check before the tests passed");
        } else {
            say(&format!("FAILED so far: {}", self.failed.join(", ")));
        }
    }

    fn verdict(self) -> Result<()> {
        if self.failed.is_empty() { Ok(()) } else { bail!("failed: {}", self.failed.join(", ")) }
    }
}

fn dependencies() -> Result<()> {
    run_tool(tool(tools::cargo_deny()?).args(["check", "bans", "licenses", "sources"]))
}

fn tests() -> Result<()> {
    let nextest = tools::cargo_nextest()?;
    run_tool(tool(nextest).args(["nextest", "run", "--workspace", "--no-fail-fast"]))
}
