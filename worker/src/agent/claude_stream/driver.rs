//! The driver: one task per `claude`, which owns the process and speaks with it.
//!
//! ```text
//!   spawn ─▶ initialize ─▶ ready ⇄ prompt … ─▶ stop ladder ─▶ gone
//!     ▲          ├── its former session is not there ──┐ │       ▲
//!     └──────────┴───────── once, without it ◀─────────┘ └───────┘ exits by itself
//! ```
//!
//! The agent's output is read only while the session has room for it. The last event says that its whole tree is gone.

use std::path::PathBuf;

use skep_common::session::content::Takes;
use skep_sys::spawn::ExitCause;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::conversation::{Conversation, Out, can_resume};
use super::process::{Batch, Process};
use super::wire;
use crate::agent::DRAIN;
use crate::agent::acp::{Agent, FromAgent, Gone, Said, Started, Stop, ToAgent};
use crate::agent::attached::filled;
use crate::agent::launch::Launch;
use crate::agent::oneshot::reading::parse;

/// The id of our first request.
const INITIALIZE: &str = "initialize";

/// A `claude` that is to be started.
#[derive(Debug)]
pub(crate) struct ClaudeStream {
    /// Program, directory, environment, logs.
    pub(crate) launch: Launch,
    /// The agent's title.
    pub(crate) title: String,
    /// What it takes in a prompt.
    pub(crate) takes: Takes,
    /// The arguments that bring its session back, with `{session}` in one.
    pub(crate) resume_args: Vec<String>,
}

impl ClaudeStream {
    /// Starts it. It ends when it is told to stop, by itself, or when the handle is dropped (then at once).
    pub(crate) fn start(self, exe: PathBuf, tracker: &TaskTracker) -> Agent {
        let (agent, inbox, outbox, stop) = Agent::channels();
        let driver = Driver { agent: self, exe, tracker: tracker.clone(), inbox, outbox, stop, title: None };
        tracker.spawn(driver.run());
        agent
    }
}

#[derive(Debug)]
struct Driver {
    agent: ClaudeStream,
    exe: PathBuf,
    tracker: TaskTracker,
    inbox: mpsc::Receiver<ToAgent>,
    outbox: mpsc::Sender<FromAgent>,
    stop: watch::Receiver<Stop>,
    /// What is told at the start, kept for an id that comes later.
    title: Option<Started>,
}

/// Why a conversation was given up.
enum End {
    Told,
    Broken(String),
}

/// The beginning failed.
enum Failed {
    Told,
    /// It ended, or did not answer.
    Why(String),
}

impl Driver {
    async fn run(mut self) {
        let former = self.agent.launch.resume.clone().filter(|former| can_resume(former));
        let former = former.filter(|_| !self.agent.resume_args.is_empty());
        let mut note = None;
        if let Some(former) = former {
            match self.begin(Some(&former)).await {
                Ok((process, conversation)) => {
                    return self.serve_and_end(process, conversation, former, "resumed", None).await;
                }
                Err(Failed::Told) => return self.gone(None, true, false, String::new()).await,
                Err(Failed::Why(why)) => {
                    note = Some(format!("the agent starts without its former context: {why}"));
                }
            }
        }
        match self.begin(None).await {
            Ok((process, conversation)) => {
                self.serve_and_end(process, conversation, String::new(), "new", note).await;
            }
            Err(Failed::Told) => self.gone(None, true, false, String::new()).await,
            Err(Failed::Why(why)) => self.gone(None, false, false, why).await,
        }
    }

