//! A prompt's bytes on their way to a worker: decoded from base64, checked, and written to files of their own in
//! `incoming/`, from where the worker takes them into the session. So no line between processes and no record of a
//! journal holds them. What no worker took is removed with its [`Incoming`], or at the next start of a daemon.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use skep_common::api::PromptRequest;
use skep_common::code::{ApiError, Code};
use skep_common::ids::IncomingId;
use skep_common::session::ContentBlock;
use skep_common::session::content::{
    Attachment, Digest, INCOMING, MAX_ATTACHMENT, MAX_BLOCKS, MAX_TEXT, check_type, human,
};

/// A prompt that was checked, its attachments in files.
#[derive(Debug)]
pub struct Received {
    pub(crate) request: PromptRequest,
    pub(crate) incoming: Option<Incoming>,
}

/// The files of one prompt that no worker has taken yet; dropping it removes them.
#[derive(Debug)]
pub(crate) struct Incoming {
    id: IncomingId,
    dir: PathBuf,
}

impl Incoming {
    /// What a worker is told.
    pub(crate) fn id(&self) -> IncomingId {
        self.id
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} cannot be removed: {error}", self.dir.display());
            }
            _ => {}
        }
    }
}

/// Whether the parts can be sent at all. Pure; base64 is looked at in [`receive`].
///
/// # Errors
///
/// `invalid_value`, naming the part.
pub(crate) fn check(content: &[ContentBlock]) -> Result<(), ApiError> {
    if content.len() > MAX_BLOCKS {
        return Err(invalid(&format!("content has more than {MAX_BLOCKS} parts")));
    }
    for (at, block) in content.iter().enumerate() {
        block.check().map_err(|why| invalid(&format!("content[{at}]: {why}")))?;
    }
    Ok(())
}

/// Moves the bytes of a prompt's parts into files.
///
/// # Errors
///
/// `invalid_value` for what is no base64 or of another type than it says, `too_large` for an attachment or a text over
/// the limit, `storage_failed` when the disk refuses.
pub(crate) async fn receive(
    state_dir: &Path,
    mut content: Vec<ContentBlock>,
) -> Result<(Vec<ContentBlock>, Option<Incoming>), ApiError> {
    let mut incoming = None;
    if content.iter_mut().any(|block| block.bytes_mut().is_some()) {
        let state_dir = state_dir.to_owned();
        let stored = tokio::task::spawn_blocking(move || store(&state_dir, content)).await;
        let stored = stored.map_err(|error| {
            tracing::error!("the storing of attachments crashed: {error}");
            ApiError::new(Code::Internal, "the prompt's attachments could not be stored")
        })?;
        let (stored, files) = stored?;
        (content, incoming) = (stored, Some(files));
    }
    let text = serde_json::to_vec(&content).map_or(0, |json| json.len());
    if text > MAX_TEXT {
        let message = format!(
            "the prompt's text has {}, and {} are the limit: put it into a file, and attach or name that",
            human(text as u64),
            human(MAX_TEXT as u64)
        );
        return Err(too_large(message, MAX_TEXT as u64));
    }
    Ok((content, incoming))
}

/// Removes what former daemons left in `incoming/`.
pub(crate) fn sweep(state_dir: &Path) {
    match std::fs::remove_dir_all(state_dir.join(INCOMING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("attachments that no worker took cannot be removed: {error}");
        }
        _ => {}
    }
}

fn store(
    state_dir: &Path,
    mut content: Vec<ContentBlock>,
) -> Result<(Vec<ContentBlock>, Incoming), ApiError> {
    let id = IncomingId::random();
    let incoming = Incoming { id, dir: state_dir.join(INCOMING).join(id.to_string()) };
    DirBuilder::new().recursive(true).mode(0o700).create(&incoming.dir).map_err(|error| refused(&error))?;
    for (at, block) in content.iter_mut().enumerate() {
        let Some(part) = block.bytes_mut() else { continue };
        let Some(data) = part.data.take() else { continue };
        let bytes = decode(&data).map_err(|why| of_part(at, why))?;
        drop(data);
        check_type(part.mime_type.unwrap_or_default(), &bytes)
            .map_err(|why| invalid(&format!("content[{at}]: {why}")))?;
        *part.attachment = Some(Attachment { sha256: digest(&bytes)?, bytes: bytes.len() as u64 });
        let name = block.file_name().unwrap_or_default();
        write(&incoming.dir.join(name), &bytes).map_err(|error| refused(&error))?;
    }
    Ok((content, incoming))
}

