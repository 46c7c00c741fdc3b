//! `skep acp`: editors on the protocol's own SDK, on acpx and on nothing but lines, each with the real binary.

use std::path::Path;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use skep_tests::agents;
use skep_tests::cmd::Running;
use skep_tests::env::TestEnv;
use skep_tests::wait::{SOON, wait_for, wait_until};

/// An editor that is driven by the test.
pub(crate) struct Editor {
    running: Running,
    /// How many lines of its output were looked at.
    seen: usize,
    requests: u64,
    /// Whether its lines are the protocol's own.
    raw: bool,
}

impl Editor {
    /// An editor on the official SDK.
    fn sdk(env: &TestEnv) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/js/editor.mjs");
        let sdk = agents::programs().join("../@agentclientprotocol/sdk/dist/acp.js");
        let running = env
            .program(&agents::programs().join("node"))
            .arg(script)
            .arg(sdk)
            .arg(env.bin())
            .args(["acp", "--agent", "fake"])
            .limit(SOON * 2)
            .stdin_open()
            .start();
        Self { running, seen: 0, requests: 0, raw: false }.introduced()
    }

    /// Nothing but lines.
    pub(crate) fn lines(env: &TestEnv) -> Self {
        let running = env.skep(["acp", "--agent", "fake"]).limit(SOON * 2).stdin_open().start();
        Self { running, seen: 0, requests: 0, raw: true }
    }

    pub(crate) fn introduced(mut self) -> Self {
        let answer = self.ask("initialize", &json!({"protocolVersion": 1, "clientCapabilities": {}}));
        assert_eq!(answer["result"]["protocolVersion"], 1, "{answer}");
        self
    }

    /// Sends a request; its id.
    fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.requests += 1;
        let mut line = json!({"id": self.requests, "method": method, "params": params});
        if self.raw {
            line["jsonrpc"] = json!("2.0");
        }
        self.running.write(&format!("{line}\n"));
        self.requests
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.answer_to(id)
    }

    pub(crate) fn answer_to(&mut self, id: u64) -> Value {
        self.find("an answer", |line| line["id"] == id && line["method"].is_null())
    }

    /// The next line for which `is_it` holds; those before it are passed over.
    fn find(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let text = self.running.stdout_so_far();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            for line in whole.lines().skip(self.seen) {
                self.seen += 1;
                // What a careless agent said is passed on as it is, and a strict reader may not read it.
                let line: Option<Value> = serde_json::from_str(line).ok();
                assert!(line.is_some() || self.raw, "not only JSON: {}", self.running);
                if let Some(line) = line.filter(&is_it) {
                    return line;
                }
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", self.running);
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }

    /// Waits until the agent says this text.
    fn hears(&mut self, text: &str) {
        self.find(text, |line| line["update"]["content"]["text"] == text);
    }

    pub(crate) fn new_session(&mut self, env: &TestEnv) -> String {
        let answer = self.ask("session/new", &json!({"cwd": env.work(), "mcpServers": []}));
        answer["result"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) fn prompt(&mut self, session: &str, text: &str) -> u64 {
        let prompt = json!([{"type": "text", "text": text}]);
        self.request("session/prompt", &json!({"sessionId": session, "prompt": prompt}))
    }

    fn command(&mut self, line: &Value) {
        self.running.write(&format!("{line}\n"));
    }

    /// Every text of the agent and of persons so far, in order.
    fn texts(&self) -> Vec<String> {
        let text = self.running.stdout_so_far();
        let said = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["update"]["content"]["text"].as_str().map(str::to_owned)
        };
        text.lines().filter_map(said).collect()
    }
}

