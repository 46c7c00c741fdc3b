//! The ACP driver: one task per session, which speaks with the session's agent.
//!
//! ```text
//!   (wait) ─▶ spawn ─▶ handshake ─▶ ready ⇄ prompt … ─▶ stop ladder ─▶ gone
//!                         └── fails, times out, exits ──────┴────────────▲
//! ```
//!
//! The session hears everything in the order in which the agent said it. What the agent says is taken only while the
//! session has room for it. The last event says that the agent's whole tree is gone.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::value::RawValue;
use skep_common::ids::PromptId;
use skep_common::session::ContentBlock;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::attached::filled;
use super::choices;
use super::client::desk::Desk;
use super::client::uses::{Decided, UseId, Wish};
use super::connection::{CallError, Connection, Deaf};
use super::heard::{end_leftovers, interpret};
use super::hosts::{Hosts, Kind};
use super::last_words;
use super::launch::Launch;
use super::oneshot::ending::Finished;
pub use super::start::Started;
use super::start::handshake;
use super::stderr;
use super::step::Step;
use super::stop;
pub use super::stop::Stop;
use super::warm::{Template, Warmed};
use super::wire::{self, PermissionAsk, PromptParams};
use crate::acp::message::{Id, REQUEST_CANCELLED, RpcError};
use crate::acp::peer::Batch;
use crate::turn::outcome;

/// How many reads of an agent's output may wait for the session.
const EVENTS: usize = 4;

/// How many commands may wait for an agent.
const COMMANDS: usize = 128;

/// What an agent is told.
#[derive(Debug)]
pub(crate) enum ToAgent {
    /// A prompt; one at a time.
    Prompt(Vec<ContentBlock>),
    /// Another prompt for the turn that runs; only for a driver that says [`Said::Steered`].
    Steer(PromptId, Vec<ContentBlock>),
    /// End the turn.
    Cancel,
    /// The answer to a permission request: an option, or cancelled.
    Permission {
        /// The agent's id of the request.
        id: Id,
        /// The option.
        option: Option<String>,
    },
    /// A request that the agent took back is not decided any more.
    TakenBack(Id),
    /// What became of a thing that it wants done.
    Use {
        /// Which one.
        number: UseId,
        /// What.
        decided: Decided,
    },
    /// Set something of its session; one at a time, answered by [`Said::Set`].
    Set(Box<Step>),
}

/// What comes from an agent.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the queue is short, and a start comes once")]
pub(crate) enum FromAgent {
    /// Ready for prompts.
    Started(Started),
    /// What one read brought, in order.
    Said(Vec<Said>),
    /// Nothing of it is left.
    Gone(Gone),
    /// A command that was run for the prompt has ended, and the turn with it; nothing of it is left.
    Finished(Finished),
}

/// One thing that an agent said.
#[derive(Debug)]
pub(crate) enum Said {
    /// A session update, untouched.
    Update(Box<RawValue>),
    /// It asks for permission.
    Permission {
        /// Its id of the request.
        id: Id,
        /// The request.
        request: PermissionAsk,
    },
    /// It wants something done for it.
    Wants(Wish),
    /// It asks no more what it asked under this id.
    TakesBack(Id),
    /// A steered prompt has come: what is answered from here on is answered to it, too.
    Steered,
    /// The answer to the prompt.
    Answered(Result<outcome::Stop, String>),
    /// What it answered to [`ToAgent::Set`], or why there is no answer.
    Set(Result<Box<RawValue>, String>),
    /// A remark about what it said.
    Note(String),
}

impl Said {
    /// Whether it ends the turn.
    fn ends_the_turn(&self) -> bool {
        matches!(self, Self::Answered(_))
    }
}

/// The end of an agent.
#[derive(Debug)]
pub(crate) struct Gone {
    /// How its process ended; none if none was started.
    pub(crate) status: Option<String>,
    /// Whether it was told to stop.
    pub(crate) told: bool,
    /// Whether it had been ready.
    pub(crate) ready: bool,
    /// Why it ended, for people.
    pub(crate) why: String,
}

