//! A session's events.

use serde::{Deserialize, Serialize};

use crate::session::Head;

/// The query of `GET /sessions/{id}/events`. With `Accept: text/event-stream` it streams: `id: seq`,
/// `event: kind`, `data:` the record; `Last-Event-ID` wins over `after`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Events after this seq; 0 (the default) is from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The writer epoch in which the cursor was seen; lets a lost epoch be noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// JSON pages only: at most so many events (1 to 1,000; default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(minimum = 1, maximum = 1_000))]
    pub limit: Option<u32>,
    /// Instead of `after`: begin so many turns back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_turns: Option<u32>,
}

/// A JSON page of events; `events` are records as [`crate::event::RawRecord`] reads them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EventsPage {
    /// The records.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<crate::event::EventSchema>))]
    pub events: Vec<Box<serde_json::value::RawValue>>,
    /// Pass it as `after` for the next page.
    pub next: u64,
    /// How far the journal is committed.
    pub head: Head,
}
