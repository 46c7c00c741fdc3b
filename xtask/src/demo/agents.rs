//! `cargo xtask demo agents`: agents that others wrote, each through the same life, as a table. They get the scripted
//! model in a network that has nothing else: no key, no cost. What a cell says was seen, not assumed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use skep_tests::procs;
use skep_tests::recipes::{ALL, Recipe};
use skep_tests::world::World;

use crate::agents;
use crate::run::say;

/// Shows one thing, and gives the words of its cell.
type Look = fn(&World) -> Result<String>;

/// What is shown of each agent, in this order: the head of the column, and what gives its cell.
const SHOWN: [(&str, Look); 5] = [
    ("FIRST ANSWER", answer),
    ("ASKS, IS ALLOWED", allow),
    ("ASKS, IS DENIED", deny),
    ("SIGKILL IN MID-TURN", kill),
    ("NEXT PROMPT", resume),
];

const WIDTH: usize = 24;

/// Shows the agents whose name contains `only`.
pub(super) fn show(only: Option<&str>) -> Result<()> {
    agents::install()?;
    let shown: Vec<Recipe> =
        ALL.into_iter().filter(|recipe| only.is_none_or(|only| recipe.name.contains(only))).collect();
    ensure!(!shown.is_empty(), "no agent has such a name");
    // What goes wrong stands in its cell and below the table.
    std::panic::set_hook(Box::new(|_| {}));
    say("");
    row("AGENT", &SHOWN.map(|(head, _)| head.to_owned()));
    let mut failures = Vec::new();
    for recipe in shown {
        match guarded(|| Ok(World::new(recipe))) {
            Ok(world) => {
                row(recipe.name, &cells(&world, &mut failures));
                // It looks for what the agent left.
                let ended = guarded(|| {
                    drop(world);
                    Ok(())
                });
                failures.extend(ended.err().map(|error| format!("{}: {error:#}", recipe.name)));
            }
            Err(error) => {
                row(recipe.name, &["FAILED".to_owned()]);
                failures.push(format!("{} did not start: {error:#}", recipe.name));
            }
        }
    }
    for failure in &failures {
        say(&format!("\n{failure}"));
    }
    if failures.is_empty() { Ok(()) } else { bail!("{} cells failed", failures.len()) }
}

fn row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:<WIDTH$}")).collect();
    say(format!("{name:<12}{cells}").trim_end());
}

/// The agent's cells. The first that fails is the last: the others need what it should have left.
fn cells(world: &World, failures: &mut Vec<String>) -> Vec<String> {
    let mut cells = Vec::new();
    for (head, look) in SHOWN {
        match guarded(|| look(world)) {
            Ok(cell) => cells.push(cell),
            Err(error) => {
                cells.push("FAILED".to_owned());
                let story = guarded(|| Ok(world.story())).unwrap_or_default();
                failures.push(format!("{}, {}: {error:#}\n{story}", world.recipe.name, head.to_lowercase()));
                break;
            }
        }
    }
    cells
}

/// The tests' tools panic where something does not come; here that is an error like others.
fn guarded<T>(job: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| bail!("{}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason").to_owned()
}

fn answer(world: &World) -> Result<String> {
    let begun = Instant::now();
    let output = world.run("[[mark kiwi]] [[say good morning]]");
    ensure!(output.code() == 0 && output.stdout.contains("good morning"), "{output}");
    Ok(format!("{:.1} s", begun.elapsed().as_secs_f64()))
}

/// Whether a file that a tool should make, or not, is there.
fn made(world: &World, name: &str) -> bool {
    world.env.work().join(name).exists()
}

fn allow(world: &World) -> Result<String> {
    let asked = world.ask("echo by-the-tool > allowed.txt");
    ensure!(!made(world, "allowed.txt"), "it did not wait for the answer to {asked}");
    let _allowed = world.skep(["allow"]).run().ok();
    let _done = world.skep(["wait", "s"]).run().ok();
    ensure!(made(world, "allowed.txt"), "it was allowed and did not run");
    Ok("waited, then ran".to_owned())
}

fn deny(world: &World) -> Result<String> {
    world.ask("echo by-the-tool > denied.txt");
    let _denied = world.skep(["deny"]).run().ok();
    let _ended = world.skep(["wait", "s"]).run();
    ensure!(!made(world, "denied.txt"), "it was denied and ran");
    let by = world.last("permission_resolved");
    ensure!(by["resolution"] == "denied", "{by}");
    let outcome = world.last("turn_ended")["outcome"].as_str().context("a turn has an outcome")?.to_owned();
    Ok(format!("did not run, {outcome}"))
}

fn kill(world: &World) -> Result<String> {
    // Agents refuse a bare `sleep`, and allow by themselves what only reads.
    world.ask("touch begun && tail -F no-such-file");
    let _allowed = world.skep(["allow"]).run().ok();
    let is_tool = |trace: procs::Trace| trace.command.starts_with("tail -F no-such-file");
    world.wait("the tool to run", || world.served_by().into_iter().any(is_tool).then_some(()));
    procs::signal(world.agent(), Signal::SIGKILL);
    let _ended = world.skep(["wait", "s"]).run();
    let ended = world.last("turn_ended");
    ensure!(ended["outcome"] == "interrupted" && ended["cause"] == "agent_crashed", "{ended}");
    let left = world.served_by();
    ensure!(left.is_empty(), "its tool outlived it: {left:?}");
    Ok("interrupted, no rest".to_owned())
}

fn resume(world: &World) -> Result<String> {
    world.let_a_minute_begin();
    let output = world.run("[[mark fig]] [[say good night]]");
    ensure!(output.code() == 0 && output.stdout.contains("marks: kiwi, fig}"), "{output}");
    let context = world.last("agent_started")["context"].as_str().context("a start tells how")?.to_owned();
    Ok(format!("{context}, remembers"))
}