/// The session's end of a driver.
#[derive(Debug)]
pub(crate) struct Agent {
    commands: mpsc::Sender<ToAgent>,
    events: mpsc::Receiver<FromAgent>,
    stop: watch::Sender<Stop>,
}

impl Agent {
    /// Starts an agent. It ends when it is told to stop, by itself, or when this handle is dropped (then at once).
    pub(crate) fn start(launch: Launch, hosts: &Hosts, exe: PathBuf, tracker: &TaskTracker) -> Self {
        let (agent, inbox, outbox, stop) = Self::channels();
        let (hosts, spawner) = (hosts.clone(), tracker.clone());
        let desk = Desk::new(&launch, &exe, tracker);
        let driver =
            Driver { launch, hosts, exe, tracker: spawner, inbox, outbox, stop, desk, warmed: false };
        tracker.spawn(driver.run());
        agent
    }

    /// A handle, and the driver's ends of its channels.
    pub(super) fn channels() -> (Self, mpsc::Receiver<ToAgent>, mpsc::Sender<FromAgent>, watch::Receiver<Stop>)
    {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (outbox, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = watch::channel(Stop::No);
        (Self { commands, events, stop }, inbox, outbox, stopped)
    }

    /// The next event; `None` after [`FromAgent::Gone`] or [`FromAgent::Finished`]. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<FromAgent> {
        self.events.recv().await
    }

    /// Tells the agent something. One that is gone or does not listen is stopped.
    pub(crate) fn tell(&self, command: ToAgent) {
        if self.commands.try_send(command).is_err() {
            self.stop(Stop::Kill);
        }
    }

    /// Stops it. A kill follows a gentle stop, never the other way round.
    pub(crate) fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|now| now.raise(how));
    }
}

#[derive(Debug)]
struct Driver {
    launch: Launch,
    hosts: Hosts,
    exe: PathBuf,
    tracker: TaskTracker,
    inbox: mpsc::Receiver<ToAgent>,
    outbox: mpsc::Sender<FromAgent>,
    stop: watch::Receiver<Stop>,
    desk: Desk,
    /// The next session's process was seen to.
    warmed: bool,
}

/// Why a connection was given up.
enum End {
    Told,
    Broken(String),
}

