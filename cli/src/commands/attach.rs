//! `skep attach`: a session in the foreground, line by line.
//!
//! Shows the recent turns, follows what happens, sends typed lines as prompts and takes answers to questions. Nothing
//! starts or is spent until a prompt is typed.

use std::collections::HashSet;

use clap::{Args, Parser as _};
use skep_common::api::SessionInfo;
use skep_common::code::Code;
use skep_common::event::{Event, Record};
use skep_common::ids::{PermissionId, PromptId};
use skep_common::sanitise::one_line;
use skep_common::session::{Consent, SessionState, WhenBusy};
use skep_common::words;
use skep_config::notify::Occasion;

use crate::arguments::SessionRef;
use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::client::follow::{Follower, From, Item};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::register::register;
use crate::render::table::label;

use crate::question::Cursor;
use crate::terminal::{Lines, Signals};
use crate::transcript::Transcript;
use crate::{capture, notify, question, start};

/// Come back to a session: see its recent turns, follow it, prompt it, answer it.
///
/// Without a session: the latest that needs you, else the latest. Typed lines are prompts, queued while a turn runs (or
/// steered into it, in a session with `--busy-default steer`); `a` and `d` answer a permission request; `/daemon …`
/// runs that command. Ctrl-C detaches. In a pipe it is `logs -f`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AttachArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: Option<SessionRef>,
    /// So many recent turns are shown.
    #[arg(long, value_name = "N", default_value_t = 3)]
    tail: u32,
    /// Only watch.
    #[arg(long)]
    read_only: bool,
}

/// Attaches.
pub(crate) async fn run(ctx: &Context, args: AttachArgs) -> Outcome {
    let client = ctx.client();
    let session = match &args.session {
        Some(session) => client.session(session).await?,
        None => latest(&client).await?,
    };
    let follower = Follower::new(ctx, client.clone(), session.id, From::TailTurns(args.tail));
    if !(ctx.screen.input_terminal && ctx.screen.out.terminal) {
        let mut transcript = Transcript::new(ctx.screen);
        super::logs::follow(follower, &mut transcript).await?;
        transcript.finish()?;
        return Ok(Exit::Completed);
    }
    let _registration = register(ctx, &session);
    Attached::new(ctx, session, follower, &args)?.run().await
}

/// The latest session that needs a person, else the latest open one, else the latest of all.
async fn latest(client: &Client) -> Result<SessionInfo, CliError> {
    let all = client.sessions(true).await?.sessions;
    choose(all)
        .ok_or_else(|| CliError::new(Exit::NotFound, "there is no session").hint("`skep run` starts one"))
}

fn choose(all: Vec<SessionInfo>) -> Option<SessionInfo> {
    let rank = |session: &SessionInfo| {
        let needs_you = session.state == SessionState::NeedsYou || !session.waiting.is_empty();
        (needs_you, !session.state.is_closed(), session.updated_at)
    };
    all.into_iter().max_by_key(rank)
}

/// A permission request that waits.
#[derive(Debug)]
struct Waiting {
    id: PermissionId,
    wish: String,
}

#[derive(Debug)]
struct Attached<'a> {
    ctx: &'a Context,
    session: SessionInfo,
    follower: Follower,
    transcript: Transcript,
    signals: Signals,
    lines: Lines,
    /// How many recent turns are shown first.
    tail: u32,
    read_only: bool,
    busy: bool,
    cursor: Cursor,
    waiting: Vec<Waiting>,
    own: HashSet<PromptId>,
}

enum Next {
    Item(Option<Item>),
    Line(Option<String>),
    Signal,
}

impl<'a> Attached<'a> {
    fn new(
        ctx: &'a Context,
        session: SessionInfo,
        follower: Follower,
        args: &AttachArgs,
    ) -> Result<Self, CliError> {
        let waiting = session
            .waiting
            .iter()
            .map(|w| Waiting { id: w.id, wish: words::wish(&w.tool_kind, &w.title) })
            .collect();
        Ok(Self {
            ctx,
            busy: session.turn.is_some(),
            session,
            follower,
            transcript: Transcript::new(ctx.screen),
            signals: Signals::new()?,
            lines: Lines::default(),
            tail: args.tail,
            read_only: args.read_only,
            cursor: Cursor::default(),
            waiting,
            own: HashSet::new(),
        })
    }

