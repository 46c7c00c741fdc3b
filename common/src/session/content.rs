//! What a prompt is made of, in ACP's own shape, with one addition: what comes as bytes is kept as a file beside the
//! session's journal, which then holds its digest and size in place of the bytes (`attachment`). Pure.

mod fit;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use fit::{Fitted, Takes, Unfit, as_text, fit, link};

/// How many parts a prompt may have.
pub const MAX_BLOCKS: usize = 64;

/// The largest attachment, in bytes.
pub const MAX_ATTACHMENT: u64 = 20 << 20;

/// How much a prompt may have beside its attachments, in bytes of JSON: it must fit into one line of a worker's pipe
/// ([`crate::protocol::MAX_LINE`]).
pub const MAX_TEXT: usize = 4 << 20;

/// How long a name, a type or an address may be, in bytes.
const MAX_WORD: usize = 8 * 1024;

/// The directory of a session's attachments, in the session's own.
pub const ATTACHMENTS: &str = "attachments";

/// The directory in the state directory where attachments wait until a worker takes them into a session.
pub const INCOMING: &str = "incoming";

/// A part of a prompt, in ACP's own shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContentBlock {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture, for an agent that takes them.
    Image {
        /// Its type: `image/png` and the like.
        #[serde(rename = "mimeType")]
        mime_type: String,
        /// The picture in base64: in a request always, in an event never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        /// Where it comes from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uri: Option<String>,
        /// Where skep keeps it: in an event always, in a request never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attachment: Option<Attachment>,
    },
    /// A recording, for an agent that takes them.
    Audio {
        /// Its type: `audio/wav` and the like.
        #[serde(rename = "mimeType")]
        mime_type: String,
        /// The recording in base64: in a request always, in an event never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        /// Where skep keeps it: in an event always, in a request never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attachment: Option<Attachment>,
    },
    /// Something that the agent can fetch or read by itself. Every ACP agent takes it.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// What it is called.
        name: String,
        /// Its type.
        #[serde(rename = "mimeType", default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// Its size in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// A resource with its content. An agent that takes none gets its text as text.
    Resource {
        /// The resource.
        resource: Resource,
    },
}

/// A resource with its content: either text, or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Where it comes from.
    pub uri: String,
    /// Its type.
    #[serde(rename = "mimeType", default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its bytes in base64: in a request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Where skep keeps its bytes: in an event only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
}

/// Bytes that skep keeps with the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Their SHA-256, in lower-case hexadecimal digits; the file's name.
    pub sha256: Digest,
    /// How many they are.
    pub bytes: u64,
}

/// A SHA-256 in lower-case hexadecimal digits, so that it can be a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = "^[0-9a-f]{64}$"))]
pub struct Digest(String);

/// It is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 lower-case hexadecimal digits")]
pub struct InvalidDigest;

impl Digest {
    /// It as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let fits = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(text)) } else { Err(InvalidDigest) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// The bytes of a part: in base64, or kept by skep.
#[derive(Debug)]
pub struct Bytes<'a> {
    /// Their type, where it is known.
    pub mime_type: Option<&'a str>,
    /// In base64.
    pub data: &'a mut Option<String>,
    /// Kept by skep.
    pub attachment: &'a mut Option<Attachment>,
}

