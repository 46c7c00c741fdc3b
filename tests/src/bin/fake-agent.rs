//! A scripted ACP agent. The prompt's lines are its script, run in order; what no line says, it does not do.
//!
//! | line | what happens |
//! |---|---|
//! | `say TEXT` | one message chunk |
//! | `updates N` | N message chunks `1`, `2`, … |
//! | `stream N MILLIS` | the same, one every so many milliseconds |
//! | `stamps N MICROS` | N message chunks that say the wall clock in nanoseconds, one every so many microseconds |
//! | `gate PATH` | goes on once the file PATH exists, or on a cancel |
//! | `hold MIB` | takes so much memory and keeps it |
//! | `big BYTES` | one message chunk of that size |
//! | `ask KIND TITLE` | asks permission for a tool of that kind; says `allowed` or `denied` |
//! | `pid` | says the agent's process id |
//! | `env` | says the agent's environment, one chunk for each variable |
//! | `blocks` | says what the prompt is made of: for each part its type, name or type of content, and content or length of data |
//! | `count` | says how many prompts this session has had here, plus 100 if it was loaded |
//! | `unknown-update`, `bad-update`, `noise`, `half-line` | what a careless agent may write |
//! | `surrogate` | legal JSON with a lone surrogate |
//! | `other-session` | an update for a session that the client does not know |
//! | `mcp TOOL JSON` | calls a tool of the session's MCP server `skep`; says the answer |
//! | `request METHOD` | a request that the client may not know; says the answer |
//! | `client METHOD PARAMS` | a request with these parameters, as JSON; says the result, or `error CODE WORD` |
//! | `stderr BYTES` | floods standard error |
//! | `error MESSAGE` | answers the prompt with an error |
//! | `cost AMOUNT` | tells its session's cost so far, in dollars |
//! | `step TOKENS` | tells that one request to the model took so many |
//! | `tokens IN OUT` | answers `end_turn` with so many tokens |
//! | `flood BYTES` | message chunks of 64 KiB, that much in all, whatever is cancelled |
//! | `stop REASON` | answers with that stop reason |
//! | `silent` | answers `end_turn` without having said anything |
//! | `exit CODE`, `crash` | ends in mid-turn (`crash`: by SIGKILL) |
//! | `last-words REASON` | answers with that stop reason, and dies at once by SIGKILL |
//! | `hang` | never answers, not even a cancel |
//! | `wait` | answers only when it is cancelled |
//! | `farewell PATH` | writes the file PATH when its input ends, if it is still alive then |
//! | `ignore-term` | SIGTERM does nothing from here on |
//! | `fork` | leaves a child in the same process group |
//! | `double-fork` | leaves an orphan in a session of its own that ignores SIGTERM and holds no descriptor |
//!
//! Options: `--no-load` (no `session/load`), `--hang` (never answers `initialize`), `--exit CODE` (ends at once),
//! `--deaf` (ignores the end of its input), `--sees` (takes pictures, recordings and resources).

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use skep_tests::mcp::Server;

/// SIGTERM is ignored.
static STUBBORN: AtomicBool = AtomicBool::new(false);

/// The next id of a request of ours.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn main() -> ExitCode {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    if let Some(at) = options.iter().position(|option| option == "--exit") {
        return ExitCode::from(options.get(at + 1).and_then(|code| code.parse().ok()).unwrap_or(1));
    }
    take_sigterm();
    if has("--hang") {
        forever();
    }
    let (send, incoming) = channel();
    let deaf = has("--deaf");
    std::thread::spawn(move || read(&send, deaf));
    Agent {
        incoming,
        loads: !has("--no-load"),
        sees: has("--sees"),
        blocks: String::new(),
        prompts: BTreeMap::new(),
        servers: Servers::default(),
        farewell: None,
    }
    .run()
}

/// A part of a prompt in words.
fn described(block: &Value) -> String {
    let inner = if block["resource"].is_object() { &block["resource"] } else { block };
    let data = [&inner["data"], &inner["blob"]]
        .into_iter()
        .find_map(Value::as_str)
        .map(|data| data.len().to_string());
    let name = [&inner["name"], &inner["uri"], &inner["mimeType"]];
    let name = match text(&block["type"]).as_str() {
        "text" => String::new(),
        "image" | "audio" => text(&inner["mimeType"]),
        _ => name.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or_default(),
    };
    let said = if block["type"] == "resource" { text(&inner["text"]) } else { String::new() };
    let words = [text(&block["type"]), name, data.unwrap_or(said)];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// SIGTERM ends the agent at once, unless the script said `ignore-term`.
fn take_sigterm() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block().expect("a signal can be blocked");
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            if !STUBBORN.load(Ordering::SeqCst) {
                die(Signal::SIGKILL);
            }
        }
    });
}

