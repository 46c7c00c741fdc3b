//! Lines of `opencode run --format json`. Every one names the session; tools come when they are done. Pure.

use serde_json::Value;

use super::found::{Call, Done, Found, Usage, message, string, words};

/// What a line says; none if it is of no known kind.
pub(super) fn read(line: &Value) -> Option<Vec<Found>> {
    let part = &line["part"];
    let mut found: Vec<Found> = string(&line["sessionID"]).map(Found::Session).into_iter().collect();
    match line["type"].as_str()? {
        "step_start" => {}
        "text" => found.extend(words(&part["text"]).map(Found::Text)),
        "reasoning" => found.extend(words(&part["text"]).map(Found::Thought)),
        "tool_use" => found.extend(tool(part).into_iter().flatten()),
        "step_finish" => {
            let tokens = |name: &str| part["tokens"][name].as_u64().unwrap_or(0);
            let cached = part["tokens"]["cache"]["read"].as_u64().unwrap_or(0);
            found.push(Found::Usage(Usage {
                input: tokens("input").saturating_add(cached),
                output: tokens("output").saturating_add(tokens("reasoning")),
                cost: part["cost"].as_f64(),
                step: true,
                ..Usage::default()
            }));
        }
        "error" => {
            let why = message(&line["error"]);
            found.push(Found::Failed(why.unwrap_or_else(|| String::from("the agent failed"))));
        }
        _ => return None,
    }
    Some(found)
}

fn tool(part: &Value) -> Option<[Found; 2]> {
    let (id, state) = (string(&part["callID"])?, &part["state"]);
    let name = string(&part["tool"]).unwrap_or_default();
    let failed = state["status"] != "completed";
    let output = words(&state["output"]).or_else(|| message(&state["error"])).unwrap_or_default();
    let call = Call { id: id.clone(), name, input: state["input"].clone() };
    Some([Found::Call(call), Found::Done(Done { id, failed, output })])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_understood() {
        let step = Usage { input: 12, output: 3, cost: Some(0.25), step: true, ..Usage::default() };
        let tool = |state: Value| json!({"type": "tool_use", "part": {"callID": "c", "tool": "bash", "state": state}});
        let both = |failed, output: &str| {
            vec![
                Found::Call(Call { id: "c".into(), name: "bash".into(), input: json!({"command": "ls"}) }),
                Found::Done(Done { id: "c".into(), failed, output: output.to_owned() }),
            ]
        };
        for (line, found) in [
            (json!({"type": "step_start", "sessionID": "ses_1"}), vec![Found::Session("ses_1".into())]),
            (json!({"type": "text", "part": {"text": "hi"}}), vec![Found::Text("hi".into())]),
            (json!({"type": "reasoning", "part": {"text": "hm"}}), vec![Found::Thought("hm".into())]),
            (
                tool(json!({"status": "completed", "input": {"command": "ls"}, "output": "a"})),
                both(false, "a"),
            ),
            (
                tool(json!({"status": "error", "input": {"command": "ls"}, "error": "rejected"})),
                both(true, "rejected"),
            ),
            (
                json!({"type": "step_finish", "part": {"cost": 0.25,
                    "tokens": {"input": 10, "output": 2, "reasoning": 1, "cache": {"read": 2, "write": 0}}}}),
                vec![Found::Usage(step)],
            ),
            (
                json!({"type": "error", "error": {"name": "APIError", "data": {"message": "400"}}}),
                vec![Found::Failed("400".into())],
            ),
        ] {
            assert_eq!(read(&line), Some(found), "{line}");
        }
    }

    #[test]
    fn g13_nonsense_is_nothing() {
        for line in [
            json!({"type": "text"}),
            json!({"type": "text", "part": {"text": 7}}),
            json!({"type": "tool_use", "part": {}}),
            json!({"type": "step_start", "sessionID": [1]}),
        ] {
            assert_eq!(read(&line), Some(vec![]), "{line}");
        }
        for line in [json!({}), json!(null), json!({"type": "hologram", "sessionID": "s"})] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
