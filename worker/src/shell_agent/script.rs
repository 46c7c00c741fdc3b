//! Which shell runs a command, and with what arguments. Pure but for a look at whether the shell exists.
//!
//! The shell's state is written by our own binary, called from an EXIT trap, so that it is exact whatever the command
//! did (`exit 3`, `unset PATH`, a value with newlines). The command sees neither a helper variable nor a positional
//! parameter: it is `$1` until the `shift` that stands before it in the same `eval`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The shells whose traps and `eval` are as we need them.
const KNOWN: [&str; 5] = ["bash", "zsh", "dash", "ksh", "sh"];

/// Linux takes no longer argument than 128 KiB.
pub(super) const MAX_COMMAND: usize = 120 * 1024;

/// The user's shell if we know it, else `/bin/sh`.
pub(super) fn shell(users: Option<&OsStr>) -> PathBuf {
    users
        .map(Path::new)
        .filter(|path| path.is_absolute() && path.is_file())
        .filter(|path| KNOWN.iter().any(|known| path.file_name() == Some(OsStr::new(known))))
        .map_or_else(|| PathBuf::from("/bin/sh"), Path::to_owned)
}

/// The shell's arguments: run `command`, and at exit `helper` with `snapshot` as its last argument.
pub(super) fn arguments(shell: &Path, helper: &[OsString], snapshot: &Path, command: &str) -> Vec<OsString> {
    let mut trap = b"{ ".to_vec();
    for word in helper.iter().map(OsString::as_os_str).chain([snapshot.as_os_str()]) {
        trap.extend(quote(word.as_bytes()));
        trap.push(b' ');
    }
    trap.extend(b"; } >/dev/null 2>&1");
    let mut script = b"trap ".to_vec();
    script.extend(quote(&trap));
    script.extend(b" EXIT; eval \"shift; $1\"");
    let name = shell.file_name().map_or_else(|| OsString::from("sh"), OsStr::to_owned);
    vec![OsString::from("-c"), OsString::from_vec(script), name, OsString::from(command)]
}

/// One word for any shell.
fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_shells_are_used() {
        assert_eq!(shell(Some(OsStr::new("/bin/sh"))), Path::new("/bin/sh"));
        for other in ["/usr/bin/fish", "/bin/cat", "sh", "/nowhere/bash", ""] {
            assert_eq!(shell(Some(OsStr::new(other))), Path::new("/bin/sh"), "{other}");
        }
        assert_eq!(shell(None), Path::new("/bin/sh"));
    }

    #[test]
    fn g7_paths_with_quotes_and_spaces_stay_single_words() {
        let helper = [OsString::from("/a b/it's"), OsString::from("agent")];
        let arguments = arguments(Path::new("/bin/sh"), &helper, Path::new("/s'/x"), "echo $1");
        let script = arguments[1].to_str().unwrap();
        let words = shell_words::split(script.split(" EXIT;").next().unwrap()).unwrap();
        assert_eq!(words[1], r"{ '/a b/it'\''s' 'agent' '/s'\''/x' ; } >/dev/null 2>&1");
        assert_eq!(&arguments[2..], ["sh", "echo $1"]);
    }
}
