//! The hidden `skep shim -- PROGRAM ARG…`: what must happen in a process of its own before an agent starts, so that the
//! spawn itself needs no code between fork and exec.
//!
//! It makes a session of its own, sets umask 077, takes the limits that people gave, puts every signal right, closes
//! every descriptor but three and becomes the program. The process keeps its number, so the supervisor's handle stays valid.

#![expect(unsafe_code, reason = "closes every descriptor just before exec")]

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

use crate::daemonize::new_session;
use crate::descriptors;
use crate::limits::{self, Limits};
use crate::signal;

/// The program and arguments with which `exe` (our own binary) runs `argv` through the shim. To be spawned with
/// `new_group: false`: a group leader cannot make a session.
#[must_use]
pub fn command(exe: &Path, argv: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
    let mut args = vec![OsString::from("shim")];
    if let Some(given) = limits::given() {
        args.extend([OsString::from("--limits"), OsString::from(given.to_string())]);
    }
    args.push(OsString::from("--"));
    args.extend(argv);
    (exe.to_owned(), args)
}

/// Becomes the program: `words` is what stood after `shim`. Returns only if that failed, with the reason. The caller says
/// it on standard error, which is still open, and exits 127 ([`io::ErrorKind::NotFound`]) or 126.
pub fn exec(words: impl IntoIterator<Item = OsString>) -> io::Error {
    match try_exec(words) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_exec(words: impl IntoIterator<Item = OsString>) -> io::Result<Infallible> {
    let mut words = words.into_iter();
    let mut limits = None;
    let mut word = words.next();
    if word.as_deref().is_some_and(|word| word == "--limits") {
        limits = words.next().and_then(|text| text.to_str()?.parse::<Limits>().ok());
        word = words.next();
    }
    if word.is_none_or(|word| word != "--") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "usage: shim [--limits FILES:CORE] -- PROGRAM …",
        ));
    }
    let argv: Vec<CString> = words
        .map(|arg| CString::new(arg.into_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "an argument holds a NUL byte"))?;
    let program = argv
        .first()
        .filter(|program| !program.is_empty())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program was given"))?;
    new_session()?;
    umask(Mode::RWXG | Mode::RWXO);
    if let Some(limits) = limits {
        limits.apply()?;
    }
    signal::reset_ignored()?;
    // SAFETY: this process is about to become another program and uses only the standard descriptors until then.
    unsafe { descriptors::close_all() }?;
    Ok(nix::unistd::execvp(program, &argv)?)
}
