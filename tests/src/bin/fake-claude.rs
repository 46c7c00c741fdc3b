//! A scripted agent that speaks JSON lines both ways, as `claude -p --input-format stream-json` does. A prompt's lines
//! are its script, run in order.
//!
//! | line | what happens |
//! |---|---|
//! | `say TEXT` | the text, in parts and then whole |
//! | `remember WORD` | kept in `$HOME/memory-SESSION` |
//! | `recall` | says what was remembered in this session |
//! | `args` | says its own arguments |
//! | `ask COMMAND` | asks to use its shell; says what the answer was |
//! | `wait` | goes on when it is interrupted |
//! | `take` | waits for another prompt and takes it into the turn: its script runs here |
//! | `queues` | waits for another prompt, which then waits for the turn's end |
//! | `noise` | lines that no client can understand |
//! | `fail WHY` | ends the turn with an error |
//!
//! `--resume ID` fails unless something was remembered under that id. `--mute` never answers, `--exit CODE` ends at once,
//! `--no-reports` says nothing of what becomes of prompts.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    if let Some(code) = after("--exit") {
        complain("no licence");
        return ExitCode::from(code.parse().unwrap_or(1));
    }
    let session = match after("--resume") {
        Some(session) if memory(&session).exists() => session,
        Some(session) => {
            let error = format!("No conversation found with session ID: {session}");
            complain(&error);
            say(&json!({"type": "result", "subtype": "error_during_execution", "is_error": true}));
            return ExitCode::from(1);
        }
        None => format!("made-by-{}", std::process::id()),
    };
    let (send, incoming) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).expect("the driver writes JSON");
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let (mute, reports) = (has("--mute"), !has("--no-reports"));
    let (queue, taken) = (VecDeque::new(), Vec::new());
    Fake { incoming, session, args, messages: 0, mute, reports, queue, taken, interrupted: false }.serve();
    ExitCode::SUCCESS
}

struct Fake {
    incoming: Receiver<Value>,
    session: String,
    args: Vec<String>,
    messages: u64,
    mute: bool,
    reports: bool,
    /// Prompts that wait.
    queue: VecDeque<Value>,
    /// The ids of those that the turn has.
    taken: Vec<String>,
    interrupted: bool,
}

impl Fake {
    fn serve(&mut self) {
        loop {
            while let Some(prompt) = self.queue.pop_front() {
                self.turn(&prompt);
            }
            let Ok(line) = self.incoming.recv() else { return };
            if !self.mute {
                self.receive(&line);
                self.interrupted = false;
            }
        }
    }

    /// Takes note of a line, whether a turn runs or not.
    fn receive(&mut self, line: &Value) {
        match (line["type"].as_str(), line["request"]["subtype"].as_str()) {
            (Some("control_request"), Some("initialize")) => answer(line),
            (Some("control_request"), Some("interrupt")) => {
                self.interrupted = true;
                answer(line);
            }
            (Some("control_request"), Some("cancel_async_message")) => {
                let uuid = &line["request"]["message_uuid"];
                if let Some(at) = self.queue.iter().position(|prompt| prompt["uuid"] == *uuid) {
                    self.queue.remove(at);
                    self.report(uuid, "cancelled");
                }
                answer(line);
            }
            (Some("user"), _) => {
                self.report(&line["uuid"], "queued");
                self.queue.push_back(line.clone());
            }
            _ => {}
        }
    }

