//! The doors to TCP: which addresses may be listened on, the listeners that are bound, and what is known of them all.
//!
//! ```text
//!  hosts, port ─▶ resolve ─▶ may_listen (pure) ─▶ certificate? ─▶ bind ─▶ Bound ─▶ server::Entrance accepts
//!                                                                   └─▶ urls: daemon.json, status
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::Uri;
use jiff::Timestamp;
use skep_common::api::TlsInfo;
use skep_common::code::Code;
use skep_config::Paths;
use skep_config::api::{ApiSettings, Auth};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;

use crate::error::Failure;
use crate::keys::{hash, hex};
use crate::origin::Expected;
use crate::password::{Password, PasswordError};
use crate::tls::{Tls, TlsError};

/// Listeners at once.
const MAX_LISTENERS: usize = 32;

/// Why TCP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The host has no address.
    #[error("listen on `{host}`: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address cannot be bound.
    #[error("listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An address beyond this machine, and no password.
    #[error(
        "listen on {address}: an address that is not loopback needs a password; `skep password set` sets one, or put it \
         into a file that only you can read, and name that in api.password_file (SKEP_PASSWORD_FILE)"
    )]
    NoPassword {
        /// The address.
        address: IpAddr,
    },
    /// An address beyond this machine, and `auth = "none"`.
    #[error("listen on {address}: api.auth (SKEP_AUTH) is \"none\", which is for loopback only")]
    NoAuth {
        /// The address.
        address: IpAddr,
    },
    /// There are too many.
    #[error("listen on one more address: there are {MAX_LISTENERS} already")]
    TooMany,
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// There is no certificate to encrypt with.
    #[error("encrypt what crosses TCP (api.tls): cannot {0}")]
    Tls(#[from] TlsError),
}

impl DoorError {
    pub(crate) fn into_failure(self) -> Failure {
        let code = match self {
            Self::NoPassword { .. } | Self::NoAuth { .. } | Self::Password(_) => Code::PasswordRequired,
            Self::Resolve { .. } | Self::Bind { .. } | Self::TooMany => Code::InvalidValue,
            Self::Tls(_) => Code::ConfigInvalid,
        };
        Failure::new(code, format!("cannot {self}"))
    }
}

/// A listener, not yet accepting.
#[derive(Debug)]
pub struct Bound {
    pub(crate) listener: TcpListener,
}

/// The doors of one daemon.
#[derive(Clone)]
pub struct Doors {
    shared: Arc<Shared>,
}

struct Shared {
    auth: Auth,
    expected: Expected,
    password_file: PathBuf,
    base_path: String,
    cookie: String,
    tls: Option<Tls>,
    urls: watch::Sender<Vec<String>>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors").field("urls", &*self.shared.urls.borrow()).finish_non_exhaustive()
    }
}

impl Doors {
    /// Doors as these settings want them; none is open yet.
    #[must_use]
    pub fn new(settings: &ApiSettings, paths: &Paths) -> Self {
        // A cookie belongs to a host whatever its port, so several daemons of a machine need names of their own.
        let place = hash(paths.state_dir().as_os_str().as_encoded_bytes());
        Self {
            shared: Arc::new(Shared {
                auth: settings.auth,
                expected: Expected::new(settings),
                password_file: settings.password_file.clone().unwrap_or_else(|| paths.password()),
                base_path: settings.base_path.clone(),
                cookie: format!("skep-{}", hex(&place[..4])),
                tls: Tls::new(settings, paths),
                urls: watch::Sender::new(Vec::new()),
            }),
        }
    }

    /// Listens on every address of these hosts. One port for all of them where port 0 picks one.
    ///
    /// # Errors
    ///
    /// [`DoorError`]; nothing is bound then.
    pub async fn bind(&self, hosts: &[String], port: u16) -> Result<Vec<Bound>, DoorError> {
        let mut addresses = Vec::new();
        for host in hosts {
            addresses.extend(resolve(host, port).await?);
        }
        self.bind_all(addresses, port, hosts).await
    }

    async fn bind_all(
        &self,
        mut addresses: Vec<(SocketAddr, ByName)>,
        port: u16,
        hosts: &[String],
    ) -> Result<Vec<Bound>, DoorError> {
        addresses.sort_unstable_by_key(|(address, _)| *address);
        addresses.dedup_by_key(|(address, _)| *address);
        let has_password = !addresses.iter().all(|(address, _)| address.ip().is_loopback())
            && Password::load(&self.shared.password_file)?.is_some();
        for (address, _) in &addresses {
            may_listen(address.ip(), self.shared.auth, has_password)?;
        }
        self.have_certificate(hosts).await?;
        let mut bound: Vec<Bound> = Vec::new();
        for (mut address, by_name) in addresses {
            if let (0, Some(first)) = (port, bound.first().and_then(|bound| bound.listener.local_addr().ok()))
            {
                address.set_port(first.port());
            }
            match TcpListener::bind(address).await {
                Ok(listener) => bound.push(Bound { listener }),
                // A name may have an address of a family that this machine does not speak.
                Err(error) if by_name == ByName::Yes && error.kind() == io::ErrorKind::AddrNotAvailable => {
                    tracing::info!("not listening on {address}: {error}");
                }
                Err(source) => return Err(DoorError::Bind { address, source }),
            }
        }
        let new: Vec<String> = bound.iter().filter_map(|bound| self.url(bound)).collect();
        if self.shared.urls.borrow().len() + new.len() > MAX_LISTENERS {
            return Err(DoorError::TooMany);
        }
        self.shared.urls.send_modify(|urls| urls.extend(new));
        Ok(bound)
    }

