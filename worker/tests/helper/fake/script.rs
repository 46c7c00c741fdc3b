//! What a prompt makes the scripted agent do.

use std::io::{BufRead as _, Write as _};

use serde_json::json;

use super::{Fake, raw, say};

impl Fake {
    fn tell_blocks(&mut self) {
        let words = self.blocks.iter().map(|block| {
            let kind = block["type"].as_str().expect("a type");
            let data = block["data"].as_str();
            data.map_or_else(|| kind.to_owned(), |data| format!("{kind} {}", data.len()))
        });
        self.chunk(&words.collect::<Vec<_>>().join(", "));
        self.stop("end_turn");
    }

    #[expect(clippy::disallowed_methods, reason = "an agent that dies in its turn")]
    pub(super) fn act(&mut self, text: &str) {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "say" => {
                self.chunk(rest);
                self.stop("end_turn");
            }
            "log" => {
                self.chunk(&self.log);
                self.stop("end_turn");
            }
            "count-servers" => {
                self.chunk(&self.count_servers());
                self.stop("end_turn");
            }
            "blocks" => self.tell_blocks(),
            "args" => {
                self.chunk(&std::env::args().collect::<Vec<_>>().join(" "));
                self.stop("end_turn");
            }
            "client" => self.client(rest),
            "client-many" => self.client_many(rest),
            "offered" => {
                self.chunk(&self.offered);
                self.stop("end_turn");
            }
            "silent" => self.stop("end_turn"),
            "env" => {
                let names: Vec<String> =
                    std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
                self.chunk(&names.join("\n"));
                self.stop("end_turn");
            }
            "exit" => {
                self.chunk("working");
                std::process::exit(rest.parse().expect("a code"));
            }
            "hang" => self.chunk("hanging"),
            "deaf" => {
                self.ignores_cancel = true;
                self.chunk("hanging");
            }
            "commands" => {
                for _ in 0..3 {
                    self.commands(&"c".repeat(500_000));
                }
                self.chunk("ha");
                self.chunk("ha");
                self.commands(rest);
                self.stop("end_turn");
            }
            "tree" => self.chunk(&tree(">&- 2>&-").to_string()),
            "keep" => {
                self.chunk(&tree(">&- 2>&-").to_string());
                self.stop("end_turn");
            }
            "hub" => {
                let hub = hub();
                self.chunk(&hub.to_string());
                self.chunk(&hub_tool(hub).to_string());
                if rest == "die" {
                    std::process::exit(3);
                }
                self.stop("end_turn");
            }
            _ => self.fail_or_ask(verb, rest, text),
        }
    }

    /// The names of the servers, and how long the value of the variable `A_TOKEN` is: it may be a secret.
    fn count_servers(&self) -> String {
        let servers: Vec<serde_json::Value> = serde_json::from_str(&self.servers).expect("a list");
        let names: Vec<_> = servers.iter().map(|server| server["name"].as_str().expect("a name")).collect();
        let mut variables = servers.iter().filter_map(|server| server["env"].as_array()).flatten();
        let token = variables.find(|variable| variable["name"] == "A_TOKEN");
        let value = token.and_then(|token| token["value"].as_str()).unwrap_or_default();
        format!("{} <{}>", names.join(" "), value.len().saturating_sub(2))
    }

    fn fail_or_ask(&mut self, verb: &str, rest: &str, text: &str) {
        match verb {
            "fail" => self.error(&json!({"code": -32603, "message": "quota"})),
            "bare-error" => {
                let message = "Internal\u{1b}[31m error\n";
                self.error(&json!({"code": 400, "message": message, "data": {"details": rest}}));
            }
            "codex-error" => {
                let meta = json!({"codex": {"threadStatus": {"type": "systemError"}}});
                self.update(&json!({"sessionUpdate": "session_info_update", "_meta": meta}).to_string());
                self.chunk("unexpected status 400");
                self.stop("end_turn");
            }
            "status" => {
                let code: i32 = rest.parse().expect("a code");
                let prompt = self.prompt.take();
                say(&json!({"jsonrpc": "2.0", "id": prompt, "result":
                    {"stopReason": "end_turn", "_meta": {"skep": {"exit_code": code, "signal": null}}}}));
            }
            "take-back" => {
                self.ask(rest);
                let params = json!({"requestId": 1000});
                say(&json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": params}));
            }
            "update-first" => {
                let mut update = json!({"toolCallId": "t", "kind": "execute", "title": rest});
                update["sessionUpdate"] = json!("tool_call_update");
                self.update(&update.to_string());
                self.request_permission(&json!({"toolCallId": "t"}));
            }
            "ask-again" => {
                (self.ignores_cancel, self.gives_up, self.asks_again) = (true, true, true);
                self.ask(rest);
            }
            "only-ask" => {
                self.gives_up = true;
                self.ask(rest);
            }
            "permit2" => {
                self.ask(rest);
                self.ask(rest);
            }
            "permit" => self.ask(rest),
            _ => self.misbehave(verb, rest, text),
        }
    }

    /// What a careless or hostile agent may do.
    #[expect(clippy::disallowed_methods, reason = "an agent that dies in its turn")]
    fn misbehave(&mut self, verb: &str, rest: &str, text: &str) {
        match verb {
            "noise" => {
                raw(b"loading model...\n[1,2,3]\n\n{\"id\":null}\n");
                raw(br#"{"jsonrpc":"2.0","id":"x\u0031","method":"fs/read_text_file","params":{}}"#);
                raw(b"\n{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n");
                self.update(r#"{"sessionUpdate":"novelty","n":1.00,"cut":"\ud800"}"#);
                raw(b"{\"method\":\"session/update\",\"params\":{\"sessionId\":\"other\",\"update\":{\"x\":1}}}\n");
                self.chunk("still here");
            }
            "flood" => {
                let count: u64 = rest.parse().expect("a number");
                let mut out = std::io::BufWriter::new(std::io::stdout().lock());
                for n in 0..count {
                    let chunk = format!(
                        r#"{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{n}"}}}}"#
                    );
                    out.write_all(self.line(&chunk).as_bytes()).expect("stdout");
                }
                out.flush().expect("stdout");
                drop(out);
                self.stop("end_turn");
            }
            "request" => say(&json!({"jsonrpc": "2.0", "id": "x1", "method": rest, "params": {
                "sessionId": self.session, "path": "/etc/passwd", "content": "x", "command": "id",
            }})),
            "huge" => {
                self.chunk(&"x".repeat(rest.parse().expect("a size")));
                self.chunk("small");
                self.stop("end_turn");
            }
            "twice" => {
                let prompt = self.prompt.take();
                let wrong = json!({"jsonrpc": "2.0", "id": "prompt", "result": {"stopReason": "refusal"}});
                say(&wrong);
                for reason in ["end_turn", "cancelled", "max_tokens"] {
                    self.chunk(reason);
                    say(&json!({"jsonrpc": "2.0", "id": prompt, "result": {"stopReason": reason}}));
                }
            }
            "same-id" => {
                self.ask(rest);
                self.permissions -= 1;
                self.ask(rest);
                self.permissions += 1;
            }
            "half-line" => {
                raw(self.line(r#"{"sessionUpdate":"novelty"}"#).trim_end().as_bytes());
                raw(b"\n{\"jsonrpc\":\"2.0\",\"method\":\"session/upd");
                std::process::exit(3);
            }
            "hold-pipes" => {
                self.chunk(&tree(">/proc/$PPID/fd/1").to_string());
                std::process::exit(3);
            }
            _ => self.ask(text),
        }
    }
}

/// The daemon that all agents of one home directory share: the one that is there, or a new one, which is nobody's child
/// and leads a session of its own. It runs a tool for each line of its pipe, and writes down the tool's pid.
#[expect(clippy::disallowed_methods, reason = "an agent that daemonizes its hub")]
fn hub() -> u32 {
    let home = std::path::PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let told = home.join("hub.pid");
    if let Ok(pid) = std::fs::read_to_string(&told) {
        return pid.trim().parse().expect("a pid");
    }
    let script = "trap '' TERM HUP; mkfifo work; echo $$ >hub.new; mv hub.new hub.pid; exec >/dev/null 2>&1; \
                  while read -r answer <work; do sleep 1000 & echo $! >\"$answer.new\"; mv \"$answer.new\" \"$answer\"; done";
    let outer = format!("setsid sh -c '{}' & exit 0", script.replace('\'', "'\\''"));
    let started = std::process::Command::new("sh")
        .args(["-c", &outer])
        .current_dir(&home)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status();
    assert!(started.expect("a shell").success());
    wait_pid(&told)
}

/// A tool that the hub runs for this agent.
fn hub_tool(hub: u32) -> u32 {
    let home = std::path::PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let answer = format!("tool-of-{}", std::process::id());
    std::fs::write(home.join("work"), format!("{answer}\n")).expect("the hub listens");
    let tool = wait_pid(&home.join(&answer));
    std::fs::remove_file(home.join(answer)).expect("it was answered");
    let stat = std::fs::read_to_string(format!("/proc/{tool}/stat")).expect("it runs");
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    assert_eq!(parent, Some(hub.to_string().as_str()), "the tool runs in the hub's tree");
    tool
}

/// The pid that somebody writes into this file.
fn wait_pid(path: &std::path::Path) -> u32 {
    loop {
        if let Ok(pid) = std::fs::read_to_string(path) {
            return pid.trim().parse().expect("a pid");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A process that has left the agent's session and group and ignores SIGTERM.
#[expect(
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "an agent that leaves processes behind"
)]
fn tree(output: &str) -> u32 {
    let script = format!("trap '' TERM; echo $$; exec {output}; while :; do sleep 1000; done");
    let child = std::process::Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("setsid");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.expect("a pipe"));
    out.read_line(&mut line).expect("a pid");
    line.trim().parse().expect("a pid")
}
