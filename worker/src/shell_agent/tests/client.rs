//! A client of the agent's tests.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::shell_agent::serve::{Setup, serve};
use crate::shell_agent::state::{Store, Variables};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for `probe` to give something.
pub(super) async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let found = timeout(DEADLINE, async {
        loop {
            if let Some(found) = probe() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// An agent that runs, and the client's end of its pipes.
pub(super) struct Agent {
    place: TempDir,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    input: WriteHalf<DuplexStream>,
    serving: JoinHandle<()>,
    next: u64,
    answer: Value,
    asked: u64,
    complaints: u64,
    updates: Vec<Value>,
    answers: HashMap<u64, Value>,
}

/// A prompt's updates and its answer.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) updates: Vec<Value>,
    answer: Value,
}

impl Agent {
    pub(super) async fn start() -> Self {
        Self::start_with("/bin/sh", &[]).await
    }

    pub(super) async fn start_with(shell: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), shell, variables).await
    }

    pub(super) async fn start_in(place: TempDir, shell: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_wrapped(place, shell, variables, &[]).await
    }

    /// The command `wrapper` calls the snapshot helper.
    #[expect(clippy::unused_async, reason = "must be called within a runtime")]
    pub(super) async fn start_wrapped(
        place: TempDir,
        shell: &str,
        variables: &[(&str, &str)],
        wrapper: &[&str],
    ) -> Self {
        skep_sys::subreaper::become_subreaper().unwrap();
        let home = place.path().to_str().unwrap();
        let base = [("PATH", "/usr/bin:/bin"), ("HOME", home)];
        let variables: Variables = base
            .iter()
            .chain(variables)
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        let test = ["--exact", "shell_agent::tests::snapshot_helper"].map(OsString::from);
        let wrapper = wrapper.iter().map(OsString::from);
        let helper = wrapper.chain([std::env::current_exe().unwrap().into_os_string()]).chain(test).collect();
        let store = Store::open(place.path().join("state")).unwrap();
        let setup = Setup { shell: PathBuf::from(shell), helper, store, variables };
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let (read, write) = tokio::io::split(theirs);
        #[expect(clippy::disallowed_methods, reason = "the test waits for it in `end`")]
        let serving = tokio::spawn(serve(read, write, setup, CancellationToken::new()));
        let (read, input) = tokio::io::split(ours);
        Self {
            place,
            lines: BufReader::new(read).lines(),
            input,
            serving,
            next: 0,
            answer: Value::Null,
            asked: 0,
            complaints: 0,
            updates: Vec::new(),
            answers: HashMap::new(),
        }
    }

    /// A directory to play in.
    pub(super) fn dir(&self) -> &Path {
        self.place.path()
    }

    /// Closes the agent's input, and waits for its end. Its files go on.
    pub(super) async fn end(self) -> TempDir {
        let Self { place, mut lines, mut input, serving, .. } = self;
        input.shutdown().await.unwrap();
        let drained = async { while let Ok(Some(_)) = lines.next_line().await {} };
        let (ended, ()) =
            timeout(DEADLINE, async { tokio::join!(serving, drained) }).await.expect("the agent ends");
        ended.unwrap();
        place
    }

    /// A new session, in mode `ask`.
    pub(super) async fn open(&mut self) -> String {
        let cwd = self.dir().to_owned();
        let result = self.call("session/new", json!({"cwd": cwd, "mcpServers": []})).await.unwrap();
        assert_eq!(result["modes"]["currentModeId"], "ask");
        result["sessionId"].as_str().unwrap().to_owned()
    }

    /// A new session, in mode `bypass`.
    pub(super) async fn open_bypassing(&mut self) -> String {
        let session = self.open().await;
        self.call("session/set_mode", json!({"sessionId": session, "modeId": "bypass"})).await.unwrap();
        session
    }

    /// Answers permission requests with this from now on; null answers nothing.
    pub(super) fn answer_with(&mut self, answer: Value) {
        self.answer = answer;
    }

    /// How often the agent asked for a permission.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// How many errors belonged to no request.
    pub(super) fn complaints(&self) -> u64 {
        self.complaints
    }

    /// The updates since they were last taken.
    pub(super) fn take_updates(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.updates).into_iter().map(|mut params| params["update"].take()).collect()
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.input.write_all(bytes)).await.expect("the agent reads").unwrap();
    }

    pub(super) async fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).await;
    }

    pub(super) async fn notify(&mut self, method: &str, params: Value) {
        self.send_line(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()).await;
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.send_line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string())
            .await;
        id
    }

    /// A request and its result or error.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params).await;
        let mut answer = self.answer_to(id).await;
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(super) async fn send_prompt(&mut self, session: &str, command: &str) -> u64 {
        self.updates.clear();
        let prompt = json!({"sessionId": session, "prompt": [{"type": "text", "text": command}]});
        self.send("session/prompt", prompt).await
    }

    /// A prompt's whole turn.
    pub(super) async fn prompt(&mut self, session: &str, command: &str) -> Turn {
        let id = self.send_prompt(session, command).await;
        self.turn(id).await
    }

    /// The rest of a turn that was started.
    pub(super) async fn turn(&mut self, id: u64) -> Turn {
        let answer = self.answer_to(id).await;
        Turn { updates: std::mem::take(&mut self.updates), answer }
    }

    /// Waits until the command wrote this.
    pub(super) async fn until_output(&mut self, text: &str) {
        while !output(&self.updates).contains(text) {
            self.take().await;
        }
    }

    /// Waits for a permission request.
    pub(super) async fn until_asked(&mut self) {
        let before = self.asked;
        while self.asked == before {
            self.take().await;
        }
    }

    async fn answer_to(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            self.take().await;
        }
    }

    /// Takes one message.
    async fn take(&mut self) {
        let line =
            timeout(DEADLINE, self.lines.next_line()).await.expect("the agent says something").unwrap();
        let mut message: Value = serde_json::from_str(&line.expect("the agent goes on")).unwrap();
        match message["method"].as_str() {
            Some("session/update") => self.updates.push(message["params"].take()),
            Some("session/request_permission") => {
                self.asked += 1;
                if !self.answer.is_null() {
                    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": self.answer});
                    self.send_line(&answer.to_string()).await;
                }
            }
            Some(method) => panic!("unexpected {method}"),
            None => match message["id"].as_u64() {
                Some(id) => {
                    self.answers.insert(id, message);
                }
                None => self.complaints += 1,
            },
        }
    }
}

