//! The password for addresses beyond this machine (C8): kept as an argon2id hash in a file that only its owner reads.

use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use skep_sys::statefile;

/// The longest password file.
const MAX_FILE: u64 = 4096;

/// The shortest password that may be set.
const MIN_LENGTH: usize = 8;

/// A password, as a hash.
#[derive(Clone)]
pub(crate) struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a password cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Others can read or change the file.
    #[error("use the password file `{}`: its mode is {mode:03o}, so others may know it; chmod 600 it", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no regular file of this user's.
    #[error("use the password file `{}`: it is not a regular file of yours", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It holds no password.
    #[error("use the password file `{}`: it holds neither a password of {MIN_LENGTH} characters or more nor a hash", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The password is too short.
    #[error("use this password: it has fewer than {MIN_LENGTH} characters")]
    Short,
    /// It cannot be read, written or hashed.
    #[error("use the password file `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Keeps the hash of a password in this file, for its owner's eyes only, in one step.
///
/// # Errors
///
/// [`PasswordError::Short`], or when the file cannot be written.
pub fn set_password(path: &Path, password: &str) -> Result<(), PasswordError> {
    let at = |error| match error {
        PasswordError::Io { source, .. } => PasswordError::Io { path: path.to_owned(), source },
        other => other,
    };
    let Password(hash) = Password::hash(password).map_err(at)?;
    statefile::write_atomic(path, format!("{hash}\n").as_bytes())
        .map_err(|source| PasswordError::Io { path: path.to_owned(), source })
}

impl Password {
    /// The password in a file: its argon2 hash, or, as a secret that something else put there, the password itself.
    /// None where there is no file.
    ///
    /// # Errors
    ///
    /// [`PasswordError`]
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, PasswordError> {
        let failed = |source| PasswordError::Io { path: path.to_owned(), source };
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let owner = metadata.uid();
        if !metadata.is_file() || (owner != rustix::process::geteuid().as_raw() && owner != 0) {
            return Err(PasswordError::Foreign { path: path.to_owned() });
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PasswordError::Loose { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, MAX_FILE), &mut text).map_err(failed)?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.starts_with("$argon2") {
            return match argon2::PasswordHash::new(text) {
                Ok(_) => Ok(Some(Self(text.to_owned()))),
                Err(_) => Err(PasswordError::Empty { path: path.to_owned() }),
            };
        }
        match Self::hash(text) {
            Ok(password) => Ok(Some(password)),
            Err(PasswordError::Short) => Err(PasswordError::Empty { path: path.to_owned() }),
            Err(error) => Err(error),
        }
    }

    /// Hashes a password. Takes some 20 MiB and some tens of milliseconds.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Short`]
    fn hash(password: &str) -> Result<Self, PasswordError> {
        if password.chars().count() < MIN_LENGTH {
            return Err(PasswordError::Short);
        }
        let failed = |error: argon2::password_hash::Error| PasswordError::Io {
            path: PathBuf::new(),
            source: io::Error::other(error.to_string()),
        };
        let mut salt = [0; 16];
        io::Read::read_exact(
            &mut std::fs::File::open("/dev/urandom")
                .map_err(|source| PasswordError::Io { path: PathBuf::new(), source })?,
            &mut salt,
        )
        .map_err(|source| PasswordError::Io { path: PathBuf::new(), source })?;
        let hash = hasher().hash_password_with_salt(password.as_bytes(), &salt).map_err(failed)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether this is the password. Takes as long as hashing.
    #[must_use]
    pub(crate) fn is(&self, password: &str) -> bool {
        argon2::PasswordHash::new(&self.0)
            .is_ok_and(|hash| hasher().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn c8_a_password_or_its_argon2id_hash_is_known_again_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        assert!(Password::load(&path).unwrap().is_none());
        let hashed = Password::hash("correct horse").unwrap();
        assert!(hashed.0.starts_with("$argon2id$") && !hashed.0.contains("horse"));
        std::fs::write(&path, format!("{}\n", hashed.0)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let password = Password::load(&path).unwrap().unwrap();
        assert!(password.is("correct horse") && !password.is("wrong") && !password.is(""));
        assert!(!format!("{password:?}").contains("argon2"));
    }

    #[test]
    fn c8_a_file_that_others_read_or_that_holds_nothing_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Password::load(&path)
        };
        assert!(matches!(write("long enough", 0o640), Err(PasswordError::Loose { mode: 0o640, .. })));
        assert!(write("long enough\n", 0o600).unwrap().unwrap().is("long enough"));
        for empty in ["", "\n", "short", "$argon2id$nonsense"] {
            assert!(matches!(write(empty, 0o600), Err(PasswordError::Empty { .. })), "{empty}");
        }
        assert!(matches!(Password::hash("short"), Err(PasswordError::Short)));
        assert!(matches!(set_password(&path, "short"), Err(PasswordError::Short)));
        set_password(&path, "another one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(Password::load(&path).unwrap().unwrap().is("another one"));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("another"));
        let nowhere = set_password(&home.path().join("none/password"), "another one").unwrap_err();
        assert!(nowhere.to_string().contains("none/password"), "{nowhere}");
        assert!(matches!(Password::load(home.path()), Err(PasswordError::Foreign { .. })));
    }
}
