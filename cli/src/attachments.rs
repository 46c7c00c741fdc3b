//! `--attach FILE`: a picture or a recording goes with the prompt, any other file as a link that the agent can follow.
//! What is piped in (`-`) goes with it, whatever it is.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use skep_common::code::Code;
use skep_common::session::ContentBlock;
use skep_common::session::content::{MAX_ATTACHMENT, MAX_BLOCKS, Resource, file_uri, human, sniff};

use crate::error::CliError;

/// What stands for standard input.
const STDIN: &str = "-";

/// How much of a file tells what it is.
const HEAD: usize = 4096;

/// Files that go with a prompt.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Attachments {
    /// Send a file with the prompt; can be repeated, `-` is standard input.
    ///
    /// A picture or a recording is sent to the agent, any other file is named to it by a link.
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
}

impl Attachments {
    /// They as parts of a prompt, which itself comes from `prompt` of the command line.
    pub(crate) fn blocks(&self, prompt: Option<&str>) -> Result<Vec<ContentBlock>, CliError> {
        if self.attach.len() >= MAX_BLOCKS {
            return Err(CliError::usage(format!("at most {} files can be attached", MAX_BLOCKS - 1)));
        }
        let piped = self.attach.iter().filter(|path| path.as_os_str() == STDIN).count();
        if piped > 1 || piped == 1 && prompt.is_none_or(|prompt| prompt == STDIN) {
            return Err(CliError::usage(
                "standard input can be one thing only: one attachment, or the prompt",
            )
            .hint("give the prompt as an argument"));
        }
        let block = |path: &PathBuf| match path.as_os_str() == STDIN {
            true => from_stdin(&mut std::io::stdin().lock()),
            false => from_file(path),
        };
        self.attach.iter().map(block).collect()
    }
}

fn from_file(path: &Path) -> Result<ContentBlock, CliError> {
    let refuse = |why: String| CliError::usage(format!("cannot attach {}: {why}", path.display()));
    let absolute = std::fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
    // Not a pipe that nobody writes, not a terminal that becomes ours.
    let flags = (nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&absolute);
    let file = opened.map_err(|error| refuse(error.to_string()))?;
    let found = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !found.is_file() {
        return Err(refuse(String::from("it is not a regular file")));
    }
    let mut head = Vec::new();
    (&file).take(HEAD as u64).read_to_end(&mut head).map_err(|error| refuse(error.to_string()))?;
    let uri = file_uri(&absolute);
    match sniff(&head) {
        Some(mime) => {
            let name = path.display().to_string();
            Ok(media(mime, &bytes(head, &file, &name)?, Some(uri)))
        }
        None => {
            let name = absolute.file_name().unwrap_or_default().to_string_lossy();
            let name = skep_common::sanitise::one_line(&name).into_owned();
            Ok(ContentBlock::ResourceLink { uri, name, mime_type: None, size: Some(found.len()) })
        }
    }
}

fn from_stdin(input: &mut impl Read) -> Result<ContentBlock, CliError> {
    let bytes = bytes(Vec::new(), input, "standard input")?;
    if bytes.is_empty() {
        return Err(CliError::usage("cannot attach standard input: it is empty"));
    }
    if let Some(mime) = sniff(&bytes) {
        return Ok(media(mime, &bytes, None));
    }
    let (mime, text, blob) = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => ("text/plain", Some(text), None),
        Ok(text) => ("application/octet-stream", None, Some(STANDARD.encode(text))),
        Err(error) => ("application/octet-stream", None, Some(STANDARD.encode(error.as_bytes()))),
    };
    let (uri, mime_type) = (String::from("stdin:"), Some(mime.to_owned()));
    Ok(ContentBlock::Resource { resource: Resource { uri, mime_type, text, blob, attachment: None } })
}

/// What was read already, and the rest, if that is not too much.
fn bytes(mut head: Vec<u8>, rest: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
    let refuse = |why: String| CliError::usage(format!("cannot attach {name}: {why}"));
    let room = (MAX_ATTACHMENT + 1).saturating_sub(head.len() as u64);
    rest.take(room).read_to_end(&mut head).map_err(|error| refuse(error.to_string()))?;
    if head.len() as u64 > MAX_ATTACHMENT {
        let mut error = refuse(format!("it is larger than {}", human(MAX_ATTACHMENT)));
        error.code = Some(Code::TooLarge);
        return Err(error);
    }
    Ok(head)
}

