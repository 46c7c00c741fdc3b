//! Text files below certain directories, for somebody who may reach no further.
//!
//! A path is resolved once ([`Roots::place`]): links, `..` and all. What follows uses only that place and walks there
//! from the top, directory by directory, without following a single link. So whoever swaps a directory for a link between
//! the look and the deed gets an error, never another file. Only regular files are touched: no device, no FIFO.
//!
//! Everything here blocks, for as long as the disk does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

/// The largest file that is looked into, in bytes.
pub const FILE_MAX: u64 = 64 * 1024 * 1024;

/// The longest text that is read or written at once, in bytes.
pub const TEXT_MAX: usize = 8 * 1024 * 1024;

/// How often a name for a temporary file is tried.
const NAMES: u32 = 16;

/// The permissions that a rewritten file keeps: it is a text, so nobody is to become its owner by running it.
const KEPT: RawMode = 0o777;

/// The directories below which files may be reached, as they are on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

/// A place below the roots: absolute, without links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(PathBuf);

/// Which lines of a file are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many are left out before the first one.
    pub skip: u64,
    /// How many there are at most; none is all that follow.
    pub limit: Option<u64>,
}

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is below no root, or its place cannot be told (a link that leads nowhere).
    #[error("it lies outside of the session's directory")]
    Outside,
    /// There is none. (An agent may look for these words.)
    #[error("Resource not found")]
    NotFound,
    /// It is a directory, a device, a FIFO, a socket.
    #[error("it is no regular file")]
    NotAFile,
    /// A part of its path is no directory, or has become a link since it was looked at.
    #[error("a part of its path is no directory, or has changed meanwhile")]
    Changed,
    /// The file or the text is too long.
    #[error("it is over the limit of {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It is no UTF-8.
    #[error("it is not text in UTF-8")]
    NotText,
    /// It is somebody else's, and would not be any more.
    #[error("it belongs to another user, who would lose it")]
    Foreign,
    /// The system refuses.
    #[error("{0}")]
    Os(#[from] io::Error),
}

impl FileError {
    /// A stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Outside => "outside_roots",
            Self::NotFound => "not_found",
            Self::NotAFile => "not_a_file",
            Self::Changed => "path_changed",
            Self::TooLarge { .. } => "too_large",
            Self::NotText => "not_text",
            Self::Foreign => "foreign_file",
            Self::Os(_) => "io",
        }
    }
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::LOOP | Errno::NOTDIR => Self::Changed,
            Errno::ISDIR | Errno::NXIO => Self::NotAFile,
            other => Self::Os(other.into()),
        }
    }
}

impl Roots {
    /// Roots at these directories.
    ///
    /// # Errors
    ///
    /// When one cannot be found.
    pub fn new(directories: &[PathBuf]) -> io::Result<Self> {
        directories.iter().map(std::fs::canonicalize).collect::<io::Result<_>>().map(Self)
    }

    /// The place of a path whose links are resolved, whether or not anything is there.
    ///
    /// # Errors
    ///
    /// [`FileError::Outside`] when it is below no root.
    pub fn place(&self, real: &Path) -> Result<Place, FileError> {
        let plain = real.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let inside = self.0.iter().any(|root| real.starts_with(root));
        if plain && real.is_absolute() && inside {
            Ok(Place(real.to_owned()))
        } else {
            Err(FileError::Outside)
        }
    }
}