fn read(send: &Sender<Value>, deaf: bool) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Ok(message) = serde_json::from_str(&line)
            && send.send(message).is_err()
        {
            return;
        }
    }
    if deaf {
        forever();
    }
}

fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

fn die(signal: Signal) -> ! {
    kill(Pid::this(), signal).ok();
    forever()
}

/// How the script goes on after a line.
enum Next {
    Line,
    Answer(Value),
    Last(Value),
    Exit(u8),
}

/// The MCP servers that sessions were given, and those of them that run.
#[derive(Default)]
struct Servers {
    described: BTreeMap<String, Value>,
    running: BTreeMap<String, Server>,
}

impl Servers {
    fn given(&mut self, session: &str, params: &Value) {
        let servers = params["mcpServers"].as_array().into_iter().flatten();
        if let Some(skep) = servers.into_iter().find(|server| server["name"] == "skep") {
            self.described.insert(session.to_owned(), skep.clone());
        }
    }

    /// Calls a tool. As the protocol's own SDK does, it starts a server with few variables beside those that it is given.
    #[expect(clippy::disallowed_methods, reason = "an agent starts programs as it likes")]
    fn call(&mut self, session: &str, rest: &str) -> Value {
        let Some(described) = self.described.get(session) else { return json!("no server") };
        let (tool, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let arguments = serde_json::from_str(arguments).unwrap_or(Value::Null);
        let server = self.running.entry(session.to_owned()).or_insert_with(|| {
            let mut command = Command::new(text(&described["command"]));
            command.args(described["args"].as_array().into_iter().flatten().map(text)).env_clear();
            for name in ["HOME", "PATH"] {
                command.envs(std::env::var_os(name).map(|value| (name, value)));
            }
            let given = described["env"].as_array().into_iter().flatten();
            command.envs(given.map(|pair| (text(&pair["name"]), text(&pair["value"]))));
            Server::start(command)
        });
        server.call(tool, &arguments)
    }
}

struct Agent {
    incoming: Receiver<Value>,
    loads: bool,
    sees: bool,
    /// What the prompt is made of.
    blocks: String,
    prompts: BTreeMap<String, u64>,
    servers: Servers,
    farewell: Option<String>,
}

impl Agent {
    fn run(mut self) -> ExitCode {
        while let Ok(message) = self.incoming.recv() {
            let id = &message["id"];
            let params = &message["params"];
            match message["method"].as_str() {
                Some("initialize") => reply(id, &self.capabilities()),
                Some("session/new") => {
                    let session = format!("fake-{}-{}", std::process::id(), self.prompts.len());
                    self.prompts.insert(session.clone(), 0);
                    self.servers.given(&session, params);
                    reply(id, &json!({ "sessionId": session }));
                }
                Some("session/load") => {
                    let session = text(&params["sessionId"]);
                    self.servers.given(&session, params);
                    self.prompts.insert(session, 100);
                    reply(id, &json!({}));
                }
                Some("session/prompt") => {
                    let session = text(&params["sessionId"]);
                    *self.prompts.entry(session.clone()).or_default() += 1;
                    let blocks = params["prompt"].as_array().map(Vec::as_slice).unwrap_or_default();
                    self.blocks = blocks.iter().map(described).collect::<Vec<_>>().join(", ");
                    // What comes before the last text is a recap.
                    let last = blocks.iter().rev().find(|block| block["type"] == "text");
                    match self.play(&session, &last.map(|block| text(&block["text"])).unwrap_or_default()) {
                        Next::Exit(code) => return ExitCode::from(code),
                        Next::Answer(answer) => {
                            write_line(&with(answer, json!({"jsonrpc": "2.0", "id": id})).to_string());
                        }
                        Next::Last(answer) => {
                            write_line(&with(answer, json!({"jsonrpc": "2.0", "id": id})).to_string());
                            die(Signal::SIGKILL);
                        }
                        Next::Line => reply(id, &json!({"stopReason": "end_turn"})),
                    }
                }
                Some(_) if !id.is_null() => {
                    let error = json!({"code": -32601, "message": "Method not found"});
                    write_line(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
                }
                _ => {}
            }
        }
        if let Some(path) = self.farewell {
            // A last word that takes a moment, as saving one's state does.
            std::thread::park_timeout(Duration::from_millis(100));
            std::fs::write(path, "farewell").ok();
        }
        ExitCode::SUCCESS
    }

    fn capabilities(&self) -> Value {
        json!({
            "protocolVersion": 1,
            "agentCapabilities": {
                "loadSession": self.loads,
                "promptCapabilities": {"image": self.sees, "audio": self.sees, "embeddedContext": self.sees},
            },
            "agentInfo": {"name": "fake-agent", "title": "Fake agent", "version": "1.0.0"},
            "authMethods": [],
        })
    }

    fn play(&mut self, session: &str, script: &str) -> Next {
        for line in script.lines().filter(|line| !line.trim().is_empty()) {
            let line = line.trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match self.step(session, word, rest) {
                Next::Line => {}
                last => return last,
            }
        }
        Next::Line
    }

    fn step(&mut self, session: &str, word: &str, rest: &str) -> Next {
        match word {
            "say" => say(session, rest),
            "updates" => (1..=parse(rest)).for_each(|n| say(session, &n.to_string())),
            "stream" => return self.stream(session, rest),
            "stamps" => return self.stamps(session, rest),
            "gate" => return self.gate(rest),
            "big" => say(session, &"x".repeat(usize::try_from(parse(rest)).unwrap_or(0))),
            "ask" => return self.ask(session, rest),
            "pid" => say(session, &std::process::id().to_string()),
            "env" => std::env::vars().for_each(|(name, value)| say(session, &format!("{name}={value}"))),
            "blocks" => say(session, &self.blocks),
            "count" => say(session, &self.prompts.get(session).copied().unwrap_or(0).to_string()),
            "mcp" => say(session, &self.servers.call(session, rest).to_string()),
            "request" => return self.request(session, rest),
            "client" => return self.client(session, rest),
            "error" => return Next::Answer(json!({"error": {"code": -32000, "message": rest}})),
            "cost" => update(session, &cost(rest)),
            "step" => update(session, &step(parse(rest))),
            "tokens" => return Next::Answer(json!({"result": tokens(rest)})),
            "flood" => (0..parse(rest) / 65_536).for_each(|_| say(session, &"f".repeat(65_536))),
            "stop" => return Next::Answer(json!({"result": {"stopReason": rest}})),
            "last-words" => return Next::Last(json!({"result": {"stopReason": rest}})),
            "silent" => return Next::Answer(json!({"result": {"stopReason": "end_turn"}})),
            "exit" => return Next::Exit(u8::try_from(parse(rest)).unwrap_or(1)),
            "crash" => die(Signal::SIGKILL),
            "hang" => forever(),
            "wait" => return self.wait_cancel(None),
            "farewell" => self.farewell = Some(rest.to_owned()),
            "ignore-term" => STUBBORN.store(true, Ordering::SeqCst),
            "hold" => std::mem::forget(vec![1u8; usize::try_from(parse(rest)).unwrap_or(0) << 20]),
            "fork" => leave("sleep 1000 & exit 0"),
            "double-fork" => leave(
                "setsid sh -c \"trap '' TERM; exec </dev/null >/dev/null 2>&1; while :; do sleep 1000; done\" & exit 0",
            ),
            "stderr" => flood(parse(rest)),
            _ => return careless(session, word),
        }
        Next::Line
    }

    fn stream(&self, session: &str, rest: &str) -> Next {
        let (count, millis) = rest.split_once(' ').unwrap_or((rest, "10"));
        for n in 1..=parse(count) {
            say(session, &n.to_string());
            if let cancelled @ Next::Answer(_) = self.wait_cancel(Some(Duration::from_millis(parse(millis))))
            {
                return cancelled;
            }
        }
        Next::Line
    }

    fn stamps(&self, session: &str, rest: &str) -> Next {
        let (count, micros) = rest.split_once(' ').unwrap_or((rest, "1000"));
        for _ in 0..parse(count) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            say(session, &now.as_nanos().to_string());
            if let cancelled @ Next::Answer(_) = self.wait_cancel(Some(Duration::from_micros(parse(micros))))
            {
                return cancelled;
            }
        }
        Next::Line
    }

