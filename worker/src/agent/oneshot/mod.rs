//! One-shot agents: a command for each prompt, whose output is read as the updates of an ACP agent.
//!
//! The driver owns the process, as the ACP driver does; between prompts there is none. Everything else here is pure:
//! what the command is ([`plan`]), what its lines mean (one module for each agent's format), how a run ended.

pub(crate) mod driver;
pub(crate) mod ending;
pub(crate) mod plan;

pub(super) mod claude;
mod codex;
pub(super) mod found;
mod gemini;
mod opencode;
mod pi;
pub(super) mod reading;
