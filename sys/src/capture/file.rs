//! One log on disk: `path`, `path.1`, … up to the configured number, rotated between lines. Belongs to the writer thread.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::LogSpec;

#[derive(Debug)]
pub(super) struct LogFile {
    spec: LogSpec,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// The file does not end in a newline: it must not be rotated now.
    mid_line: bool,
}

impl LogFile {
    pub(super) fn new(spec: LogSpec) -> Self {
        Self { spec, open: None }
    }

    /// Writes whole lines; says how much of them is written even when it fails, so that nothing is written twice.
    pub(super) fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < lines.len() {
            match self.write_some(&lines[done..]) {
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Frees the descriptor; the next write opens the file again.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn write_some(&mut self, rest: &[u8]) -> io::Result<usize> {
        let max = self.spec.max_bytes;
        let open = self.current()?;
        let room = usize::try_from(max.saturating_sub(open.size)).unwrap_or(usize::MAX);
        let now = if rest.len() <= room {
            rest.len()
        } else if let Some(last) = memchr::memrchr(b'\n', &rest[..room]) {
            last + 1
        } else if open.mid_line || open.size == 0 {
            memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1)
        } else {
            self.rotate()?;
            return Ok(0);
        };
        let written = open.file.write(&rest[..now])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        open.size += written as u64;
        open.mid_line = rest[written - 1] != b'\n';
        Ok(written)
    }

    /// The open file. One that was deleted or cut behind our back is noticed here.
    fn current(&mut self) -> io::Result<&mut Open> {
        if let Some(open) = &mut self.open {
            let metadata = open.file.metadata()?;
            open.size = metadata.size();
            if metadata.nlink() == 0 {
                self.open = None;
            }
        }
        if self.open.is_none() {
            self.open = Some(Open::new(&self.spec)?);
        }
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (1..self.spec.files).rev() {
            match std::fs::rename(self.numbered(number - 1), self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.spec.files <= 1 {
            std::fs::remove_file(&self.spec.path)?;
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.spec.path.clone();
        }
        let mut path = self.spec.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

impl Open {
    fn new(spec: &LogSpec) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(&spec.path)?;
        let mut size = file.metadata()?.size();
        if size > 0 {
            // A former process may have left a line without its end: ours begins on one of its own.
            let mut last = [b'\n'];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Self { file, size, mid_line: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &tempfile::TempDir, max_bytes: u64, files: u32) -> LogFile {
        LogFile::new(LogSpec { path: dir.path().join("w.log"), max_bytes, files })
    }

    fn read(dir: &tempfile::TempDir, name: &str) -> String {
        std::fs::read_to_string(dir.path().join(name)).unwrap_or_default()
    }

    fn write(log: &mut LogFile, lines: &str) {
        let (written, result) = log.write(lines.as_bytes());
        result.unwrap();
        assert_eq!(written, lines.len());
    }

    #[test]
    fn p20_rotation_keeps_so_many_files_and_tears_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 10, 3);
        write(&mut log, "aaaa\nbbbb\ncccc\ndddd\n");
        assert_eq!(
            (read(&dir, "w.log.1"), read(&dir, "w.log")),
            ("aaaa\nbbbb\n".into(), "cccc\ndddd\n".into())
        );
        write(&mut log, "eeeee\nfffff\nggggg\n");
        assert_eq!(read(&dir, "w.log.2"), "eeeee\n");
        assert_eq!(read(&dir, "w.log.1"), "fffff\n");
        assert_eq!(read(&dir, "w.log"), "ggggg\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn p20_a_line_longer_than_a_file_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 4, 2);
        write(&mut log, "a\nlonger than four\nb\n");
        assert_eq!((read(&dir, "w.log.1"), read(&dir, "w.log")), ("longer than four\n".into(), "b\n".into()));
    }

    #[test]
    fn p20_a_single_file_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 4, 1);
        write(&mut log, "aaa\nbbb\n");
        assert_eq!(read(&dir, "w.log"), "bbb\n");
    }

    #[test]
    fn p20_the_next_process_appends_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        write(&mut log(&dir, 100, 2), "first\nhalf");
        write(&mut log(&dir, 100, 2), "second\n");
        assert_eq!(read(&dir, "w.log"), "first\nhalf\nsecond\n");
    }

    #[test]
    fn p20_a_deleted_log_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 100, 2);
        write(&mut log, "first\n");
        std::fs::remove_file(dir.path().join("w.log")).unwrap();
        write(&mut log, "second\n");
        assert_eq!(read(&dir, "w.log"), "second\n");
    }
}
