//! Where output goes: which stream is a terminal, whether colours are wanted, and every write to them.
//!
//! Nothing else in the crate writes to standard output or error.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use skep_common::sanitise::{self, one_line};

use crate::error::CliError;

/// What to show: text for people, or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text, tables, colour.
    Text,
    /// JSON.
    Json,
}

/// What one output stream can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    /// A person looks at it.
    pub(crate) terminal: bool,
    /// Colours are wanted (`NO_COLOR`, `TERM=dumb` and pipes say no).
    pub(crate) colour: bool,
}

/// The output of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// What to show.
    pub(crate) format: Format,
    /// Standard output.
    pub(crate) out: Stream,
    /// Standard error.
    pub(crate) err: Stream,
    /// Say more.
    pub(crate) verbose: bool,
    /// A person can type.
    pub(crate) input_terminal: bool,
}

impl Screen {
    /// Looks at the streams of this process.
    pub(crate) fn detect(format: Format, verbose: bool) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            format,
            out: Stream {
                terminal: stdout.is_terminal(),
                colour: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
            },
            err: Stream {
                terminal: stderr.is_terminal(),
                colour: anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never,
            },
            verbose,
            input_terminal: io::stdin().is_terminal(),
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person sits here who sees a question and can answer it.
    pub(crate) fn can_ask(&self) -> bool {
        self.input_terminal && self.err.terminal
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Writes bytes to standard output as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Writes a value as JSON, indented for people, on one line for pipes.
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = if self.out.terminal {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))?;
        if self.out.terminal { self.line(sanitise::json(&text)) } else { self.line(text) }
    }

    /// Tells the person at standard error; whoever does not listen misses it (G22).
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.err_bytes(format!("{}{}\n", self.prefix(), text.as_ref()).as_bytes());
    }

    /// A further line of what was said, without the program's name.
    pub(crate) fn say_more(&self, text: impl AsRef<str>) {
        self.err_bytes(format!("      {}\n", text.as_ref()).as_bytes());
    }

    /// A question, without a newline.
    pub(crate) fn ask(&self, text: &str) {
        self.err_bytes(format!("{}{text}", self.prefix()).as_bytes());
    }

    /// Rings the terminal's bell, if standard error is a terminal.
    pub(crate) fn bell(&self) {
        if self.err.terminal {
            self.err_bytes(b"\x07");
        }
    }

    /// Shows an error with its hints.
    pub(crate) fn error(&self, error: &CliError) {
        if error.is_output_closed() {
            return;
        }
        if self.json() {
            let body = serde_json::json!({"error": {
                "code": error.code.map_or_else(|| String::from("cli"), skep_common::code::Code::as_str),
                "message": error.message,
                "hints": error.hints,
                "exit_status": error.exit().status(),
            }});
            self.err_bytes(format!("{}\n", sanitise::json(&body.to_string())).as_bytes());
            return;
        }
        let word = self.err.paint(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), "error:");
        let message = one_line(&error.message);
        self.err_bytes(format!("{word} {message}\n").as_bytes());
        for hint in &error.hints {
            let word = self.err.paint(Style::new().fg_color(Some(AnsiColor::Cyan.into())), "hint:");
            self.err_bytes(format!(" {word} {}\n", one_line(hint)).as_bytes());
        }
    }

    fn prefix(&self) -> String {
        format!("{} ", self.err.paint(Style::new().dimmed(), "skep:"))
    }

    /// Writes bytes to standard error as they are.
    pub(crate) fn err_bytes(&self, bytes: &[u8]) {
        // Nobody reads our standard error: there is nowhere left to say so (G22).
        drop(io::stderr().lock().write_all(bytes));
    }
}

impl Stream {
    /// Text in a style, where colours are wanted.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
