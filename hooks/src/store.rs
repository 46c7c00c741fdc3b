//! The file of the outbox: appended to, synced, replaced when it has grown. Blocks; the actor calls it off the runtime.
//!
//! A record is a line. What a crash leaves of a line at the end is cut off; a broken line between good ones is passed
//! over, and the file kept aside. Mode 0600.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use skep_sys::statefile;

use crate::outbox::Outbox;
use crate::record::{MAX_LINE, Record, decode, encode};

/// The file is replaced once it is so long, and four times as long as what it stands for.
const REPLACE_AT: u64 = 256 * 1024;

/// Whether records must be on the disk before anything follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A death of the daemon keeps them; a power loss may not.
    Written,
    /// A power loss keeps them, too.
    Synced,
}

/// The file, open.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    file: File,
    /// The length up to the last whole line.
    length: u64,
    /// The length when it was replaced last.
    replaced: u64,
}

impl Store {
    /// What the file says, and the file. One that is missing is made with the first record.
    ///
    /// # Errors
    ///
    /// When it can be neither read nor replaced.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Outbox)> {
        let mut outbox = Outbox::default();
        let file = match open(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => open(path, true)?,
            Err(error) => return Err(error),
        };
        let read = load(&file, &mut outbox)?;
        let mut store = Self { path: path.to_owned(), file, length: read.length, replaced: 0 };
        store.file.set_len(read.length)?;
        if read.broken > 0 {
            let kept = statefile::quarantine(path)?;
            tracing::error!(
                "{} lines of the outbox are broken and passed over; it is kept as `{}`",
                read.broken,
                kept.display()
            );
            store.replace(&outbox)?;
        }
        Ok((store, outbox))
    }

    /// Appends records. After an error the file is as it was, or the error comes again with the next call.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub(crate) fn append(&mut self, records: &[Record], durability: Durability) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in records {
            let line = encode(record)?;
            if line.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a line of the outbox is too long"));
            }
            bytes.extend_from_slice(&line);
        }
        // Whatever a former failure left behind the last whole line.
        if self.file.metadata()?.len() != self.length {
            self.file.set_len(self.length)?;
        }
        self.file.write_all(&bytes)?;
        if durability == Durability::Synced {
            self.file.sync_data()?;
        }
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Replaces the file by what it stands for, if that is worth it.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old file goes on.
    pub(crate) fn shorten(&mut self, outbox: &Outbox) -> io::Result<()> {
        if self.length < REPLACE_AT || self.length / 4 < self.replaced {
            return Ok(());
        }
        self.replace(outbox)
    }

    fn replace(&mut self, outbox: &Outbox) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in outbox.snapshot() {
            bytes.extend_from_slice(&encode(&record)?);
        }
        statefile::write_atomic(&self.path, &bytes)?;
        self.file = open(&self.path, false)?;
        self.length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.replaced = self.length;
        Ok(())
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(create).mode(0o600).open(path)
}

/// What was read of a file.
struct Read {
    /// Up to the end of its last whole line.
    length: u64,
    broken: u64,
}

/// Line by line, so that a file of any size costs no more memory than what it stands for.
fn load(file: &File, outbox: &mut Outbox) -> io::Result<Read> {
    let mut reader = BufReader::new(file);
    let (mut read, mut position) = (Read { length: 0, broken: 0 }, 0);
    let (mut line, mut too_long) = (Vec::new(), false);
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    loop {
        line.clear();
        let count = reader.by_ref().take(most).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(read);
        }
        position += u64::try_from(count).unwrap_or(u64::MAX);
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        if !ended && count < MAX_LINE {
            // The end of the file, torn.
            return Ok(read);
        }
        match (ended, too_long) {
            (false, _) => too_long = true,
            (true, true) => (too_long, read.broken) = (false, read.broken + 1),
            (true, false) => match decode(&line) {
                Some(record) => outbox.apply(&record),
                None => read.broken += 1,
            },
        }
        if ended {
            read.length = position;
        }
    }
}

#[cfg(test)]
mod tests;
