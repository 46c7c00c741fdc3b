//! The token by which a client shows that it may speak to the daemon (G4): random, in a file that only its owner reads.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use skep_config::Paths;
use skep_sys::statefile;

use super::DaemonLock;

/// Random bytes in a token; it is written as twice as many hexadecimal digits.
const BYTES: usize = 32;

/// A token. Its text is a secret: it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why there is no token to use.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none: no daemon was ever started here.
    #[error("there is no token file `{}`; start the daemon first", path.display())]
    Missing {
        /// The token file.
        path: PathBuf,
    },
    /// Others can read or write it, so it may be known.
    #[error(
        "the token file `{}` has the mode {mode:03o}, so others may know it; remove it and restart the daemon to get a \
         new one, or, if nobody else can have seen it: chmod 600 {}",
        path.display(), path.display()
    )]
    Loose {
        /// The token file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, or is no file.
    #[error("the token file `{}` is not a regular file of yours; remove it and restart the daemon", path.display())]
    Foreign {
        /// The token file.
        path: PathBuf,
    },
    /// It does not hold a token.
    #[error("the token file `{}` holds no token; restart the daemon to get a new one", path.display())]
    Broken {
        /// The token file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the token file `{}` cannot be used: {source}", path.display())]
    Io {
        /// The token file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Token {
    /// The token that the daemon made: for clients.
    ///
    /// # Errors
    ///
    /// [`TokenError`], each with what to do.
    pub fn load(paths: &Paths) -> Result<Self, TokenError> {
        read(&paths.token())
    }

    /// The token, made if there is none or the file is broken: for the daemon.
    ///
    /// # Errors
    ///
    /// When the file is not safe or cannot be used.
    pub fn load_or_create(lock: &DaemonLock) -> Result<Self, TokenError> {
        let path = lock.paths().token();
        let failed = |source| TokenError::Io { path: path.clone(), source };
        match read(&path) {
            Err(TokenError::Missing { .. }) => {}
            Err(error @ TokenError::Broken { .. }) => {
                let moved_to = statefile::quarantine(&path).map_err(failed)?;
                tracing::error!("{error}; it is kept as `{}`", moved_to.display());
            }
            other => return other,
        }
        create(&path).map_err(failed)
    }

    /// The text that stands behind `Bearer`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Reads a token from a file that was checked after it was opened.
fn read(path: &Path) -> Result<Token, TokenError> {
    let failed = |source| TokenError::Io { path: path.to_owned(), source };
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TokenError::Missing { path: path.to_owned() });
        }
        // A symbolic link.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(TokenError::Foreign { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    };
    check(path, &file)?;
    let mut text = String::new();
    match file.take(4 * BYTES as u64).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
        Err(error) => return Err(failed(error)),
    }
    let token = text.trim_end_matches('\n');
    if token.len() == 2 * BYTES && token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Token(token.to_owned()))
    } else {
        Err(TokenError::Broken { path: path.to_owned() })
    }
}

fn check(path: &Path, file: &File) -> Result<(), TokenError> {
    let metadata = file.metadata().map_err(|source| TokenError::Io { path: path.to_owned(), source })?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(TokenError::Foreign { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokenError::Loose { path: path.to_owned(), mode });
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<Token> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    statefile::write_atomic(path, format!("{text}\n").as_bytes())?;
    Ok(Token(text))
}
