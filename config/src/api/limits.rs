//! `[api.limits]`: what one client may take, and how slow it may be.

use std::time::Duration;

use crate::schema::{Schema, Visitor};
use crate::value::ByteSize;

/// What clients may take; each refusal has its own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections of one address over TCP at once. Default 64.
    pub connections_per_address: u32,
    /// Event streams of one client at once. Default 64.
    pub streams_per_client: u32,
    /// Requests under way at once, streams not counted. Default 128.
    pub requests_in_flight: u32,
    /// The largest head of a request. Default 16 KiB.
    pub max_head: ByteSize,
    /// How long a client may take to send a request's body. Default 30 s.
    pub body_timeout: Duration,
    /// Failed logins of one address in a minute, before it has to wait. Default 5.
    pub logins_per_minute: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections_per_address: 64,
            streams_per_client: 64,
            requests_in_flight: 128,
            max_head: ByteSize::kib(16),
            body_timeout: Duration::from_secs(30),
            logins_per_minute: 5,
        }
    }
}

impl Schema for ClientLimits {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.ranged("connections_per_address", &mut self.connections_per_address, 1..=65_536);
        v.ranged("streams_per_client", &mut self.streams_per_client, 1..=65_536);
        v.ranged("requests_in_flight", &mut self.requests_in_flight, 1..=65_536);
        v.ranged("max_head", &mut self.max_head, ByteSize::kib(1)..=ByteSize::kib(256));
        v.ranged(
            "body_timeout",
            &mut self.body_timeout,
            Duration::from_millis(100)..=Duration::from_secs(3600),
        );
        v.ranged("logins_per_minute", &mut self.logins_per_minute, 1..=1000);
    }
}
