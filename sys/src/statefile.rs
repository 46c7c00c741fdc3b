//! State files that survive a crash at any moment (promise 19): temporary file, fsync, rename, fsync of the directory.
//!
//! A file written by [`write_json`] ends in a CRC32C field, so that a flipped bit is found and not believed. A broken
//! file is moved aside as `<name>.broken-<n>`, never deleted, and costs nothing but itself.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No state file is larger; a larger one is broken.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How many broken copies of one file are kept; the next one replaces the last.
const MAX_BROKEN: u32 = 100;

/// What the name of an unfinished file holds between the real name and its number.
const TEMPORARY: &str = ".tmp-";

/// The checksum field: `,"crc32c":"xxxxxxxx"}` and a newline end the file.
const CHECKSUM_KEY: &[u8] = b"\"crc32c\":\"";
const CHECKSUM_END: &[u8] = b"\"}\n";
const CHECKSUM_DIGITS: usize = 8;

/// Why a state file gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It was broken and is out of the way now; the caller goes on without it.
    #[error("state file `{}` is broken ({why}); it is kept as `{}`", path.display(), moved_to.display())]
    Broken {
        /// Where it was.
        path: PathBuf,
        /// Where it is.
        moved_to: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// It could not be read, or not be moved aside.
    #[error("state file `{}` cannot be read", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Replaces the file durably: after this returns, a power loss keeps the new bytes; before, the old ones. Mode 0600.
///
/// # Errors
///
/// When it could not be written; the old file is untouched then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, true)?;
    sync_directory(parent(path))
}

/// Replaces the file in one step, but leaves it to the system when it reaches the disk: for what can be rebuilt.
///
/// # Errors
///
/// When it could not be written; the old file is untouched then.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, false)
}

/// Writes a state, a JSON object, durably and with a checksum.
///
/// # Errors
///
/// When it could not be written, or is no object.
pub fn write_json<T: Serialize>(path: &Path, state: &T) -> io::Result<()> {
    write_atomic(path, &to_bytes(state)?)
}

/// A state as [`write_json`] writes it.
///
/// # Errors
///
/// When the state is not a JSON object.
pub fn to_bytes<T: Serialize>(state: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(state)?;
    if bytes.pop() != Some(b'}') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a state must be a JSON object"));
    }
    if bytes != b"{" {
        bytes.push(b',');
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(CHECKSUM_KEY);
    bytes.extend_from_slice(format!("{checksum:08x}").as_bytes());
    bytes.extend_from_slice(CHECKSUM_END);
    Ok(bytes)
}

/// A state from what [`to_bytes`] gave. One without a checksum is taken as it is.
///
/// # Errors
///
/// What is wrong with it.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    parse(bytes)
}

/// Reads a state. `Ok(None)`: there is no such file. A file without a checksum, written by a person or another
/// program, is taken as it is; one whose checksum is wrong is broken.
///
/// # Errors
///
/// [`ReadError::Broken`] after the file was moved aside; [`ReadError::Io`] if it could not be read at all.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let bytes = match read_capped(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    match parse(&bytes) {
        Ok(state) => Ok(Some(state)),
        Err(why) => {
            let moved_to = quarantine(path).map_err(io_error)?;
            Err(ReadError::Broken { path: path.to_owned(), moved_to, why })
        }
    }
}

/// Moves a broken file aside as `<name>.broken-<n>` and says where to.
///
/// # Errors
///
/// When it cannot be renamed.
pub fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let candidate = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".broken-{n}"));
        PathBuf::from(name)
    };
    for n in 1..MAX_BROKEN {
        // Taken exclusively first: a rename alone would replace an older one.
        match OpenOptions::new().write(true).create_new(true).open(candidate(n)) {
            Ok(_) => return std::fs::rename(path, candidate(n)).map(|()| candidate(n)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A full disk has room for a rename.
            Err(_) if !candidate(n).exists() => {
                return std::fs::rename(path, candidate(n)).map(|()| candidate(n));
            }
            Err(error) => return Err(error),
        }
    }
    std::fs::rename(path, candidate(MAX_BROKEN)).map(|()| candidate(MAX_BROKEN))
}

/// Removes unfinished files that a crash left in a directory. Only while nobody writes there: at start, under the
/// lock.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn sweep_unfinished(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && memchr::memmem::find(name, TEMPORARY.as_bytes()).is_some() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes creations, renames and removals in a directory durable.
///
/// # Errors
///
/// When the disk refuses.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    let written = write_new(&temporary, bytes, sync).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

fn write_new(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// A name in the same directory that no other writer uses at this moment, this process included.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!("{TEMPORARY}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let candidate = path.with_file_name(temporary);
    match std::fs::remove_file(&candidate) {
        // Left by a former process with our number.
        Ok(()) => Ok(candidate),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(candidate),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or_else(|| Path::new("."))
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    let Some((body, checksum)) = split_checksum(bytes) else {
        return serde_json::from_slice(bytes).map_err(|error| error.to_string());
    };
    if format!("{:08x}", crc32c::crc32c(body)).as_bytes() != checksum {
        return Err(String::from("its checksum is wrong"));
    }
    let mut object = body.strip_suffix(b",").unwrap_or(body).to_vec();
    object.push(b'}');
    serde_json::from_slice(&object).map_err(|error| error.to_string())
}

/// What the checksum covers, and the checksum; `None` if the file does not end in one.
fn split_checksum(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_suffix(CHECKSUM_END)?;
    let (rest, checksum) = rest.split_at_checked(rest.len().checked_sub(CHECKSUM_DIGITS)?)?;
    Some((rest.strip_suffix(CHECKSUM_KEY)?, checksum))
}

#[cfg(test)]
#[path = "statefile_tests.rs"]
mod tests;
