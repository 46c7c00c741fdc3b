//! Watches one turn from the foreground: streams its output, asks its questions, ends with its outcome.
//!
//! Owner of the watch, not of the turn: the turn goes on in its worker whatever happens here.

use std::time::Instant;

use skep_common::api::{AgentList, PromptAccepted, SessionInfo};
use skep_common::code::Code;
use skep_common::event::{Event, PermissionRequested, Record, TurnEnded};
use skep_common::ids::{PermissionId, PromptId};
use skep_common::sanitise::one_line;
use skep_common::session::{Cause, TurnOutcome};
use skep_common::words;
use skep_config::notify::Occasion;
use tokio::time::{Duration, sleep_until};

use crate::client::Client;
use crate::client::follow::{Follower, From, Item};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::overtake::Overtaking;
use crate::question::Cursor;
use crate::render::short;
use crate::render::table::label;
use crate::terminal::{Asked, Lines, Signals};
use crate::transcript::Transcript;
use crate::{hints, notify, outcome, question};

/// A request that a mode or a rule answers is answered within this time; only what is left is a person's.
const GRACE: Duration = Duration::from_millis(200);

/// A session that is to end with its turn is waited for this long.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// The built-in agent, whose prompts are shell commands.
const SHELL: &str = "shell";

/// A watch over one turn.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    ctx: &'a Context,
    session: SessionInfo,
    accepted: PromptAccepted,
    /// The prompt whose turn it is: another one, if this was steered into its turn.
    turn: PromptId,
    text: String,
    follower: Follower,
    transcript: Transcript,
    signals: Signals,
    lines: Lines,
    waiting: Vec<PermissionRequested>,
    ask_at: Option<tokio::time::Instant>,
    asked: Option<PermissionId>,
    ours: bool,
    cancelling: bool,
    cursor: Cursor,
    overtaking: Overtaking,
    since: Instant,
}

/// What happened next.
enum Next {
    Item(Option<Item>),
    Signal(Asked),
    Ask,
    Line(Option<String>),
    /// The turn is over, and its output is far behind.
    Overtaken(TurnEnded),
}

impl<'a> Watch<'a> {
    /// A watch over the turn of a prompt that was accepted.
    pub(crate) fn new(
        ctx: &'a Context,
        client: Client,
        session: SessionInfo,
        accepted: PromptAccepted,
        text: String,
    ) -> Result<Self, CliError> {
        let from = From::After(accepted.seq.saturating_sub(1));
        let follower = Follower::new(ctx, client, session.id, from);
        let transcript =
            Transcript::output_only(ctx.screen, session.agent != SHELL && ctx.screen.err.terminal);
        Ok(Self {
            ctx,
            session,
            turn: accepted.steered_into.unwrap_or(accepted.prompt),
            accepted,
            text,
            follower,
            transcript,
            signals: Signals::new()?,
            lines: Lines::default(),
            waiting: Vec::new(),
            ask_at: None,
            asked: None,
            ours: false,
            cancelling: false,
            cursor: Cursor::default(),
            overtaking: Overtaking::default(),
            since: Instant::now(),
        })
    }

    /// Watches until the turn ended, or this command leaves it.
    pub(crate) async fn run(mut self) -> Outcome {
        let outcome = self.watch().await;
        match outcome {
            Err(error) if error.is_output_closed() => Ok(self.unread().await),
            Err(error) => Err(error.hint(self.way_back())),
            ended => ended,
        }
    }

    async fn watch(&mut self) -> Outcome {
        loop {
            let next = self.next().await?;
            let ended = match next {
                Next::Item(None) => Some(self.closed()?),
                Next::Item(Some(first)) => self.items(first).await?,
                Next::Signal(Asked::Interrupt) => self.interrupt().await?,
                Next::Signal(Asked::Leave) => Some(self.leave()),
                Next::Ask => self.ask()?,
                Next::Line(line) => self.line(line).await?,
                Next::Overtaken(end) => Some(self.overtaken(end).await?),
            };
            if let Some(exit) = ended {
                return Ok(exit);
            }
        }
    }

