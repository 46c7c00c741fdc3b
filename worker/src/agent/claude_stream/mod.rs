//! Claude Code without an adapter: one long-lived `claude -p` with JSON lines both ways.
//!
//! The driver owns the process, as the ACP driver does, and the session hears the same from it. What the lines mean is
//! pure: `wire` writes ours, `conversation` keeps what must be known from one line to the next; the agent's own words are
//! understood by the reader of its one-shot form, so that both tell the same.

pub(crate) mod driver;

mod conversation;
mod process;
mod steers;
mod wire;
