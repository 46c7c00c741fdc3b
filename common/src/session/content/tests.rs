use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use proptest::prelude::*;

use super::*;

const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn block(json: &str) -> ContentBlock {
    serde_json::from_str(json).unwrap()
}

#[test]
fn blocks_have_acps_shape_and_words_for_the_transcript() {
    let kept = format!(r#""attachment":{{"sha256":"{SHA}","bytes":12000}}"#);
    for (json, words) in [
        (String::from(r#"{"type":"text","text":"hi"}"#), "hi"),
        (format!(r#"{{"type":"image","mimeType":"image/png",{kept}}}"#), "[image image/png 12 KiB]"),
        (
            format!(r#"{{"type":"image","mimeType":"image/png","uri":"file:///a/b%20%C3%A9.png",{kept}}}"#),
            "[image b é.png image/png 12 KiB]",
        ),
        (format!(r#"{{"type":"audio","mimeType":"audio/wav",{kept}}}"#), "[audio audio/wav 12 KiB]"),
        (
            String::from(
                r#"{"type":"resource_link","uri":"file:///a","name":"a","mimeType":"text/plain","size":3}"#,
            ),
            "[link a file:///a]",
        ),
        (
            String::from(
                r#"{"type":"resource","resource":{"uri":"x:y","mimeType":"text/plain","text":"t"}}"#,
            ),
            "[resource x:y text/plain 1 bytes]",
        ),
        (format!(r#"{{"type":"resource","resource":{{"uri":"x:y",{kept}}}}}"#), "[resource x:y 12 KiB]"),
    ] {
        let block = block(&json);
        assert_eq!(block.words(), words, "{json}");
        assert_eq!(serde_json::to_string(&block).unwrap(), json);
    }
}

#[test]
fn g13_blocks_that_cannot_be_sent_are_refused() {
    for (json, why) in [
        (r#"{"type":"image","mimeType":"text/png","data":"aGk="}"#, "mimeType must begin"),
        (r#"{"type":"image","mimeType":"image/","data":"aGk="}"#, "mimeType must begin"),
        (r#"{"type":"image","mimeType":"image/png"}"#, "image without `data`"),
        (r#"{"type":"image","mimeType":"image/png","data":""}"#, "image without `data`"),
        (r#"{"type":"audio","mimeType":"image/png","data":"aGk="}"#, "mimeType must begin"),
        (r#"{"type":"image","mimeType":"image/png","data":"a","uri":"a\u0000b"}"#, "uri must have"),
        (r#"{"type":"resource_link","uri":"","name":"a"}"#, "uri must have"),
        (r#"{"type":"resource_link","uri":"a","name":"a\u001b"}"#, "name must have"),
        (r#"{"type":"resource","resource":{"uri":"a"}}"#, "a resource has either"),
        (r#"{"type":"resource","resource":{"uri":"a","text":"t","blob":"aGk="}}"#, "a resource has either"),
    ] {
        let refusal = block(json).check().unwrap_err();
        assert!(refusal.starts_with(why), "{json}: {refusal}");
    }
    let kept = format!(
        r#"{{"type":"image","mimeType":"image/png","data":"aGk=","attachment":{{"sha256":"{SHA}","bytes":1}}}}"#
    );
    assert!(block(&kept).check().unwrap_err().contains("skep's own word"));
    for wrong in ["", "../../../etc/passwd", &SHA.to_uppercase(), &SHA[1..]] {
        assert_eq!(Digest::try_from(wrong.to_owned()), Err(InvalidDigest), "{wrong}");
    }
}

#[test]
fn g13_data_under_the_name_of_another_type_is_refused() {
    let (png, jpeg) = (&b"\x89PNG\r\n\x1a\nrest"[..], &b"\xff\xd8\xff\xe0"[..]);
    for (mime, data, fits) in [
        ("image/png", png, true),
        ("image/jpeg", jpeg, true),
        ("image/webp", b"RIFF....WEBPVP8 ", true),
        ("image/gif", b"GIF89a", true),
        ("image/svg+xml", b"<svg/>", true),
        ("audio/wav", b"RIFF....WAVE", true),
        ("application/pdf", b"%PDF", true),
        ("image/png", jpeg, false),
        ("image/jpeg", png, false),
        ("image/png", b"hi", false),
        ("image/webp", b"RIFF....WAVE", false),
        ("audio/wav", png, false),
    ] {
        assert_eq!(check_type(mime, data).is_ok(), fits, "{mime} {data:?}");
    }
}

proptest! {
    #[test]
    fn any_path_survives_its_address(bytes in prop::collection::vec(1_u8.., 0..40)) {
        let name: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'/').collect();
        let path = Path::new("/").join(OsString::from_vec(name));
        let uri = file_uri(&path);
        prop_assert!(uri.is_ascii() && !uri.contains(' '));
        prop_assert_eq!(unescaped(uri.strip_prefix("file://").unwrap()), path.as_os_str().as_bytes());
    }

    #[test]
    fn g13_any_address_has_words(uri in ".{0,40}") {
        let block = ContentBlock::Image {
            mime_type: String::from("image/png"), data: None, uri: Some(format!("file://{uri}")), attachment: None,
        };
        prop_assert!(block.words().starts_with("[image "));
    }
}
