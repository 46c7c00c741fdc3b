//! The agent from outside: a client of its own speaks ACP with it through pipes in memory; shells and processes are
//! real.

mod client;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skep_common::ids::Process;
use skep_sys::process;

use client::{Agent, Turn, eventually};

/// The snapshot helper: this test binary, called back by the shell with a file's name as its last argument.
#[test]
fn snapshot_helper() {
    if let Some(file) = std::env::args_os().last().filter(|last| Path::new(last).is_absolute()) {
        super::snapshot([file]);
    }
}

fn shells() -> Vec<&'static str> {
    ["/bin/sh", "/bin/bash", "/bin/dash", "/bin/zsh", "/bin/ksh"]
        .into_iter()
        .filter(|shell| Path::new(shell).exists())
        .collect()
}

#[tokio::test]
async fn directory_and_exported_variables_persist_whatever_the_command_did() {
    for shell in shells() {
        let mut agent = Agent::start_with(shell, &[("GONE", "x"), ("KEPT", "k")]).await;
        let session = agent.open_bypassing().await;
        let made = agent.dir().join("it's a dir");
        std::fs::create_dir(&made).unwrap();
        let quoted = shell_words::quote(made.to_str().unwrap()).into_owned();
        let lines =
            format!("cd {quoted}; A='line 1\nline 2'; export A; export B=b; unset GONE; C=private; exit 3");
        assert_eq!(agent.prompt(&session, &lines).await.exit_code(), Some(3), "{shell}");
        let turn = agent.prompt(&session, "pwd; echo \"$A|$B|${GONE-unset}|$KEPT|${C-unset}|$#|$1\"").await;
        let expected = format!("{}\nline 1\nline 2|b|unset|k|unset|0|\n", made.display());
        assert_eq!(turn.output(), expected, "{shell}");

        agent.prompt(&session, "B=; export PATH=/nowhere; false").await;
        assert_eq!(
            agent.prompt(&session, "echo \"$B,$PATH\"; unset PATH B").await.output(),
            ",/nowhere\n",
            "{shell}"
        );
        assert_eq!(
            agent.prompt(&session, "echo \"${B-unset}\"; cd - >/dev/null; pwd").await.output().lines().next(),
            Some("unset")
        );
        agent.end().await;
    }
}

#[tokio::test]
async fn g4_what_a_command_leaves_unchanged_of_its_environment_is_never_in_a_file() {
    let place = tempfile::tempdir().unwrap();
    let key = ("A_KEY", "hunter2-never-write-me-down");
    // More than a pipe holds.
    let filler = "x".repeat(100_000);
    let variables = [key, ("FILLER", filler.as_str())];
    // Looks for the key once the helper has written.
    let there = shell_words::quote(place.path().to_str().unwrap()).into_owned();
    let look = format!(
        "\"$@\"; cd {there}; find state -type f -exec grep -l hunter2 {{}} + >>found; echo looked >>found"
    );
    let mut agent = Agent::start_wrapped(place, "/bin/sh", &variables, &["/bin/sh", "-c", &look, "sh"]).await;
    let session = agent.open_bypassing().await;
    let turn = agent.prompt(&session, "cd /; export CHANGED=1; echo \"${#A_KEY}\"").await;
    assert_eq!(turn.output(), "27\n");
    let turn = agent.prompt(&session, "echo \"$CHANGED ${#FILLER} $PWD\"; unset A_KEY").await;
    assert_eq!(turn.output(), "1 100000 /\n");
    let turn = agent.prompt(&session, "echo \"${A_KEY-unset}\"").await;
    assert_eq!(turn.output(), "unset\n");
    let found = std::fs::read_to_string(agent.dir().join("found")).unwrap();
    assert_eq!(found, "looked\nlooked\nlooked\n");
    let place = agent.end().await;
    for entry in std::fs::read_dir(place.path().join("state")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("hunter2") && text.contains("CHANGED"), "{text}");
    }
}

