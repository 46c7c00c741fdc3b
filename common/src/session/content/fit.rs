//! A prompt as its agent can take it: what it cannot take is refused, or told in another way where nothing is lost by
//! that. Never is a part dropped. Pure.

use std::path::Path;

use super::{ContentBlock, Resource, file_uri, last_part};

/// What an agent takes in a prompt beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Takes {
    /// Pictures.
    pub images: bool,
    /// Recordings.
    pub audio: bool,
    /// Resources with their content.
    pub resources: bool,
    /// Links, and whatever else can be said in words. Not so where a prompt is a command line.
    pub words: bool,
}

/// A prompt that its agent takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// Its parts.
    pub content: Vec<ContentBlock>,
    /// What became of others, for people.
    pub notes: Vec<String>,
}

/// The agent does not take a part of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Of this kind.
    #[error("the prompt was not sent: the session's agent does not take {0}")]
    Kind(&'static str),
    /// It is the built-in shell agent.
    #[error(
        "the prompt was not sent: the shell agent takes a command line, and nothing that is attached to it"
    )]
    Shell,
}

/// Makes a prompt fit. What else would be refused becomes a link to the file that skep keeps in `files`, where that is
/// given.
///
/// # Errors
///
/// When the agent cannot be given a part in any way.
pub fn fit(content: &[ContentBlock], takes: Takes, files: Option<&Path>) -> Result<Fitted, Unfit> {
    let mut fitted = Fitted { content: Vec::with_capacity(content.len()), notes: Vec::new() };
    for block in content {
        let (takes_it, kind) = match block {
            ContentBlock::Text { .. } => (true, "text"),
            _ if !takes.words => return Err(Unfit::Shell),
            ContentBlock::ResourceLink { .. } => (true, "links"),
            ContentBlock::Image { .. } => (takes.images, "images"),
            ContentBlock::Audio { .. } => (takes.audio, "audio"),
            ContentBlock::Resource { .. } => (takes.resources, "embedded resources"),
        };
        let other = if takes_it { None } else { Some(otherwise(block, files).ok_or(Unfit::Kind(kind))?) };
        match other {
            None => fitted.content.push(block.clone()),
            Some((other, how)) => {
                fitted.notes.push(format!(
                    "the agent does not take {kind}: {} was given to it as {how}",
                    block.words()
                ));
                fitted.content.push(other);
            }
        }
    }
    Ok(fitted)
}

/// What can be said in place of a part, and what that is called.
fn otherwise(block: &ContentBlock, files: Option<&Path>) -> Option<(ContentBlock, &'static str)> {
    if let ContentBlock::Resource { resource: Resource { uri, text: Some(text), .. } } = block {
        let text = format!("[content of {uri}]\n{text}\n[end of {uri}]");
        return Some((ContentBlock::Text { text }, "text"));
    }
    let (name, size) = (block.file_name()?, block.attachment()?.bytes);
    let mime_type = match block {
        ContentBlock::Image { mime_type, .. } | ContentBlock::Audio { mime_type, .. } => {
            Some(mime_type.clone())
        }
        ContentBlock::Resource { resource } => resource.mime_type.clone(),
        ContentBlock::Text { .. } | ContentBlock::ResourceLink { .. } => None,
    };
    let uri = file_uri(&files?.join(&name));
    let called = match block {
        ContentBlock::Image { uri, .. } => last_part(uri.as_deref()),
        _ => String::new(),
    };
    let name = if called.is_empty() { name } else { called };
    Some((ContentBlock::ResourceLink { uri, name, mime_type, size: Some(size) }, "a link to a file"))
}

/// A fitted prompt for an agent that reads nothing but text: links as Markdown has them.
#[must_use]
pub fn as_text(content: &[ContentBlock]) -> String {
    let words = |block: &ContentBlock| match block {
        ContentBlock::ResourceLink { uri, name, .. } => link(name, uri),
        other => other.words(),
    };
    content.iter().map(words).collect::<Vec<_>>().join("\n")
}

