//! Encryption over TCP: the certificate in use, whose it is, and how it is exchanged for a newer one while connections
//! go on.
//!
//! ```text
//!  api.tls ─▶ Tls ── cover(names) ─▶ own: made, kept, renewed ──┐
//!                 └─ refresh() ────▶ files: read anew ──────────┴▶ Loaded: what new connections get, what is told
//! ```
//!
//! A certificate that cannot be read anew leaves the former one in use, and says so in the status. Without any
//! certificate nothing is served over TCP: never plain HTTP in its place.

mod certificate;
mod handshake;
mod own;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use skep_common::api::TlsInfo;
use skep_config::Paths;
use skep_config::api::{ApiSettings, TlsMode};
use tokio_rustls::TlsAcceptor;

pub use certificate::TlsError;
pub(crate) use handshake::greet;

use certificate::Certified;

/// How often the self-made certificate's end is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(12 * 60 * 60);

/// The certificate of a daemon. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    /// One change at a time: two certificates must not be made at once.
    changing: Mutex<()>,
    state: Mutex<State>,
}

/// Where the certificate comes from.
#[derive(Debug)]
enum Source {
    Own { paths: own::Places },
    Files { certificate: PathBuf, key: PathBuf },
}

#[derive(Debug, Default)]
struct State {
    /// Names and addresses that a self-made certificate must hold.
    names: BTreeSet<String>,
    loaded: Option<Certified>,
    problem: Option<String>,
}

impl Tls {
    /// As the settings want it; none where they want none. Nothing is read yet.
    pub(crate) fn new(settings: &ApiSettings, paths: &Paths) -> Option<Self> {
        let source = match settings.tls.mode {
            TlsMode::Off => return None,
            TlsMode::Own => {
                Source::Own { paths: own::Places { whole: paths.tls_key(), shown: paths.tls_certificate() } }
            }
            TlsMode::Files => {
                let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
                Source::Files { certificate: file(&settings.tls.certificate), key: file(&settings.tls.key) }
            }
        };
        let named = settings.hosts.iter().chain(&settings.allowed_hosts).cloned();
        let state = State { names: named.filter(|name| is_name(name)).collect(), ..State::default() };
        let shared = Shared { source, changing: Mutex::new(()), state: Mutex::new(state) };
        Some(Self { shared: Arc::new(shared) })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a certificate ready, which names these hosts if it is a self-made one. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; a former certificate stays in use.
    pub(crate) fn cover(&self, hosts: &[String], now: Timestamp) -> Result<(), TlsError> {
        let is_new = {
            let mut state = self.state();
            let before = state.names.len();
            state.names.extend(hosts.iter().filter(|host| is_name(host)).cloned());
            state.names.len() > before || state.loaded.is_none()
        };
        if is_new { self.refresh(now) } else { Ok(()) }
    }

    /// Reads the certificate anew; makes another where a self-made one nears its end. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; a former certificate stays in use.
    pub(crate) fn refresh(&self, now: Timestamp) -> Result<(), TlsError> {
        let _one_at_a_time = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.state().names.clone();
        let certified = match &self.shared.source {
            Source::Own { paths } => own::load_or_make(paths, &names, now),
            Source::Files { certificate, key } => Certified::read(certificate, key),
        };
        let mut state = self.state();
        match certified {
            Ok(certified) => {
                if let Some(why) = certified.outdated(now) {
                    tracing::warn!("the certificate `{}` {why}", certified.path.display());
                }
                state.loaded = Some(certified);
                state.problem = None;
                Ok(())
            }
            Err(error) => {
                state.problem = Some(format!("cannot {error}"));
                Err(error)
            }
        }
    }

    /// What new connections are greeted with; none before [`Tls::cover`] had success.
    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.state().loaded.as_ref().map(|loaded| TlsAcceptor::from(Arc::clone(&loaded.config)))
    }

    /// What is told of the certificate in use.
    pub(crate) fn info(&self, now: Timestamp) -> Option<TlsInfo> {
        let state = self.state();
        let loaded = state.loaded.as_ref()?;
        Some(TlsInfo {
            mode: match self.shared.source {
                Source::Own { .. } => String::from("self"),
                Source::Files { .. } => String::from("files"),
            },
            certificate: loaded.path.display().to_string(),
            fingerprint: loaded.fingerprint.clone(),
            expires_at: loaded.not_after,
            problem: state
                .problem
                .clone()
                .or_else(|| loaded.outdated(now).map(|why| format!("the certificate {why}"))),
        })
    }
}

/// What a certificate can name: no wildcard address, and nothing that is no name.
fn is_name(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => !address.is_unspecified(),
        Err(_) => {
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    }
}

/// So long before its end a self-made certificate is exchanged for another.
pub(crate) const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