fn output(updates: &[Value]) -> String {
    updates
        .iter()
        .map(|params| &params["update"])
        .filter(|update| update["_meta"]["skep"]["output"] == "piece")
        .filter_map(|update| update["content"][0]["content"]["text"].as_str())
        .collect()
}

impl Turn {
    /// What the command wrote.
    pub(super) fn output(&self) -> String {
        output(&self.updates)
    }

    /// The same turn without other sessions' updates.
    pub(super) fn of(&self, session: &str) -> Self {
        let updates = self.updates.iter().filter(|params| params["sessionId"] == session).cloned().collect();
        Self { updates, answer: self.answer.clone() }
    }

    pub(super) fn result(&self) -> &Value {
        assert!(self.answer.get("error").is_none(), "{}", self.answer);
        &self.answer["result"]
    }

    pub(super) fn error(&self) -> &Value {
        &self.answer["error"]
    }

    pub(super) fn stop_reason(&self) -> &str {
        self.result()["stopReason"].as_str().unwrap()
    }

    pub(super) fn exit_code(&self) -> Option<i64> {
        self.result()["_meta"]["skep"]["exit_code"].as_i64()
    }

    /// The tool call's last update.
    pub(super) fn last(&self) -> &Value {
        &self.updates.last().unwrap()["update"]
    }

    /// The tool call's last status.
    pub(super) fn status(&self) -> &str {
        self.last()["status"].as_str().unwrap()
    }
}
