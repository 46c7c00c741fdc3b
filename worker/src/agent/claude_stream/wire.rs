//! The lines that skep writes to `claude`. Pure.

use serde_json::{Value, json};
use skep_common::session::ContentBlock;
use skep_common::session::content::as_text;

/// The beginning: what the client can do (nothing more than is asked for), and a sign that the agent is ready.
pub(super) fn initialize(request: &str) -> Vec<u8> {
    control(request, &json!({"subtype": "initialize"}))
}

/// Ends the running turn.
pub(super) fn interrupt(request: &str) -> Vec<u8> {
    control(request, &json!({"subtype": "interrupt"}))
}

/// Takes back a prompt that it has not begun with.
pub(super) fn withdraw(request: &str, uuid: &str) -> Vec<u8> {
    control(request, &json!({"subtype": "cancel_async_message", "message_uuid": uuid}))
}

/// A prompt under an id of ours, by which the agent says later what becomes of it.
pub(super) fn user(uuid: &str, content: &[ContentBlock]) -> Vec<u8> {
    let content: Vec<Value> = content.iter().map(block).collect();
    line(&json!({"type": "user", "uuid": uuid, "message": {"role": "user", "content": content}}))
}

/// A block in the words of the model's own API. What it has no word for is told as text.
fn block(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Image { mime_type, data: Some(data), .. } => {
            let source = json!({"type": "base64", "media_type": mime_type, "data": data});
            json!({"type": "image", "source": source})
        }
        other => json!({"type": "text", "text": as_text(std::slice::from_ref(other))}),
    }
}

/// The agent may use the tool, with the input that was shown, and by these rules of its own from now on.
pub(super) fn allow(request: &str, input: &Value, rules: &[Value]) -> Vec<u8> {
    let mut answer = json!({"behavior": "allow", "updatedInput": input});
    if !rules.is_empty() {
        answer["updatedPermissions"] = json!(rules);
    }
    respond(request, &answer)
}

/// It may not.
pub(super) fn deny(request: &str) -> Vec<u8> {
    respond(request, &json!({"behavior": "deny", "message": "this was not permitted"}))
}

/// Nothing of the kind is offered.
pub(super) fn decline(request: &str, what: &str) -> Vec<u8> {
    let error = format!("skep does not offer `{what}`");
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request, "error": error},
    }))
}

fn respond(request: &str, answer: &Value) -> Vec<u8> {
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request, "response": answer},
    }))
}

fn control(request: &str, what: &Value) -> Vec<u8> {
    line(&json!({"type": "control_request", "request_id": request, "request": what}))
}

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_one_line_whatever_it_says() {
        let text = "two\nlines \u{2028} and \"more\"";
        let written = user("u", &[ContentBlock::Text { text: text.to_owned() }]);
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!((&read["uuid"], &read["message"]["content"][0]["text"]), (&json!("u"), &json!(text)));
    }
}
