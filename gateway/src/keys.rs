//! Scoped tokens and signed-in browsers: made, found, listed, revoked (Q3). Only hashes are kept, in memory and in a
//! file that only its owner reads; a secret is told once, to who asked for it.
//!
//! The secrets are 256 random bits, so one round of SHA-256 hides them as well as a slow hash would. A key that is
//! revoked is gone from memory at once, its open streams end, and then the file is written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use skep_common::code::Code;
use skep_common::keys::{KeyInfo, KeyKind, Scope};
use skep_sys::statefile;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use crate::access::{Identity, Principal, Reach};
use crate::error::Failure;

/// Keys at most; each lookup looks at all of them.
const MAX_KEYS: usize = 1_000;

/// What a scoped token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "skep_";

/// A hash of a secret.
pub(crate) type Hash = [u8; 32];

/// The hash of a secret.
pub(crate) fn hash(secret: &[u8]) -> Hash {
    Sha256::digest(secret).into()
}

/// So many random bytes, as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(hex(&random))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every key that is good.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    held: Mutex<Vec<Held>>,
    /// One writer of the file at a time.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    hash: Hash,
    info: KeyInfo,
    revoked: CancellationToken,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("info", &self.info).finish_non_exhaustive()
    }
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    sha256: String,
    key: KeyInfo,
}

/// What a new key is to be.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) kind: KeyKind,
    pub(crate) name: Option<String>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) reach: Reach,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Keys {
    /// The keys of the file. A broken file is moved aside, and no key is good; one that cannot be read is an error.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read.
    pub(crate) fn load(path: PathBuf) -> io::Result<Self> {
        let stored = match statefile::read_json::<Stored>(&path) {
            Ok(stored) => stored.unwrap_or_default(),
            Err(error @ statefile::ReadError::Broken { .. }) => {
                tracing::error!("{error}; its tokens are no longer good");
                Stored::default()
            }
            Err(statefile::ReadError::Io { source, .. }) => return Err(source),
        };
        let held = stored.keys.into_iter().filter_map(|StoredKey { sha256, key }| {
            Some(Held { hash: unhex(&sha256)?, info: key, revoked: CancellationToken::new() })
        });
        let held = Mutex::new(held.collect());
        Ok(Self { shared: Arc::new(Shared { path, held, saving: tokio::sync::Mutex::new(()) }) })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who shows this secret. Takes as long whichever key it is, or none.
    pub(crate) fn find(&self, kind: KeyKind, secret: &[u8], now: Timestamp) -> Option<Principal> {
        let shown = hash(secret);
        let held = self.held();
        let mut found = None;
        for key in held.iter() {
            let is_it = bool::from(key.hash.ct_eq(&shown));
            if is_it && key.info.kind == kind && is_good(&key.info, now) {
                found = Some(key);
            }
        }
        found.map(|key| Principal {
            identity: Identity::Key(key.info.id.clone()),
            scopes: key.info.scopes.clone(),
            reach: reach(&key.info),
            revoked: key.revoked.clone(),
            expires_at: key.info.expires_at,
            is_cookie: kind == KeyKind::Browser,
            label: key.info.name.clone(),
        })
    }

    /// The keys that are good, the newest first.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<KeyInfo> {
        let mut keys: Vec<KeyInfo> =
            self.held().iter().map(|key| key.info.clone()).filter(|info| is_good(info, now)).collect();
        keys.sort_by_key(|info| std::cmp::Reverse(info.created_at));
        keys
    }

    /// Makes a key; its secret is told here and never again.
    ///
    /// # Errors
    ///
    /// `too_many_requests` when there are too many, or a fault of our own.
    pub(crate) async fn create(&self, new: NewKey, now: Timestamp) -> Result<(String, KeyInfo), Failure> {
        let failed = |error: io::Error| Failure::internal("no random numbers", &error);
        let secret = format!("{PREFIX}{}", random_hex(32).map_err(failed)?);
        let info = KeyInfo {
            id: format!("k{}", random_hex(6).map_err(failed)?),
            kind: new.kind,
            name: new.name,
            scopes: new.scopes,
            session: new.reach.one(),
            children_of: new.reach.root(),
            created_at: now,
            expires_at: new.expires_at,
        };
        {
            let mut held = self.held();
            held.retain(|key| is_good(&key.info, now));
            if held.len() >= MAX_KEYS {
                let why = format!("there are {MAX_KEYS} tokens and signed-in browsers; revoke some");
                return Err(Failure::new(Code::TooManyRequests, why));
            }
            held.push(Held {
                hash: hash(secret.as_bytes()),
                info: info.clone(),
                revoked: CancellationToken::new(),
            });
        }
        self.save().await?;
        Ok((secret, info))
    }

    /// Ends a key, and the streams that it opened.
    ///
    /// # Errors
    ///
    /// `token_not_found`, or a fault of our own; then it is revoked until the next start only.
    pub(crate) async fn revoke(&self, id: &str) -> Result<KeyInfo, Failure> {
        let info = {
            let mut held = self.held();
            let at = held.iter().position(|key| key.info.id == id);
            let at = at.ok_or_else(|| Failure::new(Code::TokenNotFound, "there is no such token"))?;
            let key = held.swap_remove(at);
            key.revoked.cancel();
            key.info
        };
        self.save().await?;
        Ok(info)
    }

    async fn save(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.shared.saving.lock().await;
        let keys = self
            .held()
            .iter()
            .map(|key| StoredKey { sha256: hex(&key.hash), key: key.info.clone() })
            .collect();
        let (path, stored) = (self.shared.path.clone(), Stored { keys });
        let written = tokio::task::spawn_blocking(move || statefile::write_json(&path, &stored)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::internal("the tokens cannot be written", &error)),
            Err(error) => Err(Failure::internal("the writing of the tokens crashed", &error)),
        }
    }
}