impl Driver {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        let connected = tokio::select! {
            biased;
            () = Stop::told(&mut stop) => Err((true, String::new())),
            connected = self.connect() => connected.map_err(|why| (false, why)),
        };
        let (mut connection, started) = match connected {
            Ok(connected) => connected,
            Err((told, why)) => return self.gone(Gone { status: None, told, ready: false, why }).await,
        };
        let begun = match started {
            Some(started) => Ok(started),
            None => self.begin(&mut connection).await,
        };
        let (ready, end) = match begun {
            Err(end) => (false, end),
            Ok(started) => {
                self.say(FromAgent::Started(started)).await;
                let settings: Vec<Said> = connection.take_early().into_iter().map(Said::Update).collect();
                if !settings.is_empty() {
                    self.say(FromAgent::Said(settings)).await;
                }
                (true, self.serve(&mut connection).await)
            }
        };
        self.finish(connection, ready, end).await;
    }

    /// Takes a seat: at a process that waits, if a new session may have it, else where the preset says.
    async fn connect(&self) -> Result<(Connection, Option<Started>), String> {
        if let Some(not_before) = self.launch.not_before {
            not_before.come(Timestamp::now).await;
        }
        if self.launch.resume.is_none()
            && let Some(kind) = self.warm_kind()
            && let Some(Warmed { connection, started }) = self.hosts.shelf.take(&kind).await
        {
            connection.host().hear(connection.seat(), &self.launch);
            return Ok((connection, started));
        }
        let seat = self
            .hosts
            .seat(&self.launch, &self.exe, &self.tracker)
            .map_err(|error| format!("agent `{}` could not be started: {error}", self.launch.agent))?;
        let seat = seat.ok_or_else(|| format!("agent `{}` ended as it was started", self.launch.agent))?;
        Ok((seat, None))
    }

    async fn begin(&self, connection: &mut Connection) -> Result<Started, End> {
        let mut stop = self.stop.clone();
        let limit = self.launch.start_timeout;
        let begun = tokio::select! {
            biased;
            () = Stop::told(&mut stop) => return Err(End::Told),
            begun = timeout(limit, handshake(connection, &self.launch)) => begun,
        };
        match begun {
            Ok(begun) => begun.map_err(End::Broken),
            Err(_) => {
                let (agent, step) = (&self.launch.agent, connection.step());
                let why = format!(
                    "agent `{agent}` did not start in time: {step} was not answered within {limit:?}"
                );
                Err(End::Broken(why))
            }
        }
    }

    /// The kind of process that is kept ready for sessions like this one.
    fn warm_kind(&self) -> Option<Kind> {
        let common = self.launch.common.as_ref().filter(|common| common.warm > 0)?;
        Some(Kind::of(&self.launch, common))
    }

    /// Has a process made ready for the next session like this one, once this one's turn is out of the way.
    fn warm_up(&mut self) {
        if !std::mem::replace(&mut self.warmed, true)
            && let Some(kind) = self.warm_kind()
        {
            let (launch, exe) =
                (Launch { resume: None, not_before: None, ..self.launch.clone() }, self.exe.clone());
            let (hosts, tracker) = (self.hosts.clone(), self.tracker.clone());
            self.hosts.shelf.fill(&Template { launch, kind, exe, hosts, tracker });
        }
    }

    /// Serves until the agent is to stop or cannot go on.
    async fn serve(&mut self, connection: &mut Connection) -> End {
        loop {
            let patience = connection.setting.map(|(_, until)| until);
            let outbox = self.outbox.clone();
            let read = async {
                // No room, no read: an agent that floods waits for the journal.
                let Ok(room) = outbox.reserve().await else { return Ok(None) };
                connection.read().await.map(|batch| Some((room, batch)))
            };
            let event = tokio::select! {
                biased;
                () = Stop::told(&mut self.stop) => return End::Told,
                command = self.inbox.recv() => Event::Command(command),
                read = read => Event::Read(read),
                () = come(patience) => Event::Unset,
            };
            let done = match event {
                Event::Command(Some(command)) => {
                    if matches!(command, ToAgent::Prompt(_)) {
                        connection.turn_begins(self.launch.leaves_tools).await;
                    }
                    match filled(&self.launch.attachments, command).await {
                        Ok(command) => obey(connection, &mut self.desk, command),
                        Err(unsent) => {
                            connection.turn_ends();
                            let answer = Said::Answered(Err(unsent.to_string()));
                            self.say(FromAgent::Said(vec![answer])).await;
                            Ok(())
                        }
                    }
                }
                Event::Command(None) | Event::Read(Ok(None)) => return End::Told,
                Event::Unset => {
                    let given_up = connection.give_up_setting();
                    self.say(FromAgent::Said(vec![Said::Set(Err(String::from("it does not answer")))])).await;
                    given_up
                }
                // Nothing that was understood is a sign of life, too.
                Event::Read(Ok(Some((room, batch)))) => match self.interpret(connection, batch).await {
                    Err(End::Told) => return End::Told,
                    Ok(mut said) => {
                        if connection.cancelled && said.iter().any(Said::ends_the_turn) {
                            self.desk.cancelled_turn_is_over().await;
                        }
                        let ended = last_words::retract(connection, &mut said).await;
                        if self.launch.leaves_tools {
                            end_leftovers(connection, &mut said).await;
                        }
                        let ends = said.iter().any(Said::ends_the_turn);
                        room.send(FromAgent::Said(said));
                        if ends {
                            self.warm_up();
                        }
                        if let Some(cause) = ended {
                            return End::Broken(cause.to_string());
                        }
                        Ok(())
                    }
                    Err(end) => return end,
                },
                Event::Read(Err(CallError::Ended(cause))) => return End::Broken(cause.to_string()),
                Event::Read(Err(error)) => return End::Broken(error.to_string()),
            };
            if let Err(deaf) = done {
                return End::Broken(deaf.to_string());
            }
        }
    }

    /// Turns a read into what the session must know, unless the agent is to stop meanwhile.
    async fn interpret(&mut self, connection: &mut Connection, batch: Batch) -> Result<Vec<Said>, End> {
        tokio::select! {
            biased;
            said = interpret(connection, &mut self.desk, batch) => {
                said.map_err(|deaf| End::Broken(deaf.to_string()))
            }
            () = Stop::told(&mut self.stop) => Err(End::Told),
        }
    }

    /// Ends the agent and its tree, and hands over what it had still said.
    async fn finish(mut self, mut connection: Connection, ready: bool, end: End) {
        let (told, why) = match end {
            End::Told => (true, String::new()),
            End::Broken(why) => (false, why),
        };
        self.desk.close().await;
        let kill = *self.stop.borrow() == Stop::Kill;
        let farewell = if told {
            stop::end(&mut connection, self.stop.clone()).await
        } else {
            if ready && !kill && connection.host().has_exited() {
                self.hear_out(&mut connection).await;
            }
            stop::give_up(&mut connection).await
        };
        let status = farewell.to_string();
        let last_line = stderr::last_line(&self.launch.stderr);
        drop(connection);
        let why = match last_line {
            Some(line) if !told && !why.is_empty() => format!("{why}: {line}"),
            _ => why,
        };
        self.gone(Gone { status: Some(status), told, ready, why }).await;
    }

    /// What the agent had still said before it died. The host ends this: it reads only so long.
    async fn hear_out(&mut self, connection: &mut Connection) {
        while let Ok(batch) = connection.read().await {
            let mut said = interpret(connection, &mut self.desk, batch).await.unwrap_or_default();
            let _ended = last_words::retract(connection, &mut said).await;
            if !said.is_empty() {
                self.say(FromAgent::Said(said)).await;
            }
        }
    }

    async fn gone(&self, gone: Gone) {
        self.launch.stderr.finish();
        if let Some(frames) = &self.launch.frames {
            frames.finish();
        }
        self.say(FromAgent::Gone(gone)).await;
    }

    /// A session that listens no more has dropped its handle; there is nobody to tell.
    async fn say(&self, event: FromAgent) {
        drop(self.outbox.send(event).await);
    }
}

