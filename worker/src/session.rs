//! A session: one actor that owns its journal, its turn and queue, its permission requests and its agent.
//!
//! ```text
//!   open ─▶ idle ⇄ starting ⇄ running ⇄ needs_you        (state; the journal says the same)
//!             └──────┴────────────┴── close, release, stop ─▶ ending ─▶ released
//! ```
//!
//! Nothing is acknowledged, announced or told to the agent before the journal has it (design, "Sync"). The actor
//! never blocks on the agent; it blocks on its own journal only, and a kill cuts that short too. It must not know ACP
//! beyond what the driver hands over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use skep_common::code::{ApiError, Code};
use skep_common::environment::CapturedEnvironment;
use skep_common::ids::{PermissionId, RequestId, SessionId, WorkerId};
use skep_common::protocol::{Action, Reply};
use skep_common::session::content::{Takes, Unfit};
use skep_common::session::{
    AgentProcess, Cause, SessionSnapshot, SessionSpec, SessionState, TurnOutcome, TurnSummary,
};
use skep_common::usage::{Tokens, Used};
use skep_config::permissions::Rule;
use skep_config::{AgentPreset, Settings};
use skep_journal::{JournalError, Projection, Writer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::acp::{Agent, FromAgent};
use crate::agent::hosts::Hosts;
use crate::agent::updates::Updates;
use crate::consent::Requests;
use crate::consent::grants::Grants;
use crate::disk::Disk;
use crate::meter::Meter;
use crate::report::Reports;
use crate::turn::outcome::{End, Seen};
use crate::turn::{Prompt, Turns};

mod agent;
mod attachments;
mod awake;
mod branch;
mod credentials;
mod ending;
mod journal;
mod limits;
mod open;
mod permissions;
mod prompts;
mod recap;
mod resume;
mod settings;
mod timers;
mod uses;

use awake::Awake;
use credentials::Credentials;
use ending::Ending;
use journal::{Broken, note};
use limits::Limit;
use permissions::Asker;
use prompts::{After, Delivery};
use settings::{AgentSettings, Changing};
use timers::{Deadlines, Timer};

/// How many commands may wait for one session.
const COMMANDS: usize = 64;

/// What every session of a worker shares.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) worker: WorkerId,
    pub(crate) state_dir: PathBuf,
    pub(crate) exe: PathBuf,
    pub(crate) debug: bool,
    pub(crate) settings: Arc<Settings>,
    pub(crate) reports: Reports,
    pub(crate) disk: Disk,
    pub(crate) tracker: TaskTracker,
    pub(crate) hosts: Hosts,
}

impl Shared {
    pub(crate) fn session_dir(&self, session: SessionId) -> PathBuf {
        self.state_dir.join("sessions").join(session.to_string())
    }
}

/// The worker goes down, and its sessions with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Turns end as interrupted, agents by the ladder.
    Gently(Cause),
    /// At once.
    Kill(Cause),
}

/// A cloneable handle on a session's actor.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<(RequestId, Action)>,
    /// Resolves when the session is let go of: its lease is free.
    pub(crate) done: CancellationToken,
    /// What the session looks like, for a hello.
    pub(crate) latest: watch::Receiver<SessionSnapshot>,
}

