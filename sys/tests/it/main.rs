//! The crate against the real system, with a zoo of hostile processes. One process per test (nextest): being a subreaper
//! and holding descriptors is process-wide.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod daemonize;
mod help;
mod reuse;
mod spawn;
mod tree;
