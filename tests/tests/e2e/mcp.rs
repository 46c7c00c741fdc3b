//! `skep mcp`: an agent's tools for sessions of its own, with the real binary, by lines alone and by the MCP Inspector.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use skep_tests::agents;
use skep_tests::env::TestEnv;
use skep_tests::mcp::Server;
use skep_tests::wait::{SOON, wait_until};

/// `skep mcp` with a person's own authority.
fn own(env: &TestEnv) -> Server {
    Server::start(env.skep(["mcp"]).command())
}

/// A session whose agent is the scripted one and has skep's tools.
fn boss(env: &TestEnv, name: &str) -> String {
    let run = env.skep(["run", "--agent", "fake", "--name", name, "--delegate", "say ready"]).run().ok();
    assert!(run.stdout.contains("ready"), "{run}");
    id(env, name)
}

fn id(env: &TestEnv, name: &str) -> String {
    let info = env.api().get(&format!("/sessions/{name}")).json();
    info["id"].as_str().unwrap_or_else(|| panic!("{info}")).to_owned()
}

/// What the tool answers, when the agent of the session calls it.
fn calls(env: &TestEnv, session: &str, tool: &str, arguments: &Value) -> Value {
    let run = env.skep(["prompt", session, &format!("mcp {tool} {arguments}")]).run().ok();
    let line = run.stdout.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("the agent says what the tool answered: {run}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {run}"))
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}"))
}

#[test]
fn n9_an_agent_opens_prompts_reads_and_closes_a_session_of_its_own() {
    let env = TestEnv::new();
    let root = boss(&env, "boss");
    let start = json!({"agent": "fake", "name": "kid", "prompt": "say hello", "wait_seconds": 30});
    let started = calls(&env, "boss", "session_start", &start);
    assert_eq!((&started["waited"], &started["text"]), (&json!("turn_ended"), &json!("hello")), "{started}");
    assert_eq!(started["turn"]["outcome"], "completed");
    let kid = env.api().get("/sessions/kid").json();
    assert_eq!(kid["lineage"], json!([root]), "{kid}");
    let of_boss = env.api().get("/sessions/boss").json();
    assert_eq!((&kid["cwd"], &kid["permission_mode"]), (&of_boss["cwd"], &json!("ask")));

    let prompt = json!({"session": "kid", "text": "say again\ncount", "wait_seconds": 30});
    let prompted = calls(&env, "boss", "session_prompt", &prompt);
    assert_eq!(prompted["text"], "again2", "its context is kept: {prompted}");
    let read = calls(&env, "boss", "session_read", &json!({"session": "kid", "cursor": 0}));
    assert!(read["text"].as_str().unwrap().contains("hello") && read["more"] == false, "{read}");
    let after = json!({"session": "kid", "cursor": read["cursor"]});
    assert_eq!(calls(&env, "boss", "session_read", &after)["text"], "");

    let table = env.skep(["ps", "--long"]).run().ok();
    let row = table.stdout.lines().find(|line| line.contains("kid")).unwrap();
    assert!(table.stdout.contains("OPENED BY") && row.contains(&root[..8]), "{table}");

    // It acts under a token of its own, which goes with it.
    let tokens = || env.skep(["--json", "token", "ls"]).run().ok().json();
    let held = tokens();
    assert_eq!(held["tokens"][0]["children_of"], json!(root), "{held}");
    assert_eq!(held["tokens"][0]["scopes"], json!(["prompt"]));
    let closed = calls(&env, "boss", "session_close", &json!({"session": "kid"}));
    assert_eq!(closed["session"]["state"], "closed", "{closed}");
    let _closed = env.skep(["close", "boss"]).run().ok();
    wait_until("the token to be revoked", || tokens()["tokens"] == json!([]));
}

