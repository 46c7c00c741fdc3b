//! Lines of `claude -p --output-format stream-json` and of `qwen -o stream-json`, which has the same ones. Pure.

use serde_json::Value;

use super::found::{Call, Done, Found, Usage, content, message, string, words};

/// What a line says; none if it is of no known kind.
pub(in crate::agent) fn read(line: &Value) -> Option<Vec<Found>> {
    let mut found = Vec::new();
    match line["type"].as_str()? {
        "system" => {
            if line["subtype"] == "init" {
                found.extend(string(&line["session_id"]).map(Found::Session));
            }
        }
        "assistant" => {
            let ours = line["parent_tool_use_id"].is_null();
            let blocks = line["message"]["content"].as_array();
            found.extend(blocks.into_iter().flatten().filter_map(|block| said(block, ours)));
        }
        "user" => {
            let blocks = line["message"]["content"].as_array();
            found.extend(blocks.into_iter().flatten().filter_map(answered));
        }
        "result" => result(line, &mut found),
        // Parts of messages that come whole, too.
        "stream_event" => {}
        _ => return None,
    }
    Some(found)
}

/// A block of the model's. What a sub-agent says is not the answer.
fn said(block: &Value, ours: bool) -> Option<Found> {
    match block["type"].as_str()? {
        "text" if ours => words(&block["text"]).map(Found::Text),
        "text" => words(&block["text"]).map(Found::Thought),
        "thinking" => words(&block["thinking"]).map(Found::Thought),
        "tool_use" => Some(Found::Call(Call {
            id: string(&block["id"])?,
            name: string(&block["name"]).unwrap_or_default(),
            input: block["input"].clone(),
        })),
        _ => None,
    }
}

fn answered(block: &Value) -> Option<Found> {
    if block["type"] != "tool_result" {
        return None;
    }
    Some(Found::Done(Done {
        id: string(&block["tool_use_id"])?,
        failed: block["is_error"] == true,
        output: content(&block["content"]),
    }))
}

fn result(line: &Value, found: &mut Vec<Found>) {
    let tokens = |name: &str| line["usage"][name].as_u64().unwrap_or(0);
    let input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    let windows = line["modelUsage"].as_object().into_iter().flatten();
    found.push(Found::Usage(Usage {
        input: input.into_iter().map(tokens).fold(0, u64::saturating_add),
        output: tokens("output_tokens"),
        size: windows.filter_map(|(_, model)| model["contextWindow"].as_u64()).max().unwrap_or(0),
        cost: line["total_cost_usd"].as_f64(),
        step: false,
    }));
    let subtype = line["subtype"].as_str().unwrap_or_default();
    if subtype == "error_max_turns" {
        found.push(Found::Limit(String::from("the agent's limit of model requests was reached")));
    } else if line["is_error"] == true || subtype.starts_with("error") {
        let why = message(&line["error"]).or_else(|| message(&line["result"]));
        let why = why.or_else(|| words(&line["subtype"]));
        found.push(Found::Failed(why.unwrap_or_else(|| String::from("the agent failed"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_understood() {
        let text = |text: &str| Found::Text(text.to_owned());
        for (line, found) in [
            (
                json!({"type": "system", "subtype": "init", "session_id": "s-1", "tools": ["Bash"]}),
                vec![Found::Session("s-1".into())],
            ),
            (json!({"type": "system", "subtype": "compact_boundary"}), vec![]),
            (json!({"type": "stream_event", "event": {"type": "goal_state"}}), vec![]),
            (
                json!({"type": "assistant", "parent_tool_use_id": null, "message": {"content": [
                    {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"},
                    {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}]}}),
                vec![
                    Found::Thought("hm".into()),
                    text("yes"),
                    Found::Call(Call {
                        id: "t".into(),
                        name: "Bash".into(),
                        input: json!({"command": "ls"}),
                    }),
                ],
            ),
            (
                json!({"type": "assistant", "parent_tool_use_id": "t", "message": {"content": [
                    {"type": "text", "text": "inner"}]}}),
                vec![Found::Thought("inner".into())],
            ),
            (
                json!({"type": "user", "message": {"content": [
                    {"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": "denied"}]}}),
                vec![Found::Done(Done { id: "t".into(), failed: true, output: "denied".into() })],
            ),
            (
                json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}}),
                vec![Found::Done(Done { id: "t".into(), failed: false, output: "a\nb".into() })],
            ),
        ] {
            assert_eq!(read(&line), Some(found), "{line}");
        }
    }

    #[test]
    fn a_result_tells_usage_and_failure() {
        let result = |extra: Value| {
            let mut line = json!({"type": "result", "subtype": "success", "is_error": false,
                "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 3},
                "total_cost_usd": 0.5, "modelUsage": {"m": {"contextWindow": 1000}}});
            line.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            read(&line).unwrap()
        };
        let usage = Usage { input: 7, output: 3, size: 1000, cost: Some(0.5), step: false };
        assert_eq!(result(json!({"result": "said already"})), [Found::Usage(usage)]);
        for (extra, why) in [
            (json!({"is_error": true, "result": "API Error: 400"}), "API Error: 400"),
            (json!({"is_error": true, "error": {"message": "quota"}}), "quota"),
            (json!({"subtype": "error_during_execution"}), "error_during_execution"),
        ] {
            assert_eq!(result(extra)[1], Found::Failed(why.into()));
        }
        assert!(matches!(&result(json!({"subtype": "error_max_turns"}))[1], Found::Limit(_)));
    }

    #[test]
    fn g13_nonsense_is_nothing() {
        for line in [
            json!({"type": "assistant"}),
            json!({"type": "assistant", "message": {"content": "text"}}),
            json!({"type": "assistant", "message": {"content": [7, null, {"type": "tool_use"}]}}),
            json!({"type": "user", "message": {"content": [{"type": "tool_result"}]}}),
            json!({"type": "system", "subtype": "init", "session_id": 7}),
        ] {
            assert_eq!(read(&line), Some(vec![]), "{line}");
        }
        for line in [json!({}), json!({"type": 7}), json!([1]), json!({"type": "hologram"})] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