    async fn run(mut self) -> Outcome {
        self.greet();
        if self.tail == 0 {
            self.show_question();
        }
        loop {
            let ended = match self.next().await? {
                Next::Item(Some(first)) => self.items(first)?,
                Next::Item(None) => Some(Exit::Completed),
                Next::Line(Some(line)) => self.line(line.trim()).await?,
                Next::Line(None) | Next::Signal => Some(self.detach()),
            };
            if let Some(exit) = ended {
                self.transcript.finish()?;
                return Ok(exit);
            }
        }
    }

    async fn next(&mut self) -> Result<Next, CliError> {
        let typing = !self.read_only;
        tokio::select! {
            biased;
            _ = self.signals.next() => Ok(Next::Signal),
            line = self.lines.next(), if typing => Ok(Next::Line(line)),
            item = self.follower.next() => Ok(Next::Item(item?)),
        }
    }

    fn greet(&self) {
        let screen = self.ctx.screen;
        let state = words::state(self.session.state);
        screen.say(format!("{} · {state}", start::headline(&self.session)));
        screen.say_more(match (self.read_only, self.session.state.is_closed()) {
            (_, true) => "it is closed: this is its history",
            (true, _) => "read only; Ctrl-C detaches",
            (false, _) => {
                "a line is a prompt; a/d answers a request; /daemon … runs a command; Ctrl-C detaches"
            }
        });
    }

    fn items(&mut self, first: Item) -> Result<Option<Exit>, CliError> {
        let mut ask = false;
        let mut next = Some(first);
        let mut closed = false;
        while let Some(item) = next {
            match &item {
                Item::Away | Item::Back => {
                    self.cursor.end_line(self.ctx.screen);
                    self.transcript.remark(&item)?;
                }
                Item::Record(record, _) => {
                    ask |= self.record(record);
                    closed |= matches!(record.event, Event::SessionClosed(_));
                    if self.is_on_screen(record) {
                        self.transcript.note(record);
                    } else {
                        self.transcript.add(&item);
                    }
                }
                Item::Unreadable { .. } | Item::Gap { .. } => self.transcript.add(&item),
            }
            next = self.follower.next_ready();
        }
        if !self.transcript.is_empty() {
            self.cursor.end_line(self.ctx.screen);
            self.transcript.flush()?;
        }
        if ask {
            notify::ring(self.ctx, Occasion::NeedsYou);
            self.show_question();
        }
        Ok(closed.then_some(Exit::Completed))
    }

    /// What this person typed stands on the screen already, and a question is asked in full below.
    fn is_on_screen(&self, record: &Record) -> bool {
        match &record.event {
            Event::PromptQueued(queued) => self.own.contains(&queued.prompt),
            Event::PromptSteered(steered) => self.own.contains(&steered.prompt),
            Event::State(changed) => {
                changed.state == SessionState::NeedsYou && !self.waiting.is_empty() && !self.read_only
            }
            _ => false,
        }
    }

    /// Keeps track; whether there is a new question.
    fn record(&mut self, record: &Record) -> bool {
        let known = self.session.head.seq;
        if record.seq <= known {
            // History: the session's state was told with its end, and is asked about there.
            return record.seq == known && !self.waiting.is_empty();
        }
        match &record.event {
            Event::TurnStarted(_) => self.busy = true,
            Event::TurnEnded(_) => {
                self.busy = false;
                self.waiting.clear();
            }
            Event::PermissionRequested(request)
                if !self.waiting.iter().any(|waiting| waiting.id == request.permission) =>
            {
                let wish = words::wish(&request.tool_kind, &request.title);
                self.waiting.push(Waiting { id: request.permission, wish });
            }
            Event::PermissionResolved(resolved) => self.waiting.retain(|w| w.id != resolved.permission),
            // The request is a person's when the session says that it waits for one.
            Event::State(changed) => {
                return changed.state == SessionState::NeedsYou && !self.waiting.is_empty();
            }
            _ => {}
        }
        false
    }

    fn show_question(&mut self) {
        if let Some(waiting) = self.waiting.first()
            && !self.read_only
        {
            let agent = one_line(&self.session.agent);
            let question = format!("{agent} {}\n      {} ", one_line(&waiting.wish), question::CHOICES);
            self.cursor.ask(self.ctx.screen, &question);
        }
    }

