//! A session's desk: what its agent has asked for and waits for, and the terminals that it has.
//!
//! Owned by the session's driver. Everything on it is bounded; what is too much is refused at once. Files are read and
//! written on blocking threads, a few at a time. Every request is answered exactly once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_sys::rooted::{FileError, Lines, Place, Roots, TEXT_MAX};
use skep_sys::tree::{self, Tree};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command::Command;
use super::refusal::{cancelled, denied, file, refused};
use super::request::Request;
use super::terminal::Terminal;
use super::uses::{Decided, Offers, UseId};
use crate::acp::message::{Id, RpcError};
use crate::agent::acp::Said;
use crate::agent::connection::{Connection, Deaf};
use crate::agent::host::Host;
use crate::agent::launch::{Environment, Launch};

/// How many requests of an agent may wait for their answers, those for an exit included.
const OPEN: usize = 64;

/// How many files of a session are read or written at once.
const AT_ONCE: usize = 4;

/// How much text may wait to be written, in KiB.
const TEXT_ROOM: usize = 4 * TEXT_MAX / 1024;

/// How many terminals an agent may have that it has not released.
const TERMINALS: usize = 32;

/// How many requests for something outside are remarked upon.
const REMARKS: u32 = 8;

/// How long a refusal waits for room, while the agent does not read.
const ROOM: Duration = Duration::from_secs(2);

/// How long a file may be to be shown as it is and as it would be, in bytes.
const CHANGE: usize = 32 * 1024;

/// How much of a title or a text is shown, in characters.
const SHOWN: usize = 2000;

mod terminals;
mod wishes;

/// A session's desk.
#[derive(Debug)]
pub(in crate::agent) struct Desk {
    offers: Offers,
    cwd: PathBuf,
    /// What terminals get; empty where none are offered.
    env: Environment,
    exe: PathBuf,
    tracker: TaskTracker,
    /// Where files may be; none if the session's directory could not be found when its agent was started.
    roots: Option<Arc<Roots>>,
    waiting: HashMap<UseId, Waiting>,
    exits: Vec<(Id, CancellationToken)>,
    terminals: BTreeMap<String, Terminal>,
    last_use: UseId,
    last_terminal: u64,
    turn: u64,
    open: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    text_room: Arc<Semaphore>,
    remarks: u32,
}

/// A request whose consent is waited for.
#[derive(Debug)]
struct Waiting {
    answer: Answer,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Read { named: String, place: Place, lines: Lines },
    Write { named: String, place: Place, text: String, room: OwnedSemaphorePermit },
    Run { command: Command, cwd: PathBuf },
}

/// The duty to answer a request.
#[derive(Debug)]
struct Answer {
    host: Host,
    id: Id,
    _open: OwnedSemaphorePermit,
}

impl Answer {
    /// Waits for as long as the agent does not read: it waits for this, and at its end there is nobody to wait for.
    async fn give(self, result: Result<Value, RpcError>) {
        if self.host.answer(&self.id, result.as_ref()).await.is_err() {
            tracing::debug!("an agent does not read the answer to its request");
        }
    }
}

/// A request that is not done, and what a person should hear of that.
#[derive(Debug)]
struct Refusal {
    answer: Answer,
    error: RpcError,
    remark: Option<String>,
}

/// Answers at once what is not even taken on. An agent that floods and does not read is not waited for.
async fn refuse(host: &Host, id: &Id, error: &RpcError) -> Result<(), Deaf> {
    timeout(ROOM, host.answer(id, Err::<&(), _>(error))).await.unwrap_or(Err(Deaf))
}

impl Desk {
    /// The desk of a session whose agent is started like this.
    pub(in crate::agent) fn new(launch: &Launch, exe: &Path, tracker: &TaskTracker) -> Self {
        Self {
            offers: launch.offers,
            cwd: launch.cwd.clone(),
            env: if launch.offers.terminals { launch.env.clone() } else { Environment(Vec::new()) },
            exe: exe.to_owned(),
            tracker: tracker.clone(),
            roots: launch.roots.clone().map(Arc::new),
            waiting: HashMap::new(),
            exits: Vec::new(),
            terminals: BTreeMap::new(),
            last_use: 0,
            last_terminal: 0,
            turn: 0,
            open: Arc::new(Semaphore::new(OPEN)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            text_room: Arc::new(Semaphore::new(TEXT_ROOM)),
            remarks: 0,
        }
    }

    /// The agent asks for something. What the session must hear, if anything.
    pub(in crate::agent) async fn asked(
        &mut self,
        connection: &Connection,
        (id, method, params): (Id, &str, Option<&RawValue>),
    ) -> Result<Option<Said>, Deaf> {
        let host = connection.host();
        if !self.offers.has(method) {
            refuse(host, &id, &host.not_offered(method)).await?;
            return Ok(None);
        }
        let checked = Request::parse(method, params, &connection.session).and_then(|request| {
            let open = Arc::clone(&self.open).try_acquire_owned();
            let open = open.map_err(|_| refused("too_many", "too many requests wait for their answers"))?;
            Ok((request, open))
        });
        let (request, open) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                refuse(host, &id, &error).await?;
                return Ok(None);
            }
        };
        let answer = Answer { host: host.clone(), id, _open: open };
        match self.take(answer, request).await {
            Ok(wish) => Ok(wish.map(Said::Wants)),
            Err(Refusal { answer, error, remark }) => {
                self.tracker.spawn(answer.give(Err(error)));
                Ok(remark.map(Said::Note))
            }
        }
    }

    /// The session has decided.
    pub(in crate::agent) fn decided(&mut self, number: UseId, decided: Decided, host: &Host) {
        let Some(Waiting { answer, work }) = self.waiting.remove(&number) else { return };
        match decided {
            Decided::Allowed => self.perform(answer, work, host),
            Decided::Denied => drop(self.tracker.spawn(answer.give(Err(denied())))),
            Decided::Cancelled => drop(self.tracker.spawn(answer.give(Err(cancelled())))),
        }
    }

    fn perform(&mut self, answer: Answer, work: Work, host: &Host) {
        let at_once = Arc::clone(&self.at_once);
        match work {
            Work::Run { command, cwd } => self.start(answer, command, cwd, host),
            Work::Read { named, place, lines } => drop(self.tracker.spawn(async move {
                let _turn = at_once.acquire_owned().await;
                let read = blocking(move || place.read(lines)).await;
                let read = read.map(|text| json!({"content": text}));
                answer.give(read.map_err(|error| file(&named, &error))).await;
            })),
            Work::Write { named, place, text, room } => drop(self.tracker.spawn(async move {
                let _turn = at_once.acquire_owned().await;
                let written = blocking(move || place.write(&text)).await;
                drop(room);
                let written = written.map(|()| json!({}));
                answer.give(written.map_err(|error| file(&named, &error))).await;
            })),
        }
    }

    /// Ends everything: nothing is decided any more, nothing of any terminal is left.
    pub(in crate::agent) async fn close(&mut self) {
        self.offers = Offers::default();
        for (_, Waiting { answer, .. }) in self.waiting.drain() {
            self.tracker.spawn(answer.give(Err(cancelled())));
        }
        let terminals = std::mem::take(&mut self.terminals);
        if terminals.is_empty() {
            return;
        }
        let trees: Vec<Tree> = terminals.values().map(|terminal| terminal.tree.clone()).collect();
        terminals::report(&tree::kill(&trees).await);
        for terminal in terminals.into_values() {
            terminal.let_go().await;
        }
    }
}

/// Does something with files on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(FileError::Os(error.into())))
}
