//! Who is told of what happens: webhooks and commands (`[hooks.NAME]`).
//!
//! A front end like the gateway: it watches the engine's sessions and workers, reads what happened from the journals
//! with a cursor of its own for each session, and keeps what it has to tell in a durable outbox until it is told, or
//! given up.
//!
//! ```text
//!  engine ─▶ actor ──what changed──▶ scan (journal, from the cursor) ─▶ outbox.jsonl ─▶ attempts ─▶ address, command
//!              ▲                                                             ▲              │
//!              └──────────────── list, retry, test ──────────────────────────┴── outcome ◀──┘
//! ```
//!
//! Each line of the outbox holds an event with all its deliveries and the cursor behind it: so an event is kept once,
//! whenever the daemon dies, and told at least once. What an attempt does, no lock and no other task waits for.
//!
//! Architecture invariant: policy (`outbox`, `policy`, `found`, `address`) is pure. Nothing here writes to a journal,
//! and the engine knows nothing of it.

mod found;
mod outbox;
mod policy;
mod record;

mod scan;
mod store;

mod address;
mod attempt;
mod program;
mod sign;
mod tls;
mod web;

mod actor;
mod handle;

pub use handle::{Hooks, HooksOptions};
