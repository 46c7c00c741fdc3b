//! What every skep process shares: ids, wire messages, the journal's records, error codes, the restart delay.
//!
//! Architecture invariant: this crate does no I/O, reads no clock and spawns nothing. Bytes come in as slices,
//! time comes in as arguments.

pub mod api;
pub mod backoff;
pub mod code;
pub mod environment;
pub mod event;
pub mod framing;
pub mod ids;
pub mod keys;
pub mod protocol;
pub mod sanitise;
pub mod session;
pub mod transcript;
pub mod usage;
pub mod words;