#[test]
fn n9_an_agent_reaches_no_session_but_its_own_and_gets_nothing_that_it_has_not() {
    let env = TestEnv::new();
    let _boss = boss(&env, "boss");
    let _other = env.skep(["run", "--agent", "fake", "--name", "other", "say mine"]).run().ok();
    let call = |tool: &str, arguments: Value| calls(&env, "boss", tool, &arguments);
    for (tool, more) in [
        ("session_prompt", json!({"text": "say x"})),
        ("session_read", json!({})),
        ("session_wait", json!({})),
        ("session_cancel", json!({})),
        ("session_close", json!({})),
    ] {
        for session in ["other", "boss"] {
            let mut arguments = more.clone();
            arguments["session"] = json!(session);
            assert_eq!(code(&call(tool, arguments)), "forbidden", "{tool} {session}");
        }
    }
    assert_eq!(call("session_list", json!({}))["sessions"], json!([]));
    let start = |more: Value| {
        let mut arguments = json!({"agent": "fake"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call("session_start", arguments)
    };
    for mode in ["bypass", "accept-edits", "plan"] {
        assert_eq!(code(&start(json!({"permission_mode": mode}))), "inside_session", "{mode}");
    }
    assert_eq!(code(&start(json!({"cwd": "/"}))), "directory_not_allowed");
    assert_eq!(code(&start(json!({"name": "other"}))), "session_exists");
    assert_eq!(code(&start(json!({"agent": "nobody"}))), "agent_not_found");
    let stricter = start(json!({"permission_mode": "deny"}));
    assert_eq!(stricter["session"]["permission_mode"], "deny", "{stricter}");
    assert_eq!(call("session_list", json!({}))["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn n9_depth_and_number_of_sessions_are_limited_by_the_daemon() {
    let env = TestEnv::with_config("[delegation]\nmax_depth = 2\nmax_children = 2\nmax_tree = 3\n");
    let root = boss(&env, "boss");
    let start = |of: &str, name: &str| {
        let arguments =
            json!({"agent": "fake", "name": name, "delegate": true, "prompt": "say up", "wait_seconds": 30});
        calls(&env, of, "session_start", &arguments)
    };
    assert_eq!(start("boss", "one")["text"], "up");
    assert_eq!(start("boss", "two")["text"], "up");
    let full = start("boss", "three");
    assert_eq!(code(&full), "too_many_children");
    assert!(full["error"]["message"].as_str().unwrap().contains("delegation.max_children"), "{full}");
    assert_eq!(start("one", "grandchild")["text"], "up");
    let lineage = env.api().get("/sessions/grandchild").json()["lineage"].clone();
    assert_eq!(lineage, json!([root, id(&env, "one")]));
    assert_eq!(code(&start("grandchild", "deeper")), "too_deep");
    let whole = start("two", "elsewhere");
    assert!(whole["error"]["message"].as_str().unwrap().contains("delegation.max_tree"), "{whole}");
    // What is closed makes room.
    let closed = calls(&env, "boss", "session_close", &json!({"session": "two"}));
    assert_eq!(closed["session"]["state"], "closed", "{closed}");
    assert_eq!(start("boss", "four")["text"], "up");
}

#[test]
fn n9_the_limits_hold_for_whatever_a_session_runs() {
    let env = TestEnv::with_config("[delegation]\nmax_depth = 1\n");
    // Agents are not told which daemon is theirs, if it is not the usual one.
    let skep = format!("SKEP_HOME='{}' '{}'", env.state().display(), env.bin().display());
    let run = |line: &str| env.skep(["run", "-y", "--name", "sh", line]).run();
    let _kid = run(&format!("{skep} bg --name kid true")).ok();
    let kid = env.api().get("/sessions/kid").json();
    assert_eq!(kid["lineage"], json!([id(&env, "sh")]), "{kid}");
    assert_eq!(kid["permission_mode"], "ask", "the default, not what its opener has: {kid}");
    let _free = run(&format!("{skep} bg --permission-mode bypass --name free true")).ok();
    assert_eq!(env.api().get("/sessions/free").json()["permission_mode"], "bypass", "its opener has it");
    let _done = env.skep(["wait", "free"]).run().ok();
    let deeper = env.skep(["prompt", "free", &format!("{skep} bg --name deeper true")]).run().exits(1);
    assert!(deeper.stdout.contains("delegation.max_depth"), "{deeper}");
    let _none = env.api().get("/sessions/deeper").refuses(404, "session_not_found");
}

#[test]
fn n9_a_person_answers_what_a_session_asks_and_no_tool_does() {
    let env = TestEnv::new();
    let mut server = own(&env);
    let start = json!({"agent": "fake", "name": "asks", "cwd": env.work(), "prompt": "ask edit the file",
        "wait_seconds": 60});
    let started = server.call("session_start", &start);
    assert_eq!(started["waited"], "needs_person", "{started}");
    assert_eq!(started["session"]["state"], "needs_you", "{started}");
    assert!(started["session"]["waits_for_person"][0].as_str().unwrap().contains("the file"), "{started}");
    assert_eq!(started["session"]["opened_by"], Value::Null, "from outside of sessions");
    let tools = server.ask("tools/list", &json!({}));
    assert!(!tools.to_string().contains("permission_answer"), "{tools}");

    let waiting = json!({"name": "session_wait", "arguments": {"session": "asks", "timeout_seconds": 60}});
    let again = server.ask("tools/call", &waiting);
    assert_eq!(again["result"]["structuredContent"]["waited"], "needs_person", "{again}");
    let _answer = env.skep(["allow"]).run().ok();
    let progress = json!({"session": "asks", "timeout_seconds": 60});
    let rests = server.call("session_wait", &progress);
    assert_eq!(rests["waited"], "at_rest", "{rests}");
    let read = server.call("session_read", &json!({"session": "asks"}));
    assert!(read["text"].as_str().unwrap().contains("allowed"), "{read}");
    assert!(server.end().success());
}

#[test]
fn n9_a_token_bounds_the_tools_and_its_end_ends_them() {
    let env = TestEnv::new();
    let _boss = env.skep(["run", "--agent", "fake", "--name", "boss", "say x"]).run().ok();
    let make = |args: &[&str]| {
        let all = ["--json", "token", "create"].into_iter().chain(args.iter().copied());
        env.skep(all).run().ok().json()
    };
    let given = make(&["--scope", "prompt", "--children-of", "boss"]);
    let file: PathBuf = env.root().join("a token");
    std::fs::write(&file, given["token"].as_str().unwrap()).unwrap();
    let with_file = env.skep(["mcp", "--token-file", file.to_str().unwrap()]);
    let mut server = Server::start(with_file.command());
    let start = json!({"agent": "fake", "name": "kid", "cwd": env.work()});
    let started = server.call("session_start", &start);
    assert_eq!(started["session"]["opened_by"], json!(id(&env, "boss")), "{started}");
    assert_eq!(code(&server.call("session_read", &json!({"session": "boss"}))), "forbidden");
    let wait = json!({"name": "session_wait", "arguments": {"session": "kid", "timeout_seconds": 600}});
    let _running =
        env.api().post("/sessions/kid/prompts", &json!({"content": [{"type": "text", "text": "wait"}]}));
    let waits = server.send("tools/call", &wait);
    let _revoked = env.skep(["token", "revoke", given["info"]["id"].as_str().unwrap()]).run().ok();
    let ended = server.find("the end of the wait", |line| line["id"] == waits);
    assert_eq!(code(&ended["result"]["structuredContent"]), "unauthorized", "{ended}");
    assert_eq!(code(&server.call("session_list", &json!({}))), "unauthorized");

    let reads = make(&["--scope", "read"]);
    let with_token = env.skep(["mcp"]).env("SKEP_TOKEN", reads["token"].as_str().unwrap());
    let mut reader = Server::start(with_token.command());
    assert_eq!(reader.call("session_list", &json!({}))["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(code(&reader.call("session_start", &start)), "forbidden");
    assert_eq!(code(&reader.call("session_close", &json!({"session": "kid"}))), "forbidden");
}

#[test]
fn g13_whatever_an_agent_writes_the_tools_stay_usable() {
    let env = TestEnv::new();
    let mut server = own(&env);
    for line in
        ["", "{", "[]", "3", "\u{0}\u{1}", r#"{"jsonrpc":"2.0"}"#, r#"{"jsonrpc":"2.0","id":[],"method":1}"#]
    {
        server.write(line);
    }
    server.write(&"x".repeat(9 * 1024 * 1024));
    let unknown = server.ask("tools/call", &json!({"name": "session_approve", "arguments": {}}));
    assert!(unknown["error"]["code"].is_i64(), "{unknown}");
    assert_eq!(server.ask("no/such", &json!({}))["error"]["code"], -32601);
    for (tool, arguments) in [
        ("session_wait", json!({})),
        ("session_wait", json!({"session": 7})),
        ("session_wait", json!({"session": "a", "extra": true})),
        ("session_start", json!({"permission_mode": "yolo"})),
    ] {
        assert_eq!(code(&server.call(tool, &arguments)), "invalid_value", "{tool} {arguments}");
    }
    for (tool, arguments, expected) in [
        ("session_wait", json!({"session": "a", "timeout_seconds": 601}), "invalid_value"),
        ("session_read", json!({"session": "../daemon"}), "invalid_value"),
        ("session_read", json!({"session": "nobody"}), "session_not_found"),
        ("session_list", json!({"cursor": "&limit=9999"}), "invalid_value"),
        ("session_start", json!({"cwd": "relative"}), "directory_not_allowed"),
        ("session_start", json!({"prompt": " ", "agent": "fake"}), "invalid_value"),
        ("session_start", json!({"prompt": "y".repeat(5 << 20), "agent": "fake"}), "too_large"),
    ] {
        assert_eq!(code(&server.call(tool, &arguments)), expected, "{tool}");
    }
    let list = server.call("session_list", &json!({}));
    assert!(list["sessions"].is_array(), "{list}");
    assert!(server.end().success());
}

#[test]
fn g22_a_wait_ends_when_it_is_cancelled_when_the_daemon_stops_and_when_the_agent_goes_away() {
    let env = TestEnv::new();
    let mut server = own(&env);
    let start = json!({"agent": "fake", "name": "long", "cwd": env.work(), "prompt": "say on\nwait"});
    assert!(server.call("session_start", &start)["session"].is_object());
    let wait = json!({"name": "session_wait", "arguments": {"session": "long", "timeout_seconds": 600},
        "_meta": {"progressToken": "p"}});
    let first = server.send("tools/call", &wait);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": first}});
    server.write(&cancel.to_string());
    // What was cancelled is not answered, and nothing is held up by it.
    let list = server.call("session_list", &json!({}));
    assert_eq!(list["sessions"][0]["name"], "long", "{list}");

    let second = server.send("tools/call", &wait);
    let cancelled = server.call("session_cancel", &json!({"session": "long"}));
    assert_eq!(cancelled["session"]["name"], "long", "{cancelled}");
    let ended = server.find("the end of the wait", |line| line["id"] == second);
    assert_eq!(ended["result"]["structuredContent"]["waited"], "at_rest", "{ended}");

    assert!(server.call("session_prompt", &json!({"session": "long", "text": "wait"}))["prompt"].is_string());
    let _third = server.send("tools/call", &wait);
    let began = Instant::now();
    assert!(server.end().success());
    assert!(began.elapsed() < SOON, "an agent that is gone is not waited for");

    let token = env.skep(["--json", "token", "create", "--scope", "prompt"]).run().ok().json();
    let given = env.skep(["mcp"]).env("SKEP_TOKEN", token["token"].as_str().unwrap());
    let mut server = Server::start(given.command());
    let fourth = server.send("tools/call", &wait);
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let ended = server.find("the end of the wait", |line| line["id"] == fourth);
    let told = &ended["result"]["structuredContent"];
    let rests = told["session"]["state"] == "interrupted";
    assert!(rests || ["daemon_unreachable", "shutting_down"].contains(&code(told)), "{ended}");
    assert_eq!(code(&server.call("session_list", &json!({}))), "daemon_unreachable");
    assert_eq!(env.find_daemon_pid(), None, "who has a token only starts no daemon");
}

#[test]
fn g13_a_server_that_cannot_act_says_so_at_once() {
    let env = TestEnv::new();
    let missing = env.skep(["mcp", "--token-file", "/no/such"]).stdin("").run().exits(2);
    assert!(missing.stderr.contains("/no/such"), "{missing}");
    let shared = env.skep(["mcp"]).env("SKEP_AGENT_PROCESS", "x").stdin("").run().exits(1);
    assert!(shared.stderr.contains("serves several sessions"), "{shared}");
    let _nonsense = env.skep(["mcp"]).env("SKEP_SESSION", "../x").stdin("").run().exits(2);
    let silent = env.skep(["mcp"]).stdin("").run().ok();
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("", ""));
    assert_eq!(env.find_daemon_pid(), None, "nothing was asked of a daemon");
}

#[test]
fn n9_the_mcp_inspector_lists_the_tools_and_opens_a_session() {
    let env = TestEnv::new();
    let inspect = |args: &[&str]| {
        let inspector = agents::mcp_inspector();
        let home = format!("SKEP_HOME={}", env.state().display());
        env.program(&agents::programs().join("node"))
            .arg(inspector)
            .args(["--cli", "-e", &home, env.bin().to_str().unwrap(), "mcp"])
            .args(args)
            .limit(SOON * 2)
            .run()
            .ok()
    };
    let tools = inspect(&["--method", "tools/list", "--strict"]).json();
    let names: Vec<&str> =
        tools["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(names.contains(&"session_start") && names.len() == 8, "{tools}");
    let work = format!("cwd={}", env.work().display());
    let call = ["--method", "tools/call", "--tool-name", "session_start", "--tool-arg", "agent=fake"];
    let more = [work.as_str(), "name=seen", "prompt=say hello", "wait_seconds=30"];
    let started = inspect(&[&call[..], &more[..]].concat()).json();
    assert_eq!(started["structuredContent"]["text"], "hello", "{started}");
    assert_eq!(env.api().get("/sessions/seen").json()["state"], "idle");
}