#[tokio::test]
async fn a_command_sees_no_helper_and_its_marks_stay() {
    for shell in shells() {
        let mut agent = Agent::start_with(shell, &[("SKEP_SESSION", "mark")]).await;
        let session = agent.open_bypassing().await;
        let turn = agent.prompt(&session, "unset SKEP_SESSION; set -x; :").await;
        assert!(!turn.output().contains("snapshot"), "{shell}: {}", turn.output());
        let turn = agent.prompt(&session, "/usr/bin/env").await;
        let output = turn.output();
        assert!(output.contains("SKEP_SESSION=mark\n"), "{output}");
        let names: Vec<&str> =
            output.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        for name in &names {
            let known =
                ["PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "SKEP_SESSION", "SKEP_COMMAND", "LOGNAME"];
            assert!(known.contains(name), "{shell}: {name}");
        }
        agent.end().await;
    }
}

#[tokio::test]
async fn how_a_command_ended_is_told() {
    for shell in shells() {
        let mut agent = Agent::start_with(shell, &[]).await;
        let session = agent.open_bypassing().await;
        let turn = agent.prompt(&session, "true").await;
        assert_eq!((turn.exit_code(), turn.status()), (Some(0), "completed"));
        assert_eq!(turn.result()["stopReason"], "end_turn");
        let turn = agent.prompt(&session, "no_such_command_anywhere").await;
        assert_eq!((turn.exit_code(), turn.status()), (Some(127), "failed"));
        let turn = agent.prompt(&session, "if then").await;
        assert_ne!(turn.exit_code(), Some(0), "a syntax error");
        let turn = agent.prompt(&session, "kill -9 $$").await;
        assert_eq!(
            turn.result()["_meta"]["skep"],
            json!({"exit_code": 137, "signal": 9, "signal_name": "SIGKILL"})
        );
        assert_eq!(turn.last()["rawOutput"], json!({"exit_code": 137, "signal": 9}));
        assert_eq!(agent.prompt(&session, "echo alive").await.output(), "alive\n");
        agent.end().await;
    }
}

#[tokio::test]
async fn output_streams_in_order_and_whole() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let turn =
        agent.prompt(&session, "echo a; echo b >&2; echo c; printf '\\303'; printf '\\244\\377'").await;
    assert_eq!(turn.output(), "a\nb\nc\nä\u{fffd}");

    let turn = agent.prompt(&session, "head -c 20000000 /dev/zero | tr '\\0' x; echo end").await;
    assert_eq!(turn.output().len(), 20_000_004);
    assert!(turn.output().ends_with("xend\n"));
    let whole = turn.last()["content"][0]["content"]["text"].as_str().unwrap();
    assert_eq!(turn.last()["_meta"]["skep"]["output"], "whole");
    assert!(whole.len() < 70_000 && whole.ends_with("xend\n"), "{}", whole.len());
    agent.end().await;
}

/// The first piece arrives while the command still runs.
#[tokio::test]
async fn output_is_not_held_back() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let gate = agent.dir().join("gate");
    let id = agent
        .send_prompt(&session, &format!("echo first; until [ -e {} ]; do sleep 0.01; done", gate.display()))
        .await;
    agent.until_output("first\n").await;
    std::fs::write(&gate, "").unwrap();
    assert_eq!(agent.turn(id).await.exit_code(), Some(0));
    agent.end().await;
}

#[tokio::test]
async fn n7_nothing_runs_without_a_permission() {
    let mut agent = Agent::start().await;
    let session = agent.open().await;
    let file = agent.dir().join("made");
    let touch = format!("touch {}", file.display());

    agent.answer_with(json!({"outcome": {"outcome": "selected", "optionId": "reject_once"}}));
    let turn = agent.prompt(&session, &touch).await;
    assert_eq!((turn.stop_reason(), turn.status()), ("refusal", "failed"));
    agent.answer_with(json!({"outcome": {"outcome": "cancelled"}}));
    assert_eq!(agent.prompt(&session, &touch).await.stop_reason(), "cancelled");
    agent.answer_with(json!({"surprise": 1}));
    assert_eq!(agent.prompt(&session, &touch).await.stop_reason(), "refusal");
    assert!(!file.exists());

    agent.answer_with(json!({"outcome": {"outcome": "selected", "optionId": "allow_once"}}));
    assert_eq!(agent.prompt(&session, &touch).await.exit_code(), Some(0));
    assert!(file.exists());
    assert_eq!(agent.asked(), 4);

    agent.answer_with(json!({"outcome": {"outcome": "selected", "optionId": "allow_always"}}));
    for _ in 0..3 {
        assert_eq!(agent.prompt(&session, "echo again").await.output(), "again\n");
    }
    assert_eq!(agent.asked(), 5, "asked once for what is always allowed");
    agent.prompt(&session, "echo another").await;
    assert_eq!(agent.asked(), 6);

    agent.call("session/set_mode", json!({"sessionId": session, "modeId": "bypass"})).await.unwrap();
    agent.prompt(&session, "echo bypassed").await;
    assert_eq!(agent.asked(), 6);
    agent.end().await;
}

