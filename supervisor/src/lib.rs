//! The daemon's core: the pool of worker processes, and what they host.
//!
//! Architecture invariant: this crate knows nothing of ACP and nothing of HTTP.

pub mod launch;
pub mod lifecycle;
pub mod pool;
pub mod worker_file;

pub mod clock;
mod driver;
mod limiter;
mod saver;
mod spec;
