//! Lines of `codex exec --json`. Pure.

use serde_json::{Value, json};

use super::found::{Call, Done, Found, Usage, content, message, string, words};

/// What a line says; none if it is of no known kind.
pub(super) fn read(line: &Value) -> Option<Vec<Found>> {
    let item = &line["item"];
    Some(match line["type"].as_str()? {
        "thread.started" => string(&line["thread_id"]).map(Found::Session).into_iter().collect(),
        "turn.started" => Vec::new(),
        "turn.completed" => vec![Found::Usage(usage(&line["usage"]))],
        "turn.failed" => {
            let why = message(&line["error"]);
            vec![Found::Failed(why.unwrap_or_else(|| String::from("the agent failed")))]
        }
        // It may be tried again; a turn that fails says so.
        "error" => message(&line["message"]).map(Found::Remark).into_iter().collect(),
        "item.started" => tool(item).map(Found::Call).into_iter().collect(),
        "item.updated" => Vec::new(),
        "item.completed" => completed(item),
        _ => return None,
    })
}

fn completed(item: &Value) -> Vec<Found> {
    let one = match item["type"].as_str() {
        Some("agent_message") => words(&item["text"]).map(Found::Text),
        Some("reasoning") => words(&item["text"]).map(Found::Thought),
        Some("error") => message(&item["message"]).map(Found::Remark),
        _ => {
            // A tool whose beginning was not told is announced now; one that was is the same again.
            let Some(call) = tool(item) else { return Vec::new() };
            let failed = item["status"].as_str().is_some_and(|status| status != "completed")
                || item["exit_code"].as_i64().is_some_and(|code| code != 0)
                || !item["error"].is_null();
            let output = [&item["aggregated_output"], &item["result"]["content"], &item["error"]["message"]];
            let output = output.into_iter().map(content).find(|text| !text.is_empty()).unwrap_or_default();
            let done = Done { id: call.id.clone(), failed, output };
            return vec![Found::Call(call), Found::Done(done)];
        }
    };
    one.into_iter().collect()
}

fn tool(item: &Value) -> Option<Call> {
    let (name, input) = match item["type"].as_str()? {
        "command_execution" => (String::from("command_execution"), json!({"command": item["command"]})),
        "file_change" => {
            let path = &item["changes"][0]["path"];
            (String::from("file_change"), json!({"path": path, "changes": item["changes"]}))
        }
        "mcp_tool_call" => (words(&item["tool"]).unwrap_or_default(), item["arguments"].clone()),
        "web_search" => (String::from("web_search"), json!({"query": item["query"]})),
        _ => return None,
    };
    Some(Call { id: string(&item["id"])?, name, input })
}

fn usage(usage: &Value) -> Usage {
    let tokens = |name: &str| usage[name].as_u64().unwrap_or(0);
    Usage { input: tokens("input_tokens"), output: tokens("output_tokens"), ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let command = || Call {
            id: "i1".into(),
            name: "command_execution".into(),
            input: json!({"command": "sh -c ls"}),
        };
        let run = |kind: &str, status: &str, code: Value| {
            json!({"type": kind, "item": {"id": "i1", "type": "command_execution", "command": "sh -c ls",
                "aggregated_output": "out", "exit_code": code, "status": status}})
        };
        let done = |failed| Found::Done(Done { id: "i1".into(), failed, output: "out".into() });
        for (line, found) in [
            (json!({"type": "thread.started", "thread_id": "t"}), vec![Found::Session("t".into())]),
            (json!({"type": "turn.started"}), vec![]),
            (
                json!({"type": "item.completed", "item": {"id": "0", "type": "agent_message", "text": "hi"}}),
                vec![Found::Text("hi".into())],
            ),
            (
                json!({"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}}),
                vec![Found::Thought("hm".into())],
            ),
            (
                json!({"type": "item.completed", "item": {"type": "error", "message": "odd model"}}),
                vec![Found::Remark("odd model".into())],
            ),
            (run("item.started", "in_progress", Value::Null), vec![Found::Call(command())]),
            (run("item.completed", "completed", json!(0)), vec![Found::Call(command()), done(false)]),
            (run("item.completed", "failed", json!(1)), vec![Found::Call(command()), done(true)]),
            (run("item.completed", "declined", Value::Null), vec![Found::Call(command()), done(true)]),
            (
                json!({"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 2}}),
                vec![Found::Usage(Usage { input: 5, output: 2, ..Usage::default() })],
            ),
            (json!({"type": "error", "message": "reconnecting"}), vec![Found::Remark("reconnecting".into())]),
            (
                json!({"type": "turn.failed", "error": {"message": "{\"error\": {\"message\": \"no\"}}"}}),
                vec![Found::Failed("no".into())],
            ),
        ] {
            assert_eq!(read(&line), Some(found), "{line}");
        }
    }

    #[test]
    fn g13_nonsense_is_nothing() {
        for line in [
            json!({"type": "item.completed"}),
            json!({"type": "item.completed", "item": [7]}),
            json!({"type": "item.completed", "item": {"type": "todo_list"}}),
            json!({"type": "item.started", "item": {"type": "command_execution"}}),
            json!({"type": "thread.started", "thread_id": {}}),
        ] {
            assert_eq!(read(&line), Some(vec![]), "{line}");
        }
        assert_eq!(
            read(&json!({"type": "turn.failed"})),
            Some(vec![Found::Failed("the agent failed".into())])
        );
        for line in [json!({}), json!(7), json!({"type": "hologram"})] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
