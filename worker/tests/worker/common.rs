//! A worker process as its supervisor sees it: commands down, reports up, and its journals on disk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use skep_common::event::{Event, Record};
use skep_common::ids::{AnswerId, PermissionId, PromptId, RequestId, SessionId};
use skep_common::protocol::{
    Action, Command, ControllerHello, Decision, PROTOCOL_VERSION, Reply, Report, WorkerHello, WorkerSettings,
};
use skep_common::session::{
    Cause, Consent, ContentBlock, PermissionMode, SessionKind, SessionSnapshot, SessionSpec, TurnOutcome,
    WhenBusy,
};
use tempfile::TempDir;

pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_skep-worker-helper");

/// The configuration of an agent `NAME` that is the scripted one with these options.
pub(crate) fn agent(name: &str, options: &[&str], more: &str) -> String {
    let options: Vec<String> = options.iter().map(|option| format!(", {option:?}")).collect();
    format!("[agents.{name}]\ncommand = [\"{HELPER}\", \"fake\"{}]\n{more}\n", options.concat())
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Worker {
    pub(crate) home: PathBuf,
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    reports: Receiver<Report>,
    seen: Vec<Report>,
}

/// Agents `fake`, `noload` and `broken`, and quick times.
pub(crate) fn config(extra: &str) -> String {
    format!(
        "[session]\ncancel_grace = \"300 ms\"\nstop_grace = \"300 ms\"\n{extra}\n\
         [agents.fake]\ncommand = [\"{HELPER}\", \"fake\"]\n\
         [agents.noload]\ncommand = [\"{HELPER}\", \"fake\", \"noload\"]\n\
         [agents.farewell]\ncommand = [\"{HELPER}\", \"fake\", \"farewell\"]\neof_grace = \"5 s\"\n\
         [agents.broken]\ncommand = [\"{HELPER}\", \"fake\", \"broken\"]\n\
         [agents.missing]\ncommand = [\"/nonexistent/agent\"]\n"
    )
}

impl Worker {
    pub(crate) fn start(home: &TempDir, extra: &str) -> (Self, WorkerHello) {
        let mut worker = Self::spawn(home);
        let hello = worker.greet(1, extra);
        (worker, hello)
    }

    pub(crate) fn spawn(home: &TempDir) -> Self {
        Self::spawn_by(home, "exec \"$@\"")
    }

    /// Files of this worker may not grow over `kib` KiB: to it, the disk is full then.
    pub(crate) fn spawn_limited(home: &TempDir, kib: u32) -> Self {
        Self::spawn_by(home, &format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kib * 2))
    }

    #[expect(clippy::disallowed_methods, reason = "this plays the supervisor")]
    fn spawn_by(home: &TempDir, script: &str) -> Self {
        let mut child = Process::new("/bin/sh")
            .args(["-c", script, "sh", HELPER, "worker", "w-1", home.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let report = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { home: home.path().to_owned(), child, stdin, reports, seen: Vec::new() }
    }

    pub(crate) fn hello(&mut self, epoch: u64, extra: &str) {
        self.hello_of_protocol(PROTOCOL_VERSION, epoch, extra);
    }

    pub(crate) fn hello_of_protocol(&mut self, protocol: u32, epoch: u64, extra: &str) {
        let settings = WorkerSettings {
            id: "w-1".parse().unwrap(),
            kind: String::from("remote-control"),
            dir: String::from("/"),
            spawn_mode: String::from("same-dir"),
            capacity: 4,
            permission_mode: PermissionMode::Ask,
            sandbox: false,
            state_dir: self.home.to_str().unwrap().to_owned(),
            config: config(extra),
        };
        let version = String::from("test");
        self.send(&Command::Hello(ControllerHello { protocol, version, epoch, settings }));
    }

    pub(crate) fn greet(&mut self, epoch: u64, extra: &str) -> WorkerHello {
        self.hello(epoch, extra);
        self.wait("a hello", |report| match report {
            Report::Hello(hello) if hello.epoch == epoch => Some(hello.clone()),
            _ => None,
        })
    }

    pub(crate) fn send(&mut self, command: &Command) {
        let mut line = serde_json::to_vec(command).unwrap();
        line.push(b'\n');
        self.send_raw(&line);
    }

    pub(crate) fn send_raw(&mut self, line: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(line).unwrap();
    }

    /// Closes the command pipe: the supervisor is gone.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// The first report, seen or to come, that fits.
    pub(crate) fn wait<T>(&mut self, what: &str, fits: impl Fn(&Report) -> Option<T>) -> T {
        if let Some(found) = self.seen.iter().find_map(&fits) {
            return found;
        }
        self.wait_new(what, fits)
    }

    /// The first report to come that fits.
    pub(crate) fn wait_new<T>(&mut self, what: &str, fits: impl Fn(&Report) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(report) => {
                    let found = fits(&report);
                    self.seen.push(report);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {what} in time; saw {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("no {what} before the end; saw {:#?}", self.seen)
                }
            }
        }
    }

    pub(crate) fn ask(&mut self, action: Action) -> RequestId {
        let id = RequestId::random();
        self.send(&Command::Request { id, action });
        id
    }

    pub(crate) fn reply(&mut self, request: RequestId) -> Reply {
        self.wait("acknowledgement", |report| match report {
            Report::Ack { id, reply } if *id == request => Some(reply.clone()),
            _ => None,
        })
    }

    pub(crate) fn request(&mut self, action: Action) -> Reply {
        let id = self.ask(action);
        self.reply(id)
    }

    pub(crate) fn open(&mut self, agent: &str, change: impl FnOnce(&mut SessionSpec)) -> SessionId {
        let spec = spec(agent, change);
        let id = spec.id;
        let reply = self.request(Action::OpenSession { spec, environment: None });
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
        id
    }

    pub(crate) fn prompt(&mut self, session: SessionId, text: &str) -> PromptId {
        let prompt = PromptId::random();
        let reply = self.request(action(session, prompt, text, WhenBusy::Queue));
        assert!(matches!(reply, Reply::Prompt { duplicate: false, .. }), "{reply:?}");
        prompt
    }

    pub(crate) fn ended(&mut self, session: SessionId, prompt: PromptId) -> TurnOutcome {
        self.snapshot("end of the turn", session, |snapshot| {
            snapshot.last_turn.as_ref().filter(|turn| turn.prompt == prompt).map(|turn| turn.outcome)
        })
    }

    pub(crate) fn run(&mut self, session: SessionId, text: &str) -> TurnOutcome {
        let prompt = self.prompt(session, text);
        self.ended(session, prompt)
    }

    pub(crate) fn snapshot<T>(
        &mut self,
        what: &str,
        session: SessionId,
        fits: impl Fn(&SessionSnapshot) -> Option<T>,
    ) -> T {
        self.wait(what, |report| match report {
            Report::Session(snapshot) | Report::Released(snapshot) if snapshot.id == session => {
                fits(snapshot)
            }
            _ => None,
        })
    }

    pub(crate) fn released(&mut self, session: SessionId) -> SessionSnapshot {
        self.wait("release", |report| match report {
            Report::Released(snapshot) if snapshot.id == session => Some(snapshot.clone()),
            _ => None,
        })
    }

    pub(crate) fn waiting(&mut self, session: SessionId, count: usize) -> Vec<PermissionId> {
        self.snapshot("permission request", session, |snapshot| {
            let ids: Vec<_> = snapshot.waiting.iter().map(|request| request.id).collect();
            (ids.len() == count).then_some(ids)
        })
    }

    /// The same for requests of which none was answered before.
    pub(crate) fn waiting_anew(&mut self, session: SessionId, count: usize) -> Vec<PermissionId> {
        let answered: Vec<PermissionId> = self
            .journal(session)
            .into_iter()
            .filter_map(|event| match event {
                Event::PermissionResolved(resolved) => Some(resolved.permission),
                _ => None,
            })
            .collect();
        self.snapshot("new permission request", session, |snapshot| {
            let ids: Vec<_> = snapshot.waiting.iter().map(|request| request.id).collect();
            (ids.len() == count && !ids.iter().any(|id| answered.contains(id))).then_some(ids)
        })
    }

    pub(crate) fn answer(
        &mut self,
        session: SessionId,
        permission: PermissionId,
        answer: AnswerId,
        allow: bool,
    ) -> Reply {
        let decision =
            if allow { Decision::Allow { always: false } } else { Decision::Deny { always: false } };
        self.request(Action::Answer { session, permission, answer, decision, via: String::from("test") })
    }

    pub(crate) fn close(&mut self, session: SessionId, cause: Cause) -> Reply {
        self.request(Action::Close { session, cause })
    }

    /// The journal, checked to be gapless.
    pub(crate) fn journal(&self, session: SessionId) -> Vec<Event> {
        let dir = self.home.join("sessions").join(session.to_string()).join("journal");
        let mut segments: Vec<PathBuf> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.sort();
        let mut events = Vec::new();
        for segment in segments.iter().filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")) {
            for line in std::fs::read(segment).unwrap().split_inclusive(|byte| *byte == b'\n').skip(1) {
                // The last one may be under way.
                if line.ends_with(b"\n") {
                    let record = Record::from_json(line).unwrap();
                    events.push(record.event);
                    assert_eq!(record.seq, events.len() as u64, "gapless");
                }
            }
        }
        events
    }

    /// The texts that the agent said, in order.
    pub(crate) fn texts(&self, session: SessionId) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Update(update) => {
                let update: serde_json::Value = serde_json::from_str(update.get()).ok()?;
                update["content"]["text"].as_str().map(str::to_owned)
            }
            _ => None,
        };
        self.journal(session).iter().filter_map(text).collect()
    }

    /// Waits until the agent has said so many texts.
    pub(crate) fn wait_texts(&self, session: SessionId, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let texts = self.texts(session);
            if texts.len() >= count {
                return texts;
            }
            assert!(Instant::now() < deadline, "only {texts:?}");
            std::thread::yield_now();
        }
    }

    /// What the agent sent, in order.
    pub(crate) fn updates(&self, session: SessionId) -> Vec<serde_json::Value> {
        let update = |event: &Event| match event {
            Event::Update(update) => serde_json::from_str(update.get()).ok(),
            _ => None,
        };
        self.journal(session).iter().filter_map(update).collect()
    }

    /// skep's own remarks, in order.
    pub(crate) fn notes(&self, session: SessionId) -> Vec<String> {
        let note = |event: Event| match event {
            Event::Note(note) => Some(note.text),
            _ => None,
        };
        self.journal(session).into_iter().filter_map(note).collect()
    }

    /// Waits for a remark with these words.
    pub(crate) fn wait_note(&self, session: SessionId, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.notes(session).iter().any(|note| note.contains(words)) {
            assert!(Instant::now() < deadline, "only {:?}", self.notes(session));
            std::thread::yield_now();
        }
    }

    /// Runs a prompt; its outcome and the detail.
    pub(crate) fn detail(&mut self, session: SessionId, text: &str) -> (TurnOutcome, String) {
        let prompt = self.prompt(session, text);
        self.snapshot("end of the turn", session, |snapshot| {
            let turn = snapshot.last_turn.as_ref().filter(|turn| turn.prompt == prompt)?;
            Some((turn.outcome, turn.detail.clone().unwrap_or_default()))
        })
    }

    /// Each start of the session's agent: its pid, and how its context came.
    pub(crate) fn starts(&self, session: SessionId) -> Vec<(u32, String)> {
        let start = |event: Event| match event {
            Event::AgentStarted(started) => Some((started.pid, started.context)),
            _ => None,
        };
        self.journal(session).into_iter().filter_map(start).collect()
    }

    /// The agent's own id of the session, as it was told last.
    pub(crate) fn agent_session(&self, session: SessionId) -> String {
        let started = |event: Event| match event {
            Event::AgentStarted(started) => Some(started.agent_session),
            _ => None,
        };
        self.journal(session).into_iter().filter_map(started).next_back().unwrap()
    }

    /// How the session's agents ended, in words.
    pub(crate) fn exits(&self, session: SessionId) -> Vec<String> {
        let exit = |event: Event| match event {
            Event::AgentExited(exited) => Some(exited.status),
            _ => None,
        };
        self.journal(session).into_iter().filter_map(exit).collect()
    }

    pub(crate) fn kinds(&self, session: SessionId) -> Vec<String> {
        self.journal(session).iter().map(|event| event.kind().to_owned()).collect()
    }

    /// Waits for the process's end; its exit code.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        while self.reports.recv_timeout(PATIENCE).is_ok_and(|report| {
            self.seen.push(report);
            true
        }) {}
        self.child.wait().unwrap().code()
    }

    pub(crate) fn shut_down(mut self) {
        self.send(&Command::Shutdown { cause: Cause::DaemonStopped });
        assert_eq!(self.exit(), Some(0));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stdin = None;
        let _status = self.child.wait();
    }
}

pub(crate) fn spec(agent: &str, change: impl FnOnce(&mut SessionSpec)) -> SessionSpec {
    let mut spec = SessionSpec {
        id: SessionId::random(),
        name: None,
        agent: agent.to_owned(),
        cwd: String::from("/"),
        permission_mode: PermissionMode::Ask,
        kind: SessionKind::Bg,
        ephemeral: false,
        options: skep_common::session::SessionOptions::default(),
        lineage: Vec::new(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    change(&mut spec);
    spec
}

pub(crate) fn action(session: SessionId, prompt: PromptId, text: &str, when_busy: WhenBusy) -> Action {
    Action::Prompt {
        session,
        prompt,
        content: vec![ContentBlock::Text { text: text.to_owned() }],
        when_busy,
        consent: Consent::None,
        via: String::from("test"),
        timeout_seconds: None,
        environment: None,
        retry: false,
        incoming: None,
    }
}

pub(crate) fn alive(pid: u32) -> bool {
    skep_sys::process::identity(pid).is_some_and(|process| skep_sys::process::is_alive(&process))
}

/// Waits until the process is gone.
pub(crate) fn gone(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    while alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} is left");
        std::thread::yield_now();
    }
}
