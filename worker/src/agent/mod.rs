//! Drivers: how a session talks to its agent.

pub mod acp;
pub(crate) mod claude_stream;
pub mod coarse_clock;
pub mod hosts;
pub mod launch;
pub(crate) mod oneshot;
pub mod probe;

mod attached;
mod auth;
pub(crate) mod choices;
pub(crate) mod client;
mod connection;
mod ears;
mod environment;
mod heard;
mod host;
mod last_words;
mod leftover;
mod mcp;
pub(crate) mod mode;
pub(crate) mod offer;
mod piped;
mod process;
mod start;
mod stderr;
pub(crate) mod step;
mod stop;
mod switchboard;
pub(crate) mod updates;
mod warm;
pub(crate) mod wire;

/// How long a dead agent's pipes are read to their end (promise 12).
const DRAIN: std::time::Duration = std::time::Duration::from_secs(2);
