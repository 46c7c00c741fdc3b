//! An agent driven over its pipes without skep: the floor of what skep adds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, killpg};
use serde_json::{Value, json};
use skep_tests::cmd::{Cmd, pid};

use super::table::millis;

/// How long an agent may be silent, in milliseconds: it may be a cold start on a busy machine.
const PATIENCE_MS: u16 = 60_000;

/// A running agent, initialized; it and its process group are killed when dropped.
pub(super) struct Direct {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    calls: u64,
    resumes: bool,
}

impl Direct {
    pub(super) fn start(agent: &Cmd) -> Result<Self> {
        let mut command = agent.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("a pipe")?;
        let stdout = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut direct = Self { child, stdin, stdout, calls: 0, resumes: false };
        let able = direct.call("initialize", &json!({"protocolVersion": 1, "clientCapabilities": {}}))?;
        direct.resumes = able["agentCapabilities"]["sessionCapabilities"]["resume"].is_object();
        Ok(direct)
    }

    pub(super) fn open(&mut self, cwd: &Path) -> Result<String> {
        let opened = self.call("session/new", &json!({"cwd": cwd, "mcpServers": []}))?;
        Ok(opened["sessionId"].as_str().context("a session id")?.to_owned())
    }

    /// Brings a session back, in the way that the agent prefers.
    pub(super) fn load(&mut self, session: &str, cwd: &Path) -> Result<()> {
        let method = if self.resumes { "session/resume" } else { "session/load" };
        self.call(method, &json!({"sessionId": session, "cwd": cwd, "mcpServers": []}))?;
        Ok(())
    }

    /// From a prompt to the first piece of its answer.
    pub(super) fn first_token(&mut self, session: &str, text: &str) -> Result<f64> {
        let begun = Instant::now();
        let content = json!([{"type": "text", "text": text}]);
        let id = self.send("session/prompt", &json!({"sessionId": session, "prompt": content}))?;
        let mut took = None;
        loop {
            let message = self.read()?;
            if message["params"]["update"]["sessionUpdate"] == "agent_message_chunk" {
                took.get_or_insert_with(|| millis(begun.elapsed()));
            }
            if message["id"] == id {
                ensure!(message["error"].is_null(), "session/prompt: {message}");
                return took.context("an answer");
            }
        }
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        let id = self.send(method, params)?;
        loop {
            let message = self.read()?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "{method}: {message}");
                return Ok(message["result"].clone());
            }
        }
    }

    fn send(&mut self, method: &str, params: &Value) -> Result<u64> {
        self.calls += 1;
        let line = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        self.stdin.write_all(format!("{line}\n").as_bytes())?;
        Ok(self.calls)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stdout.buffer().is_empty() {
            let mut pipe = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
            ensure!(poll(&mut pipe, PATIENCE_MS)? > 0, "the agent is silent");
        }
        ensure!(self.stdout.read_line(&mut line)? > 0, "the agent ended");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        // It is only a floor; what cannot be killed has ended.
        killpg(pid(self.child.id()), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}
