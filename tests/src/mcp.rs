//! A client of a server that speaks the Model Context Protocol on its standard descriptors: nothing but lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::wait::SOON;

/// A server that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    requests: u64,
}

impl Server {
    /// Starts it and introduces the client.
    ///
    /// # Panics
    ///
    /// When it does not start or does not answer.
    pub fn start(command: Command) -> Self {
        let mut server = Self::silent(command);
        let client = json!({"name": "test", "version": "1"});
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let answer = server.ask("initialize", &hello);
        assert_eq!(answer["result"]["serverInfo"]["name"], "skep", "{answer}");
        server.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server
    }

    /// Starts it, and says nothing.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn silent(mut command: Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.expect("the server starts");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (stdin, lines) = (child.stdin.take(), read(stdout));
        Self { child, stdin, lines, requests: 0 }
    }

    /// Writes a line, whatever it is.
    ///
    /// # Panics
    ///
    /// When nobody reads it.
    pub fn write(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the server reads");
    }

    /// Sends a request; its id.
    ///
    /// # Panics
    ///
    /// When nobody reads it.
    pub fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.requests += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params});
        self.write(&request.to_string());
        self.requests
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        self.find("the answer", |line| line["id"] == id)
    }

    /// The next line for which `is_it` holds; those before it are passed over.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn find(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Ok(line) = self.lines.recv_timeout(SOON) else { panic!("waited in vain for {what}") };
            let line: Value = serde_json::from_str(&line).expect("the server writes JSON alone");
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Calls a tool: what it answers, a refusal too.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let told = &answer["result"]["structuredContent"];
        if told.is_null() { answer } else { told.clone() }
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    ///
    /// When it cannot be waited for.
    pub fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().expect("the server is ours")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(stdout: ChildStdout) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