    /// Starts the process and waits until it answers. One that does not is ended.
    async fn begin(&mut self, former: Option<&str>) -> Result<(Process, Conversation), Failed> {
        let ClaudeStream { launch, resume_args, .. } = &self.agent;
        let args: Vec<String> = former.map_or_else(Vec::new, |former| {
            resume_args.iter().map(|arg| arg.replace("{session}", former)).collect()
        });
        let not = |why: String| Failed::Why(format!("agent `{}` could not be started: {why}", launch.agent));
        let mut process = Process::spawn(launch, &args, &self.exe, &self.tracker)
            .map_err(|error| not(error.to_string()))?;
        let mut conversation = Conversation::new(former.map(ToOwned::to_owned));
        let mut stop = self.stop.clone();
        let failed = tokio::select! {
            biased;
            () = Stop::told(&mut stop) => Failed::Told,
            ready = timeout(launch.start_timeout, ready(&mut process, &mut conversation)) => match ready {
                Ok(Ok(())) => return Ok((process, conversation)),
                Ok(Err(why)) => not(why),
                Err(_) => Failed::Why(format!("agent `{}` did not start in time", launch.agent)),
            },
        };
        if matches!(failed, Failed::Told) {
            let _status = process.end(launch, self.stop.clone()).await;
            return Err(failed);
        }
        let _status = process.sweep().await;
        let last_words = process.last_words(launch).await;
        Err(match (failed, last_words) {
            (Failed::Why(why), Some(words)) => Failed::Why(format!("{why}: {words}")),
            (failed, _) => failed,
        })
    }

    async fn serve_and_end(
        &mut self,
        mut process: Process,
        mut conversation: Conversation,
        session: String,
        context: &'static str,
        note: Option<String>,
    ) {
        let started = Started {
            title: self.agent.title.clone(),
            tree: process.tree.clone(),
            agent_session: session,
            context,
            takes: self.agent.takes,
            notes: note.into_iter().chain(self.agent.launch.mcp.unused()).collect(),
            offer: None,
            returns: !self.agent.resume_args.is_empty(),
        };
        self.title = Some(Started { notes: Vec::new(), ..started.clone() });
        self.say(FromAgent::Started(started)).await;
        let end = self.serve(&mut process, &mut conversation).await;
        self.finish(process, conversation, end).await;
    }

    /// Serves until the agent is to stop or cannot go on.
    async fn serve(&mut self, process: &mut Process, conversation: &mut Conversation) -> End {
        loop {
            let outbox = self.outbox.clone();
            let read = async {
                // No room, no read: an agent that floods waits for the journal.
                let room = outbox.reserve().await.ok()?;
                Some((room, process.read().await))
            };
            let batch = tokio::select! {
                biased;
                () = Stop::told(&mut self.stop) => return End::Told,
                command = self.inbox.recv() => {
                    let Some(command) = command else { return End::Told };
                    let steers = matches!(command, ToAgent::Steer(..));
                    let command = match filled(&self.agent.launch.attachments, command).await {
                        Ok(command) => command,
                        Err(unsent) => {
                            let unsent = unsent.to_string();
                            let said = match steers {
                                true => vec![Said::Note(unsent), Said::Steered],
                                false => vec![Said::Answered(Err(unsent))],
                            };
                            self.say(FromAgent::Said(said)).await;
                            continue;
                        }
                    };
                    for line in conversation.obey(command) {
                        if let Err(closed) = process.write(line) {
                            return End::Broken(closed.to_string());
                        }
                    }
                    if steers {
                        self.say(FromAgent::Said(vec![Said::Steered])).await;
                    }
                    continue;
                }
                read = read => match read {
                    None => return End::Told,
                    Some((_, None)) => {
                        let cause = process.child.exited().await;
                        return End::Broken(cause.to_string());
                    }
                    Some((room, Some(batch))) => {
                        drop(room);
                        batch
                    }
                },
            };
            if let Err(end) = self.hear(process, conversation, batch).await {
                return end;
            }
        }
    }

    /// Tells the session what a read brought, in order.
    async fn hear(
        &mut self,
        process: &Process,
        conversation: &mut Conversation,
        batch: Batch,
    ) -> Result<(), End> {
        let mut said = Vec::with_capacity(batch.lines.len());
        for line in &batch.lines {
            for out in understand(conversation, line) {
                match out {
                    Out::Say(word) => said.push(word),
                    Out::Write(line) => {
                        process.write(line).map_err(|closed| End::Broken(closed.to_string()))?;
                    }
                    Out::Session(id) => {
                        self.say(FromAgent::Said(std::mem::take(&mut said))).await;
                        self.name(id).await;
                    }
                    Out::Ready(_) => {}
                }
            }
        }
        said.extend(batch.dropped.into_iter().map(|length| {
            Said::Note(format!("a line of {length} bytes from the agent was over the limit and dropped"))
        }));
        // Nothing that was understood is a sign of life, too.
        self.say(FromAgent::Said(said)).await;
        Ok(())
    }

