//! One agent's world: a home, a daemon in a network of its own, the model, and one session.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::agents;
use crate::cmd::{Cmd, Output, Running};
use crate::env::{TestEnv, number};
use crate::model::Model;
use crate::procs::{self, Trace};
use crate::wait::wait_up_to;
use serde_json::Value;

use crate::recipes::Recipe;

/// How long anything may take that an agent does: it may be a cold start on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// An agent, ready for prompts in the session `s`.
#[derive(Debug)]
pub struct World {
    // Dropped in this order: the model outlives the daemon and its agents.
    /// Its home, daemon and files.
    pub env: TestEnv,
    /// The agent.
    pub recipe: Recipe,
    model: Model,
}

impl World {
    /// The agent with its default settings.
    ///
    /// # Panics
    ///
    /// When it cannot be made (that wants root), or the agents are not installed.
    #[must_use]
    pub fn new(recipe: Recipe) -> Self {
        Self::with(recipe, &[], "")
    }

    /// The agent with its command run by `wrapper`, and with more keys in its table of the configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be made (that wants root), or the agents are not installed.
    #[must_use]
    pub fn with(recipe: Recipe, wrapper: &[&Path], keys: &str) -> Self {
        let model = Model::start();
        let table = recipe.table(&agents::programs(), &model.url(), wrapper);
        let settings = format!("[session]\nagent_start_timeout = \"{} s\"\n", LIMIT.as_secs());
        let env = TestEnv::with_config(&format!("{settings}{table}{keys}"));
        (recipe.configure)(&env.home(), &model.url());
        let _started = model.enclose(env.skep(["daemon", "start"])).run().ok();
        Self { env, recipe, model }
    }

    /// `skep` in the agent's network.
    pub fn skep<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.model.enclose(self.env.skep(args)).limit(LIMIT)
    }

    /// The agent itself, without skep: in the same network, with the same environment and home.
    pub fn direct(&self) -> Cmd {
        let words = self.recipe.words(&agents::programs());
        let agent = self.env.program(words[0].as_ref()).args(&words[1..]);
        let variables = self.recipe.variables(&agents::programs(), &self.model.url());
        self.model.enclose(variables.iter().fold(agent, |agent, (name, value)| agent.env(name, value)))
    }

    /// A prompt that is watched to its end.
    pub fn run(&self, script: &str) -> Output {
        self.begin(script).finish()
    }

    /// A prompt that is watched beside the test.
    pub fn begin(&self, script: &str) -> Running {
        self.skep(["run", "--agent", self.recipe.name, "--name", "s", script]).start()
    }

    /// A prompt that calls the agent's shell tool; returns the question once the agent asks.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn ask(&self, command: &str) -> Value {
        let script = format!("[[{} {command}]]", self.recipe.run);
        let _begun = self.skep(["bg", "--agent", self.recipe.name, "--name", "s", &script]).run().ok();
        let asked = self.skep(["wait", "s", "--timeout", "80s"]).run();
        if asked.code() != 6 {
            panic!("the agent did not ask: {asked}\n{}", self.story());
        }
        self.session()["waiting"][0].clone()
    }

    /// What the model was asked so far.
    #[must_use]
    pub fn requests(&self) -> String {
        self.model.requests()
    }

    /// The session, as the API shows it.
    #[must_use]
    pub fn session(&self) -> Value {
        self.env.api().get("/sessions/s").is(200).json()
    }

    /// The agent's process, once it runs.
    #[must_use]
    pub fn agent(&self) -> u32 {
        number(&self.wait("the agent's process", || {
            Some(self.session()["agent_process"]["process"]["pid"].clone()).filter(|pid| !pid.is_null())
        }))
    }

    /// Waits for the clock's next minute, if the agent would lose its session before that.
    ///
    /// # Panics
    ///
    /// When the clock stands before 1970.
    pub fn let_a_minute_begin(&self) {
        let minute = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
        let made = minute();
        if self.recipe.loses_young_sessions {
            self.wait("the next minute", || (minute() > made).then_some(()));
        }
    }

    /// Waits for a condition for as long as an agent may take.
    ///
    /// # Panics
    ///
    /// When it does not come true in time.
    pub fn wait<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        wait_up_to(LIMIT, what, condition)
    }

    /// The data of the last event of a kind.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn last(&self, kind: &str) -> Value {
        let found = self.env.events("s").into_iter().rfind(|event| event["kind"] == kind);
        found.unwrap_or_else(|| panic!("no `{kind}`\n{}", self.story()))["data"].take()
    }

    /// The processes that serve the session, tools and all.
    ///
    /// # Panics
    ///
    /// When there is no session.
    #[must_use]
    pub fn served_by(&self) -> Vec<Trace> {
        let mark = format!("SKEP_SESSION={}", self.session()["id"].as_str().expect("a session has an id"));
        let mut traces = procs::carrying(mark.as_ref());
        traces.retain(|trace| trace.found == "environment");
        traces
    }

    /// What happened, for whoever looks at a failure: the journal without its longest lines, and the model's
    /// requests.
    #[must_use]
    pub fn story(&self) -> String {
        let events = self.env.events("s").into_iter().map(|event| {
            let line = event.to_string();
            line.chars().take(1000).collect::<String>()
        });
        format!("{}\n--- model ---\n{}", events.collect::<Vec<_>>().join("\n"), self.model.requests())
    }
}
