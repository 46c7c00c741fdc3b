//! `[api.tls]`: whether what crosses TCP is encrypted, and with whose certificate.

use std::path::PathBuf;

use crate::schema::{Schema, Visitor};
use crate::value::choice;

/// Where the certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TlsMode {
    /// There is none: plain HTTP.
    #[default]
    Off,
    /// skep makes its own, keeps it in the state directory, and renews it.
    Own,
    /// From files.
    Files,
}

choice!(TlsMode { "off" => Off, "self" => Own, "files" => Files });

/// Encryption over TCP. The Unix socket needs none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where the certificate comes from. Default: nowhere.
    pub mode: TlsMode,
    /// The certificate and those that vouch for it, as PEM, for `files`.
    pub certificate: Option<PathBuf>,
    /// Its key, as PEM, for `files`; private to this user.
    pub key: Option<PathBuf>,
}

impl Schema for TlsSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("mode", &mut self.mode);
        v.optional("certificate", &mut self.certificate);
        v.optional("key", &mut self.key);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let has = [("certificate", self.certificate.is_some()), ("key", self.key.is_some())];
        let is_missing = |(_, is_there): &&(&str, bool)| self.mode == TlsMode::Files && !is_there;
        has.iter()
            .filter(is_missing)
            .map(|(key, _)| ("mode", format!("`files` needs `{key}`, the path of a PEM file")))
            .collect()
    }
}
