//! A certificate with its key, from PEM: read, checked against each other, and made ready for connections.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ServerSessionMemoryCache;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, ServerConfig};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// No PEM file is larger.
const MAX_FILE: u64 = 1024 * 1024;

/// Sessions that clients may take up again, without a whole handshake.
const RESUMABLE: usize = 256;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no regular file, or too large for one.
    #[error("read `{}`: it is no PEM file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Others can read or change the key.
    #[error("use the key `{}`: its mode is {mode:03o}, so others may know it; chmod 600 it", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key belongs to somebody else.
    #[error("use the key `{}`: it belongs to another user", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file has no certificate in it.
    #[error("use `{}`: it holds no certificate as PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key in it.
    #[error("use `{}`: it holds no private key as PEM (without a passphrase)", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// What a file holds is not understood.
    #[error("use `{}`: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key do not belong together.
    #[error("use the certificate `{}`: the key `{}` is not its key", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// No certificate can be made.
    #[error("make a certificate: {0}")]
    Make(String),
    /// The certificate that was made cannot be kept.
    #[error("keep the certificate `{}`: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A certificate that is good for connections.
#[derive(Debug, Clone)]
pub(super) struct Certified {
    /// Where clients find the certificate.
    pub(super) path: PathBuf,
    /// For new connections.
    pub(super) config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` show it.
    pub(super) fingerprint: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The names and addresses that it is good for.
    pub(super) names: BTreeSet<String>,
}

impl Certified {
    /// The certificate and the key of these files, which may be one.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = chain(certificate, &contents(certificate, Privacy::Public)?)?;
        let private = private_key(key, &contents(key, Privacy::Private)?)?;
        let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        let malformed = |why: String| TlsError::Malformed { path: certificate.to_owned(), why };
        let (_, parsed) = X509Certificate::from_der(&leaf)
            .map_err(|error| malformed(format!("its first certificate is none: {error}")))?;
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
        let validity = parsed.validity();
        let (Ok(not_before), Ok(not_after)) = (time(validity.not_before), time(validity.not_after)) else {
            return Err(malformed(String::from("its times are out of range")));
        };
        Ok(Self {
            path: certificate.to_owned(),
            fingerprint: fingerprint(&leaf),
            not_before,
            not_after,
            names: names(&parsed),
            config: config(certificate, key, chain, private)?,
        })
    }

    /// Why nobody should trust it now, if that is so.
    pub(super) fn outdated(&self, now: Timestamp) -> Option<String> {
        if now >= self.not_after {
            Some(format!("expired at {:.0}", self.not_after))
        } else if now < self.not_before {
            Some(format!("is not valid before {:.0}", self.not_before))
        } else {
            None
        }
    }
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    Public,
    Private,
}

fn contents(path: &Path, privacy: Privacy) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(TlsError::NotAFile { path: path.to_owned() });
    }
    if privacy == Privacy::Private {
        private(path, &metadata)?;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A key is this user's or root's. A group may read root's, as Debian's `ssl-cert` does; nobody else may anything.
fn private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), TlsError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    let own = rustix::process::geteuid().as_raw();
    if owner != own && owner != 0 {
        return Err(TlsError::Foreign { path: path.to_owned() });
    }
    let forbidden = if owner == 0 && own != 0 { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(TlsError::Loose { path: path.to_owned(), mode });
    }
    Ok(())
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| malformed(path, &error))?;
    if chain.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(chain) }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        other => malformed(path, &other),
    })
}

/// The library's words tell of the file's form only, never of what stands in it.
fn malformed(path: &Path, error: &pem::Error) -> TlsError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section begins in no known way",
        pem::Error::Base64Decode(_) => "a section is no Base64",
        _ => "it is no PEM",
    };
    TlsError::Malformed { path: path.to_owned(), why: String::from(why) }
}

fn config(
    certificate: &Path,
    key: &Path,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = ring::default_provider();
    let certified = CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        other => {
            TlsError::Malformed { path: key.to_owned(), why: format!("the key is not understood: {other}") }
        }
    })?;
    // TLS 1.2 and 1.3.
    let builder =
        ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TlsError::Make(error.to_string()))?;
    let mut config =
        builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(RESUMABLE);
    Ok(Arc::new(config))
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    let of = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(of).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn made(until: (i32, u8, u8)) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![String::from("box.example")]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn r6_a_given_certificate_is_read_with_its_names_and_its_end() {
        let home = tempfile::tempdir().unwrap();
        let (certificate, key) = (home.path().join("c.pem"), home.path().join("k.pem"));
        let (c, k) = made((2030, 2, 3));
        write(&certificate, &c, 0o644);
        write(&key, &k, 0o600);
        let read = Certified::read(&certificate, &key).unwrap();
        assert!(read.names.contains("box.example"));
        assert_eq!(read.not_after, "2030-02-03T00:00:00Z".parse().unwrap());
        assert_eq!(read.fingerprint.len(), 95);
        assert_eq!(read.outdated("2026-11-20T00:00:00Z".parse().unwrap()), None);
        assert!(read.outdated("2031-01-01T00:00:00Z".parse().unwrap()).unwrap().contains("expired"));
        assert!(read.outdated("2019-01-01T00:00:00Z".parse().unwrap()).unwrap().contains("not valid before"));
        // One file may hold both, and then it is as private as a key.
        write(&certificate, &format!("{c}{k}"), 0o600);
        assert!(Certified::read(&certificate, &certificate).is_ok());
        write(&certificate, &format!("{c}{k}"), 0o644);
        assert!(matches!(
            Certified::read(&certificate, &certificate),
            Err(TlsError::Loose { mode: 0o644, .. })
        ));
    }

    #[test]
    fn r6_what_is_wrong_with_the_files_is_said_by_name() {
        let home = tempfile::tempdir().unwrap();
        let (certificate, key) = (home.path().join("c.pem"), home.path().join("k.pem"));
        let (c, k) = made((2030, 2, 3));
        let (_, other) = made((2030, 2, 3));
        write(&certificate, &c, 0o644);
        assert!(
            matches!(Certified::read(&certificate, &key), Err(TlsError::Unreadable { path, .. }) if path == key)
        );
        write(&key, &k, 0o640);
        assert!(matches!(Certified::read(&certificate, &key), Err(TlsError::Loose { mode: 0o640, .. })));
        write(&key, &other, 0o600);
        assert!(matches!(Certified::read(&certificate, &key), Err(TlsError::Mismatch { .. })));
        for nothing in ["", "hello\n", c.as_str()] {
            write(&key, nothing, 0o600);
            assert!(matches!(Certified::read(&certificate, &key), Err(TlsError::NoKey { .. })), "{nothing}");
        }
        write(&key, &k.replacen('M', "!", 1), 0o600);
        let error = Certified::read(&certificate, &key).unwrap_err();
        assert!(matches!(error, TlsError::Malformed { .. }), "{error}");
        write(&key, &k, 0o600);
        write(&certificate, &k, 0o600);
        assert!(matches!(Certified::read(&certificate, &key), Err(TlsError::NoCertificate { .. })));
        write(&certificate, &c[..c.len() / 2], 0o644);
        assert!(matches!(Certified::read(&certificate, &key), Err(TlsError::Malformed { .. })));
        assert!(matches!(Certified::read(home.path(), &key), Err(TlsError::NotAFile { .. })));
        let fifo = home.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(matches!(Certified::read(&fifo, &key), Err(TlsError::NotAFile { .. })));
        // No error tells anything of a key.
        assert!(!error.to_string().contains(&k[40..60]));
    }
}
