//! The Agent Client Protocol as bytes: what both the driver and the built-in shell agent speak.

pub mod message;
pub mod peer;
pub mod repair;
pub mod stdio;