    /// Tells the start once more, with the session's id, which the agent says with its first answer only.
    async fn name(&mut self, id: String) {
        if let Some(started) = &mut self.title
            && started.agent_session != id
        {
            started.agent_session = id;
            let started = started.clone();
            self.say(FromAgent::Started(started)).await;
        }
    }

    /// Ends the agent and its tree, and hands over what it had still said.
    async fn finish(&mut self, mut process: Process, mut conversation: Conversation, end: End) {
        let (told, why) = match end {
            End::Told => (true, String::new()),
            End::Broken(why) => (false, why),
        };
        let kill = *self.stop.borrow() == Stop::Kill;
        let status = if told && !kill {
            process.end(&self.agent.launch, self.stop.clone()).await
        } else {
            process.sweep().await
        };
        if !told {
            let mut stop = self.stop.clone();
            tokio::select! {
                biased;
                _ = stop.wait_for(|how| *how == Stop::Kill) => {}
                () = self.hear_out(&mut process, &mut conversation) => {}
            }
        }
        let last_words = process.last_words(&self.agent.launch).await;
        drop(process);
        let why = match last_words {
            Some(words) if !told && !why.is_empty() => format!("{why}: {words}"),
            _ => why,
        };
        self.gone(Some(status), told, true, why).await;
    }

    /// What the agent had still said before it died. It reads only so long: a process that escaped may hold the pipe.
    async fn hear_out(&self, process: &mut Process, conversation: &mut Conversation) {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until
            && let Some(batch) = process.rest().await
        {
            let outs = batch.lines.iter().flat_map(|line| understand(conversation, line));
            let said = outs.filter_map(|out| match out {
                Out::Say(said @ (Said::Update(_) | Said::Answered(_))) => Some(said),
                _ => None,
            });
            let said: Vec<Said> = said.collect();
            self.say(FromAgent::Said(said)).await;
        }
    }

    async fn gone(&self, status: Option<ExitCause>, told: bool, ready: bool, why: String) {
        self.agent.launch.stderr.finish();
        if let Some(frames) = &self.agent.launch.frames {
            frames.finish();
        }
        let status = status.map(|status| status.to_string());
        self.say(FromAgent::Gone(Gone { status, told, ready, why })).await;
    }

    /// A session that listens no more has dropped its handle; there is nobody to tell.
    async fn say(&self, event: FromAgent) {
        drop(self.outbox.send(event).await);
    }
}

/// Waits for the answer to our first request. One that does not know the request has read it, too.
async fn ready(process: &mut Process, conversation: &mut Conversation) -> Result<(), String> {
    process.write(wire::initialize(INITIALIZE)).map_err(|closed| closed.to_string())?;
    while let Some(batch) = process.read().await {
        for line in &batch.lines {
            for out in understand(conversation, line) {
                match out {
                    Out::Ready(id) if id == INITIALIZE => return Ok(()),
                    Out::Write(line) => process.write(line).map_err(|closed| closed.to_string())?,
                    Out::Ready(_) | Out::Say(_) | Out::Session(_) => {}
                }
            }
        }
    }
    Err(process.child.exited().await.to_string())
}

fn understand(conversation: &mut Conversation, line: &[u8]) -> Vec<Out> {
    if line.trim_ascii().is_empty() {
        return Vec::new();
    }
    let out = parse(line).and_then(|value| conversation.hear(&value));
    if out.is_none() {
        tracing::debug!(length = line.len(), "the agent wrote a line that is not understood");
    }
    out.unwrap_or_default()
}
