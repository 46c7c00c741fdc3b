//! The daemon's core: the pool of worker processes, and what they host.
//!
//! Architecture invariant: this crate knows nothing of ACP and nothing of HTTP.

pub mod daemon;
pub mod engine;
pub mod instance;
pub mod launch;
pub mod lifecycle;
pub mod pool;
pub mod registry;
pub mod session_page;
pub mod sessions;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod clock;
mod driver;
mod limiter;
mod saver;
mod spec;
mod worker_file;