enum Event<'a> {
    /// What is to be set was not answered in time.
    Unset,
    Command(Option<ToAgent>),
    Read(Result<Option<(mpsc::Permit<'a, FromAgent>, Batch)>, CallError>),
}

async fn come(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn obey(connection: &mut Connection, desk: &mut Desk, command: ToAgent) -> Result<(), Deaf> {
    let session = connection.session.clone();
    match command {
        ToAgent::Prompt(content) => {
            let params = PromptParams { session_id: &session, prompt: &content };
            (connection.cancelled, connection.cancelled_at) = (false, None);
            desk.turn_begins();
            connection.prompt = Some(connection.request("session/prompt", &params)?);
            Ok(())
        }
        // ACP has no word for it; the session knows that.
        ToAgent::Steer(..) => Ok(()),
        ToAgent::Cancel => {
            desk.turn_is_cancelled();
            connection.cancel()
        }
        ToAgent::Set(step) => {
            let call = connection.request(step.method(), &step.params(&session))?;
            connection.setting = Some((call, Instant::now() + choices::PATIENCE));
            Ok(())
        }
        ToAgent::Use { number, decided } => {
            desk.decided(number, decided, connection.host());
            Ok(())
        }
        ToAgent::Permission { id, option } => {
            connection.respond(&id, Ok(&wire::permission_answer(option.as_deref())))
        }
        ToAgent::TakenBack(id) => {
            let error = RpcError::new(REQUEST_CANCELLED, "you took it back");
            connection.respond(&id, Err::<&(), _>(&error))
        }
    }
}
