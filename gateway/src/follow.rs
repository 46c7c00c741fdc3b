//! Text that grows: log files, rotated under the reader.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// What is read and sent at once.
const BLOCK: usize = 64 * 1024;

/// Lines of a filtered log are not kept beyond this while they are unfinished.
const LONGEST_LINE: usize = 1024 * 1024;

/// A log with its rotated files, read from the oldest byte on and across rotations.
#[derive(Debug)]
pub(crate) struct RotatedLog {
    path: PathBuf,
    /// What is read next, oldest first.
    files: VecDeque<Opened>,
    /// The last file has successors: what it has still got is its end.
    succeeded: bool,
    filter: Option<LineFilter>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: (u64, u64),
}

impl Opened {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let found = file.metadata()?;
                Ok(found.is_file().then(|| Self { file, identity: (found.dev(), found.ino()) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RotatedLog {
    /// The log at `path`, and what was rotated out of it as `path.1` (the latest) and up. With `needle` only the lines
    /// that contain it.
    pub(crate) fn open(path: PathBuf, needle: Option<String>) -> io::Result<Self> {
        let files = newer_than(&path, None)?;
        Ok(Self { path, files, succeeded: false, filter: needle.map(LineFilter::new) })
    }

    /// Where the log is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on with the log at `path` when what there is of this one was read.
    pub(crate) fn continue_at(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// The next bytes; none at the end as it is now. Blocks on the disk.
    pub(crate) fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(current) = self.files.front_mut() else {
                match Opened::open(&self.path)? {
                    Some(opened) => self.files.push_back(opened),
                    None => return Ok(None),
                }
                continue;
            };
            let mut block = vec![0; BLOCK];
            let read = current.file.read(&mut block)?;
            if read == 0 {
                let identity = current.identity;
                if self.files.len() == 1 && !self.succeeded {
                    let newer = newer_than(&self.path, Some(identity))?;
                    if newer.is_empty() {
                        return Ok(None);
                    }
                    // It may have grown between the read and its end: it is asked once more.
                    self.files.extend(newer);
                    self.succeeded = true;
                    continue;
                }
                self.succeeded = false;
                self.files.pop_front();
                continue;
            }
            block.truncate(read);
            let shown = match &mut self.filter {
                Some(filter) => filter.push(&block),
                None => block,
            };
            if !shown.is_empty() {
                return Ok(Some(Bytes::from(shown)));
            }
        }
    }
}

/// The files of the log at `path` that are newer than the one of this identity, oldest first; all of them if that one
/// is not kept any more.
fn newer_than(path: &Path, identity: Option<(u64, u64)>) -> io::Result<VecDeque<Opened>> {
    let mut files: VecDeque<Opened> = VecDeque::new();
    for number in 0.. {
        match Opened::open(&numbered(path, number))? {
            Some(file) if identity == Some(file.identity) => break,
            // It was rotated between the two looks.
            Some(file) if files.front().is_some_and(|newer| newer.identity == file.identity) => {}
            Some(file) => files.push_front(file),
            // In the middle of a rotation the newest file has no name yet.
            None if number == 0 && identity.is_none() => {}
            None => break,
        }
    }
    Ok(files)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Lets whole lines through that contain a text.
#[derive(Debug)]
struct LineFilter {
    needle: memchr::memmem::Finder<'static>,
    partial: Vec<u8>,
}

impl LineFilter {
    fn new(needle: String) -> Self {
        Self { needle: memchr::memmem::Finder::new(&needle).into_owned(), partial: Vec::new() }
    }

    fn push(&mut self, block: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for part in block.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() > LONGEST_LINE {
                if self.needle.find(&self.partial).is_some() {
                    shown.extend_from_slice(&self.partial);
                }
                self.partial.clear();
            }
        }
        shown
    }
}

/// Lets whole lines through that contain a text, in upper or lower case.
#[derive(Debug)]
pub(crate) struct Grep {
    wanted: String,
    partial: Vec<u8>,
}

impl Grep {
    pub(crate) fn new(wanted: &str) -> Self {
        Self { wanted: wanted.to_lowercase(), partial: Vec::new() }
    }

    /// The lines that are complete now and contain it.
    pub(crate) fn push(&mut self, block: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for part in block.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() > LONGEST_LINE {
                shown.extend(self.finish());
            }
        }
        shown
    }

    /// The unfinished line, if it contains it.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.partial);
        let found = String::from_utf8_lossy(&line).to_lowercase().contains(&self.wanted);
        if found { line } else { Vec::new() }
    }
}

/// The last lines of a text of which nobody knows how long it is.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: VecDeque<Vec<u8>>,
    partial: Vec<u8>,
    keep: usize,
    bytes: usize,
}

