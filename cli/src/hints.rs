//! What to say when a prompt for a model ran as a shell command. Pure.

use skep_common::api::AgentInfo;

/// Whether a shell command that failed with this exit status looks like plain language.
pub(crate) fn looks_like_language(prompt: &str, exit_code: i32) -> bool {
    let prompt = prompt.trim();
    if prompt.is_empty() || prompt.lines().count() > 3 {
        return false;
    }
    match exit_code {
        // No such command.
        127 => prompt.split_whitespace().all(is_word),
        // A syntax error: an apostrophe inside a word opens a quotation for the shell.
        1 | 2 => has_apostrophe(prompt) && prompt.split_whitespace().all(is_word),
        _ => false,
    }
}

/// A word of a sentence: letters and digits, with the punctuation that sentences have.
fn is_word(word: &str) -> bool {
    let core = word.trim_matches(|c: char| ".,;:!?()\"'’“”".contains(c));
    !word.starts_with('-')
        && core.chars().all(|c| c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '.'))
        && (core.chars().any(char::is_alphabetic) || core.chars().all(|c| c.is_ascii_digit()))
}

/// Whether there is an odd number of apostrophes, one of them inside a word.
fn has_apostrophe(prompt: &str) -> bool {
    let inside = prompt.split_whitespace().any(|word| {
        word.split_once('\'').is_some_and(|(before, after)| {
            before.ends_with(char::is_alphabetic) && after.starts_with(char::is_alphabetic)
        })
    });
    inside && prompt.matches('\'').count() % 2 == 1
}

/// What to tell a person whose sentence ran as a shell command: nothing, if a model agent is the default.
pub(crate) fn no_model_agent(prompt: &str, agents: &[AgentInfo], config_file: &str) -> Vec<String> {
    let shell = "shell";
    if agents.iter().any(|agent| agent.default && agent.name != shell) {
        return Vec::new();
    }
    let begin: String = prompt.chars().take(40).collect();
    let dots = if begin.len() < prompt.len() { "…" } else { "" };
    let mut lines = vec![format!(
        "`{begin}{dots}` ran as a shell command. No model agent is configured, so nobody else could take it."
    )];
    let found: Vec<&str> =
        agents.iter().filter(|a| a.found && a.name != shell).map(|a| a.name.as_str()).collect();
    match found.first() {
        Some(name) => {
            lines.push(format!("Agents found here: {}.", found.join(", ")));
            lines.push(format!("Use one now:    skep run --agent {name} '…'"));
            lines
                .push(format!("Use it always:  default_agent = \"{name}\" under [session] in {config_file}"));
        }
        None => {
            lines.push(String::from(
                "No agent was found here. `skep agents` says which are known and how to get them;",
            ));
            lines.push(String::from("then choose one with `skep run --agent NAME '…'`."));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_is_told_from_mistyped_commands() {
        let language = [
            ("Explain this repository", 127),
            ("hello", 127),
            ("Please fix the tests, then commit.", 127),
            ("What is 2 and 2?", 127),
            ("what's in this directory", 2),
            ("Wie geht's", 2),
            ("räum auf!", 127),
        ];
        for (prompt, exit) in language {
            assert!(looks_like_language(prompt, exit), "{prompt}");
        }
        let commands = [
            ("mkae -j4", 127),
            ("./configure --prefix=/usr", 127),
            ("foo | bar", 127),
            ("X=1 foo", 127),
            ("foo > out", 127),
            ("make test", 2),
            ("ls 'a", 2),
            ("hello", 1),
            ("false", 1),
            ("", 127),
        ];
        for (prompt, exit) in commands {
            assert!(!looks_like_language(prompt, exit), "{prompt}");
        }
    }

    fn agent(name: &str, found: bool, default: bool) -> AgentInfo {
        AgentInfo {
            name: name.into(),
            title: name.into(),
            found,
            path: None,
            command: Vec::new(),
            driver: "acp".into(),
            tested: None,
            quirks: Vec::new(),
            keys: Vec::new(),
            hint: None,
            default,
            source: "built-in".into(),
            probe: None,
        }
    }

    #[test]
    fn the_hint_names_what_was_found_and_which_option_to_use() {
        let agents = [agent("shell", true, true), agent("gemini", true, false), agent("qwen", false, false)];
        let lines = no_model_agent("Explain this", &agents, "/c.toml").join("\n");
        for part in ["No model agent is configured", "ran as a shell command", "gemini", "--agent", "/c.toml"]
        {
            assert!(lines.contains(part), "{part}: {lines}");
        }
        assert!(!lines.contains("qwen"));
        let none = no_model_agent("Explain this", &agents[..1], "/c.toml").join("\n");
        assert!(none.contains("No agent was found") && none.contains("--agent"), "{none}");
    }

    #[test]
    fn with_a_model_agent_as_default_there_is_nothing_to_say() {
        let agents = [agent("shell", true, false), agent("gemini", true, true)];
        assert_eq!(no_model_agent("Explain this", &agents, "/c.toml"), Vec::<String>::new());
    }
}
