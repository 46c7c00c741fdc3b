//! The command line's words to a command; help, version and complaints otherwise.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};
use skep_common::sanitise::one_line;

use crate::cli::Cli;
use crate::exit::Exit;

/// The parsed command line, or the exit status after help or a complaint was shown.
pub(crate) fn command_line() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        let words: Vec<String> = std::env::args().skip(1).collect();
        // Whoever closed our output does not want the help (G22).
        match unquoted_prompt(&error, &words) {
            Some(complaint) => drop(writeln!(std::io::stderr(), "error: {complaint}")),
            None => drop(error.print()),
        }
        if error.kind() == ErrorKind::InvalidSubcommand {
            help(&error, &words);
        }
        exit_for(&error)
    })
}

/// An unknown subcommand is 1 (S2), every other complaint 2.
fn exit_for(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Completed,
        ErrorKind::InvalidSubcommand => Exit::Failed,
        _ => Exit::Usage,
    }
}

/// The complaint about a prompt that was not quoted: the word that is too much is no option.
fn unquoted_prompt(error: &clap::Error, words: &[String]) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(second))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let named = words.iter().position(|word| matches!(word.as_str(), "run" | "bg" | "prompt"))?;
    let command = &words[named];
    if second.starts_with('-') {
        return None;
    }
    let at = words.iter().skip(named + 2).position(|word| word == second)? + named + 2;
    let prompt = words[at - 1..].join(" ");
    let session = if command == "prompt" { " SESSION" } else { "" };
    let example = shell_words::quote(&prompt);
    let example = one_line(&example);
    Some(format!("the prompt must be one argument, so put it in quotes: skep {command}{session} {example}"))
}

/// The help of the command whose subcommand is unknown.
fn help(error: &clap::Error, words: &[String]) {
    let mut root = Cli::command();
    root.build();
    let unknown = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(unknown)) => unknown.clone(),
        _ => String::new(),
    };
    // The command is the last word before the unknown one that names a command with subcommands.
    let before: Vec<&String> = words.iter().take_while(|word| **word != unknown).collect();
    let parent = before.iter().rfind(|word| !word.starts_with('-'));
    let named = parent.and_then(|name| root.find_subcommand(name)).filter(|found| found.has_subcommands());
    let mut command = named.cloned().unwrap_or(root);
    drop(write!(std::io::stderr(), "\n{}", command.render_help()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_an_unknown_subcommand_is_1_and_other_complaints_are_2() {
        let exit = |line: &[&str]| exit_for(&Cli::try_parse_from(line).unwrap_err());
        assert_eq!(exit(&["skep", "daemon", "dance"]), Exit::Failed);
        assert_eq!(exit(&["skep", "dance"]), Exit::Failed);
        assert_eq!(exit(&["skep", "daemon", "start", "--nonsense"]), Exit::Usage);
        assert_eq!(exit(&["skep", "close"]), Exit::Usage);
        assert_eq!(exit(&["skep", "--help"]), Exit::Completed);
        assert_eq!(exit(&["skep", "--version"]), Exit::Completed);
    }

    #[test]
    fn a_prompt_without_quotes_is_told_with_them() {
        let complaint = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let error =
                Cli::try_parse_from(std::iter::once("skep".to_owned()).chain(words.clone())).unwrap_err();
            unquoted_prompt(&error, &words)
        };
        let told = |example: &str| {
            Some(format!("the prompt must be one argument, so put it in quotes: skep {example}"))
        };
        assert_eq!(complaint("run hello there friend"), told("run 'hello there friend'"));
        assert_eq!(complaint("bg --name n ls \u{1b}[2J"), told("bg 'ls '"));
        assert_eq!(complaint("prompt s ls it's"), told("prompt SESSION 'ls it'\\''s'"));
        assert_eq!(complaint("run very very very"), told("run 'very very very'"));
        assert_eq!(complaint("run ls --frob"), None);
        assert_eq!(complaint("close a b"), None);
    }
}
