//! `skep logs`: what a session said and did, or another of its logs.

use std::borrow::Cow;
use std::collections::VecDeque;

use clap::Args;
use skep_common::api::{EventsPage, SessionInfo};
use skep_common::event::Record;
use skep_common::sanitise;

use crate::arguments::SessionRef;
use crate::client::follow::{Follower, From, Item};
use crate::client::{Client, ClientError};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::log_stream::{self, LogArgs};
use crate::transcript::Transcript;

/// So many events are asked for at once.
const PAGE: u32 = 1000;

/// Show a session's prompts and output, or with `--type` another of its logs.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
    #[command(flatten)]
    log: LogArgs,
}

impl LogsArgs {
    /// The same command from its parts.
    pub(super) const fn new(session: SessionRef, log: LogArgs) -> Self {
        Self { session, log }
    }
}

/// Shows the log.
pub(crate) async fn run(ctx: &Context, args: &LogsArgs) -> Outcome {
    let client = ctx.client();
    let session = client.session(&args.session).await?;
    if args.log.log_type.is_some() {
        let path = format!("/sessions/{}/logs?{}", session.id, args.log.query());
        return log_stream::plain(ctx, &client, &path).await;
    }
    let mut transcript = Transcript::new(ctx.screen);
    let after = past(ctx, &client, &session, args.log.tail, &mut transcript).await?;
    if args.log.follow && !session.state.is_closed() {
        let follower = Follower::new(ctx, client, session.id, From::After(after));
        follow(follower, &mut transcript).await?;
    }
    transcript.finish()?;
    Ok(Exit::Completed)
}

/// Shows what has happened, as far as the journal is committed now; answers the cursor.
async fn past(
    ctx: &Context,
    client: &Client,
    session: &SessionInfo,
    tail: Option<u32>,
    transcript: &mut Transcript,
) -> Result<u64, CliError> {
    let mut tail = tail.map(Tail::new);
    let mut after = 0;
    while after < session.head.seq {
        let page = page(client, session, after).await?;
        match &mut tail {
            Some(tail) if ctx.screen.json() => {
                for json in &page.events {
                    let terminal = ctx.screen.out.terminal;
                    let shown = if terminal { sanitise::json(json.get()) } else { Cow::Borrowed(json.get()) };
                    tail.push(&format!("{shown}\n"));
                }
            }
            Some(tail) => {
                items(&page).iter().for_each(|item| transcript.add(item));
                tail.push(&transcript.render()?);
            }
            None => {
                items(&page).iter().for_each(|item| transcript.add(item));
                transcript.flush()?;
            }
        }
        if page.next <= after {
            break;
        }
        after = page.next;
    }
    if let Some(tail) = tail {
        ctx.screen.raw(tail.text().as_bytes())?;
    }
    Ok(after)
}

/// A page of events; the first that is kept where older ones are gone.
async fn page(client: &Client, session: &SessionInfo, after: u64) -> Result<EventsPage, ClientError> {
    let path = |after| format!("/sessions/{}/events?after={after}&limit={PAGE}", session.id);
    match client.get(&path(after)).await {
        Err(ClientError::Refused(refusal)) if refusal.code == skep_common::code::Code::CursorExpired => {
            let first = refusal.details.as_ref().and_then(|details| details.get("first_seq")?.as_u64());
            match first {
                Some(first) if first > after + 1 => client.get(&path(first - 1)).await,
                _ => Err(ClientError::Refused(refusal)),
            }
        }
        answer => answer,
    }
}

fn items(page: &EventsPage) -> Vec<Item> {
    let read = |json: &[u8]| match Record::from_json(json) {
        Ok(record) => Item::Record(Box::new(record), json.to_vec()),
        Err(_) => Item::Unreadable { json: json.to_vec() },
    };
    page.events.iter().map(|json| read(json.get().as_bytes())).collect()
}

/// Shows what happens, until the session is closed.
pub(super) async fn follow(mut follower: Follower, transcript: &mut Transcript) -> Result<(), CliError> {
    while let Some(item) = follower.next().await? {
        let mut next = Some(item);
        while let Some(item) = next {
            transcript.remark(&item)?;
            transcript.add(&item);
            next = follower.next_ready();
        }
        transcript.flush()?;
    }
    Ok(())
}

/// The last lines of a text that comes in pieces.
#[derive(Debug)]
struct Tail {
    wanted: usize,
    lines: VecDeque<String>,
}

impl Tail {
    fn new(wanted: u32) -> Self {
        Self { wanted: usize::try_from(wanted).unwrap_or(usize::MAX), lines: VecDeque::new() }
    }

    fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            match self.lines.back_mut() {
                Some(last) if !last.ends_with('\n') => last.push_str(piece),
                _ => self.lines.push_back(piece.to_owned()),
            }
            if self.lines.len() > self.wanted {
                self.lines.pop_front();
            }
        }
    }

    fn text(self) -> String {
        self.lines.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_made_of_whole_lines() {
        let mut tail = Tail::new(2);
        for piece in ["one\ntw", "o\nthr", "ee\nfo", "ur"] {
            tail.push(piece);
        }
        assert_eq!(tail.text(), "three\nfour");
        let mut none = Tail::new(0);
        none.push("one\ntwo");
        assert_eq!(none.text(), "");
    }
}