impl ContentBlock {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        matches!(self, Self::Text { text } if text.trim().is_empty())
    }

    /// Its bytes, if it is made of bytes.
    pub fn bytes_mut(&mut self) -> Option<Bytes<'_>> {
        match self {
            Self::Image { mime_type, data, attachment, .. } | Self::Audio { mime_type, data, attachment } => {
                Some(Bytes { mime_type: Some(mime_type), data, attachment })
            }
            Self::Resource { resource } if resource.text.is_none() => {
                let Resource { mime_type, blob, attachment, .. } = resource;
                Some(Bytes { mime_type: mime_type.as_deref(), data: blob, attachment })
            }
            Self::Text { .. } | Self::ResourceLink { .. } | Self::Resource { .. } => None,
        }
    }

    /// Where skep keeps its bytes, if it does.
    #[must_use]
    pub fn attachment(&self) -> Option<&Attachment> {
        match self {
            Self::Image { attachment, .. } | Self::Audio { attachment, .. } => attachment.as_ref(),
            Self::Resource { resource } => resource.attachment.as_ref(),
            Self::Text { .. } | Self::ResourceLink { .. } => None,
        }
    }

    /// The name of the file in [`ATTACHMENTS`] with its bytes, if skep keeps them: their digest, and an ending by type.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let mime = match self {
            Self::Image { mime_type, .. } | Self::Audio { mime_type, .. } => Some(mime_type.as_str()),
            Self::Resource { resource } => resource.mime_type.as_deref(),
            Self::Text { .. } | Self::ResourceLink { .. } => None,
        };
        let kind = mime.and_then(|mime| mime.split_once('/')).map_or("", |(_, kind)| kind);
        let ending: String = kind.chars().take_while(char::is_ascii_alphanumeric).take(8).collect();
        let ending = if ending.is_empty() { String::from("bin") } else { ending.to_ascii_lowercase() };
        Some(format!("{}.{ending}", self.attachment()?.sha256.as_str()))
    }

    /// What stands for it where only text can stand: the text itself, or words about the rest in brackets.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Text { text } => text.clone(),
            Self::Image { mime_type, uri, attachment, .. } => {
                in_brackets(&["image", &last_part(uri.as_deref()), mime_type, &size(attachment.as_ref())])
            }
            Self::Audio { mime_type, attachment, .. } => {
                in_brackets(&["audio", mime_type, &size(attachment.as_ref())])
            }
            Self::ResourceLink { uri, name, .. } => in_brackets(&["link", name, uri]),
            Self::Resource { resource } => {
                let mime_type = resource.mime_type.as_deref().unwrap_or_default();
                let text = resource.text.as_ref().map(|text| human(text.len() as u64));
                let size = text.unwrap_or_else(|| size(resource.attachment.as_ref()));
                in_brackets(&["resource", &resource.uri, mime_type, &size])
            }
        }
    }

    /// Whether it can stand in a request. Base64 is not looked at.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.attachment().is_some() {
            return Err(String::from("`attachment` is skep's own word; send the bytes as base64"));
        }
        match self {
            Self::Text { .. } => Ok(()),
            Self::Image { mime_type, data, uri, .. } => {
                uri.as_deref().map_or(Ok(()), |uri| word("uri", uri))?;
                media("image", mime_type, data.as_deref())
            }
            Self::Audio { mime_type, data, .. } => media("audio", mime_type, data.as_deref()),
            Self::ResourceLink { uri, name, mime_type, size: _ } => {
                word("uri", uri)?;
                word("name", name)?;
                mime_type.as_deref().map_or(Ok(()), |mime| word("mimeType", mime))
            }
            Self::Resource { resource } => {
                word("resource.uri", &resource.uri)?;
                resource.mime_type.as_deref().map_or(Ok(()), |mime| word("resource.mimeType", mime))?;
                match (&resource.text, resource.blob.as_deref()) {
                    (Some(_), None) => Ok(()),
                    (None, Some(blob)) if !blob.is_empty() => Ok(()),
                    _ => Err(String::from("a resource has either `text` or `blob`")),
                }
            }
        }
    }
}

/// A prompt's text; what is no text is named in brackets, each on a line of its own.
#[must_use]
pub fn prompt_words(content: &[ContentBlock]) -> String {
    content.iter().map(ContentBlock::words).collect::<Vec<_>>().join("\n")
}

fn in_brackets(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    format!("[{}]", words.join(" "))
}

/// The name at the end of an address, as far as it can be read.
fn last_part(uri: Option<&str>) -> String {
    let name = uri.and_then(|uri| uri.strip_prefix("file://")).and_then(|path| path.rsplit('/').next());
    name.map(|name| String::from_utf8_lossy(&unescaped(name)).into_owned()).unwrap_or_default()
}

fn size(attachment: Option<&Attachment>) -> String {
    attachment.map(|attachment| human(attachment.bytes)).unwrap_or_default()
}

/// A number of bytes for people.
#[must_use]
pub fn human(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

fn media(kind: &str, mime: &str, data: Option<&str>) -> Result<(), String> {
    word("mimeType", mime)?;
    if !mime.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1) {
        return Err(format!("mimeType must begin with `{kind}/`"));
    }
    match data {
        Some(data) if !data.is_empty() => Ok(()),
        _ => Err(format!("{kind} without `data`")),
    }
}

fn word(key: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_WORD || text.chars().any(char::is_control) {
        return Err(format!("{key} must have 1 to {MAX_WORD} bytes and no control character"));
    }
    Ok(())
}

/// The pictures that every agent with eyes takes.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What a file is by how it begins, where it is a picture that every agent with eyes takes, or a recording.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    match infer::get(head)?.mime_type() {
        "audio/x-wav" => Some("audio/wav"),
        "audio/x-flac" => Some("audio/flac"),
        "audio/x-aiff" => Some("audio/aiff"),
        audio if audio.starts_with("audio/") => Some(audio),
        picture if PICTURES.contains(&picture) => Some(picture),
        _ => None,
    }
}

/// Whether bytes are of the type that they are said to be, as far as their beginning tells. A model that is given one
/// picture under the type of another refuses the whole conversation from then on.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub fn check_type(mime: &str, head: &[u8]) -> Result<(), String> {
    let is = sniff(head);
    let fits = match is {
        _ if PICTURES.contains(&mime) => is == Some(mime),
        Some(is) if PICTURES.contains(&is) => !mime.starts_with("audio/"),
        _ => true,
    };
    match is {
        _ if fits => Ok(()),
        Some(is) => Err(format!("mimeType is `{mime}`, and the data is {is}")),
        None => Err(format!("mimeType is `{mime}`, and the data is not")),
    }
}

/// The `file:` address of an absolute path.
#[must_use]
pub fn file_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
            uri.extend(['%', digit(byte >> 4), digit(*byte)]);
        }
    }
    uri
}

/// The bytes of an address's part with its escapes read; what is no escape stands as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit =
        |at: usize| char::from(*bytes.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