    fn gate(&self, path: &str) -> Next {
        while !Path::new(path).exists() {
            if let cancelled @ Next::Answer(_) = self.wait_cancel(Some(Duration::from_millis(10))) {
                return cancelled;
            }
        }
        Next::Line
    }

    /// Waits for a cancel: `Answer(cancelled)` when it came, `Line` when `limit` passed, an exit at end of input.
    fn wait_cancel(&self, limit: Option<Duration>) -> Next {
        loop {
            let message = match limit {
                None => self.incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(limit) => self.incoming.recv_timeout(limit),
            };
            match message {
                Ok(message) if message["method"] == "session/cancel" => return cancelled(),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Next::Line,
                Err(RecvTimeoutError::Disconnected) => return Next::Exit(0),
            }
        }
    }

    fn ask(&self, session: &str, rest: &str) -> Next {
        let (kind, title) = rest.split_once(' ').unwrap_or((rest, "a deed"));
        let params = json!({
            "sessionId": session,
            "toolCall": {"toolCallId": "deed", "kind": kind, "title": title},
            "options": [
                {"optionId": "yes", "name": "Do it", "kind": "allow_once"},
                {"optionId": "always", "name": "Always", "kind": "allow_always"},
                {"optionId": "no", "name": "Do not", "kind": "reject_once"},
            ],
        });
        match self.call("session/request_permission", &params) {
            Ok(answer) => {
                let outcome = &answer["result"]["outcome"];
                if outcome["outcome"] == "cancelled" {
                    return cancelled();
                }
                say(session, if outcome["optionId"] == "no" { "denied" } else { "allowed" });
                Next::Line
            }
            Err(last) => last,
        }
    }

