//! The agents that others wrote, side by side: what the first token of an answer costs when each is driven directly over
//! ACP, and what it costs through skep, with a model that answers at once.
//!
//! skep's own share is no difference of two noisy figures: a tap before the agent notes when a prompt arrives there and
//! when the first token leaves, and what is left of the client's time is skep's (and the tap's).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::json;
use skep_tests::api::EventStream;
use skep_tests::env::built;
use skep_tests::procs;
use skep_tests::recipes::{ALL, CLAUDE_CLI, Recipe};
use skep_tests::world::World;

use super::agents::{follow, open, prompt};
use super::direct::Direct;
use super::table::{median, millis, since, wall_nanos};
use crate::agents::install;
use crate::run::say;

/// New sessions, and loads, of each agent.
const TRIES: usize = 3;

/// Prompts to a session whose agent runs.
const PROMPTS: usize = 8;

/// What an agent may do after it has opened a session, before it is used: commands, titles, caches.
const SETTLE: Duration = Duration::from_secs(2);

const SAY: &str = "[[say good morning]]";

/// What is measured in one way, in milliseconds.
#[derive(Debug, Default)]
struct Figures {
    new: Vec<f64>,
    running: Vec<f64>,
    load: Vec<f64>,
    /// skep's own part of `new` and `running`.
    share_new: Vec<f64>,
    share_running: Vec<f64>,
}

/// Measures the agents whose name contains `only`, in a table of its own: its columns are ways, not targets and floors.
pub(super) fn measure(only: Option<&str>) -> Result<()> {
    install()?;
    say(
        "\nTo the first token, median. A new session: of the agent alone, through skep, through skep with `warm = 1`;",
    );
    say(
        "a session whose agent runs; a session whose agent was stopped. skep's share: target 5 ms warm, 2 ms running;",
    );
    say("a wake: target 1.1 times the agent's own load.\n");
    let head =
        ["", "new: alone", "skep", "warm", "share", "running: alone", "skep", "share", "load: alone", "skep"];
    row(&head.map(str::to_owned), "ratio");
    let mut failed = Vec::new();
    for recipe in ALL.into_iter().filter(|recipe| only.is_none_or(|only| recipe.name.contains(only))) {
        if let Err(error) = agent(recipe) {
            say(&format!("{:<12}FAILED: {error:#}", recipe.name));
            failed.push(recipe.name);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join(", ")) }
}

fn row(cells: &[String], last: &str) {
    const WIDTHS: [usize; 10] = [12, 11, 9, 9, 16, 16, 9, 16, 13, 9];
    let line: String = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:<width$}")).collect();
    say(&format!("{line}{last}"));
}

