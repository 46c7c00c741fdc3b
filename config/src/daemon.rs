//! `[daemon]`: the supervisor process.

use std::path::PathBuf;

use crate::schema::{Schema, Visitor};

/// The supervisor process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonSettings {
    /// The Unix socket; none means `skepd.sock` in the state directory (G18).
    pub socket: Option<PathBuf>,
    /// The directory of sessions that name none (`--dir`); none means the directory that the daemon was started in.
    pub dir: Option<PathBuf>,
}

impl Schema for DaemonSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.optional("socket", &mut self.socket);
        v.optional("dir", &mut self.dir);
    }
}