/// More than this is not kept of a tail, however many lines it has.
const TAIL_BYTES: usize = 4 * 1024 * 1024;

impl Tail {
    pub(crate) fn new(keep: usize) -> Self {
        Self { lines: VecDeque::new(), partial: Vec::new(), keep, bytes: 0 }
    }

    pub(crate) fn push(&mut self, block: &[u8]) {
        for part in block.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() > LONGEST_LINE {
                self.bytes += self.partial.len();
                self.lines.push_back(std::mem::take(&mut self.partial));
            }
            while self.lines.len() > self.keep || self.bytes > TAIL_BYTES {
                let dropped = self.lines.pop_front().unwrap_or_default();
                self.bytes -= dropped.len();
            }
        }
    }

    /// The kept lines; an unfinished one counts.
    pub(crate) fn finish(mut self) -> Bytes {
        if !self.partial.is_empty() {
            self.lines.push_back(std::mem::take(&mut self.partial));
            if self.lines.len() > self.keep {
                self.lines.pop_front();
            }
        }
        let mut out = Vec::with_capacity(self.bytes);
        self.lines.into_iter().for_each(|line| out.extend(line));
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(log: &mut RotatedLog) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(block) = log.read().unwrap() {
            all.extend_from_slice(&block);
        }
        all
    }

    #[test]
    fn p20_a_log_is_read_across_rotations_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.log");
        std::fs::write(numbered(&path, 2), "1\n").unwrap();
        std::fs::write(numbered(&path, 1), "2\n").unwrap();
        std::fs::write(&path, "3\n").unwrap();
        let mut log = RotatedLog::open(path.clone(), None).unwrap();
        assert_eq!(drain(&mut log), b"1\n2\n3\n");
        std::fs::write(&path, "3\n4\n").unwrap();
        std::fs::rename(&path, numbered(&path, 1)).unwrap();
        std::fs::write(&path, "5\n").unwrap();
        assert_eq!(drain(&mut log), b"4\n5\n");
        assert_eq!(drain(&mut log), b"");
    }

    #[test]
    fn p20_a_reader_that_slept_through_rotations_misses_nothing_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.log");
        std::fs::write(&path, "1\n").unwrap();
        let mut log = RotatedLog::open(path.clone(), None).unwrap();
        assert_eq!(drain(&mut log), b"1\n");
        for line in 2..=4 {
            for number in (0..3).rev() {
                std::fs::rename(numbered(&path, number), numbered(&path, number + 1)).ok();
            }
            std::fs::write(&path, format!("{line}\n")).unwrap();
        }
        assert_eq!(drain(&mut log), b"2\n3\n4\n");
        assert_eq!(drain(&mut log), b"");
    }

    #[test]
    fn c5_the_next_days_log_follows_when_this_ones_end_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let (today, tomorrow) = (dir.path().join("1.log"), dir.path().join("2.log"));
        std::fs::write(&today, "1\n").unwrap();
        let mut log = RotatedLog::open(today.clone(), None).unwrap();
        assert_eq!(drain(&mut log), b"1\n");
        std::fs::write(&today, "1\n2\n").unwrap();
        log.continue_at(tomorrow.clone());
        assert_eq!(drain(&mut log), b"2\n");
        std::fs::write(&tomorrow, "3\n").unwrap();
        assert_eq!(drain(&mut log), b"3\n");
    }

    #[test]
    fn a_log_that_does_not_exist_yet_is_read_when_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.log");
        let mut log = RotatedLog::open(path.clone(), None).unwrap();
        assert_eq!(drain(&mut log), b"");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(drain(&mut log), b"x");
    }

    #[test]
    fn only_lines_with_the_text_pass_a_filter_however_they_are_cut() {
        let mut filter = LineFilter::new("ab".into());
        let shown: Vec<u8> =
            [&b"xa"[..], b"b\nno\n", b"ab"].iter().flat_map(|part| filter.push(part)).collect();
        assert_eq!(shown, b"xab\n");
    }

    proptest! {
        #[test]
        fn a_tail_is_the_last_lines(lines in proptest::collection::vec("[a-z]{0,5}", 0..30), keep in 0usize..10, cut in 1usize..7) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut tail = Tail::new(keep);
            text.as_bytes().chunks(cut).for_each(|part| tail.push(part));
            let expected: String = lines.iter().skip(lines.len().saturating_sub(keep)).map(|l| format!("{l}\n")).collect();
            prop_assert_eq!(tail.finish(), expected.as_bytes());
        }
    }
}
