//! The worker process from outside: what its supervisor sees, and what stays on disk.

mod common;
mod process;
mod session;
