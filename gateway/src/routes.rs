//! The handlers, one file per noun. Each extracts, calls the engine and converts.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod daemon;
pub(crate) mod hooks;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod permissions;
pub(crate) mod runs;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod workers;
