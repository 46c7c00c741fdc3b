//! The keys of an agent with `driver = "oneshot"`: a command for each prompt, and how its output is read.

use skep_common::session::PermissionMode;
use toml::de::DeValue;

use crate::agents::{AgentPreset, Driver};
use crate::schema::{Refusal, Setting};
use crate::value::{choice, found, no_choice};

/// What a command writes to its standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Output {
    /// Text for people.
    #[default]
    Text,
    /// The JSON lines of `claude -p --output-format stream-json`.
    Claude,
    /// Those of `codex exec --json`.
    Codex,
    /// Those of `gemini -o stream-json`.
    Gemini,
    /// Those of `qwen -o stream-json`.
    Qwen,
    /// Those of `opencode run --format json`.
    Opencode,
    /// Those of `pi --mode json`.
    Pi,
}

choice!(Output {
    "text" => Text,
    "claude" => Claude,
    "codex" => Codex,
    "gemini" => Gemini,
    "qwen" => Qwen,
    "opencode" => Opencode,
    "pi" => Pi,
});

/// `mode_args`: the arguments with which a command keeps to a permission mode by itself. A mode that is not named is
/// one to which it cannot keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModeArgs {
    /// For `ask`.
    pub ask: Option<Vec<String>>,
    /// For `accept-edits`.
    pub accept_edits: Option<Vec<String>>,
    /// For `plan`.
    pub plan: Option<Vec<String>>,
    /// For `deny`.
    pub deny: Option<Vec<String>>,
    /// For `bypass`.
    pub bypass: Option<Vec<String>>,
}

impl ModeArgs {
    /// The arguments for a mode; none if the command cannot keep to it.
    #[must_use]
    pub fn of(&self, mode: PermissionMode) -> Option<&[String]> {
        let args = match mode {
            PermissionMode::Ask => &self.ask,
            PermissionMode::AcceptEdits => &self.accept_edits,
            PermissionMode::Plan => &self.plan,
            PermissionMode::Deny => &self.deny,
            PermissionMode::Bypass => &self.bypass,
        };
        args.as_deref()
    }

    fn entries(&self) -> [(&'static str, &Option<Vec<String>>); 5] {
        [
            ("ask", &self.ask),
            ("accept-edits", &self.accept_edits),
            ("plan", &self.plan),
            ("deny", &self.deny),
            ("bypass", &self.bypass),
        ]
    }

    fn slot(&mut self, mode: &str) -> Result<&mut Option<Vec<String>>, Refusal> {
        match mode {
            "ask" => Ok(&mut self.ask),
            "accept-edits" => Ok(&mut self.accept_edits),
            "plan" => Ok(&mut self.plan),
            "deny" => Ok(&mut self.deny),
            "bypass" => Ok(&mut self.bypass),
            other => {
                let modes = Self::default().entries().map(|(mode, _)| mode);
                let why = no_choice(other, &modes);
                Err(Refusal::Value(format!("{other:?} is no permission mode; {why}")))
            }
        }
    }
}

impl Setting for ModeArgs {
    fn expected() -> String {
        String::from("a table of permission modes, each a list of arguments")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for (mode, args) in value.as_table().ok_or(Refusal::Type)? {
            let mode: &str = mode.get_ref();
            let slot = read.slot(mode)?;
            *slot = Some(Vec::read(args.get_ref()).map_err(|refusal| match refusal {
                Refusal::Type => Refusal::Value(format!("`{mode}` is {}", found(args.get_ref()))),
                Refusal::Value(why) => Refusal::Value(format!("`{mode}`: {why}")),
            })?);
        }
        Ok(read)
    }

