//! `cargo xtask bench`: what skep costs. Each figure stands beside its target and, where there is one, the floor: the
//! same job done by a bare loop in the same run on the same machine. These are figures for people, not tests: nothing
//! fails because the machine was busy.

mod agents;
mod capture;
mod direct;
mod load;
mod memory;
mod prompts;
mod real;
mod streams;
mod table;
mod workers;

use anyhow::{Result, ensure};
use clap::Args;

use crate::run::{cargo, run, say};
use table::Table;

/// Measures a group of figures.
type Measure<'a> = &'a dyn Fn(&mut Table) -> Result<()>;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Only the groups whose name contains this: memory, ps, prompts, streams, workers, capture, agents, load, npm.
    only: Option<String>,
    /// Of the group npm, only the agents whose name contains this.
    agent: Option<String>,
    /// Measure in this process, which was built with optimisations.
    #[arg(long, hide = true)]
    here: bool,
}

impl Bench {
    /// Builds everything with optimisations and measures.
    pub(crate) fn run(self) -> Result<()> {
        if !self.here {
            run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
            let mut again = cargo();
            again.args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "--here"]);
            return run(again.args(self.only).args(self.agent));
        }
        let npm = |_: &mut Table| real::measure(self.agent.as_deref());
        let groups: [(&str, Measure<'_>); 9] = [
            ("memory", &memory::measure),
            ("ps", &prompts::list),
            ("prompts", &prompts::accept),
            ("streams", &streams::measure),
            ("workers", &workers::measure),
            ("capture", &capture::measure),
            ("agents", &agents::measure),
            ("load", &load::measure),
            ("npm", &npm),
        ];
        let mut table = Table::default();
        let mut failed = Vec::new();
        for (name, measure) in groups {
            if self.only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
                say(&format!("measuring {name} …"));
                if let Err(error) = measure(&mut table) {
                    say(&format!("FAILED {name}: {error:#}"));
                    failed.push(name);
                }
            }
        }
        table.print();
        ensure!(failed.is_empty(), "could not measure {}", failed.join(", "));
        Ok(())
    }
}