    fn request(&self, session: &str, method: &str) -> Next {
        match self.call(method, &json!({"sessionId": session})) {
            Ok(answer) => {
                say(session, &format!("answered {}", answer["error"]["code"]));
                Next::Line
            }
            Err(last) => last,
        }
    }

    fn client(&self, session: &str, rest: &str) -> Next {
        let (method, params) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let params = serde_json::from_str(params).expect("parameters in JSON");
        match self.call(method, &with(params, json!({"sessionId": session}))) {
            Ok(answer) if answer["error"].is_null() => say(session, &answer["result"].to_string()),
            Ok(answer) => {
                let error = &answer["error"];
                say(session, &format!("error {} {}", error["code"], text(&error["data"]["code"])));
            }
            Err(last) => return last,
        }
        Next::Line
    }

    fn call(&self, method: &str, params: &Value) -> Result<Value, Next> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        write_line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        loop {
            match self.incoming.recv() {
                Ok(message) if message["method"].is_null() && message["id"] == id => return Ok(message),
                Ok(_) => {}
                Err(_) => return Err(Next::Exit(0)),
            }
        }
    }
}

/// What its session cost so far.
fn cost(amount: &str) -> Value {
    let amount: f64 = amount.parse().unwrap_or(0.0);
    json!({"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": {"amount": amount, "currency": "USD"}})
}

/// What one request took.
fn step(total: u64) -> Value {
    json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""},
        "_meta": {"usage": {"inputTokens": total, "outputTokens": 0, "totalTokens": total}}})
}

/// What the whole turn took.
fn tokens(rest: &str) -> Value {
    let (input, output) = rest.split_once(' ').unwrap_or((rest, "0"));
    let (input, output) = (parse(input), parse(output));
    json!({"stopReason": "end_turn",
        "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": input + output}})
}

/// What a careless agent may write.
fn careless(session: &str, word: &str) -> Next {
    match word {
        "unknown-update" => update(session, &json!({"sessionUpdate": "hologram", "x": 1})),
        "bad-update" => update(session, &json!({"sessionUpdate": "tool_call", "title": 5})),
        "other-session" => say("a-stranger", "who?"),
        "noise" => write_line("Debugger listening on ws://…\n\n\u{1b}[31mwarning\u{1b}[0m\n{not json\n[]\n3"),
        "half-line" => {
            write_raw(b"{\"jsonrpc\":\"2.0\",\"id\":");
            return Next::Exit(3);
        }
        "surrogate" => write_line(
            &json!({"jsonrpc": "2.0", "method": "session/update", "params": {
                "sessionId": session,
                "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "LONE"}},
            }})
            .to_string()
            .replace("LONE", "\\ud800"),
        ),
        _ => return Next::Answer(json!({"error": {"code": -32602, "message": format!("no such line: {word}")}})),
    }
    Next::Line
}

fn cancelled() -> Next {
    Next::Answer(json!({"result": {"stopReason": "cancelled"}}))
}

#[expect(clippy::disallowed_methods, reason = "an agent starts programs as it likes")]
fn leave(script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::null());
    shell.status().expect("a shell");
}

fn flood(bytes: u64) {
    let line = [b"e".repeat(99), b"\n".to_vec()].concat();
    let mut stderr = std::io::stderr().lock();
    for _ in 0..bytes.div_ceil(100) {
        stderr.write_all(&line).ok();
    }
}

fn say(session: &str, text: &str) {
    let content = json!({"type": "text", "text": text});
    update(session, &json!({"sessionUpdate": "agent_message_chunk", "content": content}));
}

fn update(session: &str, update: &Value) {
    let params = json!({"sessionId": session, "update": update});
    write_line(&json!({"jsonrpc": "2.0", "method": "session/update", "params": params}).to_string());
}

fn reply(id: &Value, result: &Value) {
    write_line(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
}

fn write_line(line: &str) {
    write_raw(format!("{line}\n").as_bytes());
}

fn write_raw(bytes: &[u8]) {
    static OUT: Mutex<()> = Mutex::new(());
    let _whole_lines = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    // A client that is gone is noticed at the end of our input.
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

fn with(mut message: Value, more: Value) -> Value {
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    message
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parse(number: &str) -> u64 {
    number.trim().parse().unwrap_or(0)
}
