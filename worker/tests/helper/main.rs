//! For tests only: the worker, its shim and the shell agent as the real binary has them, and a scripted ACP agent
//! (`fake`). What that one does is the prompt's text.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["shim", "--", ..] => {
            let error = skep_sys::shim::exec(std::env::args_os().skip(3));
            let _written = writeln!(std::io::stderr(), "shim: {error}");
            ExitCode::from(127)
        }
        ["worker", id, dir] => skep_worker::run(skep_worker::WorkerArgs {
            id: id.parse().expect("a worker's id"),
            state_dir: dir.into(),
            debug: false,
        }),
        ["agent", "shell"] => skep_worker::shell_agent::run(),
        ["agent", "shell-snapshot", ..] => skep_worker::shell_agent::snapshot(std::env::args_os().skip(3)),
        ["fake", ..] => {
            Fake::default().serve(&words);
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

#[derive(Default)]
struct Fake {
    session: String,
    prompt: Option<Value>,
    permissions: u64,
    ignores_cancel: bool,
    /// Ends the turn as cancelled when it was answered.
    gives_up: bool,
    /// Asks once more when it was answered.
    asks_again: bool,
    signed_in: bool,
    log: String,
    options: Vec<String>,
}

impl Fake {
    fn serve(&mut self, words: &[&str]) {
        if words.contains(&"broken") {
            let _written = writeln!(std::io::stderr(), "no licence");
            std::process::abort();
        }
        self.options = words.iter().map(|word| (*word).to_owned()).collect();
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let message: Value = serde_json::from_str(&line).expect("the driver writes JSON");
            let id = message["id"].clone();
            let params = &message["params"];
            match message["method"].as_str() {
                Some("initialize") => self.initialize(&id),
                Some("authenticate") => self.authenticate(&id, params),
                Some("session/new") if self.is("auth") && !self.signed_in => fail(&id, -32000, "sign in"),
                Some("session/new") => {
                    self.session = format!("s-{}", std::process::id());
                    answer(&id, &self.opened());
                }
                Some("session/set_mode") => self.set_mode(&id, &params["modeId"], "mode"),
                Some("session/set_config_option") => self.set_mode(&id, &params["value"], "option"),
                Some("session/load") => {
                    self.session = params["sessionId"].as_str().expect("an id").to_owned();
                    self.load(&id);
                }
                Some("session/prompt") => {
                    assert!(self.prompt.is_none(), "one prompt at a time");
                    self.prompt = Some(id);
                    let text = params["prompt"][0]["text"].as_str().expect("text").to_owned();
                    self.act(&text);
                }
                Some("$/cancel_request") => self.log = format!("given up {}", params["requestId"]),
                Some("session/cancel") if !self.ignores_cancel => self.stop("cancelled"),
                Some(_) => {}
                None => self.answered(&message),
            }
        }
        if words.contains(&"farewell") {
            // Longer than a kill would wait.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let _written = writeln!(std::io::stderr(), "goodbye");
        }
    }

    fn is(&self, option: &str) -> bool {
        self.options.iter().any(|word| word == option)
    }

    fn initialize(&self, id: &Value) {
        let methods = match (self.is("auth"), self.is("browser")) {
            (true, true) => json!([
                {"id": "browser", "name": "A browser"},
                {"id": "login", "name": "By hand", "type": "terminal", "args": ["sign in"]},
            ]),
            (true, false) => json!([
                {"id": "browser", "name": "A browser"},
                {"id": "key", "name": "A key", "_meta": {"api-key": {"provider": "x"}}},
            ]),
            _ => json!([]),
        };
        answer(
            id,
            &json!({
                "protocolVersion": 1,
                "agentCapabilities": {"loadSession": !self.is("noload")},
                "agentInfo": {"name": "fake", "version": "1"},
                "authMethods": methods,
            }),
        );
    }

    /// A new session: in mode `auto`, which has options or modes to change that.
    fn opened(&self) -> Value {
        let mut opened = json!({"sessionId": self.session});
        if self.is("modes") {
            let modes = json!([{"id": "auto", "name": "Auto"}, {"id": "manual", "name": "Manual"}]);
            opened["modes"] = json!({"currentModeId": "auto", "availableModes": modes});
        }
        if self.is("options") {
            opened["configOptions"] = option("auto");
        }
        opened
    }

    fn set_mode(&mut self, id: &Value, wanted: &Value, by: &str) {
        if self.is("mute") {
            return;
        }
        let now = if self.is("stubborn") { "auto" } else { wanted.as_str().expect("a mode") };
        self.log = format!("{by} {now}");
        self.update(&json!({"sessionUpdate": "current_mode_update", "currentModeId": now}).to_string());
        answer(id, &if by == "option" { json!({"configOptions": option(now)}) } else { json!({}) });
    }

    /// Tells the history before or (`late`) after the answer, each time with the commands that there are.
    fn load(&self, id: &Value) {
        if self.is("late") {
            answer(id, &Value::Null);
            for n in 0..3 {
                std::thread::sleep(std::time::Duration::from_millis(50));
                self.chunk(&format!("replayed {n}"));
            }
            return self.commands("load");
        }
        self.chunk("replayed");
        self.commands("load");
        // In one write, so that one read brings both.
        let late =
            self.line(r#"{"sessionUpdate":"user_message_chunk","content":{"type":"text","text":"x"}}"#);
        raw(format!("{}\n{late}", json!({"jsonrpc": "2.0", "id": id, "result": null})).as_bytes());
    }

    fn commands(&self, name: &str) {
        let commands = json!([{"name": name, "description": ""}]);
        let update = json!({"sessionUpdate": "available_commands_update", "availableCommands": commands});
        self.update(&update.to_string());
    }

    fn authenticate(&mut self, id: &Value, params: &Value) {
        if self.is("no-key") {
            return fail(id, -32603, "no key");
        }
        self.signed_in = params["methodId"].is_string();
        self.log = format!("signed in by {}", params["methodId"]);
        answer(id, &json!({}));
    }

    #[expect(clippy::disallowed_methods, reason = "an agent that dies in its turn")]
    fn act(&mut self, text: &str) {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "say" => {
                self.chunk(rest);
                self.stop("end_turn");
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
            "log" => {
                self.chunk(&self.log);
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
            "fail" => {
                let prompt = self.prompt.take();
                say(&json!({"jsonrpc": "2.0", "id": prompt, "error": {"code": -32603, "message": "quota"}}));
            }
            "bare-error" => {
                let prompt = self.prompt.take();
                let error =
                    json!({"code": 400, "message": "Internal\u{1b}[31m error\n", "data": {"details": rest}});
                say(&json!({"jsonrpc": "2.0", "id": prompt, "error": error}));
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
            "hang" => self.chunk("hanging"),
            "deaf" => {
                self.ignores_cancel = true;
                self.chunk("hanging");
            }
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
                    writeln!(out, r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"{}","update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{n}"}}}}}}}}"#, self.session).expect("stdout");
                }
                out.flush().expect("stdout");
                drop(out);
                self.stop("end_turn");
            }
            "permit" => self.ask(rest),
            "take-back" => {
                self.ask(rest);
                let params = json!({"requestId": 1000});
                say(&json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": params}));
            }
            "request" => say(&json!({"jsonrpc": "2.0", "id": "x1", "method": rest, "params": {
                "sessionId": self.session, "path": "/etc/passwd", "content": "x", "command": "id",
            }})),
            "update-first" => {
                let call = json!({"toolCallId": "t", "kind": "execute", "title": rest});
                let mut update = call;
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
            "tree" => {
                let pid = tree();
                self.chunk(&pid.to_string());
            }
            _ => self.ask(text),
        }
    }

    fn answered(&mut self, message: &Value) {
        if message["id"] == "x1" {
            self.chunk(&format!("declined {}", message["error"]["code"]));
            return self.stop("end_turn");
        }
        if message["id"].as_u64().is_some_and(|id| id >= 1000) {
            match message["error"]["code"].as_i64() {
                Some(code) => self.chunk(&format!("error {code}")),
                None => self.chunk(&message["result"]["outcome"].to_string()),
            }
            self.permissions -= 1;
            if std::mem::take(&mut self.asks_again) {
                self.ask("again");
            }
            if self.permissions == 0 {
                self.stop(if self.gives_up { "cancelled" } else { "end_turn" });
            }
        }
    }

    fn ask(&mut self, command: &str) {
        let input = json!({"command": command});
        self.request_permission(
            &json!({"toolCallId": "t", "kind": "execute", "title": command, "rawInput": input}),
        );
    }

    fn request_permission(&mut self, call: &Value) {
        self.permissions += 1;
        let params = json!({
            "sessionId": self.session,
            "toolCall": call,
            "options": [
                {"optionId": "1", "name": "Never", "kind": "reject_always"},
                {"optionId": "2", "name": "Yes", "kind": "allow_once"},
                {"optionId": "3", "name": "No", "kind": "reject_once"},
            ],
        });
        let (id, method) = (999 + self.permissions, "session/request_permission");
        say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    fn chunk(&self, text: &str) {
        self.update(
            &json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})
                .to_string(),
        );
    }

    fn update(&self, update: &str) {
        raw(self.line(update).as_bytes());
    }

    fn line(&self, update: &str) -> String {
        let session = &self.session;
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{{\"sessionId\":\"{session}\",\"update\":{update}}}}}\n"
        )
    }

    fn stop(&mut self, reason: &str) {
        if let Some(prompt) = self.prompt.take() {
            say(&json!({"jsonrpc": "2.0", "id": prompt, "result": {"stopReason": reason}}));
        }
    }
}

/// A process that has left the agent's session and group and ignores SIGTERM.
#[expect(
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "an agent that leaves processes behind"
)]
fn tree() -> u32 {
    let script = "trap '' TERM; echo $$; exec >&- 2>&-; while :; do sleep 1000; done";
    let child = std::process::Command::new("setsid")
        .args(["sh", "-c", script])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("setsid");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.expect("a pipe"));
    out.read_line(&mut line).expect("a pid");
    line.trim().parse().expect("a pid")
}

fn option(now: &str) -> Value {
    let options = json!([{"value": "auto", "name": "Auto"}, {"value": "manual", "name": "Manual"}]);
    json!([{"id": "m", "category": "mode", "type": "select", "currentValue": now, "options": options}])
}

fn answer(id: &Value, result: &Value) {
    say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn fail(id: &Value, code: i64, message: &str) {
    say(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}));
}

fn say(message: &Value) {
    raw(format!("{message}\n").as_bytes());
}

fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).expect("stdout");
}
