//! What skep does for an agent as its client, where the agent's preset says so: it reads and writes files below the
//! session's directory, and runs commands (ACP's `fs/*` and `terminal/*`).
//!
//! ```text
//!   agent ─▶ driver: is it a request that makes sense, of this session, below its directory?
//!                ─▶ session: may it? (rules, mode, a person; journalled)
//!                       ─▶ driver: does it, off the runtime, and answers
//! ```
//!
//! Everything belongs to one session's [`desk::Desk`], which ends with the session's driver and leaves nothing behind.
//! Nothing here decides what an agent may do.

pub(super) mod desk;
pub(crate) mod uses;

mod command;
mod output;
mod refusal;
mod request;
mod terminal;
