//! The worker: the process that holds sessions, drives their agents and writes their journals.
//!
//! Architecture invariants: the worker owns session history; `turn` and `consent` are pure; ACP stays inside `acp`,
//! `agent` and `shell_agent`; nothing here prints (stdout carries reports, written by one report writer).

pub mod acp;
