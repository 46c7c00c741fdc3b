//! The worker process from outside: what its supervisor sees, and what stays on disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod attachments;
mod client;
mod common;
mod driver;
mod hibernate;
mod hostile;
mod oneshot;
mod options;
mod process;
mod quirks;
mod session;
mod settings;
mod share;
mod warm;
