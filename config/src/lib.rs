//! Settings: what can be configured, its defaults, where it is read from, and where skep keeps its files.
//!
//! Layers: defaults < file < environment < flags ([`load`]). Every setting is named once, in its section's
//! `Schema` implementation; reading, writing, range checks, suggestions and the comparison for a reload
//! all walk that one description.
//!
//! Architecture invariant: this crate reads the configuration file, the captured environment and the password
//! database, looks whether agents' programs exist, and does nothing else. It creates no file and no directory.

pub mod agents;
pub mod api;
pub mod daemon;
pub mod delegation;
pub mod env;
pub mod env_file;
pub mod glob;
pub mod hooks;
pub mod logs;
pub mod mcp;
pub mod notify;
pub mod oneshot;
pub mod paths;
pub mod permissions;
pub mod pool;
pub mod restart;
pub mod session;
pub mod settings;

mod change;
mod limits;
mod load;
mod read;
mod schema;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use agents::{AgentPreset, Attachments, Directories, Driver, PerMode, Quirk, ResumeBy, Share, Source};
pub use change::{Applies, Change};
pub use env::Environment;
pub use load::{ConfigError, DEFAULT_TOML, Overrides, Problem, load, open, parse};
pub use oneshot::{ModeArgs, Output};
pub use paths::{Paths, PathsError};
pub use permissions::{Rule, RuleAction};
pub use pool::{KindSettings, RestartPolicy};
pub use settings::Settings;
pub use value::ByteSize;