    /// Listens there as well, unless it does already: port 0 is content with any port (C3).
    ///
    /// # Errors
    ///
    /// [`DoorError`]; nothing is bound then.
    pub(crate) async fn add(&self, host: &str, port: u16) -> Result<Vec<Bound>, DoorError> {
        let mut wanted = resolve(host, port).await?;
        wanted.retain(|(address, _)| {
            !self.shared.urls.borrow().iter().filter_map(|url| listening(url)).any(|open| {
                let same_port = port == 0 || open.port() == port;
                same_port && open.ip().to_canonical() == address.ip().to_canonical()
            })
        });
        self.bind_all(wanted, port, &[host.to_owned()]).await
    }

    /// Has a certificate ready for these hosts, where the settings want one.
    async fn have_certificate(&self, hosts: &[String]) -> Result<(), DoorError> {
        let Some(tls) = self.shared.tls.clone() else { return Ok(()) };
        let hosts = hosts.to_vec();
        let covered = tokio::task::spawn_blocking(move || tls.cover(&hosts, Timestamp::now()));
        covered.await.unwrap_or_else(|error| Err(TlsError::Make(error.to_string())))?;
        Ok(())
    }

    /// Reads the certificate anew, or makes another where a self-made one nears its end. Without one nothing is done.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the former certificate stays in use.
    pub async fn refresh_certificate(&self) -> Result<(), TlsError> {
        let Some(tls) = self.shared.tls.clone() else { return Ok(()) };
        if self.shared.urls.borrow().is_empty() {
            return Ok(());
        }
        let before = self.tls_info();
        let refreshed = tokio::task::spawn_blocking(move || tls.refresh(Timestamp::now()));
        let refreshed = refreshed.await.unwrap_or_else(|error| Err(TlsError::Make(error.to_string())));
        if self.tls_info() != before {
            // Whoever tells where the daemon listens tells of its certificate, too.
            self.shared.urls.send_modify(|_| {});
        }
        refreshed
    }

    /// The certificate in use; none without TLS, and before the first listener.
    #[must_use]
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.shared.tls.as_ref().and_then(|tls| tls.info(Timestamp::now()))
    }

    /// How connections are encrypted; none where they are not.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.shared.tls.as_ref()
    }

    fn url(&self, bound: &Bound) -> Option<String> {
        let address = bound.listener.local_addr().ok()?;
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{address}"))
    }

    /// The URLs of all listeners, as they change.
    #[must_use]
    pub fn urls(&self) -> watch::Receiver<Vec<String>> {
        self.shared.urls.subscribe()
    }

    pub(crate) fn auth(&self) -> Auth {
        self.shared.auth
    }

    pub(crate) fn expected(&self) -> &Expected {
        &self.shared.expected
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.shared.cookie
    }

    pub(crate) fn base_path(&self) -> &str {
        &self.shared.base_path
    }

    /// The address without the base path, where it has one: whether a proxy takes it off is the proxy's choice.
    pub(crate) fn without_base(&self, uri: &Uri) -> Option<Uri> {
        if uri.authority().is_some() {
            // A whole URL as the target is refused later on, and must not come to look like a path.
            return None;
        }
        let base = &self.shared.base_path;
        let whole = uri.path_and_query()?.as_str();
        let rest = whole.strip_prefix(base.as_str()).filter(|_| !base.is_empty())?;
        match rest.bytes().next() {
            Some(b'/') => rest.parse().ok(),
            None | Some(b'?') => format!("/{rest}").parse().ok(),
            Some(_) => None,
        }
    }

    pub(crate) fn password_file(&self) -> &std::path::Path {
        &self.shared.password_file
    }
}

/// Whether an address was found by a host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByName {
    Yes,
    No,
}

async fn resolve(host: &str, port: u16) -> Result<Vec<(SocketAddr, ByName)>, DoorError> {
    let by_name = if host.parse::<IpAddr>().is_ok() { ByName::No } else { ByName::Yes };
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|source| DoorError::Resolve { host: host.to_owned(), source })?;
    Ok(found.map(|address| (address, by_name)).collect())
}

/// The address in a URL of ours.
fn listening(url: &str) -> Option<SocketAddr> {
    url.split_once("://")?.1.parse().ok()
}

/// Whether an address may be listened on (C8). Pure.
fn may_listen(address: IpAddr, auth: Auth, has_password: bool) -> Result<(), DoorError> {
    if address.to_canonical().is_loopback() {
        return Ok(());
    }
    match auth {
        Auth::None => Err(DoorError::NoAuth { address }),
        Auth::Token | Auth::Password if !has_password => Err(DoorError::NoPassword { address }),
        Auth::Token | Auth::Password => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_beyond_loopback_there_is_a_password_and_never_no_authentication() {
        for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            for auth in [Auth::Token, Auth::Password, Auth::None] {
                assert!(may_listen(loopback.parse().unwrap(), auth, false).is_ok(), "{loopback}");
            }
        }
        for far in ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "fe80::1", "8.8.8.8", "::ffff:10.0.0.1"] {
            let address = far.parse().unwrap();
            for auth in [Auth::Token, Auth::Password] {
                assert!(
                    matches!(may_listen(address, auth, false), Err(DoorError::NoPassword { .. })),
                    "{far}"
                );
                assert!(may_listen(address, auth, true).is_ok(), "{far}");
            }
            for has_password in [false, true] {
                let refused = may_listen(address, Auth::None, has_password);
                assert!(matches!(refused, Err(DoorError::NoAuth { .. })), "{far}");
            }
        }
    }
}
