//! What a person says to an agent: ACP's content blocks to the API's and back. Pure.

use serde_json::{Value, json};
use skep_common::session::ContentBlock;
use skep_common::session::content::Resource;
use skep_worker::acp::message::{self, RpcError};

/// The parts of a prompt, as the API takes them. What ACP has beside them (annotations, titles) is for people, and left
/// out.
pub(super) fn from_editor(blocks: &[Value]) -> Result<Vec<ContentBlock>, RpcError> {
    let invalid = |why: String| RpcError::new(message::INVALID_PARAMS, why);
    if blocks.is_empty() {
        return Err(invalid(String::from("the prompt is empty")));
    }
    let part = |(at, block): (usize, &Value)| {
        let part = part(block).map_err(|why| invalid(format!("prompt[{at}]: {why}")))?;
        part.check().map_err(|why| invalid(format!("prompt[{at}]: {why}")))?;
        Ok(part)
    };
    blocks.iter().enumerate().map(part).collect()
}

fn part(block: &Value) -> Result<ContentBlock, String> {
    let kind = block["type"].as_str().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().map(ToOwned::to_owned);
    let must = |key: &str| text(block, key).ok_or_else(|| format!("a block of type `{kind}` has no {key}"));
    match kind {
        "text" => Ok(ContentBlock::Text { text: must("text")? }),
        "image" => Ok(ContentBlock::Image {
            mime_type: must("mimeType")?,
            data: Some(must("data")?),
            uri: text(block, "uri"),
            attachment: None,
        }),
        "audio" => Ok(ContentBlock::Audio {
            mime_type: must("mimeType")?,
            data: Some(must("data")?),
            attachment: None,
        }),
        "resource_link" => {
            let uri = must("uri")?;
            let name = text(block, "name").unwrap_or_else(|| uri.clone());
            let (mime_type, size) = (text(block, "mimeType"), block["size"].as_u64());
            Ok(ContentBlock::ResourceLink { uri, name, mime_type, size })
        }
        "resource" => {
            let inner = &block["resource"];
            let uri = text(inner, "uri").ok_or("a resource has no uri")?;
            let (mime_type, words, blob) =
                (text(inner, "mimeType"), text(inner, "text"), text(inner, "blob"));
            Ok(ContentBlock::Resource {
                resource: Resource { uri, mime_type, text: words, blob, attachment: None },
            })
        }
        _ => Err(String::from("it has a type that ACP does not know")),
    }
}

/// A part of a prompt, as ACP writes it. What skep keeps in files is named by words.
pub(super) fn to_editor(block: &ContentBlock) -> Value {
    match block.attachment() {
        Some(_) => json!({"type": "text", "text": block.words()}),
        None => json!(block),
    }
}

/// The first line of a prompt, for a title.
pub(super) fn title(content: &[ContentBlock]) -> Option<String> {
    const LENGTH: usize = 80;
    let text = content.iter().find_map(|block| match block {
        ContentBlock::Text { text } if !block.is_blank() => Some(text),
        _ => None,
    })?;
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
    fn every_kind_of_block_is_taken_without_what_is_for_people() {
        for (block, taken) in [
            (
                json!({"type": "text", "text": "hi", "annotations": {"x": 1}}),
                json!({"type": "text", "text": "hi"}),
            ),
            (
                json!({"type": "resource_link", "name": "a.rs", "uri": "file:///a.rs", "title": "A", "size": 3}),
                json!({"type": "resource_link", "name": "a.rs", "uri": "file:///a.rs", "size": 3}),
            ),
            (
                json!({"type": "resource_link", "uri": "x:y"}),
                json!({"type": "resource_link", "uri": "x:y", "name": "x:y"}),
            ),
            (
                json!({"type": "image", "data": "aGk=", "mimeType": "image/png", "uri": null, "_meta": {}}),
                json!({"type": "image", "data": "aGk=", "mimeType": "image/png"}),
            ),
            (
                json!({"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}),
                json!({"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}),
            ),
            (
                json!({"type": "resource", "resource": {"uri": "x:y", "text": "t", "mimeType": "text/plain"}}),
                json!({"type": "resource", "resource": {"uri": "x:y", "text": "t", "mimeType": "text/plain"}}),
            ),
            (
                json!({"type": "resource", "resource": {"uri": "x:y", "blob": "aGk="}}),
                json!({"type": "resource", "resource": {"uri": "x:y", "blob": "aGk="}}),
            ),
        ] {
            let said = from_editor(std::slice::from_ref(&block)).unwrap();
            assert_eq!(json!(said), json!([taken]), "{block}");
            assert_eq!(to_editor(&said[0]), taken);
            let _acp: agent_client_protocol_schema::v1::ContentBlock = serde_json::from_value(taken).unwrap();
        }
    }

    #[test]
    fn g13_blocks_that_make_no_sense_are_refused_by_their_place() {
        for block in [
            json!({"type": "image", "data": "", "mimeType": "image/png"}),
            json!({"type": "image", "data": "aGk=", "mimeType": "text/plain"}),
            json!({"type": "image", "data": "aGk="}),
            json!({"type": "audio", "mimeType": "audio/wav"}),
            json!({"type": "resource", "resource": {}}),
            json!({"type": "resource", "resource": {"uri": "a"}}),
            json!({"type": "resource_link", "name": "a"}),
            json!({"type": "text"}),
            json!({"type": "telepathy"}),
            json!("text"),
            json!(null),
        ] {
            let error = from_editor(&[json!({"type": "text", "text": "x"}), block.clone()]).unwrap_err();
            assert_eq!(error.code, message::INVALID_PARAMS, "{block}");
            assert!(error.message.starts_with("prompt[1]: "), "{error}");
        }
        assert_eq!(from_editor(&[]).unwrap_err().code, message::INVALID_PARAMS);
    }

    #[test]
    fn what_skep_keeps_in_files_is_named() {
        let kept = json!({"type": "image", "mimeType": "image/png", "attachment": {
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "bytes": 3}});
        let block: ContentBlock = serde_json::from_value(kept).unwrap();
        assert_eq!(to_editor(&block), json!({"type": "text", "text": "[image image/png 3 bytes]"}));
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
