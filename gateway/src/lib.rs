//! The HTTP API: one router for every listener, over one [`Engine`](skep_supervisor::engine::Engine).
//!
//! Handlers extract, call the engine and convert. Every rejection, the framework's own included, is our error JSON
//! (G13, G15). Events are read from the journal's file at the client's own pace.
//!
//! Architecture invariant: the only crate that knows HTTP server types; it holds no session state and starts no process.

pub mod router;

mod access;
mod audit;
mod auth;
mod body;
mod changes;
mod doors;
mod error;
mod follow;
mod follower;
mod guard;
mod inside;
mod keys;
mod lease;
mod links;
mod logs;
mod openapi;
mod origin;
mod pages;
mod password;
mod peer;
mod places;
mod prometheus;
mod routes;
mod server;
mod socket;
mod sse;
mod stream;
mod throttle;
mod tls;
mod transcript;

pub use doors::{Bound, DoorError, Doors};
pub use openapi::openapi_json;
pub use password::{PasswordError, set_password};
pub use server::{GatewayOptions, Limits, serve};
pub use tls::TlsError;

#[cfg(test)]
mod tests;