fn agent(recipe: Recipe) -> Result<()> {
    let is_acp = recipe.name != CLAUDE_CLI.name;
    let mut alone = if is_acp { alone(recipe)? } else { Figures::default() };
    let mut cold = through_skep(recipe)?;
    let mut warm = if is_acp { ready(recipe)? } else { Figures::default() };
    let ratio = median(&mut cold.load) / median(&mut alone.load);
    let cells = [
        recipe.name.to_owned(),
        long(&mut alone.new),
        long(&mut cold.new),
        long(&mut warm.new),
        share(&mut warm.share_new, 5.0),
        long(&mut alone.running),
        long(&mut cold.running),
        share(&mut cold.share_running, 2.0),
        long(&mut alone.load),
        long(&mut cold.load),
    ];
    let last =
        if ratio.is_nan() { "–".to_owned() } else { format!("{ratio:.2} {}", verdict(ratio <= 1.1)) };
    row(&cells, &last);
    Ok(())
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn long(samples: &mut [f64]) -> String {
    if samples.is_empty() { "–".to_owned() } else { format!("{:.0} ms", median(samples)) }
}

fn share(samples: &mut [f64], target: f64) -> String {
    if samples.is_empty() {
        return "–".to_owned();
    }
    let share = median(samples);
    format!("{share:.1} ms {}", verdict(share <= target))
}

/// A lost session is no load; one agent needs a minute for each.
fn loads(recipe: Recipe) -> usize {
    if recipe.loses_young_sessions { 1 } else { TRIES }
}

fn alone(recipe: Recipe) -> Result<Figures> {
    let world = World::new(recipe);
    let cwd = world.env.work();
    let mut figures = Figures::default();
    for n in 0..TRIES {
        let begun = Instant::now();
        let mut direct = Direct::start(&world.direct())?;
        let session = direct.open(&cwd)?;
        let ready = millis(begun.elapsed());
        figures.new.push(ready + direct.first_token(&session, SAY)?);
        for _ in 0..if n == 0 { PROMPTS } else { 0 } {
            figures.running.push(direct.first_token(&session, SAY)?);
        }
        drop(direct);
        if n < loads(recipe) {
            world.let_a_minute_begin();
            let begun = Instant::now();
            let mut direct = Direct::start(&world.direct())?;
            direct.load(&session, &cwd)?;
            let loaded = millis(begun.elapsed());
            figures.load.push(loaded + direct.first_token(&session, SAY)?);
        }
    }
    Ok(figures)
}

/// One world whose agent has a tap before it.
struct Tapped {
    world: World,
    tap: Tap,
}

impl Tapped {
    fn new(recipe: Recipe, keys: &str) -> Result<Self> {
        let tap = Tap::new()?;
        let world = World::with(recipe, &[&built("tap"), &tap.file], keys);
        Ok(Self { world, tap })
    }

    /// Opens a session and prompts it: how long until the first token, and skep's part of that.
    fn first(&self, name: &str) -> Result<(f64, f64)> {
        let begun = wall_nanos();
        open(&self.world.env, &self.world.env.api(), name, self.world.recipe.name);
        self.prompt(follow(&self.world.env.api(), name), name, begun)
    }

    /// The same for a prompt to a session that is there, and that the client follows.
    fn next(&self, name: &str) -> Result<(f64, f64)> {
        let stream = follow(&self.world.env.api(), name);
        self.prompt(stream, name, wall_nanos())
    }

    fn prompt(&self, mut stream: EventStream, name: &str, begun: u128) -> Result<(f64, f64)> {
        prompt(&self.world.env.api(), name, SAY);
        loop {
            let event = stream.next_event().context("the stream ended")?;
            if event.text().is_some() {
                let seen = wall_nanos();
                let _ended = stream.next_of("turn_ended");
                let agents = self.tap.last_turn()?;
                let took = since(begun, seen);
                return Ok((took, took - agents));
            }
        }
    }
}

fn through_skep(recipe: Recipe) -> Result<Figures> {
    let tapped = Tapped::new(recipe, "")?;
    let mut figures = Figures::default();
    let names = ["s", "second", "third"];
    for name in names {
        figures.new.push(tapped.first(name)?.0);
    }
    for name in &names[1..] {
        let _closed = tapped.world.env.api().post(&format!("/sessions/{name}/close"), &json!({})).is(200);
    }
    for _ in 0..PROMPTS {
        let (took, share) = tapped.next("s")?;
        figures.running.push(took);
        figures.share_running.push(share);
    }
    for _ in 0..loads(recipe) {
        procs::signal(tapped.world.agent(), Signal::SIGKILL);
        let gone = || tapped.world.session()["agent_process"].is_null().then_some(());
        tapped.world.wait("the agent's end", gone);
        tapped.world.let_a_minute_begin();
        figures.load.push(tapped.next("s")?.0);
    }
    Ok(figures)
}

fn ready(recipe: Recipe) -> Result<Figures> {
    let tapped = Tapped::new(recipe, "warm = 1\n")?;
    let mut figures = Figures::default();
    tapped.first("s")?;
    for name in ["second", "third", "fourth"] {
        tapped.world.wait("an agent that is ready", || tapped.tap.one_is_ready().then_some(()));
        std::thread::park_timeout(SETTLE);
        let (took, share) = tapped.first(name)?;
        figures.new.push(took);
        figures.share_new.push(share);
    }
    Ok(figures)
}

/// What the taps wrote.
struct Tap {
    _dir: tempfile::TempDir,
    file: PathBuf,
}

impl Tap {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("stamps");
        Ok(Self { _dir: dir, file })
    }

    /// Each stamp: the tap's process, what went by, and when.
    fn stamps(&self) -> Vec<(u32, String, u128)> {
        let text = fs::read_to_string(Path::new(&self.file)).unwrap_or_default();
        let stamp = |line: &str| {
            let mut words = line.split(' ');
            let pid = words.next()?.parse().ok()?;
            Some((pid, words.next()?.to_owned(), words.next()?.parse().ok()?))
        };
        text.lines().filter_map(stamp).collect()
    }

    /// How long the last turn's first token took the agent, in milliseconds.
    fn last_turn(&self) -> Result<f64> {
        let stamps = self.stamps();
        let at = stamps.iter().rposition(|(_, what, _)| what == "prompt").context("a prompt went by")?;
        let (pid, _, asked) = &stamps[at];
        let token = stamps[at..].iter().find(|(by, what, _)| by == pid && what == "token");
        Ok(since(*asked, token.context("a token went by")?.2))
    }

    /// Whether some agent has opened a session and was not prompted yet.
    fn one_is_ready(&self) -> bool {
        let stamps = self.stamps();
        let did = |pid: u32, what: &str| stamps.iter().any(|(by, did, _)| *by == pid && did == what);
        stamps.iter().any(|(pid, _, _)| did(*pid, "opened") && !did(*pid, "prompt"))
    }
}
