//! The tools of the end-to-end tests: a private home for each test, the real `skep` binary, its HTTP API, and a
//! look at every process on the machine.
//!
//! Nothing here knows skep's code, only its command line, its API and its files; that keeps the tests honest about
//! what a user can rely on. Nothing sleeps: [`wait`] waits for conditions with a deadline.

pub mod wait;

pub mod cmd;

pub mod procs;

pub mod api;

pub mod env;

pub mod receiver;
pub mod relay;

pub mod terminal;

pub mod model;

pub mod agents;

pub mod mcp;

pub mod recipes;

pub mod world;