    fn write(&self) -> toml::Value {
        let named =
            |(mode, args): (&str, &Option<Vec<String>>)| Some((mode.to_owned(), args.as_ref()?.write()));
        toml::Value::Table(self.entries().into_iter().filter_map(named).collect())
    }
}

/// What does not fit together in an agent's one-shot keys.
pub(crate) fn check(agent: &AgentPreset) -> Vec<(&'static str, String)> {
    let mut complaints = Vec::new();
    let mut complain = |key, text: &str| complaints.push((key, text.to_owned()));
    if agent.driver != Driver::Oneshot {
        let only = "only an agent with `driver = \"oneshot\"` has this";
        if agent.output != Output::default() {
            complain("output", only);
        }
        if !agent.resume_args.is_empty() {
            complain("resume_args", only);
        }
        if agent.mode_args != ModeArgs::default() {
            complain("mode_args", only);
        }
        return complaints;
    }
    if !agent.resume_args.is_empty() {
        if agent.output == Output::Text {
            complain("resume_args", "plain text does not tell the session's id; set `output`");
        } else if !agent.resume_args.iter().any(|arg| arg.contains("{session}")) {
            complain("resume_args", "`{session}` stands in none of them");
        }
    }
    if agent.resume_args.iter().any(|arg| arg.contains('\0')) {
        complain("resume_args", "it contains a NUL");
    }
    if agent
        .mode_args
        .entries()
        .into_iter()
        .filter_map(|(_, args)| args.as_ref())
        .flatten()
        .any(|arg| arg.contains('\0'))
    {
        complain("mode_args", "it contains a NUL");
    }
    if agent.command.first().is_some_and(|program| program.contains('{')) {
        complain("command", "the program itself cannot have a placeholder");
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const CLAUDE: &str = r#"
        [agents.once]
        driver = "oneshot"
        command = ["claude", "-p", "--output-format", "stream-json", "--verbose"]
        output = "claude"
        resume_args = ["--resume", "{session}"]
        mode_args = { ask = [], accept-edits = ["--permission-mode", "acceptEdits"] }
    "#;

    #[test]
    fn a_one_shot_agent_is_read_and_written() {
        let settings = parse(CLAUDE, "t").unwrap();
        let agent = &settings.agents["once"];
        assert_eq!((agent.driver, agent.output), (Driver::Oneshot, Output::Claude));
        assert_eq!(agent.mode_args.of(PermissionMode::Ask), Some(&[][..]));
        assert_eq!(agent.mode_args.of(PermissionMode::AcceptEdits).unwrap()[1], "acceptEdits");
        assert_eq!(agent.mode_args.of(PermissionMode::Bypass), None);
        assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
    }

    #[test]
    fn five_lines_are_enough_for_any_command() {
        let text = "[agents.words]\ndriver = \"oneshot\"\ncommand = [\"wc\", \"-w\"]\n";
        let settings = parse(text, "t").unwrap();
        assert_eq!(settings.agents["words"].output, Output::Text);
        assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
    }

    #[test]
    fn the_manuals_examples_are_read() {
        let manual = include_str!("../../docs/manual/oneshot.md");
        let examples: String =
            manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let settings = parse(&examples, "oneshot.md").unwrap();
        assert_eq!(settings.agents.values().filter(|agent| agent.driver == Driver::Oneshot).count(), 7);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_its_place() {
        let agent = |rest: &str| format!("[agents.a]\ncommand = [\"x\"]\n{rest}\n");
        for (rest, said) in [
            ("output = \"claude\"", "3:10"),
            ("output = \"claude\"", "only an agent with"),
            ("resume_args = [\"{session}\"]", "only an agent with"),
            ("mode_args = { ask = [] }", "only an agent with"),
            ("driver = \"oneshot\"\nresume_args = [\"{session}\"]", "plain text does not tell"),
            ("driver = \"oneshot\"\noutput = \"pi\"\nresume_args = [\"--session\"]", "`{session}` stands"),
            ("driver = \"oneshot\"\noutput = \"claud\"", "did you mean \"claude\"?"),
            ("driver = \"oneshot\"\nmode_args = { aks = [] }", "did you mean \"ask\"?"),
            ("driver = \"oneshot\"\nmode_args = { ask = [\"a\\u0000\"] }", "NUL"),
            ("driver = \"oneshot\"\nmode_args = { ask = 3 }", "`ask` is"),
            ("driver = \"oneshot\"\nmode_args = { ask = [3] }", "`ask`: item 1 is"),
            ("driver = \"onshot\"", "did you mean \"oneshot\"?"),
        ] {
            let error = parse(&agent(rest), "t").unwrap_err().to_string();
            assert!(error.contains(said), "{rest}: {error}");
        }
    }
}