impl Place {
    /// The same as a path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads lines of the file there, each with its end.
    ///
    /// # Errors
    ///
    /// When there is no such text, or it is too long.
    pub fn read(&self, lines: Lines) -> Result<String, FileError> {
        let (directory, name) = self.parent(Missing::Refused)?;
        is_file(&rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?)?;
        let file = rustix::fs::openat(&directory, name, reading(), Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        is_file(&stat)?;
        if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > FILE_MAX {
            return Err(FileError::TooLarge { limit: FILE_MAX });
        }
        // It may grow meanwhile.
        let text = pick(BufReader::new(File::from(file).take(FILE_MAX)), lines)?;
        String::from_utf8(text).map_err(|_| FileError::NotText)
    }

    /// Puts a text there in one step: whoever reads finds the old file or the new one, whole. A file that was there keeps
    /// its owner and permissions; directories that are missing are made.
    ///
    /// # Errors
    ///
    /// When something else is there, the text is too long, or the system refuses. The old file is as it was then.
    pub fn write(&self, text: &str) -> Result<(), FileError> {
        if text.len() > TEXT_MAX {
            return Err(FileError::TooLarge { limit: TEXT_MAX as u64 });
        }
        let (directory, name) = self.parent(Missing::Made)?;
        let before = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(writable(&directory, name, &stat)?),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno.into()),
        };
        let (temporary, file) = temporary(&directory, before.is_none())?;
        let written = fill(file, text, before.as_ref())
            .and_then(|()| Ok(rustix::fs::renameat(&directory, &temporary, &directory, name)?));
        if written.is_err() {
            // It is hidden, and nobody's: what matters is why the text is not there.
            let _removed = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
        }
        written
    }

    /// The directory that the file is in, reached without a link, and the file's name.
    fn parent(&self, missing: Missing) -> Result<(OwnedFd, &OsStr), FileError> {
        let mut names = self.0.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        let name = names.next_back().ok_or(FileError::NotAFile)?;
        let mut directory = rustix::fs::open("/", walking(), Mode::empty())?;
        for part in names {
            let next = rustix::fs::openat(&directory, part, walking(), Mode::empty());
            directory = match next {
                Err(Errno::NOENT) if missing == Missing::Made => {
                    match rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    rustix::fs::openat(&directory, part, walking(), Mode::empty())?
                }
                next => next?,
            };
        }
        Ok((directory, name))
    }
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refused,
    Made,
}

/// Linux can walk through a directory that may not be read.
fn walking() -> OFlags {
    #[cfg(target_os = "linux")]
    let how = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let how = OFlags::RDONLY;
    how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Nothing waits for whoever might be at the other end of a FIFO.
fn reading() -> OFlags {
    OFlags::RDONLY | careful()
}

fn careful() -> OFlags {
    OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

fn is_file(stat: &Stat) -> Result<(), FileError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(FileError::Changed),
        _ => Err(FileError::NotAFile),
    }
}

/// The file that is to be replaced, if it could be written as well.
fn writable(directory: &OwnedFd, name: &OsStr, seen: &Stat) -> Result<Stat, FileError> {
    is_file(seen)?;
    let file = rustix::fs::openat(directory, name, OFlags::WRONLY | careful(), Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    is_file(&stat)?;
    Ok(stat)
}

/// A new file beside the one that is meant; `public` if it is to have the permissions of any new file.
fn temporary(directory: &OwnedFd, public: bool) -> Result<(OsString, File), FileError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mode = Mode::from_raw_mode(if public { 0o666 } else { 0o600 });
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | careful();
    let mut tries = 0;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from(format!(".skep-{}-{number}.tmp", std::process::id()));
        tries += 1;
        match rustix::fs::openat(directory, &name, flags, mode) {
            Ok(file) => return Ok((name, File::from(file))),
            Err(Errno::EXIST) if tries < NAMES => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Writes the new file, with the old one's owner and permissions.
fn fill(mut file: File, text: &str, before: Option<&Stat>) -> Result<(), FileError> {
    file.write_all(text.as_bytes())?;
    let Some(before) = before else { return Ok(()) };
    let now = rustix::fs::fstat(&file)?;
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid) {
        let (user, group) =
            (rustix::fs::Uid::from_raw(before.st_uid), rustix::fs::Gid::from_raw(before.st_gid));
        rustix::fs::fchown(&file, Some(user), Some(group)).map_err(|errno| match errno {
            Errno::PERM => FileError::Foreign,
            other => other.into(),
        })?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(before.st_mode & KEPT))?;
    Ok(())
}

/// The lines that are wanted.
fn pick(mut from: impl io::BufRead, lines: Lines) -> Result<Vec<u8>, FileError> {
    for _ in 0..lines.skip {
        if from.skip_until(b'\n')? == 0 {
            return Ok(Vec::new());
        }
    }
    let mut text = Vec::new();
    let mut left = lines.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let room = (TEXT_MAX + 1).saturating_sub(text.len()) as u64;
        let read = (&mut from).take(room).read_until(b'\n', &mut text)?;
        if text.len() > TEXT_MAX {
            return Err(FileError::TooLarge { limit: TEXT_MAX as u64 });
        }
        if read == 0 {
            break;
        }
        left -= 1;
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
