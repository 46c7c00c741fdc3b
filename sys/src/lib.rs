//! Processes, signals, descriptors, sockets and log files: everything that skep asks of the operating system.
//!
//! Architecture invariant: this is the only crate that may hold `unsafe` code and the only one that starts a process
//! (supervision promises 10 to 13 and 19 to 21). It knows nothing of workers, sessions or journals, never prints and
//! never ends the process. Linux is complete; macOS lives behind the same signatures, by process groups, parent
//! links and kqueue.

pub mod process;
pub mod exit;
pub mod spawn;
pub mod signal;
pub mod tree;
pub mod subreaper;
pub mod shim;
pub mod daemonize;
pub mod peer;
pub mod socket;
pub mod statefile;
pub mod capture;

mod children;
mod descriptors;
mod os;