fn stop_reason(answer: &Value) -> &str {
    answer["result"]["stopReason"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn c9_an_editor_prompts_answers_and_finds_the_session_in_its_list() {
    let env = TestEnv::new();
    let mut editor = Editor::sdk(&env);
    let session = editor.new_session(&env);
    let empty = editor.ask("session/list", &json!({}));
    assert_eq!(empty["result"]["sessions"], json!([]), "nothing exists before the first prompt");
    let prompt = editor.prompt(&session, "say hello\nask edit a file");
    editor.hears("hello");
    editor.find("the request", |line| line["ask"] == "a file");
    editor.command(&json!({"answer": "yes"}));
    editor.hears("allowed");
    assert_eq!(stop_reason(&editor.answer_to(prompt)), "end_turn");

    let list = editor.ask("session/list", &json!({"cwd": env.work()}));
    let [found] = list["result"]["sessions"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((found["sessionId"].as_str(), found["title"].as_str()), (Some(&*session), Some("say hello")));
    assert_eq!(editor.ask("session/list", &json!({"cwd": "/"}))["result"]["sessions"], json!([]));

    let refused = editor.prompt(&session, "error no credit");
    let refused = editor.answer_to(refused);
    assert!(refused["error"]["message"].as_str().is_some_and(|m| m.contains("no credit")), "{refused}");
    let waits = editor.prompt(&session, "say now\nwait");
    editor.hears("now");
    editor.command(&json!({"notify": "session/cancel", "params": {"sessionId": session}}));
    assert_eq!(stop_reason(&editor.answer_to(waits)), "cancelled");

    let deleted = editor.ask("session/delete", &json!({"sessionId": session}));
    assert!(deleted["error"].is_null(), "{deleted}");
    let gone =
        editor.ask("session/load", &json!({"sessionId": session, "cwd": env.work(), "mcpServers": []}));
    assert_eq!(gone["error"]["code"], -32002, "{gone}");
}

#[test]
fn c9_the_editor_chooses_the_permission_mode_before_the_first_prompt() {
    let env = TestEnv::new();
    let mut editor = Editor::sdk(&env);
    let new = editor.ask("session/new", &json!({"cwd": env.work(), "mcpServers": []}));
    assert_eq!(new["result"]["modes"]["currentModeId"], "ask", "{new}");
    let session = new["result"]["sessionId"].as_str().unwrap();
    let mode = |mode: &str| json!({"sessionId": session, "modeId": mode});
    assert_eq!(editor.ask("session/set_mode", &mode("yolo"))["error"]["code"], -32602);
    assert!(editor.ask("session/set_mode", &mode("bypass"))["error"].is_null());
    let prompt = editor.prompt(session, "ask edit a file");
    editor.hears("allowed");
    assert_eq!(stop_reason(&editor.answer_to(prompt)), "end_turn");
    assert_eq!(editor.ask("session/set_mode", &mode("ask"))["error"]["code"], -32602);
    let load = json!({"sessionId": session, "cwd": env.work(), "mcpServers": []});
    let loaded = editor.ask("session/load", &load);
    assert_eq!(loaded["result"]["modes"]["currentModeId"], "bypass", "{loaded}");
}

#[test]
fn c9_a_killed_editor_comes_back_to_its_history_and_to_the_turn_that_runs() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let mut editor = Editor::sdk(&env);
    let session = editor.new_session(&env);
    let script = format!("say one\ngate {}\nsay two\nask execute the rest\nsay three", gate.display());
    editor.prompt(&session, &script);
    editor.hears("one");
    editor.running.signal(Signal::SIGKILL);
    drop(editor);

    let mut editor = Editor::sdk(&env);
    let list = editor.ask("session/list", &json!({}));
    assert_eq!(list["result"]["sessions"][0]["sessionId"], session.as_str(), "{list}");
    let load = json!({"sessionId": session, "cwd": env.work(), "mcpServers": []});
    let loaded = editor.ask("session/load", &load);
    assert_eq!(loaded["result"]["_meta"]["skep"]["state"], "running", "{loaded}");
    assert_eq!(editor.texts(), [script.as_str(), "one"], "the history, then the answer");

    // A prompt of the editor's own waits behind the turn.
    let next = editor.prompt(&session, "say four");
    std::fs::write(&gate, "").unwrap();
    editor.hears("two");
    editor.find("the request", |line| line["ask"] == "the rest");
    let _elsewhere = env.skep(["allow"]).run().ok();
    editor.find("its withdrawal", |line| line["withdrawn"] == "the rest");
    editor.hears("three");
    editor.find("the end", |line| line["update"]["_meta"]["skep"]["turn_ended"]["outcome"] == "completed");
    editor.hears("four");
    assert_eq!(stop_reason(&editor.answer_to(next)), "end_turn");
    assert_eq!(editor.texts(), [script.as_str(), "one", "two", "allowed", "three", "four"]);

    // Whoever resumes has the history already.
    let mut other = Editor::sdk(&env);
    let resumed = other.ask("session/resume", &load);
    assert!(resumed["error"].is_null(), "{resumed}");
    let prompt = other.prompt(&session, "say five");
    assert_eq!(stop_reason(&other.answer_to(prompt)), "end_turn");
    assert_eq!(other.texts(), ["five"]);
    editor.hears("five");
    assert_eq!(editor.texts()[6..], ["say five", "five"], "what others say is said");
}

#[test]
fn c9_a_request_that_waits_is_put_to_the_editor_that_comes_back() {
    let env = TestEnv::new();
    let mut editor = Editor::sdk(&env);
    let session = editor.new_session(&env);
    editor.prompt(&session, "ask edit it");
    editor.find("the request", |line| line["ask"] == "it");
    editor.running.signal(Signal::SIGKILL);
    drop(editor);
    for (method, answer, hears) in [("session/load", "no", "denied"), ("session/resume", "yes", "allowed")] {
        let mut editor = Editor::sdk(&env);
        editor.ask(method, &json!({"sessionId": session, "cwd": env.work(), "mcpServers": []}));
        editor.find("the request", |line| line["ask"] == "it");
        editor.command(&json!({"answer": answer}));
        editor.hears(hears);
        editor.find("the end", |line| !line["update"]["_meta"]["skep"]["turn_ended"].is_null());
        let again = editor.prompt(&session, "ask edit it");
        editor.find("the request", |line| line["ask"] == "it");
        if method == "session/load" {
            editor.running.signal(Signal::SIGKILL);
        } else {
            editor.command(&json!({"answer": "yes"}));
            assert_eq!(stop_reason(&editor.answer_to(again)), "end_turn");
        }
    }
}

#[test]
fn c9_a_daemon_that_is_killed_in_mid_turn_costs_the_editor_no_update() {
    let env = TestEnv::new();
    let gate = env.work().join("gate");
    let mut editor = Editor::sdk(&env);
    let session = editor.new_session(&env);
    let prompt = editor.prompt(&session, &format!("updates 50\nsay done\ngate {}", gate.display()));
    editor.hears("done");
    let old = env.daemon_pid();
    nix::sys::signal::kill(skep_tests::cmd::pid(old), Signal::SIGKILL).unwrap();
    let answer = editor.answer_to(prompt);
    let outcome = &answer["error"]["data"]["skep"]["turn_ended"]["outcome"];
    assert_eq!(outcome, "interrupted", "{answer}");
    assert_ne!(env.daemon_pid(), old, "the editor waited for its turn, so the daemon was started again");
    let next = editor.prompt(&session, "say again");
    assert_eq!(stop_reason(&editor.answer_to(next)), "end_turn");
    let said: Vec<String> =
        (1..=50).map(|number| number.to_string()).chain(["done", "again"].map(String::from)).collect();
    assert_eq!(editor.texts(), said);
}

#[test]
fn c9_updates_reach_the_editor_byte_for_byte() {
    let env = TestEnv::new();
    let mut editor = Editor::lines(&env).introduced();
    let session = editor.new_session(&env);
    let prompt = editor.prompt(&session, "unknown-update\nsurrogate\nsay é");
    let _answer = editor.answer_to(prompt);
    let load = json!({"sessionId": session, "cwd": env.work(), "mcpServers": []});
    let _loaded = editor.ask("session/load", &load);
    let page = env.api().get(&format!("/sessions/{session}/events")).is(200).text();
    let begin = r#""kind":"update","data":"#;
    let updates: Vec<&str> =
        page.split(begin).skip(1).map(|rest| rest.split("},{\"seq\"").next().unwrap()).collect();
    assert!(updates.len() >= 3, "{page}");
    let output = editor.running.stdout_so_far();
    for update in updates {
        let line =
            format!(r#""method":"session/update","params":{{"sessionId":"{session}","update":{update}}}}}"#);
        assert_eq!(output.matches(&line).count(), 2, "once live and once loaded: {line}\n{output}");
    }
}

#[test]
fn c9_a_prompt_that_was_sent_runs_though_the_editor_closes_at_once() {
    let env = TestEnv::new();
    let mut editor = Editor::lines(&env).introduced();
    let session = editor.new_session(&env);
    editor.prompt(&session, "say hello\nask edit it");
    editor.running.close_stdin();
    let output = editor.running.finish().ok();
    assert!(output.stderr.is_empty(), "{output}");
    assert!(output.stdout.lines().all(|line| line.starts_with(r#"{"jsonrpc":"2.0","#)), "{output}");
    let waits = |info: &Value| info["state"] == "needs_you";
    let info = env.wait_session(&session, "to wait for a person", waits);
    assert_eq!(info["kind"], "interactive", "{info}");
}

#[test]
fn g13_whatever_an_editor_writes_is_answered_with_a_typed_error() {
    let env = TestEnv::new();
    let mut editor = Editor::lines(&env);
    let early = editor.ask("session/new", &json!({"cwd": "/", "mcpServers": []}));
    assert_eq!(early["error"]["code"], -32600, "{early}");
    let mut editor = editor.introduced();
    let session = editor.new_session(&env);
    let of = |more: Value| {
        let mut params = json!({"sessionId": session, "cwd": env.work(), "mcpServers": []});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let nobody = "1a2b3c4d-0000-4000-8000-000000000000";
    let table = [
        ("no/such", json!({}), -32601),
        ("initialize", json!(3), -32602),
        ("session/new", json!({}), -32602),
        ("session/new", of(json!({"cwd": "relative"})), -32602),
        ("session/new", of(json!({"cwd": "/no/such/directory"})), -32602),
        ("session/load", of(json!({"sessionId": nobody})), -32002),
        ("session/load", of(json!({"sessionId": "../.."})), -32002),
        ("session/load", of(json!({})), -32002),
        ("session/list", json!({"cursor": "?"}), -32602),
        ("session/prompt", of(json!({"prompt": []})), -32602),
        ("session/prompt", of(json!({"prompt": [{"type": "image", "data": "", "mimeType": "a/b"}]})), -32602),
        ("session/prompt", json!({"sessionId": nobody, "prompt": [{"type": "text", "text": "x"}]}), -32002),
        ("session/set_mode", of(json!({"modeId": "yolo"})), -32602),
        ("session/delete", json!({"sessionId": nobody}), -32002),
        ("authenticate", json!({"methodId": "x"}), -32602),
    ];
    for (method, params, code) in table {
        let answer = editor.ask(method, &params);
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
    for line in ["", "{", "[]", "3", "{\"jsonrpc\":\"2.0\"}", "\u{0}\u{1}", "{\"id\":null,\"method\":\"x\"}"]
    {
        editor.running.write(&format!("{line}\n"));
    }
    editor.running.write(&format!("{}\n", "x".repeat(17 * 1024 * 1024)));
    let long = editor.find("the refusal of a long line", |line| line["error"]["code"] == -32700);
    assert!(long["id"].is_null(), "{long}");
    let prompt = editor.prompt(&session, "say still here");
    assert_eq!(stop_reason(&editor.answer_to(prompt)), "end_turn");
    editor.running.close_stdin();
    let _output = editor.running.finish().ok();
}

#[test]
fn c9_a_session_keeps_no_second_turn_from_an_editor_that_prompts_while_one_runs() {
    let env = TestEnv::new();
    let mut editor = Editor::sdk(&env);
    let session = editor.new_session(&env);
    let first = editor.prompt(&session, "say first\nwait");
    editor.hears("first");
    let second = editor.prompt(&session, "say second");
    let info = wait_for("the second prompt to wait", || {
        let info = env.api().get(&format!("/sessions/{session}")).json();
        (info["queued"].as_array().map(Vec::len) == Some(1)).then_some(info)
    });
    assert_eq!(info["queue_held"], false, "{info}");
    editor.command(&json!({"notify": "session/cancel", "params": {"sessionId": session}}));
    let answers = [editor.find("an answer", |line| !line["id"].is_null()), {
        editor.find("the other answer", |line| !line["id"].is_null())
    }];
    for answer in &answers {
        assert_eq!(stop_reason(answer), "cancelled", "a cancel ends all that the editor waits for");
        assert!(answer["id"] == first || answer["id"] == second);
    }
    assert_eq!(editor.texts(), ["first"]);
}

#[test]
fn c9_acpx_drives_a_session_of_the_daemon() {
    let env = TestEnv::new();
    let programs = agents::programs();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let agent = format!("'{}' acp --agent fake", env.bin().display());
    let done = env
        .program(&programs.join("acpx"))
        .env("PATH", &path)
        .args(["--agent", &agent, "--approve-all", "--format", "json", "exec", "say hello\nask edit it"])
        .limit(SOON * 2)
        .run()
        .ok();
    assert!(done.stdout.contains("hello") && done.stdout.contains("allowed"), "{done}");
    wait_until("the session to be at rest", || {
        let sessions = env.api().get("/sessions").json();
        sessions["sessions"][0]["state"] == "idle"
    });
}