#[tokio::test]
async fn a_turn_that_waits_for_a_permission_can_be_cancelled() {
    let mut agent = Agent::start().await;
    let session = agent.open().await;
    agent.answer_with(Value::Null);
    let id = agent.send_prompt(&session, "echo never").await;
    agent.until_asked().await;
    agent.notify("session/cancel", json!({"sessionId": session})).await;
    assert_eq!(agent.turn(id).await.stop_reason(), "cancelled");
    agent.end().await;
}

async fn process_from(file: &Path) -> Process {
    eventually("a process id", || {
        let pid = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
        process::identity(pid)
    })
    .await
}

#[tokio::test]
async fn n4_cancelling_kills_the_whole_tree_however_it_forked() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let dir = agent.dir().to_str().unwrap().to_owned();
    let command = format!(
        "cd {dir}; trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > escaped; while :; do sleep 1; done' & \
         (sh -c 'echo $$ > double; exec sleep 1000' &) ; echo $$ > leader; echo ready; sleep 1000; sleep 1000"
    );
    for by_request in [false, true] {
        let id = agent.send_prompt(&session, &command).await;
        agent.until_output("ready\n").await;
        let mut processes = Vec::new();
        for name in ["escaped", "double", "leader"] {
            processes.push(process_from(&agent.dir().join(name)).await);
            std::fs::remove_file(agent.dir().join(name)).unwrap();
        }
        if by_request {
            agent.notify("$/cancel_request", json!({"requestId": id})).await;
        } else {
            agent.notify("session/cancel", json!({"sessionId": session})).await;
        }
        let turn = agent.turn(id).await;
        assert_eq!((turn.stop_reason(), turn.status()), ("cancelled", "failed"));
        for process in &processes {
            assert!(!process::is_alive(process), "{process:?} survived");
        }
    }
    assert_eq!(agent.prompt(&session, "echo next").await.output(), "next\n");
    agent.end().await;
}

#[tokio::test]
async fn n4_a_background_job_outlives_its_prompt_and_not_the_agent() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let file = agent.dir().join("pid");
    let command = format!("(setsid sleep 1000 & echo $! > {}); echo started", file.display());
    let turn = agent.prompt(&session, &command).await;
    assert_eq!((turn.output().as_str(), turn.exit_code()), ("started\n", Some(0)));
    let job = process_from(&file).await;
    agent.prompt(&session, "true").await;
    assert!(process::is_alive(&job));
    agent.end().await;
    assert!(!process::is_alive(&job));
}

/// A development server that logs must not die of a closed pipe when the prompt that started it is over.
#[tokio::test]
async fn a_background_job_may_write_after_its_prompt() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let (gate, file) = (agent.dir().join("gate"), agent.dir().join("made"));
    let job = format!(
        "(until [ -e {} ]; do sleep 0.01; done; echo late; touch {}) & echo started",
        gate.display(),
        file.display()
    );
    assert_eq!(agent.prompt(&session, &job).await.output(), "started\n");
    std::fs::write(&gate, "").unwrap();
    eventually("file of the background job", || file.exists().then_some(())).await;
    agent.end().await;
}

