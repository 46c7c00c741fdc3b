//! TLS to receivers: rustls with ring, and the certificate authorities that this system trusts.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What makes TLS connections; the authorities are read with the first one, since most hooks need none.
#[derive(Default)]
pub(crate) struct Tls {
    connector: OnceCell<TlsConnector>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// The connector.
    ///
    /// # Errors
    ///
    /// When this system trusts nobody; it is looked again with the next attempt.
    pub(crate) async fn connector(&self) -> Result<&TlsConnector, String> {
        self.connector
            .get_or_try_init(|| async {
                let made = tokio::task::spawn_blocking(make).await;
                made.unwrap_or_else(|_| Err(String::from("reading the certificate authorities crashed")))
            })
            .await
    }
}

/// Blocks: reads a file of some hundred certificates.
fn make() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (good, _) = roots.add_parsable_certificates(found.certs);
    if good == 0 {
        return Err(String::from(
            "this system has no certificate authorities (install ca-certificates, or set SSL_CERT_FILE for the daemon)",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
