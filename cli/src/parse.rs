//! The command line's words to a command; help, version and complaints otherwise.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;
use crate::exit::Exit;

/// The parsed command line, or the exit status after help or a complaint was shown.
pub(crate) fn command_line() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        // Whoever closed our output does not want the help (G22).
        drop(error.print());
        let exit = exit_for(&error);
        match error.kind() {
            ErrorKind::InvalidSubcommand => help(&error),
            ErrorKind::UnknownArgument if is_unquoted_prompt(&error) => {
                drop(writeln!(std::io::stderr(), "\n  tip: put the prompt in quotes: skep run 'make test'"));
            }
            _ => {}
        }
        exit
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

/// Whether the word that is too much is part of a sentence or command, not an option.
fn is_unquoted_prompt(error: &clap::Error) -> bool {
    let prompted = std::env::args().skip(1).any(|word| matches!(word.as_str(), "run" | "bg" | "prompt"));
    let word = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(word)) if !word.starts_with('-')
    );
    prompted && word
}

/// The help of the command whose subcommand is unknown.
fn help(error: &clap::Error) {
    let mut root = Cli::command();
    root.build();
    let unknown = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(unknown)) => unknown.clone(),
        _ => String::new(),
    };
    // The command is the last word before the unknown one that names a command with subcommands.
    let words: Vec<String> = std::env::args().skip(1).take_while(|word| *word != unknown).collect();
    let parent = words.iter().rfind(|word| !word.starts_with('-'));
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
}
