//! `tap FILE PROGRAM …` stands between an agent and whoever drives it, passes every byte on, and appends to the file
//! when something went by: a line for each, of its own process id, what it was, and the wall clock in nanoseconds.
//!
//! What went by is told from a line's own words: `prompt` to the agent; `opened` (a session is there) and `token` (a
//! piece of the answer), `reads` and `writes` (a file, by its client) from it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Error, Result, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is looked for in the lines to the agent; ACP, then the two-way lines of `claude`.
const TO: [(&str, &str); 2] = [("\"session/prompt\"", "prompt"), ("\"type\":\"user\"", "prompt")];

/// What is looked for in the lines from the agent.
const FROM: [(&str, &str); 5] = [
    ("\"agent_message_chunk\"", "token"),
    ("\"text_delta\"", "token"),
    ("\"result\":{\"sessionId\"", "opened"),
    ("\"fs/read_text_file\"", "reads"),
    ("\"fs/write_text_file\"", "writes"),
];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            writeln!(std::io::stderr(), "tap: {error}").ok();
            ExitCode::from(125)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it starts what it listens to")]
fn run() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let (Some(file), Some(program)) = (words.next(), words.next()) else {
        return Err(Error::other("usage: tap FILE PROGRAM …"));
    };
    let stamps = OpenOptions::new().create(true).append(true).open(file)?;
    let mut agent = Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let to = agent.stdin.take().ok_or_else(|| Error::other("no pipe"))?;
    let from = agent.stdout.take().ok_or_else(|| Error::other("no pipe"))?;
    let own = stamps.try_clone()?;
    // It ends with the driver's pipe, or with this process.
    std::thread::spawn(move || pass(std::io::stdin().lock(), to, &TO, own).ok());
    pass(BufReader::new(from), std::io::stdout().lock(), &FROM, stamps)?;
    let status = agent.wait()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Passes lines on until there are no more, and stamps those that say something.
fn pass(mut from: impl BufRead, mut to: impl Write, marks: &[(&str, &str)], mut stamps: File) -> Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let has = |mark: &str| line.windows(mark.len()).any(|window| window == mark.as_bytes());
        if let Some((_, what)) = marks.iter().find(|(mark, _)| has(mark)) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::other)?.as_nanos();
            stamps.write_all(format!("{} {what} {now}\n", std::process::id()).as_bytes())?;
        }
        to.write_all(&line)?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}
