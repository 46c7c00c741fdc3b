//! `skep acp`: skep as an ACP agent for editors.
//!
//! ```text
//!   editor ──stdin──▶ serve ──▶ session (one actor each) ──HTTP──▶ daemon
//!      ◀──stdout── editor ◀─────────┘ ◀── follower (the journal's events)
//! ```
//!
//! It is a client of the daemon like any other, and owns nothing but what the editor waits for: the sessions, their
//! turns and their requests for permission are the daemon's and go on when the editor is gone. `wire`, `content`,
//! `ending`, `mcp` and `relay` are pure. Everything that the editor writes is hostile.

mod content;
mod editor;
mod ending;
mod list;
mod mcp;
mod open;
mod permission;
mod relay;
mod serve;
mod session;
mod wire;

pub(crate) use serve::serve;

/// What the editor chose for the sessions that it opens.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The agent; the configured default where none is given.
    pub(crate) agent: Option<String>,
    /// What happens to permission requests; the configured default where none is given.
    pub(crate) mode: Option<skep_common::session::PermissionMode>,
}
