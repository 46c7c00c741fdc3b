//! Our Unix sockets: never reachable by others, not even between `bind` and `listen` (G3); checked by the client before
//! it says a word (G4); a live one is never deleted (G21).
//!
//! The socket lives in a directory of our own, mode 0700, and is made under umask 077. A path too long for `sun_path`
//! goes through `/proc/self/fd/<directory>/<name>`.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// The longest path that fits `sun_path`, its NUL aside.
#[cfg(target_os = "linux")]
const SUN_PATH_MAX: usize = 107;
/// The longest path that fits `sun_path`, its NUL aside.
#[cfg(not(target_os = "linux"))]
const SUN_PATH_MAX: usize = 103;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nothing is there.
    #[error("there is no socket at `{}`", path.display())]
    NotFound {
        /// The socket's path.
        path: PathBuf,
    },
    /// It is there, but nobody listens on it.
    #[error("nobody listens at `{}`", path.display())]
    Refused {
        /// The socket's path.
        path: PathBuf,
    },
    /// Somebody listens on it already.
    #[error("somebody already listens at `{}`", path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// Something else has the socket's name. It is left alone.
    #[error("`{}` is not a socket", path.display())]
    NotASocket {
        /// The socket's path.
        path: PathBuf,
    },
    /// The socket or its directory belongs to another user.
    #[error("`{}` belongs to user {uid}, not to you", path.display())]
    NotOurs {
        /// The socket or the directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Others may enter the directory.
    #[error("directory `{}` is open to others (mode {mode:03o}); run: chmod 700 {}", path.display(), path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path does not fit a socket address, and there is no way around that here.
    #[error("socket path `{}` is too long; choose a shorter one with --socket or SKEP_SOCKET", path.display())]
    TooLong {
        /// The socket's path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("socket `{}` cannot be used", path.display())]
    Io {
        /// The socket or the directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Listens at `path`, in a directory that is made if it is missing. The listener is non-blocking, ready for
/// `tokio::net::UnixListener::from_std`.
///
/// A socket that nobody answers on is removed first. The caller holds the daemon's lock: between that check and the bind
/// no other daemon can come up. The umask of the whole process changes for the moment of the bind.
///
/// # Errors
///
/// See [`SocketError`]; nothing is changed then.
pub fn bind_unix(path: &Path) -> Result<UnixListener, SocketError> {
    let io_error = |source| SocketError::Io { path: path.to_owned(), source };
    let place = Place::open(path, Missing::Create)?;
    match place.socket()? {
        Some(_) if place.is_answered().map_err(io_error)? => {
            return Err(SocketError::InUse { path: path.to_owned() });
        }
        Some(_) => rustix::fs::unlinkat(&place.directory, place.name, AtFlags::empty())
            .map_err(|errno| io_error(errno.into()))?,
        None => {}
    }
    let address = place.address()?;
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(address);
    rustix::process::umask(before);
    let listener = listener.map_err(io_error)?;
    listener.set_nonblocking(true).map_err(io_error)?;
    Ok(listener)
}

/// Connects to `path`, after the socket and its directory were found to be ours and closed to others.
///
/// # Errors
///
/// See [`SocketError`].
pub fn connect_unix(path: &Path) -> Result<UnixStream, SocketError> {
    let place = Place::open(path, Missing::Refuse)?;
    let Some(found) = place.socket()? else {
        return Err(SocketError::NotFound { path: path.to_owned() });
    };
    ours(path, &found)?;
    UnixStream::connect(place.address()?).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SocketError::NotFound { path: path.to_owned() },
        io::ErrorKind::ConnectionRefused => SocketError::Refused { path: path.to_owned() },
        _ => SocketError::Io { path: path.to_owned(), source },
    })
}

/// Makes sure that `directory` is ours and closed to others, making it (mode 0700) if it is missing.
///
/// # Errors
///
/// See [`SocketError`].
pub fn private_directory(directory: &Path) -> Result<(), SocketError> {
    open_directory(directory, Missing::Create).map(drop)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Refuse,
}

/// A checked directory, held open, and a name in it.
struct Place<'a> {
    path: &'a Path,
    directory: OwnedFd,
    name: &'a OsStr,
}

impl<'a> Place<'a> {
    fn open(path: &'a Path, missing: Missing) -> Result<Self, SocketError> {
        let name = path.file_name().ok_or_else(|| SocketError::NotASocket { path: path.to_owned() })?;
        let parent =
            path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or_else(|| Path::new("."));
        let directory = open_directory(parent, missing).map_err(|error| match error {
            SocketError::NotFound { .. } => SocketError::NotFound { path: path.to_owned() },
            error => error,
        })?;
        Ok(Self { path, directory, name })
    }

