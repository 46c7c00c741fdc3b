//! Lines of `gemini -o stream-json`. Pure.

use serde_json::Value;

use super::found::{Call, Done, Found, Usage, content, message, string, words};

/// What a line says; none if it is of no known kind.
pub(super) fn read(line: &Value) -> Option<Vec<Found>> {
    let one = match line["type"].as_str()? {
        "init" => string(&line["session_id"]).map(Found::Session),
        // A user's message is our own prompt.
        "message" if line["role"] == "assistant" => words(&line["content"]).map(Found::Text),
        "message" => None,
        "tool_use" => string(&line["tool_id"]).map(|id| {
            let name = string(&line["tool_name"]).unwrap_or_default();
            Found::Call(Call { id, name, input: line["parameters"].clone() })
        }),
        "tool_result" => string(&line["tool_id"]).map(|id| {
            let output = words(&line["output"]).or_else(|| message(&line["error"]));
            let output = output.unwrap_or_else(|| content(&line["output"]));
            Found::Done(Done { id, failed: line["status"] != "success", output })
        }),
        "error" => message(&line["message"]).map(Found::Remark),
        "result" => return Some(result(line)),
        _ => return None,
    };
    Some(one.into_iter().collect())
}

fn result(line: &Value) -> Vec<Found> {
    let tokens = |name: &str| line["stats"][name].as_u64().unwrap_or(0);
    let (input, output) = (tokens("input_tokens"), tokens("output_tokens"));
    let mut found = vec![Found::Usage(Usage { input, output, ..Usage::default() })];
    if line["status"] != "success" {
        let why = message(&line["error"]);
        found.push(Found::Failed(why.unwrap_or_else(|| String::from("the agent failed"))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_understood() {
        let usage = |input, output| Found::Usage(Usage { input, output, ..Usage::default() });
        for (line, found) in [
            (json!({"type": "init", "session_id": "g", "model": "m"}), vec![Found::Session("g".into())]),
            (json!({"type": "message", "role": "user", "content": "hi"}), vec![]),
            (
                json!({"type": "message", "role": "assistant", "content": "ye", "delta": true}),
                vec![Found::Text("ye".into())],
            ),
            (
                json!({"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "t",
                    "parameters": {"command": "ls"}}),
                vec![Found::Call(Call {
                    id: "t".into(),
                    name: "run_shell_command".into(),
                    input: json!({"command": "ls"}),
                })],
            ),
            (
                json!({"type": "tool_result", "tool_id": "t", "status": "success", "output": ""}),
                vec![Found::Done(Done { id: "t".into(), failed: false, output: String::new() })],
            ),
            (
                json!({"type": "tool_result", "tool_id": "t", "status": "error", "error": {"message": "no"}}),
                vec![Found::Done(Done { id: "t".into(), failed: true, output: "no".into() })],
            ),
            (
                json!({"type": "error", "severity": "warning", "message": "loop"}),
                vec![Found::Remark("loop".into())],
            ),
            (
                json!({"type": "result", "status": "success", "stats": {"input_tokens": 8, "output_tokens": 1}}),
                vec![usage(8, 1)],
            ),
            (
                json!({"type": "result", "status": "error", "error": {"message": "[API Error: 400]"}}),
                vec![usage(0, 0), Found::Failed("[API Error: 400]".into())],
            ),
        ] {
            assert_eq!(read(&line), Some(found), "{line}");
        }
    }

    #[test]
    fn g13_nonsense_is_nothing() {
        for line in [
            json!({"type": "init"}),
            json!({"type": "message", "role": "assistant", "content": {"a": 1}}),
            json!({"type": "tool_use"}),
            json!({"type": "tool_result", "tool_id": 4}),
            json!({"type": "error"}),
        ] {
            assert_eq!(read(&line), Some(vec![]), "{line}");
        }
        for line in [json!({}), json!("x"), json!({"type": "hologram"})] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
