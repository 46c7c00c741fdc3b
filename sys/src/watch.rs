//! Tells when the files of a directory change, so that nobody has to look again and again.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "an AsyncFd's promise to own its descriptor"))]

use std::io;
use std::path::Path;

/// Tells when a directory's files are written, made or renamed.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct DirectoryWatch {
    inotify: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl DirectoryWatch {
    /// Watches `directory` from now on. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the directory is missing or the user's inotify instances are used up (inotify(7)).
    pub fn new(directory: &Path) -> io::Result<Self> {
        use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let events = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE_SELF;
        inotify::add_watch(&fd, directory, events)?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the `AsyncFd` drops it.
        let inotify =
            unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }?;
        Ok(Self { inotify })
    }

    /// Comes back when something has changed since the last call.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be read.
    pub async fn changed(&self) -> io::Result<()> {
        let mut events = [0_u8; 4096];
        loop {
            let mut ready = self.inotify.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut events)?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

/// Elsewhere there is no such event for a directory's files; growth is noticed within half a second.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct DirectoryWatch;

#[cfg(not(target_os = "linux"))]
impl DirectoryWatch {
    /// Watches `directory` from now on.
    ///
    /// # Errors
    ///
    /// Never, here.
    pub fn new(_directory: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    /// Comes back after half a second.
    ///
    /// # Errors
    ///
    /// Never, here.
    pub async fn changed(&self) -> io::Result<()> {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_into_the_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let watch = DirectoryWatch::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("log"), "line\n").unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(10), watch.changed()).await.unwrap().unwrap();
    }
}
