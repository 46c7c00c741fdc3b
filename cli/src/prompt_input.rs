//! Where a prompt's text comes from: the argument, a terminal, or a pipe. Whose consent it carries depends on that.

use std::io::Read as _;

use skep_common::session::Consent;

use crate::context::Context;
use crate::error::CliError;

/// A longer prompt is refused before it is sent.
const MAX_PROMPT: u64 = 64 * 1024 * 1024;

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PromptInput {
    /// What it says.
    pub(crate) text: String,
    /// Where it came from.
    pub(crate) source: Source,
}

/// Where a prompt came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An argument of the command line.
    Argument,
    /// Typed at a terminal.
    Terminal,
    /// Piped in: nobody typed it as a command.
    Pipe,
}

impl Source {
    /// Whether it counts as a person's consent for their own command.
    pub(crate) const fn consent(self) -> Consent {
        match self {
            Self::Argument | Self::Terminal => Consent::OwnCommand,
            Self::Pipe => Consent::None,
        }
    }
}

/// No prompt of one's own: the one whose turn was cut off, asked for at the command line.
pub(crate) const fn again() -> PromptInput {
    PromptInput { text: String::new(), source: Source::Argument }
}

/// Reads the prompt: the argument, or standard input for `-` and for a pipe.
pub(crate) fn read(ctx: &Context, argument: Option<String>) -> Result<PromptInput, CliError> {
    let terminal = ctx.screen.input_terminal;
    let input = match argument {
        Some(text) if text != "-" => PromptInput { text, source: Source::Argument },
        None if terminal => {
            return Err(CliError::usage("no prompt was given")
                .hint("give it as an argument, or `-` to type it here, or pipe it in"));
        }
        Some(_) | None => {
            let source = if terminal { Source::Terminal } else { Source::Pipe };
            PromptInput { text: read_input()?, source }
        }
    };
    if input.text.trim().is_empty() {
        return Err(CliError::usage("the prompt is empty"));
    }
    Ok(input)
}

fn read_input() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_PROMPT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::failed(format!("cannot read the prompt: {error}")))?;
    if bytes.len() as u64 > MAX_PROMPT {
        return Err(CliError::usage("the prompt is over 64 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| CliError::usage("the prompt is not valid UTF-8"))?;
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_only_what_a_person_typed_carries_their_consent() {
        assert_eq!(Source::Argument.consent(), Consent::OwnCommand);
        assert_eq!(Source::Terminal.consent(), Consent::OwnCommand);
        assert_eq!(Source::Pipe.consent(), Consent::None);
    }
}
