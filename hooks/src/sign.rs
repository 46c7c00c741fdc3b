//! The signature of what is posted, as the Standard Webhooks specification has it (scheme `v1`: HMAC-SHA256), and the
//! secret that it is made with. <https://github.com/standard-webhooks/standard-webhooks>

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use ring::hmac;
use skep_common::ids::DeliveryId;

/// What stands before a secret in base64.
const PREFIX: &str = "whsec_";

/// The shortest secret, in bytes: the specification's.
const SHORTEST: usize = 24;

/// The longest file of a secret.
const LONGEST: u64 = 4 * 1024;

/// A secret. Not shown by `Debug`.
pub(crate) struct Secret(hmac::Key);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret as it is written: `whsec_` and base64, or any other text, whose bytes are then the secret.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without a word of it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => {
                Base64::decode_vec(encoded).map_err(|_| "what follows `whsec_` is not base64")?
            }
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < SHORTEST {
            return Err("it is shorter than 24 bytes");
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Reads a secret from a file that nobody else may read.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and what to do.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path);
        let file = file.map_err(|error| format!("the secret file {shown} cannot be read: {error}"))?;
        let meta =
            file.metadata().map_err(|error| format!("the secret file {shown} cannot be read: {error}"))?;
        if !meta.is_file() {
            return Err(format!("the secret file {shown} is not a regular file"));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(format!(
                "the secret file {shown} may be known to others (mode {mode:03o}); chmod 600 {shown}"
            ));
        }
        let mut text = String::new();
        let read = file.take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| format!("the secret file {shown} cannot be read: {error}"))?;
        Self::parse(&text).map_err(|why| format!("the secret in {shown} cannot be used: {why}"))
    }

    /// The `webhook-signature` of a message.
    pub(crate) fn sign(&self, id: DeliveryId, timestamp: i64, body: &str) -> String {
        self.sign_text(&format!("{id}.{timestamp}.{body}"))
    }

    fn sign_text(&self, text: &str) -> String {
        format!("v1,{}", Base64::encode_string(hmac::sign(&self.0, text.as_bytes()).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        // RFC 4231, test case 6 (a key longer than a block).
        let long = Secret(hmac::Key::new(hmac::HMAC_SHA256, &[0xaa; 131]));
        assert_eq!(
            long.sign_text("Test Using Larger Than Block-Size Key - Hash Key First"),
            "v1,YOQxWR7gtn8Niiaqy/W3f44LxiE3KMUUBUYEDw7jf1Q="
        );
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(
            secret.sign_text(r#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn g15_a_secret_that_cannot_be_used_is_refused_without_a_word_of_it() {
        for text in
            ["", "tiny", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"]
        {
            let why = Secret::parse(text).unwrap_err();
            assert!(text.is_empty() || !why.contains(text), "{why}");
        }
        assert!(Secret::parse(&"x".repeat(24)).is_ok());
        assert_eq!(format!("{:?}", Secret::parse(&"x".repeat(24)).unwrap()), "Secret(…)");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a secret");
        std::fs::write(&file, "x".repeat(30)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Secret::read(&file).unwrap_err();
        assert!(refused.contains("chmod 600"), "{refused}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Secret::read(&file).is_ok());
        assert!(Secret::read(dir.path()).unwrap_err().contains("not a regular file"));
        assert!(Secret::read(&dir.path().join("none")).is_err());
    }
}
