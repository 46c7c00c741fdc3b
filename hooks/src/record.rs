//! The lines of the outbox: each a JSON object with a checksum. What a line says is applied by [`crate::outbox`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skep_common::api::{HookCounts, HookEvent};
use skep_common::ids::{DeliveryId, SessionId, WorkerId};
use skep_sys::statefile;

/// No line is longer; a longer one is broken.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Something that happened, and to whom it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Happening {
    /// What it is.
    pub(crate) event: HookEvent,
    /// The session that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    /// The worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<WorkerId>,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What is sent.
    pub(crate) body: String,
}

/// How far a session's journal was looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) session: SessionId,
    pub(crate) seq: u64,
}

/// Something that lasts, and is told when it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub(crate) enum Mark {
    /// The session cannot go on.
    Failed { session: SessionId },
    /// The session's agent lacks keys.
    Keys { session: SessionId },
    /// The worker is parked.
    Parked { worker: WorkerId },
}

/// One delivery of a happening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) hook: String,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// From here on things are told; a session without a cursor is a new one.
    On { at: Timestamp },
    /// There are no hooks any more.
    Off,
    /// A journal was looked through up to there.
    Looked(Cursor),
    /// A session is gone.
    Forgotten { session: SessionId },
    /// Something lasts.
    Marked { what: Mark },
    /// It is over.
    Unmarked { what: Mark },
    /// Something happened: one line holds all that follows from it.
    Happened {
        what: Box<Happening>,
        to: Vec<Delivery>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked: Option<Cursor>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
        since: Timestamp,
    },
    /// An attempt failed, and there will be another.
    Failed { id: DeliveryId, attempts: u32, next: Timestamp, error: String },
    /// It arrived.
    Delivered { id: DeliveryId, attempts: u32, at: Timestamp },
    /// It was given up.
    Dead { id: DeliveryId, attempts: u32, at: Timestamp, why: String },
    /// A person wants it tried again.
    Revived { id: DeliveryId, at: Timestamp },
    /// A person wants to hear no more of it.
    Dismissed { id: DeliveryId },
    /// How often a hook was used, all told.
    Counted { hook: String, counts: HookCounts },
}

/// The line of a record, with its newline.
pub(crate) fn encode(record: &Record) -> std::io::Result<Vec<u8>> {
    statefile::to_bytes(record)
}

/// The record of a line without its newline; none if it is broken.
pub(crate) fn decode(line: &[u8]) -> Option<Record> {
    if line.len() > MAX_LINE {
        return None;
    }
    let mut whole = line.to_vec();
    whole.push(b'\n');
    statefile::from_bytes(&whole).ok()
}
