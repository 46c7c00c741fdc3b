//! Segment files: their names, how they are listed, and the few calls that writing needs of one.
//!
//! A segment is `journal/<first-seq>.jsonl`; only the last one grows. What else lies in the directory (`torn-<n>`) is
//! never read.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of a session's segments.
pub(crate) fn journal_dir(session_dir: &Path) -> PathBuf {
    session_dir.join("journal")
}

/// The path of the segment that begins with `first_seq`.
pub(crate) fn path(journal_dir: &Path, first_seq: u64) -> PathBuf {
    journal_dir.join(format!("{first_seq:012}.jsonl"))
}

/// The first seqs of all segments, ascending. No directory: no segments.
pub(crate) fn list(journal_dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(journal_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|n| n.parse().ok());
        // Only the spelling that we write, so that no two names mean the same segment.
        found.extend(number.filter(|n| path(journal_dir, *n).file_name() == Some(&name)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens a segment for reading.
pub(crate) fn open(journal_dir: &Path, first_seq: u64) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path(journal_dir, first_seq))
}

/// Makes a directory that only its owner may enter; an existing one is left as it is.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What the writer needs of the file that it appends to.
pub(crate) trait SegmentFile: Debug + Send + Sync {
    /// Writes at `offset`; may write less than all.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file to `len`.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// How segments are opened for writing; tests put a failing disk here.
pub(crate) type Wrap = Arc<dyn Fn(&Path, File) -> Arc<dyn SegmentFile> + Send + Sync>;

/// The real disk.
pub(crate) fn real() -> Wrap {
    Arc::new(|_, file| Arc::new(file))
}

/// Creates a segment file for writing; an existing one is an error.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens an existing segment file for writing.
pub(crate) fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits()).open(path)
}

/// Reads exactly the bytes from `offset` to `end`, or as many as the file has of them.
pub(crate) fn read_range(file: &File, offset: u64, end: u64) -> io::Result<Vec<u8>> {
    let wanted = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; wanted];
    let read = fill(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads until `into` is full or the file ends; how much was read.
pub(crate) fn fill(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_spelling_is_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "000000000010.jsonl",
            "000000000002.jsonl",
            "1234567890123.jsonl",
            "2.jsonl",
            "torn-1",
            "x.jsonl",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), [2, 10, 1_234_567_890_123]);
        assert!(list(&dir.path().join("missing")).unwrap().is_empty());
    }
}
