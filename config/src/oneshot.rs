//! The keys of an agent with `driver = "oneshot"`: a command for each prompt, and how its output is read.

use crate::agents::{AgentPreset, Driver, PerMode, ResumeBy};
use crate::value::choice;

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
/// one to which a one-shot command cannot keep.
pub type ModeArgs = PerMode<Vec<String>>;

/// What does not fit together in an agent's one-shot keys.
pub(crate) fn check(agent: &AgentPreset) -> Vec<(&'static str, String)> {
    let mut complaints = Vec::new();
    let mut complain = |key, text: &str| complaints.push((key, text.to_owned()));
    if agent.driver != Driver::Oneshot && agent.output != Output::default() {
        complain("output", "only an agent with `driver = \"oneshot\"` has this");
    }
    if !agent.resume_args.is_empty() {
        if agent.driver == Driver::Acp {
            complain("resume_args", "only an agent without ACP has this");
        } else if agent.driver == Driver::Oneshot && agent.output == Output::Text {
            complain("resume_args", "plain text does not tell the session's id; set `output`");
        } else if !agent.resume_args.iter().any(|arg| arg.contains("{session}")) {
            complain("resume_args", "`{session}` stands in none of them");
        }
    }
    if let Some(wrong) = wrong_resume(agent) {
        complain("resume", wrong);
    }
    if agent.resume_args.iter().any(|arg| arg.contains('\0')) {
        complain("resume_args", "it contains a NUL");
    }
    if agent.driver == Driver::Oneshot && agent.command.first().is_some_and(|program| program.contains('{')) {
        complain("command", "the program itself cannot have a placeholder");
    }
    complaints
}

/// What of `resume` an agent without ACP cannot obey, where it is not merely what the built-in agent of its name has.
fn wrong_resume(agent: &AgentPreset) -> Option<&'static str> {
    let wrong = match agent.resume {
        _ if agent.driver == Driver::Acp => return None,
        ResumeBy::Load => {
            "an agent without ACP has no `session/load`: `resume_args` bring its session back (\"resume\"), or nothing \
             does (\"none\")"
        }
        ResumeBy::Resume if agent.resume_args.is_empty() => "an agent without ACP needs `resume_args` for it",
        ResumeBy::Auto | ResumeBy::Resume | ResumeBy::None => return None,
    };
    (!agent.inherits_resume()).then_some(wrong)
}

#[cfg(test)]
mod tests {
    use skep_common::session::PermissionMode;

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
        assert_eq!(agent.mode_args.of(PermissionMode::Ask), Some(&Vec::new()));
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
    fn what_a_built_in_agent_says_of_acp_does_not_bind_a_command_of_its_name() {
        let text = "[agents.pi]\ndriver = \"oneshot\"\ncommand = [\"pi\", \"-p\"]\n";
        assert_eq!(parse(text, "t").unwrap().agents["pi"].resume, ResumeBy::Load);
        let never = parse("[agents.claude-cli]\nresume = \"none\"\n", "t").unwrap();
        assert_eq!(never.agents["claude-cli"].resume, ResumeBy::None);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_its_place() {
        let agent = |rest: &str| format!("[agents.a]\ncommand = [\"x\"]\n{rest}\n");
        for (rest, said) in [
            ("output = \"claude\"", "3:10"),
            ("output = \"claude\"", "only an agent with"),
            ("resume_args = [\"{session}\"]", "only an agent without ACP"),
            ("driver = \"oneshot\"\nresume_args = [\"{session}\"]", "plain text does not tell"),
            ("driver = \"oneshot\"\noutput = \"pi\"\nresume_args = [\"--session\"]", "`{session}` stands"),
            ("driver = \"oneshot\"\noutput = \"claud\"", "did you mean \"claude\"?"),
            ("driver = \"oneshot\"\nmode_args = { aks = [] }", "did you mean `ask`?"),
            ("driver = \"oneshot\"\nmode_args = { ask = [\"a\\u0000\"] }", "NUL"),
            ("driver = \"oneshot\"\nmode_args = { ask = 3 }", "mode_args.ask` is"),
            ("driver = \"oneshot\"\nmode_args = { ask = [3] }", "mode_args.ask`: item 1 is"),
            ("driver = \"oneshot\"\nresume = \"load\"", "4:10"),
            ("driver = \"oneshot\"\nresume = \"load\"", "has no `session/load`"),
            ("driver = \"claude-stream\"\nresume = \"load\"", "4:10"),
            ("driver = \"oneshot\"\nresume = \"resume\"", "needs `resume_args`"),
            ("driver = \"onshot\"", "did you mean \"oneshot\"?"),
        ] {
            let error = parse(&agent(rest), "t").unwrap_err().to_string();
            assert!(error.contains(said), "{rest}: {error}");
        }
    }
}