fn decode(data: &str) -> Result<Vec<u8>, ApiError> {
    // Before it is decoded: four digits are three bytes.
    let most = u64::try_from(data.len()).unwrap_or(u64::MAX) / 4 * 3;
    if most > MAX_ATTACHMENT + 2 {
        let message = format!("it has {}, and {} are the limit", human(most), human(MAX_ATTACHMENT));
        return Err(too_large(message, MAX_ATTACHMENT));
    }
    STANDARD.decode(data).map_err(|error| invalid(&format!("it is not base64: {error}")))
}

fn digest(bytes: &[u8]) -> Result<Digest, ApiError> {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::try_from(hex).map_err(|error| ApiError::new(Code::Internal, error.to_string()))
}

/// The same bytes twice in a prompt are one file.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn of_part(at: usize, error: ApiError) -> ApiError {
    ApiError { message: format!("content[{at}]: {}", error.message), ..error }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(Code::InvalidValue, message)
}

fn too_large(message: String, limit: u64) -> ApiError {
    ApiError::new(Code::TooLarge, message).with_details(serde_json::json!({ "limit_bytes": limit }))
}

fn refused(error: &io::Error) -> ApiError {
    tracing::error!("an attachment cannot be stored: {error}");
    ApiError::new(Code::StorageFailed, "the prompt's attachments cannot be stored; the log says why")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(json: &str) -> Vec<ContentBlock> {
        serde_json::from_str(json).unwrap()
    }

    const PNG: &str = "iVBORw0KGgo=";

    #[tokio::test]
    async fn bytes_become_private_files_named_by_their_digest_and_go_with_their_owner() {
        use std::os::unix::fs::MetadataExt as _;
        let home = tempfile::tempdir().unwrap();
        let json = format!(
            r#"[{{"type":"text","text":"hi"}},
                {{"type":"image","mimeType":"image/png","data":"{PNG}"}},
                {{"type":"image","mimeType":"image/png","data":"{PNG}"}},
                {{"type":"resource","resource":{{"uri":"x:y","blob":"aGk="}}}}]"#
        );
        let (content, incoming) = receive(home.path(), blocks(&json)).await.unwrap();
        let incoming = incoming.unwrap();
        let dir = home.path().join(INCOMING).join(incoming.id().to_string());
        assert!(!serde_json::to_string(&content).unwrap().contains(PNG));
        for (block, bytes) in [
            (&content[1], &b"\x89PNG\r\n\x1a\n"[..]),
            (&content[2], b"\x89PNG\r\n\x1a\n"),
            (&content[3], b"hi"),
        ] {
            let file = dir.join(block.file_name().unwrap());
            assert_eq!(std::fs::read(&file).unwrap(), bytes);
            assert_eq!(block.attachment().unwrap().bytes, bytes.len() as u64);
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        drop(incoming);
        assert!(!dir.exists());
        std::fs::create_dir_all(&dir).unwrap();
        sweep(home.path());
        assert!(!dir.exists());
        sweep(home.path());
    }

    #[tokio::test]
    async fn g13_what_cannot_be_stored_is_refused_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let image = |data: &str| format!(r#"[{{"type":"image","mimeType":"image/png","data":"{data}"}}]"#);
        let huge = "A".repeat(usize::try_from(MAX_ATTACHMENT).unwrap() / 3 * 4 + 8);
        let text = format!(r#"[{{"type":"text","text":"{}"}}]"#, "a".repeat(MAX_TEXT));
        for (json, code, why) in [
            (image("%%%%"), Code::InvalidValue, "content[0]: it is not base64"),
            (image("aGk"), Code::InvalidValue, "content[0]: it is not base64"),
            (image("aG k="), Code::InvalidValue, "content[0]: it is not base64"),
            (image("aGk="), Code::InvalidValue, "content[0]: mimeType is `image/png`"),
            (image(&huge), Code::TooLarge, "content[0]: it has 21 MiB, and 20 MiB are the limit"),
            (text, Code::TooLarge, "the prompt's text has 5 MiB, and 4 MiB are the limit"),
        ] {
            let error = receive(home.path(), blocks(&json)).await.unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.starts_with(why), "{error}");
        }
        let left = std::fs::read_dir(home.path().join(INCOMING)).unwrap().count();
        assert_eq!(left, 0);
        let many = vec![ContentBlock::Text { text: String::from("x") }; MAX_BLOCKS + 1];
        assert_eq!(check(&many).unwrap_err().code, Code::InvalidValue);
        let kept = r#"[{"type":"image","mimeType":"image/png","attachment":
            {"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","bytes":1}}]"#;
        assert_eq!(check(&blocks(kept)).unwrap_err().code, Code::InvalidValue);
    }
}
