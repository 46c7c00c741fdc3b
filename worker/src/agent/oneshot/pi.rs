//! Lines of `pi --mode json`. A model that failed is told in a message only: the command ends with status 0. Pure.

use serde_json::Value;

use super::found::{Call, Done, Found, Usage, content, message, string, words};

/// What a line says; none if it is of no known kind.
pub(super) fn read(line: &Value) -> Option<Vec<Found>> {
    let tool = || string(&line["toolCallId"]);
    let one = match line["type"].as_str()? {
        "session" => string(&line["id"]).map(Found::Session),
        "message_update" => part(&line["assistantMessageEvent"]),
        "message_end" => return Some(ended(&line["message"])),
        "tool_execution_start" => tool().map(|id| {
            let name = string(&line["toolName"]).unwrap_or_default();
            Found::Call(Call { id, name, input: line["args"].clone() })
        }),
        "tool_execution_end" => tool().map(|id| {
            let output = content(&line["result"]["content"]);
            Found::Done(Done { id, failed: line["isError"] == true, output })
        }),
        "auto_retry_start" => message(&line["errorMessage"]).map(Found::Remark),
        // What the lines above say already.
        "agent_start"
        | "agent_end"
        | "agent_settled"
        | "turn_start"
        | "turn_end"
        | "message_start"
        | "tool_execution_update"
        | "auto_retry_end"
        | "compaction_start"
        | "compaction_end"
        | "queue_update" => None,
        _ => return None,
    };
    Some(one.into_iter().collect())
}

fn part(event: &Value) -> Option<Found> {
    match event["type"].as_str()? {
        "text_delta" => words(&event["delta"]).map(Found::Text),
        "thinking_delta" => words(&event["delta"]).map(Found::Thought),
        _ => None,
    }
}

fn ended(said: &Value) -> Vec<Found> {
    if said["role"] != "assistant" {
        return Vec::new();
    }
    let tokens = |name: &str| said["usage"][name].as_u64().unwrap_or(0);
    let input = ["input", "cacheRead", "cacheWrite"];
    let usage = Found::Usage(Usage {
        input: input.into_iter().map(tokens).fold(0, u64::saturating_add),
        output: tokens("output"),
        cost: said["usage"]["cost"]["total"].as_f64(),
        step: true,
        ..Usage::default()
    });
    let end = match said["stopReason"].as_str() {
        Some("error" | "aborted") => {
            let why = message(&said["errorMessage"]).or_else(|| words(&said["stopReason"]));
            Found::Failed(why.unwrap_or_default())
        }
        Some("length") => Found::Limit(String::from("the model's token limit was reached")),
        _ => Found::Recovered,
    };
    vec![usage, end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_understood() {
        let update = |event: Value| json!({"type": "message_update", "assistantMessageEvent": event});
        for (line, found) in [
            (json!({"type": "session", "version": 3, "id": "p"}), vec![Found::Session("p".into())]),
            (json!({"type": "agent_start"}), vec![]),
            (update(json!({"type": "text_delta", "delta": "hi"})), vec![Found::Text("hi".into())]),
            (update(json!({"type": "text_end", "content": "hi"})), vec![]),
            (update(json!({"type": "thinking_delta", "delta": "hm"})), vec![Found::Thought("hm".into())]),
            (
                json!({"type": "tool_execution_start", "toolCallId": "t", "toolName": "bash",
                    "args": {"command": "ls"}}),
                vec![Found::Call(Call {
                    id: "t".into(),
                    name: "bash".into(),
                    input: json!({"command": "ls"}),
                })],
            ),
            (
                json!({"type": "tool_execution_end", "toolCallId": "t", "isError": false,
                    "result": {"content": [{"type": "text", "text": "a"}]}}),
                vec![Found::Done(Done { id: "t".into(), failed: false, output: "a".into() })],
            ),
            (json!({"type": "message_end", "message": {"role": "user", "content": []}}), vec![]),
        ] {
            assert_eq!(read(&line), Some(found), "{line}");
        }
    }

    #[test]
    fn a_message_tells_how_the_model_fared() {
        let ended = |stop: &str| {
            read(&json!({"type": "message_end", "message": {"role": "assistant", "stopReason": stop,
                "errorMessage": "400: {\"message\":\"scripted\"}",
                "usage": {"input": 3, "cacheRead": 2, "output": 1, "cost": {"total": 0.5}}}}))
            .unwrap()
        };
        let usage = Usage { input: 5, output: 1, cost: Some(0.5), step: true, ..Usage::default() };
        assert_eq!(ended("stop"), [Found::Usage(usage), Found::Recovered]);
        assert_eq!(ended("error")[1], Found::Failed("400: {\"message\":\"scripted\"}".into()));
        assert!(matches!(&ended("length")[1], Found::Limit(_)));
    }

    #[test]
    fn g13_nonsense_is_nothing() {
        for line in [
            json!({"type": "session"}),
            json!({"type": "message_update"}),
            json!({"type": "message_end"}),
            json!({"type": "tool_execution_start", "toolCallId": null}),
        ] {
            assert_eq!(read(&line), Some(vec![]), "{line}");
        }
        for line in [json!({}), json!([]), json!({"type": "hologram"})] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