impl Handle {
    /// Opens a session, once `after` (a former actor of the same session) is done. The request is acknowledged by the
    /// actor.
    pub(crate) fn open(
        shared: Shared,
        (spec, environment): (SessionSpec, Option<CapturedEnvironment>),
        request: Option<RequestId>,
        halt: watch::Receiver<Option<Halt>>,
        after: Option<CancellationToken>,
    ) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let done = CancellationToken::new();
        let (published, latest) = watch::channel(open::before(&shared, &spec));
        let finished = done.clone();
        shared.tracker.clone().spawn(async move {
            if let Some(after) = after {
                after.cancelled().await;
            }
            let _finished = finished.drop_guard();
            let _backstop = Backstop { reports: shared.reports.clone(), latest: published.subscribe() };
            let (updates, on_disk) = (Updates::default(), 0);
            let opening = open::Opening {
                shared,
                spec,
                environment,
                request,
                halt,
                inbox,
                published,
                updates,
                on_disk,
            };
            if let Some(session) = opening.open().await {
                session.run().await;
            }
        });
        Self { commands, done, latest }
    }

    /// Whether the actor takes no more requests.
    pub(crate) fn is_over(&self) -> bool {
        self.commands.is_closed()
    }

    /// Hands a request to the actor, which acknowledges it.
    ///
    /// # Errors
    ///
    /// When the session is gone, or has too much to do.
    pub(crate) fn request(&self, id: RequestId, action: Action) -> Result<(), ApiError> {
        self.commands.try_send((id, action)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                ApiError::new(Code::SessionBusy, "the session has too many requests waiting; try again")
            }
            mpsc::error::TrySendError::Closed(_) => not_held(),
        })
    }
}

/// Says that a session is lost if its actor panics; its lease is freed with its journal.
struct Backstop {
    reports: Reports,
    latest: watch::Receiver<SessionSnapshot>,
}

impl Drop for Backstop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.latest.borrow().clone();
            let why = Some(String::from("skep itself failed; the log says more"));
            self.reports.released(SessionSnapshot {
                state: SessionState::Failed,
                why,
                agent: None,
                worker: None,
                ..last
            });
        }
    }
}

/// The error for a session that this worker does not hold.
pub(crate) fn not_held() -> ApiError {
    ApiError::new(Code::SessionNotFound, "this worker does not hold the session")
}

/// The agent's process, as far as the session knows.
#[derive(Debug)]
enum Slot {
    Empty,
    Starting(Agent),
    Ready(Agent, AgentProcess),
    /// It was told to stop.
    Stopping(Agent),
}

/// The actor.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Shared,
    spec: SessionSpec,
    dir: PathBuf,
    inbox: mpsc::Receiver<(RequestId, Action)>,
    halt: watch::Receiver<Option<Halt>>,
    published: watch::Sender<SessionSnapshot>,
    writer: Option<Writer>,
    bell: Option<(CancellationToken, JoinHandle<()>)>,
    /// What the journal said when it was opened: older prompts and answers.
    history: Box<Projection>,
    turns: Turns,
    requests: Requests,
    /// The session's own permission rules.
    own_rules: Vec<Rule>,
    /// Who asked the requests that wait.
    asked: HashMap<PermissionId, Asker>,
    /// What the agent was allowed that it may want done for it.
    grants: Grants,
    slot: Slot,
    agent: AgentSettings,
    /// A change of the settings that waits for the agent.
    changing: Option<Changing>,
    /// The settings are not those that the session was created with.
    changed: bool,
    awake: Awake,
    agent_session: Option<String>,
    /// When the agent made that session (wall clock).
    agent_session_since: Option<Timestamp>,
    credentials: Credentials,
    /// Why the agent that was started last is gone, if it is.
    left: Option<Cause>,
    /// The prompt of the last turn, if that was cut off.
    cut_off: Option<Prompt>,
    /// What the next prompt begins with, for an agent that does not know what happened before.
    recap: Option<String>,
    /// The running turn's prompt was given to the agent.
    prompted: bool,
    /// Prompts that were steered into the turn, and of which the driver has not said that it has them.
    steering: usize,
    seen: Seen,
    /// What the agent said of its settings.
    updates: Updates,
    /// When the agent last gave a sign of life, once that was long ago.
    silent_since: Option<Timestamp>,
    state: SessionState,
    why: Option<String>,
    last_turn: Option<TurnSummary>,
    /// What all turns have used, the running one's tokens and cost not included.
    used: Used,
    /// The branch of git that its directory was seen on last.
    branch: Option<String>,
    meter: Meter,
    /// The tokens that the agent's answer told.
    answer_tokens: Option<Tokens>,
    /// How much the session takes on the disk, in bytes, near enough.
    on_disk: u64,
    /// That it has no room for more was told.
    told_full: bool,
    /// Which limit the running turn is cancelled for, or must not even begin for.
    limit: Option<Limit>,
    deadlines: Deadlines,
    ending: Option<Ending>,
    /// Why the running turn's agent is started only later.
    waits: Option<String>,
    /// What the agent takes in a prompt.
    takes: Option<Takes>,
    /// Why the running turn's prompt is not given to the agent.
    unfit: Option<Unfit>,
    /// What became of parts of the prompt that was given to it.
    fitted: Vec<String>,
    /// Why the running turn's agent cannot even be tried.
    unstartable: Option<String>,
    /// Why the agent was told to stop.
    stopped_for: Cause,
    /// A turn has ended since the session was opened.
    served: bool,
    /// `session.json` is older than the state.
    unsaved: bool,
    over: bool,
}

