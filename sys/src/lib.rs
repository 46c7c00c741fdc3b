//! Processes, signals, descriptors, sockets and log files: everything that skep asks of the operating system.
//!
//! Architecture invariant: this is the only crate that may hold `unsafe` code and the only one that starts a process
//! (supervision promises 10 to 13 and 19 to 21). It knows nothing of workers, sessions or journals, never prints and
//! never ends the process. Linux is complete; macOS lives behind the same signatures, by process groups, parent
//! links and kqueue.

pub mod capture;
pub mod daemonize;
pub mod exit;
pub mod limits;
pub mod peer;
pub mod process;
pub mod rooted;
pub mod shim;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod statefile;
pub mod subreaper;
pub mod tree;
pub mod usage;
pub mod watch;

mod children;
mod descriptors;
mod os;
