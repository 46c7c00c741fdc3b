//! A prompt's attachments on their way to the agent: read from the session's files, off the runtime, when the prompt is
//! sent, and compared with what the journal says of them.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};
use skep_common::session::ContentBlock;
use skep_common::session::content::Attachment;

use super::acp::ToAgent;

/// Why a prompt cannot be sent. Its turn fails with this.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    #[error("the prompt was not sent: its attachment {name} cannot be read: {source}")]
    Unreadable { name: String, source: io::Error },
    #[error("the prompt was not sent: its attachment {name} is damaged on disk")]
    Damaged { name: String },
    #[error("the prompt was not sent: its attachments could not be read")]
    Crashed,
}

/// A command for the agent, with the attachments' bytes in it where it is a prompt.
pub(super) async fn filled(dir: &Path, command: ToAgent) -> Result<ToAgent, Unsent> {
    match command {
        ToAgent::Prompt(content) => Ok(ToAgent::Prompt(with_bytes(dir, content).await?)),
        ToAgent::Steer(prompt, content) => Ok(ToAgent::Steer(prompt, with_bytes(dir, content).await?)),
        other => Ok(other),
    }
}

async fn with_bytes(dir: &Path, content: Vec<ContentBlock>) -> Result<Vec<ContentBlock>, Unsent> {
    if content.iter().all(|block| block.attachment().is_none()) {
        return Ok(content);
    }
    let dir = dir.to_owned();
    let fill = move || content.into_iter().map(|block| fill(&dir, block)).collect();
    tokio::task::spawn_blocking(fill).await.unwrap_or(Err(Unsent::Crashed))
}

fn fill(dir: &Path, mut block: ContentBlock) -> Result<ContentBlock, Unsent> {
    let Some(name) = block.file_name() else { return Ok(block) };
    let Some(part) = block.bytes_mut() else { return Ok(block) };
    let Some(attachment) = part.attachment.take() else { return Ok(block) };
    let bytes = match read(&dir.join(&name), attachment.bytes) {
        Ok(bytes) => bytes,
        Err(source) => return Err(Unsent::Unreadable { name, source }),
    };
    if !is(&bytes, &attachment) {
        return Err(Unsent::Damaged { name });
    }
    *part.data = Some(STANDARD.encode(bytes));
    Ok(block)
}

fn is(bytes: &[u8], attachment: &Attachment) -> bool {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex == attachment.sha256.as_str()
}

/// Reads a regular file, and no more of it than one byte beyond `length`.
fn read(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(length + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_OF_HI: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

    #[tokio::test]
    async fn an_attachment_is_sent_as_it_was_stored_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let json = format!(
            r#"[{{"type":"text","text":"t"}},{{"type":"image","mimeType":"image/png","attachment":{{"sha256":"{SHA_OF_HI}","bytes":2}}}}]"#
        );
        let content: Vec<ContentBlock> = serde_json::from_str(&json).unwrap();
        let file = dir.path().join(content[1].file_name().unwrap());
        let send = async || match filled(dir.path(), ToAgent::Prompt(content.clone())).await {
            Ok(ToAgent::Prompt(content)) => serde_json::to_string(&content[1]).unwrap(),
            Ok(other) => panic!("{other:?}"),
            Err(unsent) => unsent.to_string(),
        };
        assert!(send().await.contains("cannot be read"));
        for wrong in ["ho", "hi there", ""] {
            std::fs::write(&file, wrong).unwrap();
            assert!(send().await.ends_with("is damaged on disk"), "{wrong}");
        }
        std::fs::write(&file, "hi").unwrap();
        assert_eq!(send().await, r#"{"type":"image","mimeType":"image/png","data":"aGk="}"#);
        let real = dir.path().join("real");
        std::fs::rename(&file, &real).unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        assert!(send().await.contains("cannot be read"), "a link is not followed");
        std::fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(send().await.contains("not a regular file"));
    }
}