/// Why a request is not done.
#[derive(Debug)]
enum Fault {
    /// For the client.
    Refused(ApiError),
    /// The journal refuses: the session cannot go on.
    Broken(Broken),
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

enum Input {
    Halt(Halt),
    Request(RequestId, Action),
    Agent(Option<FromAgent>),
    Timer(Timer),
}

impl Session {
    /// How its agent is configured now, if it still is.
    fn preset(&self) -> Option<&AgentPreset> {
        self.shared.settings.agents.get(&self.spec.agent)
    }

    async fn run(mut self) {
        if let Err(broken) = self.come_back().await {
            self.fail(&broken).await;
        }
        while !self.over {
            self.publish();
            let input = self.next().await;
            let done = match input {
                Input::Halt(halt) => self.halted(halt).await,
                Input::Request(id, action) => self.request(id, action).await,
                Input::Agent(event) => self.heard(event).await,
                Input::Timer(timer) => self.timer(timer).await,
            };
            let done = match done {
                Ok(()) => self.settle().await,
                broken => broken,
            };
            if let Err(broken) = done {
                self.fail(&broken).await;
            }
        }
    }

    /// What follows from the state that an input left.
    async fn settle(&mut self) -> Result<(), Broken> {
        while let Some(unfit) = self.unfit.take() {
            let why = Some(unfit.to_string());
            let end = End::ours(TurnOutcome::Refused, Cause::ContentNotSupported, why);
            self.end_turn(end, After::Next).await?;
        }
        if !self.fitted.is_empty() {
            let told = std::mem::take(&mut self.fitted);
            self.append(told.into_iter().map(|text| note("warn", text)).collect()).await?;
        }
        if let Some(why) = self.unstartable.take() {
            self.could_not_start(why).await?;
        }
        if let Some(why) = self.waits.take()
            && self.state == SessionState::Starting
        {
            let told = note("warn", why.clone());
            let waits = self.enter(SessionState::Starting, Some(why));
            self.append(std::iter::once(told).chain(waits).collect()).await?;
        }
        self.end_unaffordable().await?;
        self.renew_agent().await?;
        if self.spec.ephemeral && self.served && self.is_at_rest() && self.turns.queued().is_empty() {
            self.end(Ending::close(Cause::Ephemeral), None).await?;
        }
        if self.ending.is_some() && self.turns.running().is_none() && matches!(self.slot, Slot::Empty) {
            self.finish().await?;
        }
        if self.unsaved && self.is_at_rest() && !self.over {
            self.unsaved = false;
            self.publish();
            self.save(false).await;
        }
        Ok(())
    }

    async fn next(&mut self) -> Input {
        let timer = self.deadlines.next(self.is_at_rest());
        tokio::select! {
            biased;
            halt = halted(&mut self.halt) => Input::Halt(halt),
            Some((id, action)) = self.inbox.recv() => Input::Request(id, action),
            event = self.slot.next() => Input::Agent(event),
            () = self.awake.over() => Input::Timer(Timer::BackgroundOver),
            timer = due(timer) => Input::Timer(timer),
        }
    }

