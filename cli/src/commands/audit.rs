//! `skep audit`: who did what, from the daemon's record of every request that changed something or was refused.

use std::collections::VecDeque;

use anstyle::{AnsiColor, Style};
use clap::Args;
use jiff::{SpanRelativeTo, Timestamp};
use skep_common::api::AuditEntry;
use skep_common::framing::{Frame, LineSplitter};
use skep_common::ids::SessionId;
use skep_common::sanitise::one_line;

use crate::arguments::SessionRef;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::screen::Stream;
use crate::render::short;

/// A longer line is none of ours.
const MAX_LINE: usize = 64 * 1024;

/// Show who did what: every request that changed something, and every one that was refused to whoever made it.
///
/// Each line: when, who (`owner`, or a token's id), by what and from where, what was asked, and the result.
#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Only the last so many lines.
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100)]
    lines: u32,
    /// Only what was done since then: a time such as `2026-11-20T18:00:00Z`, or how long ago, such as `2h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only what this one did: `owner`, `nobody`, the id or the name of a token or browser.
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// Only what concerns this session: name, id, or the beginning of either.
    #[arg(long, value_name = "SESSION")]
    session: Option<SessionRef>,
    /// Only what was refused.
    #[arg(long)]
    refused: bool,
    /// Go on as it grows.
    #[arg(short, long)]
    follow: bool,
}

/// Since when.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Since {
    At(Timestamp),
    Ago(jiff::SignedDuration),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    let span = text.parse::<jiff::Span>().ok();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(|ago| ago.is_positive())
        .map(Since::Ago)
        .ok_or_else(|| {
            String::from("give a time such as `2026-11-20T18:00:00Z`, or one ago such as `2h` or `7d`")
        })
}

impl Since {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

/// What is shown.
#[derive(Debug, Default)]
struct Wanted {
    since: Option<Timestamp>,
    who: Option<String>,
    session: Option<SessionId>,
    refused: bool,
}

impl Wanted {
    fn takes(&self, entry: &AuditEntry) -> bool {
        let is_of = |who: &String| entry.who == *who || entry.name.as_ref() == Some(who);
        self.since.is_none_or(|since| entry.time >= since)
            && self.who.as_ref().is_none_or(is_of)
            && self.session.is_none_or(|session| entry.session == Some(session))
            && (!self.refused || matches!(entry.status, Some(401 | 403)))
    }
}

/// Shows them.
pub(crate) async fn run(ctx: &Context, args: &AuditArgs) -> Outcome {
    let client = ctx.client();
    let session = match &args.session {
        Some(session) => Some(client.session(session).await?.id),
        None => None,
    };
    let wanted = Wanted {
        since: args.since.map(|since| since.at(Timestamp::now())),
        who: args.who.clone(),
        session,
        refused: args.refused,
    };
    // What is there is looked through here, so that the last lines are the last of those that are wanted.
    let mut shown = Shown { ctx, wanted, last: VecDeque::new(), keep: usize::try_from(args.lines).ok() };
    let mut splitter = LineSplitter::new(MAX_LINE);
    let path =
        if args.follow { format!("/audit?follow=true&tail={}", args.lines) } else { String::from("/audit") };
    if args.follow {
        shown.keep = None;
    }
    let mut log = client.download(&path, "application/x-ndjson").await?;
    while let Some(bytes) = log.next().await? {
        let mut lines = Vec::new();
        splitter.push(&bytes, |frame| {
            if let Frame::Line(line) = frame {
                lines.push(line.to_vec());
            }
        });
        for line in lines {
            shown.push(&line)?;
        }
    }
    shown.finish()?;
    Ok(Exit::Completed)
}

/// The lines on their way to the screen; with `keep` only the last of them, at the end.
struct Shown<'a> {
    ctx: &'a Context,
    wanted: Wanted,
    last: VecDeque<String>,
    keep: Option<usize>,
}