    async fn line(&mut self, line: &str) -> Result<Option<Exit>, CliError> {
        self.cursor.entered();
        if line.is_empty() {
            return Ok(None);
        }
        let done = if let Some(rest) = line.strip_prefix("/daemon") {
            self.daemon(rest).await
        } else if let (Some(waiting), Some(decision)) = (self.waiting.first(), question::decision(line)) {
            let client = self.follower.client();
            match client.answer(self.session.id, waiting.id, decision).await {
                // The journal says who was first.
                Err(error) if error.code() == Some(Code::AlreadyResolved) => Ok(()),
                answer => answer.map(drop).map_err(Into::into),
            }
        } else {
            self.prompt(line).await
        };
        match done {
            Err(error) if error.is_output_closed() => Err(error),
            Err(error) => {
                self.ctx.screen.error(&error);
                Ok(None)
            }
            Ok(()) => Ok(None),
        }
    }

    async fn prompt(&mut self, line: &str) -> Result<(), CliError> {
        // Nothing that a person typed is refused for being early.
        let when_busy = match self.session.options.when_busy {
            Some(WhenBusy::Steer) => WhenBusy::Steer,
            Some(WhenBusy::Queue | WhenBusy::Refuse) | None => WhenBusy::Queue,
        };
        let mut request = start::prompt((line, Vec::new()), Consent::OwnCommand, Some(when_busy), None);
        let client = self.follower.client();
        request.environment = capture::environment(self.ctx, client, Some(&self.session.agent)).await?;
        self.own.extend(request.id);
        let accepted = self.follower.client().prompt(self.session.id, &request).await?;
        if accepted.queued {
            self.ctx.screen.say(start::QUEUED);
        } else if accepted.steered_into.is_some() {
            self.ctx.screen.say(start::STEERED);
        }
        Ok(())
    }

    /// `/daemon …`: the same command, here.
    async fn daemon(&self, rest: &str) -> Result<(), CliError> {
        let words = shell_words::split(rest).map_err(|error| CliError::usage(error.to_string()))?;
        let line = ["skep", "daemon"].into_iter().map(str::to_owned).chain(words);
        let cli = Cli::try_parse_from(line).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            CliError::usage(first.strip_prefix("error: ").unwrap_or(first))
        })?;
        match cli.command {
            Command::Daemon(args) if args.fits_inside() => {
                Box::pin(super::daemon::run(self.ctx, args)).await.map(drop)
            }
            _ => Err(CliError::usage("this command does not work inside `attach`")),
        }
    }

    fn detach(&mut self) -> Exit {
        self.cursor.end_line(self.ctx.screen);
        drop(self.transcript.finish());
        let session = label(&self.session);
        let what = match (self.busy, self.waiting.is_empty()) {
            (true, true) => "its turn still runs",
            (true, false) => "its turn waits for an answer",
            (false, _) => "nothing runs in it",
        };
        self.ctx.screen.say(format!("detached from session {session}: {what}"));
        self.ctx.screen.say_more(format!("come back: skep attach {session}"));
        Exit::Detached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, state: &str, minute: u32) -> SessionInfo {
        serde_json::from_value(serde_json::json!({
            "id": "1a2b3c4d-0000-4000-8000-000000000000", "name": name, "agent": "shell", "cwd": "/", "kind": "bg",
            "state": state, "permission_mode": "ask", "queued": [], "queue_held": false, "waiting": [],
            "head": {"seq": 4, "segment": 1, "bytes": 9, "epoch": 1},
            "created_at": "2026-11-20T11:00:00Z", "updated_at": format!("2026-11-20T11:{minute:02}:00Z"),
        }))
        .unwrap()
    }

    #[test]
    fn without_a_name_it_is_the_latest_that_needs_you_else_the_latest() {
        let name =
            |all| choose(all).and_then(|session: SessionInfo| session.name).map(|name| name.to_string());
        let asks = |minute| session("asks", "needs_you", minute);
        let (idle, busy, gone) =
            (session("idle", "idle", 3), session("busy", "running", 4), session("gone", "closed", 5));
        let all = vec![idle.clone(), asks(1), busy.clone(), gone.clone()];
        assert_eq!(name(all).as_deref(), Some("asks"));
        assert_eq!(name(vec![idle, gone.clone(), busy]).as_deref(), Some("busy"));
        assert_eq!(name(vec![gone]).as_deref(), Some("gone"));
        assert_eq!(name(Vec::new()), None);
    }
}