fn reach(info: &KeyInfo) -> Reach {
    match (info.session, info.children_of) {
        (Some(session), _) => Reach::One(session),
        (None, Some(root)) => Reach::Below(root),
        (None, None) => Reach::All,
    }
}

fn is_good(info: &KeyInfo, now: Timestamp) -> bool {
    info.expires_at.is_none_or(|end| now < end)
}

fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::time::Duration;

    use super::*;

    fn new(kind: KeyKind, expires_at: Option<Timestamp>) -> NewKey {
        NewKey { kind, name: None, scopes: vec![Scope::Read], reach: Reach::All, expires_at }
    }

    #[tokio::test]
    async fn q3_only_hashes_are_stored_and_a_key_survives_a_restart_until_it_is_revoked() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        let now = Timestamp::now();
        let keys = Keys::load(path.clone()).unwrap();
        let (secret, info) = keys.create(new(KeyKind::Token, None), now).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&secret) && text.contains(&info.id), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!format!("{keys:?}").contains(&hex(&hash(secret.as_bytes()))));

        let again = Keys::load(path.clone()).unwrap();
        let principal = again.find(KeyKind::Token, secret.as_bytes(), now).unwrap();
        assert_eq!(principal.identity, Identity::Key(info.id.clone()));
        assert!(again.find(KeyKind::Browser, secret.as_bytes(), now).is_none());
        assert!(again.find(KeyKind::Token, &secret.as_bytes()[1..], now).is_none());
        assert!(again.find(KeyKind::Token, b"", now).is_none());
        again.revoke(&info.id).await.unwrap();
        assert!(principal.revoked.is_cancelled());
        assert!(again.find(KeyKind::Token, secret.as_bytes(), now).is_none());
        assert_eq!(again.revoke(&info.id).await.unwrap_err().0.code, Code::TokenNotFound);
        assert!(Keys::load(path).unwrap().list(now).is_empty());
    }

    #[tokio::test]
    async fn q3_a_key_ends_at_its_time() {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::load(home.path().join("t")).unwrap();
        let now = Timestamp::now();
        let end = now + Duration::from_secs(10);
        let (secret, _) = keys.create(new(KeyKind::Browser, Some(end)), now).await.unwrap();
        assert!(keys.find(KeyKind::Browser, secret.as_bytes(), now).is_some());
        assert!(keys.find(KeyKind::Browser, secret.as_bytes(), end).is_none());
        assert!(keys.list(end).is_empty());
    }

    #[tokio::test]
    async fn g21_a_broken_file_lets_nobody_in_and_stops_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        std::fs::write(&path, "{\"keys\":[{\"sha256\":\"").unwrap();
        assert!(Keys::load(path.clone()).unwrap().list(Timestamp::now()).is_empty());
        assert!(!path.exists());
    }
}