impl Shown<'_> {
    fn push(&mut self, line: &[u8]) -> Result<(), CliError> {
        // What is no entry is a notice of the log's writer.
        let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) else { return Ok(()) };
        if !self.wanted.takes(&entry) {
            return Ok(());
        }
        let text = if self.ctx.screen.json() {
            String::from_utf8_lossy(line).into_owned()
        } else {
            text(&entry, self.ctx.screen.out)
        };
        match self.keep {
            None => self.ctx.screen.line(text),
            Some(keep) => {
                self.last.push_back(text);
                while self.last.len() > keep {
                    self.last.pop_front();
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), CliError> {
        self.last.iter().try_for_each(|line| self.ctx.screen.line(line))
    }
}

/// An entry as a line for people.
fn text(entry: &AuditEntry, out: Stream) -> String {
    let who = match &entry.name {
        Some(name) => format!("{} ({})", one_line(&entry.who), one_line(name)),
        None => one_line(&entry.who).into_owned(),
    };
    let result = match entry.status {
        Some(status) => status.to_string(),
        None => String::from("went away"),
    };
    let colour = match entry.status {
        Some(200..=399) => AnsiColor::Green,
        Some(401 | 403) => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let result = out.paint(Style::new().fg_color(Some(colour.into())), &result);
    let mut line = format!(
        "{:.0}  {who}  {} {}  {} {}  {result}",
        entry.time,
        one_line(&entry.front),
        one_line(&entry.from),
        one_line(&entry.method),
        one_line(&entry.path)
    );
    let mut add = |text: &str| {
        line.push_str("  ");
        line.push_str(text);
    };
    if let Some(code) = &entry.code {
        add(&one_line(code));
    }
    if let Some(session) = entry.session {
        add(&format!("session {}", short(session)));
    }
    if let Some(made) = &entry.made {
        add(&format!("made {}", one_line(made)));
    }
    if let Some(unwritten) = entry.unwritten {
        add(&format!("(and {unwritten} refusals before it)"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            time: "2026-11-20T18:00:00Z".parse().unwrap(),
            who: String::from("k1"),
            name: Some(String::from("phone\u{1b}[31m")),
            front: String::from("curl"),
            from: String::from("10.0.0.7"),
            method: String::from("POST"),
            path: String::from("/api/v1/runs"),
            session: None,
            made: None,
            needs: Some(String::from("prompt")),
            status: Some(403),
            code: Some(String::from("forbidden")),
            unwritten: Some(3),
        }
    }

    #[test]
    fn r6_an_entry_is_one_line_and_moves_no_cursor() {
        let line = text(&entry(), Stream { terminal: false, colour: false });
        assert!(line.starts_with("2026-11-20T18:00:00Z  k1 (phone"), "{line}");
        assert!(
            line.contains("curl 10.0.0.7  POST /api/v1/runs  403  forbidden") && !line.contains('\u{1b}')
        );
        assert!(line.ends_with("(and 3 refusals before it)"), "{line}");
    }

    #[test]
    fn g16_entries_are_chosen_by_time_by_whom_by_session_and_by_result() {
        let all = Wanted::default();
        assert!(all.takes(&entry()));
        let who = |who: &str| Wanted { who: Some(who.to_owned()), ..Wanted::default() };
        assert!(who("k1").takes(&entry()) && !who("owner").takes(&entry()));
        let now: Timestamp = "2026-11-20T19:00:00Z".parse().unwrap();
        let from = |text: &str| Wanted { since: Some(since(text).unwrap().at(now)), ..Wanted::default() };
        assert!(from("2h").takes(&entry()) && !from("30m").takes(&entry()) && from("7d").takes(&entry()));
        assert!(from("2026-11-20T18:00:00Z").takes(&entry()));
        assert!(["", "soon", "-2h", "0s"].into_iter().all(|text| since(text).is_err()));
        let session = Wanted { session: Some(SessionId::random()), ..Wanted::default() };
        assert!(!session.takes(&entry()));
        let refused = Wanted { refused: true, ..Wanted::default() };
        assert!(refused.takes(&entry()) && !refused.takes(&AuditEntry { status: Some(202), ..entry() }));
    }
}
