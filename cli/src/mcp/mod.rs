//! `skep mcp`: skep's sessions as tools of an agent, over the Model Context Protocol.
//!
//! ```text
//!   agent ──stdin──▶ serve (rmcp) ──▶ tools ──HTTP──▶ daemon
//!        ◀─stdout──┘     authority: under whose token
//! ```
//!
//! A client of the daemon like any other. It owns one thing: the token that it made for itself, which it revokes when it
//! ends. What may be opened, how deep and how many, is the daemon's to say; nothing here is trusted for that. No tool
//! answers a permission request. `arguments` and `view` are pure. Everything that the agent writes is hostile.

mod arguments;
mod authority;
mod read;
mod serve;
mod tools;
mod view;
mod wait;

pub(crate) use serve::serve;