#[tokio::test]
async fn n4_closing_a_session_ends_its_jobs_and_no_others() {
    let mut agent = Agent::start().await;
    let mut jobs = Vec::new();
    for name in ["one", "two"] {
        let session = agent.open_bypassing().await;
        let file = agent.dir().join(name);
        agent.prompt(&session, &format!("sleep 1000 & echo $! > {}", file.display())).await;
        jobs.push((session, process_from(&file).await));
    }
    agent.call("session/close", json!({"sessionId": jobs[0].0})).await.unwrap();
    assert!(!process::is_alive(&jobs[0].1));
    assert!(process::is_alive(&jobs[1].1));
    let error = agent.call("session/close", json!({"sessionId": jobs[0].0})).await.unwrap_err();
    assert_eq!(error["code"], -32002);
    agent.end().await;
    assert!(!process::is_alive(&jobs[1].1));
}

#[tokio::test]
async fn the_end_of_input_ends_everything_at_once() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let file = agent.dir().join("pid");
    agent
        .send_prompt(
            &session,
            &format!("trap '' TERM HUP; echo $$ > {}; while :; do sleep 1; done", file.display()),
        )
        .await;
    let leader = process_from(&file).await;
    let started = std::time::Instant::now();
    agent.end().await;
    assert!(!process::is_alive(&leader));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn n2_a_loaded_session_goes_on_where_it_was() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let made = agent.dir().join("there");
    std::fs::create_dir(&made).unwrap();
    agent.prompt(&session, &format!("cd {}; export KEPT=yes", made.display())).await;
    agent.prompt(&session, "echo said; exit 7").await;
    let place = agent.end().await;

    let mut agent = Agent::start_in(place, "/bin/sh", &[]).await;
    agent.call("session/load", json!({"sessionId": session, "cwd": "/", "mcpServers": []})).await.unwrap();
    let replayed = agent.take_updates();
    let kinds: Vec<&str> = replayed.iter().filter_map(|update| update["sessionUpdate"].as_str()).collect();
    assert_eq!(kinds, ["user_message_chunk", "tool_call", "user_message_chunk", "tool_call"]);
    assert_eq!(replayed[3]["title"], "echo said; exit 7");
    assert_eq!(replayed[3]["rawOutput"]["exit_code"], 7);
    assert_eq!(replayed[3]["content"][0]["content"]["text"], "said\n");
    assert_eq!(replayed[3]["status"], "failed");

    agent.answer_with(json!({"outcome": {"outcome": "selected", "optionId": "allow_once"}}));
    let turn = agent.prompt(&session, "pwd; echo $KEPT").await;
    assert_eq!(turn.output(), format!("{}\nyes\n", made.display()));
    assert_eq!(agent.asked(), 1, "the mode is not inherited");

    for (unknown, code) in [("../../etc/passwd", -32002), ("00000000-0000-4000-8000-000000000000", -32002)] {
        let error = agent.call("session/load", json!({"sessionId": unknown, "cwd": "/"})).await.unwrap_err();
        assert_eq!(error["code"], code);
    }
    agent.end().await;
}

#[tokio::test]
async fn g9_sessions_run_beside_each_other_and_one_turn_at_a_time() {
    let mut agent = Agent::start().await;
    let (one, two) = (agent.open_bypassing().await, agent.open_bypassing().await);
    let gate = agent.dir().join("gate");
    let wait = format!("echo one; until [ -e {} ]; do sleep 0.01; done", gate.display());
    let first = agent.send_prompt(&one, &wait).await;
    agent.until_output("one\n").await;
    let busy = agent.send_prompt(&one, "echo second").await;
    assert_eq!(agent.turn(busy).await.error()["code"], -32600);
    let other = agent.prompt(&two, "echo two").await;
    assert_eq!(other.of(&two).output(), "two\n");
    let error = agent.call("session/load", json!({"sessionId": one, "cwd": "/"})).await.unwrap_err();
    assert_eq!(error["code"], -32600);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(agent.turn(first).await.exit_code(), Some(0));
    agent.end().await;
}

