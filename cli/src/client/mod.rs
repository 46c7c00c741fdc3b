//! The client of the daemon's HTTP API over its Unix socket.
//!
//! One connection per request: nothing is kept that a restarted daemon could make stale. Before anything is sent,
//! the socket and its directory are checked to belong to this user (G4).

pub(crate) mod follow;
pub(crate) mod sse;

mod error;
mod http;
mod locate;
mod sessions;

pub(crate) use error::ClientError;
pub(crate) use http::{Bearer, Client, Download};
pub(crate) use locate::{Target, last_daemon};