    /// The socket that is there, if one is. Anything else by that name is an error.
    fn socket(&self) -> Result<Option<Stat>, SocketError> {
        match rustix::fs::statat(&self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => Ok(Some(stat)),
            Ok(_) => Err(SocketError::NotASocket { path: self.path.to_owned() }),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(SocketError::Io { path: self.path.to_owned(), source: errno.into() }),
        }
    }

    /// A path for a socket address that leads into the directory that was checked.
    fn address(&self) -> Result<PathBuf, SocketError> {
        if self.path.as_os_str().len() <= SUN_PATH_MAX {
            return Ok(self.path.to_owned());
        }
        let through = Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(self.name);
        if cfg!(target_os = "linux") && through.as_os_str().len() <= SUN_PATH_MAX {
            Ok(through)
        } else {
            Err(SocketError::TooLong { path: self.path.to_owned() })
        }
    }

    /// Whether somebody listens. A full backlog is somebody.
    fn is_answered(&self) -> io::Result<bool> {
        let address = self.address().map_err(io::Error::other)?;
        match UnixStream::connect(address) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn open_directory(path: &Path, missing: Missing) -> Result<OwnedFd, SocketError> {
    let io_error = |source| SocketError::Io { path: path.to_owned(), source };
    if missing == Missing::Create {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error)?;
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => SocketError::NotFound { path: path.to_owned() },
        errno => io_error(errno.into()),
    })?;
    let stat = rustix::fs::fstat(&directory).map_err(|errno| io_error(errno.into()))?;
    ours(path, &stat)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        return Err(SocketError::Exposed { path: path.to_owned(), mode: mode.as_raw_mode() & 0o777 });
    }
    Ok(directory)
}

fn ours(path: &Path, stat: &Stat) -> Result<(), SocketError> {
    if stat.st_uid == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(SocketError::NotOurs { path: path.to_owned(), uid: stat.st_uid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};

    fn private() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn g3_directory_and_socket_are_private() {
        let dir = private();
        let path = dir.path().join("made/skep.sock");
        let _listener = bind_unix(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path) & 0o077, 0);
        connect_unix(&path).unwrap();
    }

    #[test]
    fn g3_a_directory_open_to_others_is_refused() {
        let dir = private();
        let path = dir.path().join("skep.sock");
        let _listener = bind_unix(&path).unwrap();
        for mode in [0o755, 0o710, 0o701] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(bind_unix(&path), Err(SocketError::Exposed { .. })));
            assert!(matches!(connect_unix(&path), Err(SocketError::Exposed { .. })));
        }
    }

    #[test]
    fn g4_a_socket_or_directory_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can give a file away.
        }
        let dir = private();
        let path = dir.path().join("skep.sock");
        let _listener = bind_unix(&path).unwrap();
        chown(&path, Some(65534), None).unwrap();
        assert!(matches!(connect_unix(&path), Err(SocketError::NotOurs { uid: 65534, .. })));
        chown(dir.path(), Some(65534), None).unwrap();
        assert!(matches!(connect_unix(&path), Err(SocketError::NotOurs { .. })));
        assert!(matches!(bind_unix(&path), Err(SocketError::NotOurs { .. })));
    }

    #[test]
    fn g21_a_live_socket_is_kept_and_a_stale_one_replaced() {
        let dir = private();
        let path = dir.path().join("skep.sock");
        assert!(matches!(connect_unix(&path), Err(SocketError::NotFound { .. })));
        let listener = bind_unix(&path).unwrap();
        assert!(matches!(bind_unix(&path), Err(SocketError::InUse { .. })));
        connect_unix(&path).unwrap();
        drop(listener);
        assert!(matches!(connect_unix(&path), Err(SocketError::Refused { .. })));
        let _listener = bind_unix(&path).unwrap();
        connect_unix(&path).unwrap();
    }

    #[test]
    fn g21_what_is_no_socket_is_left_alone() {
        let dir = private();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "precious").unwrap();
        symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert!(matches!(bind_unix(path), Err(SocketError::NotASocket { .. })));
            assert!(matches!(connect_unix(path), Err(SocketError::NotASocket { .. })));
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        assert!(matches!(connect_unix(&dir.path().join("none/x")), Err(SocketError::NotFound { .. })));
    }

    #[test]
    fn a_path_too_long_for_an_address_works_both_ways() {
        let dir = private();
        let path = dir.path().join("d".repeat(120)).join("e".repeat(120)).join("skep.sock");
        let listener = bind_unix(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
        connect_unix(&path).unwrap();
        assert!(matches!(bind_unix(&path), Err(SocketError::InUse { .. })));
        drop(listener);
        let name = dir.path().join("n".repeat(120));
        assert!(matches!(bind_unix(&name), Err(SocketError::TooLong { .. })));
    }
}