    async fn next(&mut self) -> Result<Next, CliError> {
        let ask_at = self.ask_at;
        let due = async {
            match ask_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let reading = self.asked.is_some();
        tokio::select! {
            biased;
            asked = self.signals.next() => Ok(Next::Signal(asked)),
            () = due => Ok(Next::Ask),
            end = self.overtaking.end() => Ok(Next::Overtaken(end)),
            item = self.follower.next() => Ok(Next::Item(item?)),
            line = self.lines.next(), if reading => Ok(Next::Line(line)),
        }
    }

    /// Takes everything that came, shows it in one write, and sees whether the turn ended with it.
    async fn items(&mut self, first: Item) -> Result<Option<Exit>, CliError> {
        let mut end = None;
        let mut next = Some(first);
        while let Some(item) = next {
            if let Item::Record(record, _) = &item {
                end = end.or_else(|| self.record(record));
            }
            match &item {
                Item::Away | Item::Back => {
                    self.cursor.end_line(self.ctx.screen);
                    self.transcript.remark(&item)?;
                }
                Item::Gap { .. } | Item::Unreadable { .. } => self.transcript.add(&item),
                Item::Record(record, _) => {
                    // The first line names the session already, and its question is asked below.
                    let spoken = matches!(record.event, Event::State(_) | Event::TurnEnded(_));
                    if self.ours && (self.ctx.screen.json() || !spoken) {
                        self.transcript.add(&item);
                    } else {
                        self.transcript.note(record);
                    }
                }
            }
            next = if end.is_none() { self.follower.next_ready() } else { None };
        }
        if !self.transcript.is_empty() {
            self.cursor.end_line(self.ctx.screen);
            self.transcript.flush()?;
        }
        match end {
            Some(end) => self.end(end).await.map(Some),
            None => Ok(None),
        }
    }

    /// Keeps track of what the record changes; the turn's end, if this is it.
    fn record(&mut self, record: &Record) -> Option<End> {
        let prompt = self.accepted.prompt;
        match &record.event {
            Event::TurnStarted(turn) => self.ours = turn.prompt == prompt,
            Event::PromptSteered(steered) if steered.prompt == prompt => self.ours = true,
            Event::TurnEnded(turn) if turn.ends(prompt) => return Some(End::Turn(turn.clone())),
            Event::TurnEnded(_) => self.ours = false,
            Event::PromptDropped(dropped) if dropped.prompt == prompt => {
                return Some(End::Gone(Exit::Cancelled, words::cause(dropped.cause)));
            }
            Event::QueueHeld(held) if !self.ours => {
                return Some(End::Gone(Exit::NeedsPerson, words::cause(held.cause)));
            }
            Event::SessionClosed(closed) => return Some(End::Gone(Exit::Failed, words::cause(closed.cause))),
            Event::PermissionRequested(request) if request.prompt == self.turn => {
                self.waiting.push(request.clone());
                self.ask_at.get_or_insert_with(|| tokio::time::Instant::now() + GRACE);
            }
            Event::PermissionResolved(resolved) => {
                self.waiting.retain(|request| request.permission != resolved.permission);
                if self.asked == Some(resolved.permission) {
                    self.asked = None;
                    self.cursor.end_line(self.ctx.screen);
                    self.ctx.screen.say(words::resolved(resolved));
                }
                self.ask_at =
                    (!self.waiting.is_empty() && self.asked.is_none()).then(tokio::time::Instant::now);
            }
            _ => {}
        }
        None
    }

    /// Asks the oldest question; without a terminal, says how to answer and leaves the turn waiting.
    fn ask(&mut self) -> Result<Option<Exit>, CliError> {
        self.ask_at = None;
        let Some(request) = self.waiting.first() else { return Ok(None) };
        self.transcript.finish()?;
        notify::ring(self.ctx, Occasion::NeedsYou);
        let wish = words::wish(&request.tool_kind, &one_line(&request.title));
        let agent = one_line(&self.session.agent);
        if self.ctx.screen.can_ask() && !self.ctx.screen.json() {
            self.asked = Some(request.permission);
            let question = format!("{agent} {wish}\n      {} ", question::CHOICES);
            self.cursor.ask(self.ctx.screen, &question);
            return Ok(None);
        }
        let id = short(request.permission);
        self.ctx.screen.say(format!("session {} needs you: {agent} {wish}", label(&self.session)));
        self.ctx.screen.say_more(format!("answer:    skep allow {id}   or   skep deny {id}"));
        self.ctx.screen.say_more(self.way_back());
        Ok(Some(Exit::NeedsPerson))
    }

    /// A line typed while a question is open.
    async fn line(&mut self, line: Option<String>) -> Result<Option<Exit>, CliError> {
        self.cursor.entered();
        let Some(permission) = self.asked else { return Ok(None) };
        let Some(line) = line else {
            self.asked = None;
            return Ok(Some(self.leave()));
        };
        let Some(decision) = question::decision(&line) else {
            self.cursor.ask(self.ctx.screen, &format!("{} ", question::CHOICES));
            return Ok(None);
        };
        match self.follower.client().answer(self.session.id, permission, decision).await {
            // The journal says what was decided, to whoever watches.
            Ok(_) => {}
            Err(error) if error.code() == Some(Code::AlreadyResolved) => {}
            Err(error) if error.is_transient() => {
                self.ctx.screen.say(format!("the answer did not arrive: {error}"));
                self.cursor.ask(self.ctx.screen, &format!("{} ", question::CHOICES));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Ctrl-C: the first cancels the turn, the second leaves it.
    async fn interrupt(&mut self) -> Result<Option<Exit>, CliError> {
        self.cursor.end_line(self.ctx.screen);
        if std::mem::replace(&mut self.cancelling, true) {
            return Ok(Some(self.leave()));
        }
        self.transcript.finish()?;
        let session = label(&self.session);
        self.ctx
            .screen
            .say(format!("cancelling the turn of session {session}; Ctrl-C again leaves it running"));
        let client = self.follower.client().clone();
        let cancel = client.cancel(self.session.id, Some(self.accepted.prompt));
        let answer = tokio::select! {
            answer = cancel => answer,
            _ = self.signals.next() => return Ok(Some(self.leave())),
        };
        match answer {
            Ok(()) => {}
            // It was over before; only its output is behind.
            Err(error) if error.code() == Some(Code::SessionClosed) => {}
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
        self.overtaking.begin(self.follower.client().clone(), self.session.id, self.turn);
        Ok(None)
    }

    /// The turn is over, but a flood of its output is still on its way here: nobody waits for that.
    async fn overtaken(&mut self, end: TurnEnded) -> Outcome {
        self.cursor.end_line(self.ctx.screen);
        self.transcript.finish()?;
        self.ctx.screen.say("the rest of its output is not shown");
        Ok(self.turn_over(&end).await)
    }

    /// Leaves the turn running.
    fn leave(&mut self) -> Exit {
        self.cursor.end_line(self.ctx.screen);
        drop(self.transcript.finish());
        let session = label(&self.session);
        let what = if self.waiting.is_empty() { "still runs" } else { "waits for an answer" };
        self.ctx.screen.say(format!("detached: the turn of session {session} {what}"));
        self.ctx.screen.say_more(self.way_back());
        Exit::Detached
    }

    /// Nobody reads the output any more, as in `skep run … | head`. What was started for this output alone ends, as it
    /// would without skep; a session that goes on by itself is left to its work.
    async fn unread(&mut self) -> Exit {
        if !self.session.ephemeral {
            return self.leave();
        }
        let client = self.follower.client().clone();
        match client.cancel(self.session.id, Some(self.accepted.prompt)).await {
            Ok(()) => Exit::Cancelled,
            Err(_) => self.leave(),
        }
    }

    fn closed(&mut self) -> Outcome {
        self.cursor.end_line(self.ctx.screen);
        self.transcript.finish()?;
        Err(CliError::failed(format!("session {} was closed", label(&self.session))))
    }

    async fn end(&mut self, end: End) -> Outcome {
        self.cursor.end_line(self.ctx.screen);
        self.transcript.finish()?;
        let screen = self.ctx.screen;
        match end {
            End::Gone(exit, why) => {
                let session = label(&self.session);
                screen.say(format!("the prompt did not run in session {session}: {why}"));
                if why == words::cause(Cause::Credentials) {
                    let now: SessionInfo =
                        self.follower.client().get(&format!("/sessions/{}", self.session.id)).await?;
                    let keys: Vec<String> = now.needed_keys().map(|key| one_line(key).into_owned()).collect();
                    screen
                        .say_more(format!("set {} and prompt again: both prompts run then", keys.join(", ")));
                }
                screen.say_more(self.way_back());
                Ok(exit)
            }
            End::Turn(turn) => {
                let exit = self.turn_over(&turn).await;
                if self.session.ephemeral {
                    // How long the agent takes to go is not this command's outcome.
                    drop(tokio::time::timeout(CLOSES_WITHIN, self.until_closed()).await);
                }
                Ok(exit)
            }
        }
    }

    /// Says how the turn ended.
    async fn turn_over(&self, turn: &TurnEnded) -> Exit {
        if turn.outcome != TurnOutcome::Completed || self.ctx.screen.verbose {
            self.ctx.screen.say(one_line(&words::turn_ended(turn)));
        }
        if self.ctx.screen.verbose && !turn.usage.is_empty() {
            self.ctx.screen.say_more(format!("used {}", turn.usage));
        }
        self.after(turn).await;
        outcome::exit_for(turn.outcome, turn.cause)
    }

    /// Waits until the daemon says that the session is closed, so that whoever comes next finds it so.
    async fn until_closed(&mut self) -> Result<(), CliError> {
        while let Some(item) = self.follower.next().await? {
            if matches!(&item, Item::Record(record, _) if matches!(record.event, Event::SessionClosed(_))) {
                break;
            }
        }
        let client = self.follower.client().clone();
        let session: SessionInfo = client.get(&format!("/sessions/{}", self.session.id)).await?;
        if session.state.is_closed() {
            return Ok(());
        }
        let mut states = client.states(session.id).await?;
        while let Some(now) = states.next().await? {
            if now.state.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// What a person may want to know after the end: the bell, what is left, and that this was no model.
    async fn after(&self, turn: &TurnEnded) {
        let screen = self.ctx.screen;
        if self.since.elapsed() >= notify::LONG_TURN {
            let done = turn.outcome == TurnOutcome::Completed;
            notify::ring(self.ctx, if done { Occasion::Done } else { Occasion::Failed });
        }
        if turn.outcome == TurnOutcome::Interrupted && !self.session.ephemeral {
            let session = label(&self.session);
            screen.say_more(format!("run it again: skep prompt {session} --retry-interrupted"));
        }
        if turn.outcome == TurnOutcome::Cancelled {
            let session = label(&self.session);
            screen.say_more(if self.session.ephemeral {
                format!("nothing runs any more; its history: skep logs {session}")
            } else {
                format!("session {session} stays open: skep attach {session}")
            });
        }
        let language = self.session.agent == SHELL
            && turn.exit_code.is_some_and(|code| hints::looks_like_language(&self.text, code));
        if !language {
            return;
        }
        // Without the list of agents there is no advice to give.
        let agents: Result<AgentList, _> = self.follower.client().get("/agents").await;
        let config = self.ctx.paths.config_file().display().to_string();
        for line in
            agents.map(|list| hints::no_model_agent(&self.text, &list.agents, &config)).unwrap_or_default()
        {
            screen.say(one_line(&line));
        }
    }

    fn way_back(&self) -> String {
        let session = label(&self.session);
        format!("come back: skep attach {session}   look: skep logs {session}   end it: skep kill {session}")
    }
}

/// How the watch ends.
#[derive(Debug)]
enum End {
    Turn(TurnEnded),
    /// The prompt will not run, or not without a person.
    Gone(Exit, &'static str),
}
