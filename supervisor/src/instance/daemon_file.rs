//! `daemon.json`: who the daemon is. Its fields are checked before anything is believed (Q4).

use std::io;
use std::path::Path;

use skep_common::api::{DaemonFile, TlsInfo};
use skep_config::Paths;
use skep_sys::process::is_alive;
use skep_sys::statefile;

use super::DaemonLock;

/// Longer texts do not come from us.
const MAX_TEXT: usize = 4096;

/// More arguments do not come from us.
const MAX_ARGS: usize = 1024;

/// More listeners do not come from us.
const MAX_URLS: usize = 64;

/// What `daemon.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonFound {
    /// There is none.
    None,
    /// Its process lives. Before it is signalled, its health endpoint must say the same (Q4).
    Running(DaemonFile),
    /// Its process is gone: the daemon died.
    Stale(DaemonFile),
    /// It is not to be believed.
    Invalid(InvalidDaemonFile),
}

/// Why a `daemon.json` is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`daemon.json` is invalid: {why}")]
pub struct InvalidDaemonFile {
    /// What is wrong with it.
    pub why: String,
}

/// Looks for the daemon. Changes nothing, so that anybody may ask at any time.
#[must_use]
pub fn find_daemon(paths: &Paths) -> DaemonFound {
    let invalid = |why: String| DaemonFound::Invalid(InvalidDaemonFile { why });
    let bytes = match std::fs::read(paths.daemon_file()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return DaemonFound::None,
        Err(error) => return invalid(error.to_string()),
    };
    let file: DaemonFile = match serde_json::from_slice(&bytes) {
        Ok(file) => file,
        Err(error) => return invalid(error.to_string()),
    };
    match check(&file) {
        Err(why) => invalid(why.to_owned()),
        Ok(()) if is_alive(&file.process) => DaemonFound::Running(file),
        Ok(()) => DaemonFound::Stale(file),
    }
}

/// Removes a `daemon.json` whose daemon is gone, unless somebody becomes the daemon at this moment. Whether it did.
///
/// # Errors
///
/// When the file cannot be removed.
pub fn clean_stale(paths: &Paths) -> io::Result<bool> {
    let Ok(lock) = DaemonLock::acquire(paths) else { return Ok(false) };
    // Under the lock it can only be stale.
    match find_daemon(paths) {
        DaemonFound::None | DaemonFound::Running(_) => Ok(false),
        DaemonFound::Stale(_) | DaemonFound::Invalid(_) => lock.remove_daemon_file().map(|()| true),
    }
}

impl DaemonLock {
    /// Says who the daemon is, durably.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_daemon_file(&self, file: &DaemonFile) -> io::Result<()> {
        statefile::write_json(&self.paths().daemon_file(), file)
    }

    /// The last thing that a daemon does before it lets go of the lock. No file is no error.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn remove_daemon_file(&self) -> io::Result<()> {
        match std::fs::remove_file(self.paths().daemon_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn check(file: &DaemonFile) -> Result<(), &'static str> {
    let is_text = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if i32::try_from(file.process.pid).is_err() || file.process.pid == 0 {
        return Err("its pid is out of range");
    }
    if file.process.boot_id.is_empty() || !is_text(&file.process.boot_id) {
        return Err("its boot id is no boot id");
    }
    if !Path::new(&file.socket).is_absolute() || !is_text(&file.socket) {
        return Err("its socket is no absolute path");
    }
    let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    if file.urls.len() > MAX_URLS || !file.urls.iter().all(|url| is_url(url) && is_text(url)) {
        return Err("its URLs are no URLs");
    }
    let is_certificate = |tls: &TlsInfo| {
        let texts = [&tls.mode, &tls.certificate, &tls.fingerprint];
        Path::new(&tls.certificate).is_absolute() && texts.into_iter().all(|text| is_text(text))
    };
    if !file.tls.as_ref().is_none_or(is_certificate) {
        return Err("its certificate is none");
    }
    if file.version.is_empty() || file.version.len() > 64 || !is_text(&file.version) {
        return Err("its version is no version");
    }
    if file.args.len() > MAX_ARGS || file.args.iter().any(|arg| arg.len() > MAX_TEXT || arg.contains('\0')) {
        return Err("its arguments are too many or too long");
    }
    Ok(())
}