    /// Acts on a request and acknowledges it, now or (ends) when it is done.
    async fn request(&mut self, id: RequestId, action: Action) -> Result<(), Broken> {
        let done = match action {
            Action::OpenSession { environment, .. } => {
                self.credentials.given(environment);
                Ok(self.done())
            }
            Action::Prompt {
                prompt,
                content,
                when_busy,
                consent,
                via,
                timeout_seconds,
                environment,
                retry,
                incoming,
                ..
            } => {
                self.credentials.given(environment);
                let prompt = Prompt { id: prompt, content, consent, timeout_seconds, retry_of: None };
                return self.prompt(id, prompt, Delivery { when_busy, retry, incoming, via }).await;
            }
            Action::Cancel { prompt, cause, .. } => self.cancel(prompt, cause).await,
            Action::Answer { permission, answer, decision, via, .. } => {
                self.answer(permission, answer, &decision, via).await
            }
            Action::ReleaseQueue { via, .. } => self.release_queue(via).await,
            Action::Change { change, via, .. } => return self.change(id, *change, via).await,
            Action::Close { cause, .. } => return self.end(Ending::close(cause), Some(id)).await,
            Action::Release { cause: cause @ (Cause::Idle | Cause::Memory), .. } => {
                return self.hibernate(cause, Some(id)).await;
            }
            Action::Release { cause, .. } => return self.end(Ending::release(cause), Some(id)).await,
            Action::Unknown => {
                Err(ApiError::new(Code::NotSupported, "this worker does not know that action").into())
            }
        };
        self.acknowledge(id, done)
    }

    fn acknowledge(&self, id: RequestId, done: Result<Reply, Fault>) -> Result<(), Broken> {
        let (reply, broken) = match done {
            Ok(reply) => (reply, Ok(())),
            Err(Fault::Refused(error)) => (Reply::Error { error }, Ok(())),
            Err(Fault::Broken(broken)) => (Reply::Error { error: broken.for_client() }, Err(broken)),
        };
        self.shared.reports.ack(id, reply);
        broken
    }

    fn done(&self) -> Reply {
        Reply::Done { head: self.head() }
    }

    /// Whether nothing runs and nothing is about to.
    fn is_at_rest(&self) -> bool {
        self.turns.running().is_none() && self.ending.is_none()
    }

    /// The journal refuses: the agent is killed, and the session let go of, so that it can be opened anew.
    async fn fail(&mut self, broken: &Broken) {
        if let Broken::Journal(error) = broken {
            tracing::error!(session.id = %self.spec.id, %error, "the session's journal failed");
        }
        self.kill_agent().await;
        self.let_go_broken(broken).await;
    }
}

impl Slot {
    fn agent(&self) -> Option<&Agent> {
        match self {
            Self::Empty => None,
            Self::Starting(agent) | Self::Ready(agent, _) | Self::Stopping(agent) => Some(agent),
        }
    }

    /// The agent's next event; never resolves without an agent.
    async fn next(&mut self) -> Option<FromAgent> {
        match self {
            Self::Empty => std::future::pending().await,
            Self::Starting(agent) | Self::Ready(agent, _) | Self::Stopping(agent) => agent.next().await,
        }
    }
}

async fn due(timer: Option<(Instant, Timer)>) -> Timer {
    match timer {
        Some((at, timer)) => {
            tokio::time::sleep_until(at).await;
            timer
        }
        None => std::future::pending().await,
    }
}

/// Resolves when the worker's halt changes to something new.
async fn halted(halt: &mut watch::Receiver<Option<Halt>>) -> Halt {
    loop {
        if halt.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(halt) = *halt.borrow_and_update() {
            return halt;
        }
    }
}

/// Whether an error of the journal is the disk's.
fn is_storage(error: &JournalError) -> bool {
    matches!(error, JournalError::Write { .. } | JournalError::Sync { .. } | JournalError::Open { .. })
}