fn media(mime: &str, bytes: &[u8], uri: Option<String>) -> ContentBlock {
    let (mime_type, data) = (mime.to_owned(), Some(STANDARD.encode(bytes)));
    match mime.starts_with("image/") {
        true => ContentBlock::Image { mime_type, data, uri, attachment: None },
        false => ContentBlock::Audio { mime_type, data, attachment: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    fn kind(block: &ContentBlock) -> (&str, &str) {
        match block {
            ContentBlock::Image { mime_type, .. } => ("image", mime_type),
            ContentBlock::Audio { mime_type, .. } => ("audio", mime_type),
            ContentBlock::ResourceLink { name, .. } => ("link", name),
            ContentBlock::Resource { resource } => {
                ("resource", if resource.text.is_some() { "text" } else { "blob" })
            }
            ContentBlock::Text { text } => ("text", text),
        }
    }

    #[test]
    fn a_file_is_known_by_its_content_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a file.txt");
        for (bytes, expected) in [
            (PNG, ("image", "image/png")),
            (b"\xff\xd8\xff\xe0", ("image", "image/jpeg")),
            (b"GIF89a", ("image", "image/gif")),
            (b"RIFF....WEBPVP8 ", ("image", "image/webp")),
            (b"RIFF....WAVEfmt ", ("audio", "audio/wav")),
            (b"ID3\x04\x00", ("audio", "audio/mpeg")),
            (b"text", ("link", "a file.txt")),
            (b"%PDF-1.7", ("link", "a file.txt")),
            (b"", ("link", "a file.txt")),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let block = from_file(&path).unwrap();
            assert_eq!(kind(&block), expected);
            assert_eq!(block.check(), Ok(()));
            if let ContentBlock::Image { data, uri, .. } = &block {
                assert_eq!(data.as_deref(), Some(STANDARD.encode(bytes).as_str()));
                assert!(uri.as_deref().unwrap().ends_with("/a%20file.txt"));
            }
        }
    }

    #[test]
    fn what_is_piped_in_goes_with_the_prompt_whatever_it_is() {
        for (input, expected) in [
            (PNG, ("image", "image/png")),
            ("é".as_bytes(), ("resource", "text")),
            (b"a\0b", ("resource", "blob")),
            (b"\xff\xfe", ("resource", "blob")),
        ] {
            let block = from_stdin(&mut &*input).unwrap();
            assert_eq!(kind(&block), expected);
            assert_eq!(block.check(), Ok(()));
        }
        assert_eq!(from_stdin(&mut std::io::empty()).unwrap_err().exit().status(), 2);
        let endless = from_stdin(&mut std::io::repeat(b'x')).unwrap_err();
        assert_eq!((endless.code, endless.exit().status()), (Some(Code::TooLarge), 2));
        assert!(endless.message.ends_with("it is larger than 20 MiB"), "{endless}");
    }

    #[test]
    fn g13_what_is_no_file_is_refused_and_waited_for_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        let huge = dir.path().join("huge.png");
        std::fs::write(&huge, PNG).unwrap();
        OpenOptions::new().write(true).open(&huge).unwrap().set_len(MAX_ATTACHMENT + 1).unwrap();
        for (path, why) in [
            (dir.path().to_owned(), "not a regular file"),
            (fifo, "not a regular file"),
            (link, "not a regular file"),
            (PathBuf::from("/dev/zero"), "not a regular file"),
            (dir.path().join("missing"), "No such file"),
            (PathBuf::from("a\0b"), "NUL"),
            (huge, "larger than 20 MiB"),
        ] {
            let error = from_file(&path).unwrap_err();
            assert_eq!(error.exit().status(), 2, "{error}");
            assert!(error.message.to_lowercase().contains(&why.to_lowercase()), "{error}");
        }
    }

    #[test]
    fn standard_input_is_one_thing_only() {
        let attach = |files: &[&str]| Attachments { attach: files.iter().map(PathBuf::from).collect() };
        for (files, prompt) in [(&["-"][..], None), (&["-"], Some("-")), (&["-", "-"], Some("hi"))] {
            assert_eq!(attach(files).blocks(prompt).unwrap_err().exit().status(), 2, "{files:?} {prompt:?}");
        }
        let many = vec!["x"; MAX_BLOCKS];
        assert!(attach(&many).blocks(Some("hi")).unwrap_err().message.contains("at most 63"));
        assert_eq!(attach(&[]).blocks(None), Ok(Vec::new()));
    }
}