#[tokio::test]
async fn a_directory_that_is_gone_does_not_lock_the_session() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    let dir = agent.dir().to_owned();
    let gone = dir.join("a/b");
    std::fs::create_dir_all(&gone).unwrap();
    agent.prompt(&session, &format!("cd {}", gone.display())).await;
    std::fs::remove_dir_all(dir.join("a")).unwrap();
    let turn = agent.prompt(&session, "pwd").await;
    assert_eq!(
        turn.output(),
        format!("[{} is gone; continuing in {}]\n{}\n", gone.display(), dir.display(), dir.display())
    );
    assert_eq!(agent.prompt(&session, "pwd").await.output(), format!("{}\n", dir.display()));
    agent.end().await;
}

#[tokio::test]
async fn g13_whatever_comes_in_gets_a_typed_answer() {
    let mut agent = Agent::start().await;
    let session = agent.open_bypassing().await;
    for garbage in
        ["", "   ", "{", "null", "[1,2]", "\u{1}\u{2}", "{\"id\":1}", "{\"id\":{},\"method\":\"x\"}"]
    {
        agent.send_line(garbage).await;
    }
    agent.send_bytes(b"\xff\xfe\n").await;
    let cases = [
        ("no/such", json!({}), -32601),
        ("session/new", json!({}), -32602),
        ("session/new", json!({"cwd": 7}), -32602),
        ("session/new", json!({"cwd": "relative"}), -32602),
        ("session/new", json!({"cwd": "/no/such/directory"}), -32602),
        ("session/prompt", Value::Null, -32602),
        ("session/prompt", json!({"sessionId": session, "prompt": "ls"}), -32602),
        ("session/prompt", json!({"sessionId": session, "prompt": []}), -32602),
        ("session/prompt", json!({"sessionId": session, "prompt": [{"type": "image", "data": ""}]}), -32602),
        (
            "session/prompt",
            json!({"sessionId": session, "prompt": [{"type": "text", "text": "a\0b"}]}),
            -32602,
        ),
        (
            "session/prompt",
            json!({"sessionId": session, "prompt": [{"type": "text", "text": "x".repeat(200_000)}]}),
            -32602,
        ),
        ("session/prompt", json!({"sessionId": "other", "prompt": [{"type": "text", "text": "ls"}]}), -32002),
        ("session/set_mode", json!({"sessionId": session, "modeId": "yolo"}), -32602),
    ];
    for (method, params, code) in cases {
        let error = agent.call(method, params.clone()).await.expect_err(method);
        assert_eq!(error["code"], code, "{method} {params}");
    }
    for params in [Value::Null, json!({"sessionId": 5}), json!({"sessionId": "other"})] {
        agent.notify("session/cancel", params.clone()).await;
        agent.notify("$/cancel_request", params).await;
    }
    agent.notify("no/such", json!([])).await;
    assert_eq!(agent.prompt(&session, "echo alive").await.output(), "alive\n");
    assert_eq!(agent.complaints(), 7, "each line that is no message is answered once");
    agent.end().await;
}

#[tokio::test]
async fn it_introduces_itself_as_an_acp_agent() {
    let mut agent = Agent::start().await;
    let result =
        agent.call("initialize", json!({"protocolVersion": 1, "clientCapabilities": {}})).await.unwrap();
    assert_eq!((&result["protocolVersion"], &result["agentInfo"]["name"]), (&json!(1), &json!("skep-shell")));
    assert_eq!(result["agentCapabilities"]["loadSession"], true);
    serde_json::from_value::<agent_client_protocol_schema::v1::InitializeResponse>(result).unwrap();
    agent.call("authenticate", json!({"methodId": "none"})).await.unwrap();
    let dir = agent.dir().to_owned();
    let result = agent.call("session/new", json!({"cwd": dir, "mcpServers": []})).await.unwrap();
    serde_json::from_value::<agent_client_protocol_schema::v1::NewSessionResponse>(result).unwrap();

    let session = agent.open_bypassing().await;
    let turn: Turn = agent.prompt(&session, "echo a; sleep 0.05; echo b").await;
    for update in &turn.updates {
        serde_json::from_value::<agent_client_protocol_schema::v1::SessionNotification>(update.clone())
            .unwrap();
    }
    serde_json::from_value::<agent_client_protocol_schema::v1::PromptResponse>(turn.result().clone())
        .unwrap();
    agent.end().await;
}
