//! `env_file`: variables of one agent in a file of their own, so that keys need not stand in the configuration.
//!
//! Read anew at each start of the agent. The file must be a regular one that nobody but its owner may read, and its
//! owner must be this user (or root). Values are never part of an error.
//!
//! ```text
//! # a comment
//! NAME=value up to the end of the line, outer blanks dropped; ` #` begins a comment
//! export NAME='as it is'
//! NAME="with \n, \t, \\, \" and \$"
//! ```
//!
//! Nothing is expanded: a `$` stands for itself.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use skep_common::environment::{Secret, is_name};

/// The largest file, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The file cannot be used. Its path is named by whoever names the agent.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is no regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// Others may read or write it.
    #[error("others may read it (mode {mode:03o}); `chmod 600` it")]
    Mode {
        /// Its permission bits.
        mode: u32,
    },
    /// It is another user's.
    #[error("it belongs to user {uid}, not to you")]
    Owner {
        /// The other user.
        uid: u32,
    },
    /// It is too large.
    #[error("it is larger than {} KiB", MAX_FILE / 1024)]
    TooLarge,
    /// It says something that is not understood.
    #[error("line {line}: {what}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// Where the file is: absolute, or below the home directory where it begins with `~/`.
#[must_use]
pub fn place(configured: &Path, home: Option<&Path>) -> PathBuf {
    match (configured.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => configured.to_owned(),
    }
}

/// Reads the file.
///
/// # Errors
///
/// When it cannot be read, others could read it too, or it is wrong.
pub fn read(path: &Path) -> Result<Vec<(String, Secret)>, EnvFileError> {
    let file =
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(EnvFileError::NotAFile);
    }
    if found.uid() != nix::unistd::geteuid().as_raw() && found.uid() != 0 {
        return Err(EnvFileError::Owner { uid: found.uid() });
    }
    if found.mode() & 0o077 != 0 {
        return Err(EnvFileError::Mode { mode: found.mode() & 0o777 });
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    let text = Secret::new(text);
    if u64::try_from(text.reveal().len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(EnvFileError::TooLarge);
    }
    parse(text.reveal())
}

/// The variables in the order of the file. Pure.
///
/// # Errors
///
/// At the first line that is not understood.
pub fn parse(text: &str) -> Result<Vec<(String, Secret)>, EnvFileError> {
    let mut found = Vec::new();
    for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        match variable(line.trim()) {
            Ok(variable) => found.extend(variable),
            Err(what) => return Err(EnvFileError::Line { line: at + 1, what }),
        }
    }
    Ok(found)
}

fn variable(line: &str) -> Result<Option<(String, Secret)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=').ok_or("there is no `=`")?;
    let name = name.trim_end();
    if !is_name(name) {
        return Err("what stands before the `=` is no variable's name");
    }
    if name.starts_with("SKEP_") {
        return Err("a variable that begins with SKEP_ is skep's own");
    }
    Ok(Some((name.to_owned(), Secret::new(value_of(value.trim())?))))
}

fn value_of(text: &str) -> Result<String, &'static str> {
    let (value, rest) = match text.as_bytes().first() {
        Some(b'\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or("a `'` is not closed")?;
            (value.to_owned(), rest)
        }
        Some(b'"') => quoted(&text[1..])?,
        _ => {
            let end = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
            let value = if text.starts_with('#') { "" } else { text[..end].trim_end() };
            (value.to_owned(), "")
        }
    };
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err("something follows the closing quote");
    }
    if value.contains('\0') {
        return Err("the value has a NUL in it");
    }
    Ok(value)
}

/// What stands up to the closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('\\' | '"' | '$' | '\''))) => value.push(c),
                _ => return Err("after a `\\` in quotes only n, r, t, \\, \", ' and $ can stand"),
            },
            c => value.push(c),
        }
    }
    Err("a `\"` is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn one(line: &str) -> Result<(String, String), String> {
        let mut found = parse(line).map_err(|error| error.to_string())?;
        let (name, value) = found.pop().ok_or("nothing")?;
        Ok((name, value.reveal().to_owned()))
    }

    #[test]
    fn lines_are_read_as_documented() {
        let table = [
            ("A=1", "1"),
            ("  A = 1 2  ", "1 2"),
            ("export A=1", "1"),
            ("A=", ""),
            ("A=#x", ""),
            ("A=a#b", "a#b"),
            ("A=a # b", "a"),
            ("A='a # $B \\n'  # c", "a # $B \\n"),
            (r#"A="a\n\"\\\$b" # c"#, "a\n\"\\$b"),
            ("A=$B", "$B"),
            ("A=x=y", "x=y"),
        ];
        for (line, value) in table {
            assert_eq!(one(line), Ok(("A".to_owned(), value.to_owned())), "{line}");
        }
        assert_eq!(parse("\u{feff}# c\n\r\nA=1\r\nexportB=2\n").unwrap().len(), 2);
    }

    #[test]
    fn a_wrong_line_is_named_and_its_value_is_not() {
        for wrong in
            ["hunter2", "=hunter2", "1A=hunter2", "A B=hunter2", "A='hunter2", "A=\"hunter2", "A='h'unter2"]
        {
            let error = parse(&format!("# c\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.starts_with("line 2: ") && !error.contains("unter2"), "{wrong}: {error}");
        }
        assert!(parse("SKEP_HOME=x").is_err() && parse("A=\"\\x\"").is_err());
    }

    proptest! {
        #[test]
        fn g13_any_text_is_read_or_refused(text in "(?s).{0,200}") {
            drop(parse(&text));
        }

        #[test]
        fn a_value_in_double_quotes_comes_back(value in "[^\0\n\r]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
            let read = one(&format!("A=\"{escaped}\""));
            // A line ends at more than `\n` for nobody but us: other line ends stay.
            prop_assert_eq!(read, Ok(("A".to_owned(), value)));
        }
    }

    #[test]
    fn only_a_private_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys with a space.env");
        std::fs::write(&path, "A=1\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(matches!(read(&path), Err(EnvFileError::Mode { mode: 0o640 })));
        mode(0o604);
        assert!(matches!(read(&path), Err(EnvFileError::Mode { .. })));
        mode(0o600);
        assert_eq!(read(&path).unwrap().len(), 1);
        assert!(matches!(read(dir.path()), Err(EnvFileError::NotAFile)));
        assert!(matches!(read(&dir.path().join("none")), Err(EnvFileError::Io(_))));
        std::fs::write(&path, "x".repeat(usize::try_from(MAX_FILE).unwrap() + 1)).unwrap();
        assert!(matches!(read(&path), Err(EnvFileError::TooLarge)));
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = Path::new("/home/p");
        assert_eq!(place(Path::new("~/.keys"), Some(home)), Path::new("/home/p/.keys"));
        assert_eq!(place(Path::new("/etc/keys"), Some(home)), Path::new("/etc/keys"));
    }
}
