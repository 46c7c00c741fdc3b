//! A session's desk: what its agent has asked for and waits for, and the terminals that it has.
//!
//! Owned by the session's driver. Everything on it is bounded; what is too much is refused at once. Files are read and
//! written on blocking threads, a few at a time. Every request is answered exactly once.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_config::permissions::AskedPath;
use skep_sys::rooted::{FileError, Lines, Place, Roots, TEXT_MAX};
use skep_sys::tree::{self, Tree};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command::Command;
use super::refusal::{cancelled, denied, file, no_terminal, refused};
use super::request::Request;
use super::terminal::{Exit, Run, Terminal, found_dead, status};
use super::uses::{Decided, Deed, Offers, UseId, Wish};
use crate::acp::message::{Id, RpcError, clip};
use crate::agent::acp::Said;
use crate::agent::connection::{Connection, Deaf};
use crate::agent::host::Host;
use crate::agent::launch::Launch;

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

/// How much of a title or a text is shown, in characters.
const SHOWN: usize = 2000;

/// A session's desk.
#[derive(Debug)]
pub(in crate::agent) struct Desk {
    offers: Offers,
    cwd: PathBuf,
    env: Vec<(OsString, OsString)>,
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
    async fn give(self, result: Result<Value, RpcError>) {
        if self.host.answer(&self.id, result.as_ref()).await.is_err() {
            tracing::debug!("an agent does not read the answer to its request");
        }
    }
}