/// A link in Markdown, whatever its name and address hold.
#[must_use]
pub fn link(name: &str, uri: &str) -> String {
    let name: String = name.chars().filter(|c| !matches!(c, '[' | ']' | '\n' | '\r')).collect();
    let uri: String = uri.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\r')).collect();
    if uri.contains([' ', '(', ')']) { format!("[@{name}](<{uri}>)") } else { format!("[@{name}]({uri})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    const NOTHING: Takes = Takes { images: false, audio: false, resources: false, words: true };

    fn block(json: &str) -> ContentBlock {
        serde_json::from_str(&json.replace("KEPT", &format!(r#"{{"sha256":"{SHA}","bytes":7}}"#))).unwrap()
    }

    const IMAGE: &str = r#"{"type":"image","mimeType":"image/png","attachment":KEPT}"#;
    const AUDIO: &str = r#"{"type":"audio","mimeType":"audio/wav","attachment":KEPT}"#;
    const TEXT: &str = r#"{"type":"resource","resource":{"uri":"x:y","text":"t"}}"#;
    const BLOB: &str = r#"{"type":"resource","resource":{"uri":"x:y","attachment":KEPT}}"#;
    const LINK: &str = r#"{"type":"resource_link","uri":"file:///a","name":"a"}"#;

    #[test]
    fn what_an_agent_takes_goes_to_it_unchanged_and_the_rest_is_refused_by_name() {
        let all = Takes { images: true, audio: true, resources: true, words: true };
        for (json, takes, refused) in [
            (IMAGE, Takes { images: true, ..NOTHING }, Some("images")),
            (AUDIO, Takes { audio: true, ..NOTHING }, Some("audio")),
            (BLOB, Takes { resources: true, ..NOTHING }, Some("embedded resources")),
            (TEXT, Takes { resources: true, ..NOTHING }, None),
            (LINK, NOTHING, None),
            (r#"{"type":"text","text":"a"}"#, NOTHING, None),
        ] {
            let content = [block(json)];
            for takes in [takes, all] {
                let fitted = fit(&content, takes, None).unwrap();
                assert_eq!((fitted.content.as_slice(), fitted.notes.len()), (&content[..], 0), "{json}");
            }
            let refusal = fit(&content, NOTHING, None).err();
            assert_eq!(refusal, refused.map(Unfit::Kind), "{json}");
        }
    }

    #[test]
    fn nothing_but_text_becomes_a_command_line() {
        for json in [IMAGE, AUDIO, TEXT, BLOB, LINK] {
            assert_eq!(
                fit(&[block(json)], Takes::default(), Some(Path::new("/d"))),
                Err(Unfit::Shell),
                "{json}"
            );
        }
        let text = [block(r#"{"type":"text","text":"a"}"#)];
        assert_eq!(fit(&text, Takes::default(), None).unwrap().content, text);
    }

    #[test]
    fn what_is_said_otherwise_is_whole_and_noted() {
        let fitted = fit(&[block(TEXT)], NOTHING, None).unwrap();
        assert_eq!(as_text(&fitted.content), "[content of x:y]\nt\n[end of x:y]");
        let said =
            ["the agent does not take embedded resources: [resource x:y 1 bytes] was given to it as text"];
        assert_eq!(fitted.notes, said);
        for (json, ending) in [(IMAGE, "png"), (AUDIO, "wav"), (BLOB, "bin")] {
            let fitted = fit(&[block(json)], NOTHING, Some(Path::new("/a dir"))).unwrap();
            let name = format!("{SHA}.{ending}");
            assert_eq!(as_text(&fitted.content), format!("[@{name}](file:///a%20dir/{name})"));
            assert_eq!(fitted.notes.len(), 1);
        }
        let named = IMAGE.replace("\"attachment\"", "\"uri\":\"file:///home/a%20b.png\",\"attachment\"");
        let fitted = fit(&[block(&named)], NOTHING, Some(Path::new("/d"))).unwrap();
        assert_eq!(as_text(&fitted.content), format!("[@a b.png](file:///d/{SHA}.png)"));
    }

    #[test]
    fn a_link_cannot_leave_its_brackets() {
        for (name, uri, text) in [
            ("a.rs", "file:///a.rs", "[@a.rs](file:///a.rs)"),
            ("a]\n", "file:///a b)", "[@a](<file:///a b)>)"),
            ("x:y", "x:y", "[@x:y](x:y)"),
        ] {
            assert_eq!(link(name, uri), text);
        }
    }
}
