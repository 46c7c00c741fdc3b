//! What a person says to an agent: ACP's content blocks to the API's and back. Pure.

use serde_json::{Value, json};
use skep_common::session::ContentBlock;
use skep_worker::acp::message::{self, RpcError};

/// The parts of a prompt, as the API takes them. A link to a resource becomes a Markdown link; kinds that were not
/// offered at `initialize` are refused.
pub(super) fn from_editor(blocks: &[Value]) -> Result<Vec<ContentBlock>, RpcError> {
    let invalid = |why: String| RpcError::new(message::INVALID_PARAMS, why);
    if blocks.is_empty() {
        return Err(invalid(String::from("the prompt is empty")));
    }
    let text = |text: String| ContentBlock::Text { text };
    let part = |block: &Value| match block["type"].as_str() {
        Some("text") => {
            let said = block["text"].as_str();
            said.map(|said| text(said.to_owned()))
                .ok_or_else(|| invalid(String::from("a text block has no text")))
        }
        Some("resource_link") => {
            let uri = block["uri"].as_str();
            let uri = uri.ok_or_else(|| invalid(String::from("a resource link has no uri")))?;
            Ok(text(link(block["name"].as_str().unwrap_or(uri), uri)))
        }
        Some(kind @ ("image" | "audio" | "resource")) => {
            Err(invalid(format!("prompts with a block of type `{kind}` are not supported")))
        }
        _ => Err(invalid(String::from("a block of the prompt has a type that ACP does not know"))),
    };
    blocks.iter().map(part).collect()
}

fn link(name: &str, uri: &str) -> String {
    let name: String = name.chars().filter(|c| !matches!(c, '[' | ']' | '\n' | '\r')).collect();
    let uri: String = uri.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\r')).collect();
    if uri.contains([' ', '(', ')']) { format!("[@{name}](<{uri}>)") } else { format!("[@{name}]({uri})") }
}

/// A part of a prompt, as ACP writes it.
pub(super) fn to_editor(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text { text } => json!({"type": "text", "text": text}),
    }
}

/// The first line of a prompt, for a title.
pub(super) fn title(content: &[ContentBlock]) -> Option<String> {
    const LENGTH: usize = 80;
    let ContentBlock::Text { text } = content.first()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_links_are_taken_and_the_rest_is_refused() {
        let taken = [
            (json!({"type": "text", "text": "hi"}), "hi"),
            (json!({"type": "text", "text": "hi", "annotations": {"x": 1}}), "hi"),
            (
                json!({"type": "resource_link", "name": "a.rs", "uri": "file:///a.rs"}),
                "[@a.rs](file:///a.rs)",
            ),
            (json!({"type": "resource_link", "name": "a]\n", "uri": "file:///a b)"}), "[@a](<file:///a b)>)"),
            (json!({"type": "resource_link", "uri": "x:y"}), "[@x:y](x:y)"),
        ];
        for (block, text) in taken {
            let said = from_editor(std::slice::from_ref(&block)).unwrap();
            assert_eq!(said, [ContentBlock::Text { text: text.to_owned() }], "{block}");
        }
        let refused = [
            json!({"type": "image", "data": "", "mimeType": "image/png"}),
            json!({"type": "resource", "resource": {}}),
            json!({"type": "text"}),
            json!({"type": "telepathy"}),
            json!("text"),
            json!(null),
        ];
        for block in refused {
            let error = from_editor(std::slice::from_ref(&block)).unwrap_err();
            assert_eq!(error.code, message::INVALID_PARAMS, "{block}");
        }
        assert_eq!(from_editor(&[]).unwrap_err().code, message::INVALID_PARAMS);
    }

    #[test]
    fn a_title_is_the_first_line_that_says_something() {
        let first_line = |text: &str| title(&[ContentBlock::Text { text: text.to_owned() }]);
        assert_eq!(first_line("\n  fix it  \nnow").as_deref(), Some("fix it"));
        assert_eq!(first_line(" \n"), None);
        let long = first_line(&"é".repeat(100)).unwrap();
        assert_eq!(long.chars().count(), 81);
    }
}