impl Desk {
    /// The desk of a session whose agent is started like this.
    pub(in crate::agent) fn new(launch: &Launch, exe: &Path, tracker: &TaskTracker) -> Self {
        Self {
            offers: launch.offers,
            cwd: launch.cwd.clone(),
            env: launch.env.0.clone(),
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
            host.answer(&id, Err::<&(), _>(&host.not_offered(method))).await?;
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
                host.answer(&id, Err::<&(), _>(&error)).await?;
                return Ok(None);
            }
        };
        let answer = Answer { host: host.clone(), id, _open: open };
        match self.take(answer, request).await {
            Ok(wish) => Ok(wish.map(Said::Wants)),
            Err((answer, error, remark)) => {
                self.tracker.spawn(answer.give(Err(error)));
                Ok(remark.map(Said::Note))
            }
        }
    }

    /// Takes on a request: what the session must decide, or why it is not done.
    async fn take(
        &mut self,
        answer: Answer,
        request: Request,
    ) -> Result<Option<Wish>, (Answer, RpcError, Option<String>)> {
        match request {
            Request::Read { path, lines } => {
                let (asked, place) = match self.locate(&path).await {
                    Ok(found) => found,
                    Err(error) => return Err(self.unreachable(answer, &path, "read", &error)),
                };
                let title = format!("Read {}", clip(&path, SHOWN));
                let work = Work::Read { named: path.clone(), place, lines };
                Ok(Some(self.wish(answer, work, Deed::Read, (title, vec![asked]), json!({"path": path}))))
            }
            Request::Write { path, text } => {
                let (asked, place) = match self.locate(&path).await {
                    Ok(found) => found,
                    Err(error) => return Err(self.unreachable(answer, &path, "write", &error)),
                };
                let room = match self.room(&text) {
                    Ok(room) => room,
                    Err(error) => return Err((answer, error, None)),
                };
                let title = format!("Write {} ({} bytes)", clip(&path, SHOWN), text.len());
                let input = json!({"path": path, "content": clip(&text, SHOWN)});
                let work = Work::Write { named: path, place, text, room };
                Ok(Some(self.wish(answer, work, Deed::Write, (title, vec![asked]), input)))
            }
            Request::Create(command) => self.wish_for_terminal(answer, command).await.map(Some),
            Request::Output(name) => match self.terminals.get(&name) {
                Some(terminal) => {
                    self.tracker.spawn(answer.give(Ok(terminal.shown())));
                    Ok(None)
                }
                None => Err((answer, no_terminal(&name), None)),
            },
            Request::Wait(name) => match self.terminals.get(&name).map(|terminal| terminal.exit.clone()) {
                Some(exit) => {
                    self.tell_exit(answer, exit);
                    Ok(None)
                }
                None => Err((answer, no_terminal(&name), None)),
            },
            Request::Kill(name) => match self.terminals.get(&name) {
                Some(terminal) => {
                    let (tree, exit) = (terminal.tree.clone(), terminal.exit.clone());
                    self.tracker.spawn(async move {
                        let killed = kill(tree).await;
                        found_dead(exit).await;
                        answer.give(killed).await;
                    });
                    Ok(None)
                }
                None => Err((answer, no_terminal(&name), None)),
            },
            Request::Release(name) => match self.terminals.remove(&name) {
                Some(terminal) => {
                    self.tracker.spawn(async move {
                        let killed = kill(terminal.tree.clone()).await;
                        terminal.let_go().await;
                        answer.give(killed).await;
                    });
                    Ok(None)
                }
                None => Err((answer, no_terminal(&name), None)),
            },
        }
    }

    async fn wish_for_terminal(
        &mut self,
        answer: Answer,
        command: Command,
    ) -> Result<Wish, (Answer, RpcError, Option<String>)> {
        let wanted = self.waiting.values().filter(|waiting| matches!(waiting.work, Work::Run { .. })).count();
        if self.terminals.len() + wanted >= TERMINALS {
            let error = refused("too_many_terminals", format!("release some of your {TERMINALS} terminals"));
            return Err((answer, error, None));
        }
        let (cwd, input) = match &command.cwd {
            None => (self.cwd.clone(), json!({"command": command.line})),
            Some(cwd) => match self.locate(cwd).await {
                Ok((_, place)) => {
                    (place.path().to_owned(), json!({"command": command.line, "directory": cwd}))
                }
                Err(error) => return Err(self.unreachable(answer, cwd, "run a command in", &error)),
            },
        };
        let title = match &command.cwd {
            Some(named) if cwd != self.cwd => {
                format!("{} (in {})", clip(&command.line, SHOWN), clip(named, SHOWN))
            }
            _ => clip(&command.line, SHOWN),
        };
        let lines = (command.line.clone(), command.bare.clone());
        let work = Work::Run { command, cwd };
        let wish = self.wish(answer, work, Deed::Run, (title, Vec::new()), input);
        Ok(Wish { command: Some(lines.0), bare: Some(lines.1), ..wish })
    }

    /// Puts a request aside until it is decided.
    fn wish(
        &mut self,
        answer: Answer,
        work: Work,
        deed: Deed,
        (title, paths): (String, Vec<AskedPath>),
        input: Value,
    ) -> Wish {
        self.last_use += 1;
        let locations: Vec<Value> = paths.iter().map(|path| json!({"path": path.named()})).collect();
        let call = json!({
            "toolCallId": format!("skep-{}", self.last_use),
            "kind": deed.tool_kind(),
            "title": title,
            "status": "pending",
            "locations": locations,
            "rawInput": input,
        });
        let id = answer.id.clone();
        self.waiting.insert(self.last_use, Waiting { answer, work });
        Wish {
            number: self.last_use,
            id,
            deed,
            title,
            command: None,
            bare: None,
            paths,
            tool_call: serde_json::value::to_raw_value(&call).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }

    /// Where a path leads, if that is below the session's directory.
    async fn locate(&self, path: &str) -> Result<(AskedPath, Place), FileError> {
        let (roots, cwd, path) = (self.roots.clone(), self.cwd.clone(), path.to_owned());
        let look = move || {
            let asked = AskedPath::resolve(&cwd, &path).ok_or(FileError::Outside)?;
            let place =
                roots.ok_or(FileError::Outside)?.place(Path::new(asked.real().ok_or(FileError::Outside)?))?;
            Ok((asked, place))
        };
        blocking(look).await
    }

    /// A path leads nowhere that is served; a person hears of the first ones that lie outside.
    fn unreachable(
        &mut self,
        answer: Answer,
        path: &str,
        what: &str,
        why: &FileError,
    ) -> (Answer, RpcError, Option<String>) {
        let mut remark = None;
        if matches!(why, FileError::Outside) && self.remarks < REMARKS {
            self.remarks += 1;
            let last = if self.remarks == REMARKS { "; further ones are not told" } else { "" };
            let path = clip(path, SHOWN);
            remark = Some(format!(
                "the agent wanted to {what} {path}, outside of the session's directory; refused{last}"
            ));
        }
        (answer, file(path, why), remark)
    }

    fn room(&self, text: &str) -> Result<OwnedSemaphorePermit, RpcError> {
        if text.len() > TEXT_MAX {
            return Err(refused("too_large", format!("the text is over the limit of {TEXT_MAX} bytes")));
        }
        let size = u32::try_from(text.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.text_room).try_acquire_many_owned(size);
        room.map_err(|_| refused("too_many", "too much text waits to be written"))
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

    /// Starts a command. It carries the marks of its session and of its agent's process, and one of its own.
    fn start(&mut self, answer: Answer, command: Command, cwd: PathBuf, host: &Host) {
        let mut env = self.env.clone();
        env.extend(host.tree().mark.iter().map(|(name, value)| (name.into(), value.into())));
        env.extend(command.env);
        let run = Run { argv: command.argv, cwd, env, keep: command.keep, turn: self.turn };
        let started = Terminal::start(run, &self.exe, &self.tracker).map(|terminal| {
            self.last_terminal += 1;
            let name = format!("terminal-{}", self.last_terminal);
            self.terminals.insert(name.clone(), terminal);
            json!({"terminalId": name})
        });
        let started = started.map_err(|error| refused("cannot_start", error.to_string()));
        self.tracker.spawn(answer.give(started));
    }

    /// Answers when the terminal's command has ended, unless the answer is not wanted any more.
    fn tell_exit(&mut self, answer: Answer, mut exit: Exit) {
        self.exits.retain(|(_, told)| !told.is_cancelled());
        let unwanted = CancellationToken::new();
        self.exits.push((answer.id.clone(), unwanted.clone()));
        self.tracker.spawn(async move {
            let told = tokio::select! {
                biased;
                ended = exit.wait_for(Option::is_some) => {
                    ended.ok().and_then(|cause| *cause).map(status).ok_or_else(cancelled)
                }
                () = unwanted.cancelled() => Err(cancelled()),
            };
            unwanted.cancel();
            answer.give(told).await;
        });
    }

    /// The agent does not want to know an exit any more that it asked for under this id; whether it was one.
    pub(in crate::agent) fn taken_back(&mut self, id: &Id) -> bool {
        let waits = self.exits.iter().find(|(waiting, told)| waiting == id && !told.is_cancelled());
        waits.map(|(_, unwanted)| unwanted.cancel()).is_some()
    }

    /// A turn begins: the terminals that it makes are its own.
    pub(in crate::agent) fn turn_begins(&mut self) {
        self.turn += 1;
    }

    /// Kills what the turn's terminals run; their output stays until they are released.
    pub(in crate::agent) fn turn_is_cancelled(&self) {
        let trees = self.of_this_turn();
        if !trees.is_empty() {
            self.tracker.spawn(async move { drop(tree::kill(&trees).await) });
        }
    }

    /// The same, once the turn is over: returns when nothing runs any more.
    pub(in crate::agent) async fn cancelled_turn_is_over(&self) {
        let trees = self.of_this_turn();
        if !trees.is_empty() {
            report(&tree::kill(&trees).await);
        }
    }

    fn of_this_turn(&self) -> Vec<Tree> {
        let own = self.terminals.values().filter(|terminal| terminal.turn == self.turn);
        own.map(|terminal| terminal.tree.clone()).collect()
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
        report(&tree::kill(&trees).await);
        for terminal in terminals.into_values() {
            terminal.let_go().await;
        }
    }
}

/// Kills a terminal's tree: the answer for whoever asked for that.
async fn kill(tree: Tree) -> Result<Value, RpcError> {
    let killed = tree::kill(std::slice::from_ref(&tree)).await;
    report(&killed);
    if killed.is_empty() {
        Ok(json!({}))
    } else {
        Err(refused("survivors", "not all of its processes could be killed"))
    }
}

fn report(killed: &tree::TreeReport) {
    if !killed.is_empty() {
        tracing::error!(survivors = ?killed.survivors, "processes of a terminal could not be killed");
    }
}

/// Does something with files on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(FileError::Os(error.into())))
}
