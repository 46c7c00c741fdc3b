//! `[api]`: the HTTP API's limits.

use std::time::Duration;

use crate::schema::{Schema, Visitor};
use crate::value::ByteSize;

/// The HTTP API's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The largest request body (G13). Default 4 MiB.
    pub max_body: ByteSize,
    /// Connections at once. Default 256.
    pub max_connections: u32,
    /// How long a client may take to send a request's head. Default 10 s.
    pub header_timeout: Duration,
    /// How often a silent event stream sends a comment, so that a dead client is noticed. Default 15 s.
    pub stream_heartbeat: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            max_body: ByteSize::mib(4),
            max_connections: 256,
            header_timeout: Duration::from_secs(10),
            stream_heartbeat: Duration::from_secs(15),
        }
    }
}

impl Schema for ApiSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        // A prompt must fit into one line of a worker's pipe (`protocol::MAX_LINE`, 8 MiB) when JSON escapes double it.
        v.ranged("max_body", &mut self.max_body, ByteSize::kib(1)..=ByteSize::mib(4));
        v.ranged("max_connections", &mut self.max_connections, 1..=65_536);
        v.ranged(
            "header_timeout",
            &mut self.header_timeout,
            Duration::from_millis(100)..=Duration::from_secs(600),
        );
        v.ranged(
            "stream_heartbeat",
            &mut self.stream_heartbeat,
            Duration::from_millis(100)..=Duration::from_secs(600),
        );
    }
}