    fn report(&self, uuid: &Value, state: &str) {
        if self.reports {
            say(&json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state}));
        }
    }

    /// Has a prompt in the turn from here on; its script.
    fn take(&mut self, prompt: &Value) -> String {
        self.report(&prompt["uuid"], "started");
        self.taken.extend(prompt["uuid"].as_str().map(str::to_owned));
        let blocks = prompt["message"]["content"].as_array().expect("blocks");
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        texts.join("\n")
    }

    fn turn(&mut self, prompt: &Value) {
        let script = self.take(prompt);
        say(&json!({"type": "system", "subtype": "init", "session_id": self.session}));
        let mut end = json!({"subtype": "success", "is_error": false, "stop_reason": "end_turn",
            "terminal_reason": "completed"});
        self.run(&script, &mut end);
        let interrupted = std::mem::take(&mut self.interrupted);
        if interrupted {
            end = json!({"subtype": "error_during_execution", "is_error": true, "stop_reason": null,
                "terminal_reason": "aborted_streaming"});
        }
        end["type"] = json!("result");
        end["usage"] = json!({"input_tokens": 5, "output_tokens": 2});
        end["total_cost_usd"] = json!(0.25);
        say(&end);
        for uuid in std::mem::take(&mut self.taken) {
            self.report(&json!(uuid), if interrupted { "cancelled" } else { "completed" });
        }
    }

    fn run(&mut self, script: &str, end: &mut Value) {
        for line in script.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "say" => self.speak(rest),
                "remember" => {
                    let mut file = fs::OpenOptions::new()
                        .create(true)
                        .append(true)
                        .open(memory(&self.session))
                        .expect("the memory opens");
                    write!(file, "{rest};").expect("the memory is written");
                }
                "recall" => {
                    let memory = fs::read_to_string(memory(&self.session)).unwrap_or_default();
                    self.speak(&format!("remembered {memory}"));
                }
                "args" => self.speak(&self.args.join(" ")),
                "ask" => self.ask(rest),
                "noise" => {
                    raw("{]\nno json\n[1]\n7\n{\"type\":\"hologram\"}\n{\"type\":\"control_request\"}\n");
                }
                "wait" => drop(self.until("interrupt")),
                "take" => {
                    while self.queue.is_empty() {
                        drop(self.until("user"));
                    }
                    let prompt = self.queue.pop_front().expect("it has come");
                    let script = self.take(&prompt);
                    self.run(&script, end);
                }
                "queues" => {
                    while self.queue.is_empty() {
                        drop(self.until("user"));
                    }
                }
                "fail" => *end = json!({"subtype": "success", "is_error": true, "result": rest}),
                // A recap, or nothing that we know.
                _ => {}
            }
        }
    }

    /// In two parts, and then whole.
    fn speak(&mut self, text: &str) {
        self.messages += 1;
        let id = format!("msg-{}", self.messages);
        let event =
            |event: Value| say(&json!({"type": "stream_event", "parent_tool_use_id": null, "event": event}));
        event(json!({"type": "message_start", "message": {"id": id}}));
        let (first, second) = text.split_at(text.ceil_char_boundary(text.len() / 2));
        for part in [first, second] {
            let delta = json!({"type": "text_delta", "text": part});
            event(json!({"type": "content_block_delta", "delta": delta}));
        }
        say(&json!({"type": "assistant", "parent_tool_use_id": null,
            "message": {"id": id, "content": [{"type": "text", "text": text}]}}));
    }

    fn ask(&mut self, command: &str) {
        let input = json!({"command": command});
        self.messages += 1;
        let id = format!("tool-{}", self.messages);
        say(&json!({"type": "assistant", "parent_tool_use_id": null, "message": {"id": id,
            "content": [{"type": "tool_use", "id": id, "name": "Bash", "input": input}]}}));
        let rule = json!({"type": "addRules", "behavior": "allow", "destination": "session",
            "rules": [{"toolName": "Bash", "ruleContent": command}]});
        say(&json!({"type": "control_request", "request_id": id, "request": {"subtype": "can_use_tool",
            "tool_name": "Bash", "input": input, "permission_suggestions": [rule], "tool_use_id": id}}));
        let answer = self.until("control_response")["response"]["response"].clone();
        let rules = answer["updatedPermissions"].as_array().map_or(0, Vec::len);
        let behaviour = answer["behavior"].as_str().unwrap_or("nothing").to_owned();
        if behaviour == "allow" {
            assert_eq!(answer["updatedInput"], input, "what was shown is what runs");
        }
        say(&json!({"type": "user", "message": {"content": [
            {"type": "tool_result", "tool_use_id": id, "content": behaviour, "is_error": behaviour != "allow"}]}}));
        self.speak(&format!("answered {behaviour} with {rules} rules"));
    }

    /// Waits for a line of this type or subtype.
    fn until(&mut self, what: &str) -> Value {
        loop {
            let Ok(line) = self.incoming.recv() else { quit() };
            self.receive(&line);
            if line["type"] == what || line["request"]["subtype"] == what {
                return line;
            }
        }
    }
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "its input has ended in the middle of a turn")]
fn quit() -> ! {
    std::process::exit(0)
}

fn answer(line: &Value) {
    let response = json!({"subtype": "success", "request_id": line["request_id"], "response": {}});
    say(&json!({"type": "control_response", "response": response}));
}

fn memory(session: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").expect("a home")).join(format!("memory-{session}"))
}

fn say(line: &Value) {
    raw(&format!("{line}\n"));
}

fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

fn complain(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}
