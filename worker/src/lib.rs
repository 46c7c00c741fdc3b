//! The worker: the process that holds sessions, drives their agents and writes their journals.
//!
//! ```text
//!   stdin ─▶ worker ─▶ session (one actor each) ─▶ agent driver ─▶ agent process
//!   stdout ◀─ report ◀────┘        └─▶ journal
//! ```
//!
//! Architecture invariants: the worker owns session history; `turn` and `consent` are pure; ACP stays inside `acp`,
//! `agent` and `shell_agent`; nothing here prints (stdout carries reports, written by one report writer).

pub mod acp;
pub mod agent;
pub mod consent;
mod disk;
mod meter;
pub mod report;
mod session;
pub mod shell_agent;
pub mod turn;
pub mod worker;

pub use worker::{WorkerArgs, run};
