//! The scripted ACP agent: how it begins, and what it sends.

use std::io::{BufRead as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

mod client;
mod many;
mod script;

#[derive(Default)]
pub(crate) struct Fake {
    /// Which session of its process it is, from 1; 0 where there is only one.
    number: u64,
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
    /// The prompt's parts.
    blocks: Vec<Value>,
    /// What the session was opened with.
    servers: String,
    options: Vec<String>,
    script: client::Script,
    /// What it was offered.
    offered: String,
}

impl Fake {
    pub(crate) fn serve(&mut self, words: &[&str]) {
        if words.contains(&"broken") {
            let _written = writeln!(std::io::stderr(), "no licence");
            std::process::abort();
        }
        self.options = words.iter().map(|word| (*word).to_owned()).collect();
        if self.is("many") {
            return many::serve(&self.options);
        }
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            self.hear(&serde_json::from_str(&line).expect("the driver writes JSON"));
        }
        while words.contains(&"undying") {
            std::thread::park();
        }
        if words.contains(&"farewell") {
            // Longer than a kill would wait.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let _written = writeln!(std::io::stderr(), "goodbye");
        }
    }

    fn hear(&mut self, message: &Value) {
        let id = message["id"].clone();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("initialize") => {
                self.offered = params["clientCapabilities"].to_string();
                self.initialize(&id);
            }
            Some("authenticate") => self.authenticate(&id, params),
            Some("session/new") if self.is("auth") && !self.signed_in => fail(&id, -32000, "sign in"),
            Some("session/new") => {
                self.servers = params["mcpServers"].to_string();
                self.open(&id);
            }
            Some("session/set_mode") => self.set_mode(&id, &params["modeId"], "mode"),
            Some("session/set_model") => {
                self.log = format!("model {}", params["modelId"].as_str().expect("a model"));
                answer(&id, &json!({}));
            }
            Some("session/set_config_option") if self.is("timid") && params["configId"] == "brave" => {
                fail(&id, -32603, "not today");
            }
            Some("session/set_config_option") if params["configId"] != "m" => self.set_option(&id, params),
            Some("session/set_config_option") => self.set_mode(&id, &params["value"], "option"),
            Some("session/load") if self.loses(&params["sessionId"]) => fail(&id, -32603, "the file is gone"),
            Some("session/load") if self.is("forgets") => fail(&id, -32002, "no such session"),
            Some("session/load") => {
                self.servers = params["mcpServers"].to_string();
                self.session = params["sessionId"].as_str().expect("an id").to_owned();
                self.load(&id);
            }
            Some("session/list") => {
                let listed = if self.is("lists") { json!([]) } else { json!([{"sessionId": "s-1"}]) };
                answer(&id, &json!({"sessions": listed}));
            }
            Some("session/close") => {
                let _written = writeln!(std::io::stderr(), "closed {}", self.session);
                answer(&id, &json!({}));
            }
            Some("session/prompt") => {
                assert!(self.prompt.is_none(), "one prompt at a time");
                self.prompt = Some(id);
                self.blocks.clone_from(params["prompt"].as_array().expect("blocks"));
                let blocks = self.blocks.clone();
                let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
                let (last, before) = texts.split_last().expect("a block");
                if !before.is_empty() {
                    self.log = before.concat();
                }
                self.act(last);
            }
            Some("$/cancel_request") => self.log = format!("given up {}", params["requestId"]),
            Some("session/cancel") if !self.ignores_cancel => {
                self.script.give_up();
                self.stop("cancelled");
            }
            Some(_) => {}
            None => self.answered(message),
        }
    }

    fn open(&mut self, id: &Value) {
        let pid = std::process::id();
        self.session = match self.period() {
            Some(period) => format!("s-{pid} made in {period}"),
            None if self.number == 0 => format!("s-{pid}"),
            None => format!("s-{pid}-{}", self.number),
        };
        if self.is("slow") {
            return;
        }
        answer(id, &self.opened());
        if self.is("double") {
            answer(id, &json!({"sessionId": "another"}));
        }
        // Who wants to know that this process is ready.
        if let Some(path) = std::env::var_os("FAKE_READY") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            writeln!(file.expect("the file"), "{pid}").expect("a line");
        }
    }

    /// The period of its clock, in seconds under `clock=`, in which it is now.
    fn period(&self) -> Option<u64> {
        let seconds = self.options.iter().find_map(|option| option.strip_prefix("clock="))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        Some(now.as_secs() / seconds.parse::<u64>().expect("seconds"))
    }

    /// Whether it loses this session by loading it now: it made it in the same period of its clock.
    fn loses(&self, session: &Value) -> bool {
        let session = session.as_str().expect("an id");
        self.period().is_some_and(|period| session.ends_with(&format!(" made in {period}")))
    }

    fn is(&self, option: &str) -> bool {
        self.options.iter().any(|word| word == option)
    }

    #[expect(clippy::disallowed_methods, reason = "an agent that dies at its start")]
    fn initialize(&self, id: &Value) {
        if self.is("never") {
            return;
        }
        if self.is("dies") {
            std::process::exit(7);
        }
        if self.is("garbage") {
            raw(b"{]\n\xff\xfe\n{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":5}\n");
            return answer(id, &json!(["no", {"protocolVersion": "one"}]));
        }
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
                "protocolVersion": if self.is("newer") { 9 } else { 1 },
                "agentCapabilities": {
                    "loadSession": !self.is("noload"),
                    "sessionCapabilities": {
                        "close": self.is("close").then(|| json!({})),
                        "list": self.is("lists").then(|| json!({})),
                    },
                    "mcpCapabilities": {"http": true},
                    "promptCapabilities": {"image": self.is("sees")},
                },
                "agentInfo": {"name": "fake", "version": "1"},
                "authMethods": methods,
            }),
        );
    }

    /// A new session: in mode `auto`, which has options or modes to change that.
    fn opened(&self) -> Value {
        if self.is("nameless") {
            return json!({"sessionId": 5});
        }
        let mut opened = json!({"sessionId": self.session});
        if self.is("modes") {
            let modes = json!([{"id": "auto", "name": "Auto"}, {"id": "manual", "name": "Manual"}]);
            opened["modes"] = json!({"currentModeId": "auto", "availableModes": modes});
        }
        if self.is("models") {
            let models = json!([{"modelId": "small", "name": "S"}, {"modelId": "big", "name": "B"}]);
            opened["models"] = json!({"currentModelId": "small", "availableModels": models});
        }
        if self.is("settings") {
            opened["configOptions"] = settings("small", false);
        }
        if self.is("options") {
            opened["configOptions"] = option("auto");
        }
        opened
    }

    fn set_option(&mut self, id: &Value, params: &Value) {
        self.log = format!("{} {}", params["configId"].as_str().expect("an id"), params["value"]);
        let model = params["value"].as_str().unwrap_or("small");
        let model = if self.is("stubborn") { "small" } else { model };
        answer(id, &json!({"configOptions": settings(model, params["value"] == true)}));
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

    fn answered(&mut self, message: &Value) {
        if message["id"] == "x1" {
            self.chunk(&format!("declined {}", message["error"]["code"]));
            return self.stop("end_turn");
        }
        if client::Script::is_mine(&message["id"]) {
            return self.client_answered(message);
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
        let (id, method) = (999 + self.permissions + self.number * many::IDS, "session/request_permission");
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

    fn error(&mut self, error: &Value) {
        let prompt = self.prompt.take();
        say(&json!({"jsonrpc": "2.0", "id": prompt, "error": error}));
    }

    fn stop(&mut self, reason: &str) {
        if let Some(prompt) = self.prompt.take() {
            say(&json!({"jsonrpc": "2.0", "id": prompt, "result": {"stopReason": reason}}));
        }
    }
}

fn settings(model: &str, brave: bool) -> Value {
    let models = json!([{"group": "g", "options": [{"value": "small"}, {"value": "big"}]}]);
    json!([
        {"id": "llm", "category": "model", "type": "select", "currentValue": model, "options": models},
        {"id": "brave", "type": "boolean", "currentValue": brave},
    ])
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
