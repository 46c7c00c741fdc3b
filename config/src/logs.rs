//! `[logs]`: skep's own logs and those of its workers and agents.

use std::time::Duration;

use crate::schema::{Schema, Visitor};
use crate::value::{ByteSize, choice};

/// How much the telemetry log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// And what looks wrong.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

choice!(LogLevel {
    "error" => Error,
    "warn" => Warn,
    "info" => Info,
    "debug" => Debug,
    "trace" => Trace,
});

impl LogLevel {
    /// The level as text, as `tracing` filters take it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// skep's own logs and those of its workers and agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How much the telemetry log says. Default `info`.
    pub level: LogLevel,
    /// Also write debug logs (`--debug`; C5). Default false.
    pub debug: bool,
    /// A process log is rotated at this size (promise 20). Default 10 MiB.
    pub max_bytes: ByteSize,
    /// So many files of a process log are kept (promise 20). Default 5.
    pub files: u32,
    /// How long telemetry logs are kept. Default 30 days.
    pub keep: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            debug: false,
            max_bytes: ByteSize::mib(10),
            files: 5,
            keep: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Schema for LogSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("level", &mut self.level);
        v.value("debug", &mut self.debug);
        v.ranged("max_bytes", &mut self.max_bytes, ByteSize::kib(64)..=ByteSize::gib(1));
        v.ranged("files", &mut self.files, 1..=100);
        v.ranged("keep", &mut self.keep, Duration::from_secs(3_600)..=Duration::from_secs(10 * 31_557_600));
    }
}
