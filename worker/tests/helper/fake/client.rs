//! What the scripted agent asks of its client: a list of requests, sent one after the other, with each answer told.
//!
//! An item is `[METHOD, PARAMS]`, or `[METHOD, PARAMS, "on"]` for one whose answer the next does not wait for. The
//! session's id is added. In parameters `"$t"` is the last terminal's id, `{"repeat": N}` a text of N bytes. `stop` ends
//! the turn, and the script goes on.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Fake, many, raw, say};

/// The ids of these requests, beside those of its permission requests.
const IDS: u64 = 50_000;

/// Where a long text is put in.
const LONG: &str = "@@@";

#[derive(Default)]
pub(super) struct Script {
    items: VecDeque<Value>,
    sent: u64,
    open: u64,
    terminal: String,
    runs: bool,
}

impl Script {
    /// Whether an answer is to one of these requests.
    pub(super) fn is_mine(id: &Value) -> bool {
        id.as_u64().is_some_and(|id| id % many::IDS >= IDS)
    }

    pub(super) fn give_up(&mut self) {
        (self.items, self.runs) = (VecDeque::new(), false);
    }
}

impl Fake {
    pub(super) fn client(&mut self, script: &str) {
        let items: Vec<Value> = serde_json::from_str(script).expect("a list");
        self.script.items = items.into();
        self.script.runs = true;
        self.go_on();
    }

    /// The same request so many times, none waited for.
    pub(super) fn client_many(&mut self, script: &str) {
        let (count, item) = script.split_once(' ').expect("a number");
        let item: Value = serde_json::from_str(item).expect("a request");
        let item = json!([item[0], item[1], "on"]);
        self.script.items = (0..count.parse().expect("a number")).map(|_: u32| item.clone()).collect();
        self.script.runs = true;
        self.go_on();
    }

    fn go_on(&mut self) {
        while let Some(item) = self.script.items.pop_front() {
            let method = item[0].as_str().expect("a method");
            match method {
                "stop" => self.stop("end_turn"),
                "crash" => std::process::abort(),
                _ => {
                    let mut params = item[1].clone();
                    let repeat = self.fill(&mut params);
                    if method.starts_with('$') {
                        say(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
                        continue;
                    }
                    if params["sessionId"].is_null() && params.is_object() {
                        params["sessionId"] = json!(self.session);
                    }
                    let id = IDS + self.script.sent + self.number * many::IDS;
                    self.script.sent += 1;
                    self.script.open += 1;
                    let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
                    raw(format!("{line}\n").replacen(LONG, &"x".repeat(repeat), 1).as_bytes());
                    if item[2].is_null() {
                        return;
                    }
                }
            }
        }
        if self.script.open == 0 && self.script.runs {
            self.script.runs = false;
            self.stop("end_turn");
        }
    }

    /// How long a text is to be that is put in only later, so that nobody has to read it here.
    fn fill(&self, params: &mut Value) -> usize {
        let mut repeat = 0;
        for value in params.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
            if value == "$t" {
                *value = json!(self.script.terminal);
            } else if let Some(count) = value["repeat"].as_u64() {
                repeat = usize::try_from(count).expect("a size");
                *value = json!(LONG);
            }
        }
        repeat
    }

    pub(super) fn client_answered(&mut self, message: &Value) {
        self.script.open -= 1;
        let result = &message["result"];
        if let Some(terminal) = result["terminalId"].as_str() {
            terminal.clone_into(&mut self.script.terminal);
        }
        if message["error"].is_null() {
            self.chunk(&result.to_string());
        } else {
            let word = message["error"]["data"]["code"].as_str().unwrap_or_default();
            self.chunk(format!("error {} {word}", message["error"]["code"]).trim());
        }
        self.go_on();
    }
}
