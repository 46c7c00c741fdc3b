//! The built-in shell agent, `skep agent shell`: an ACP agent over stdio that runs each prompt as a shell command.
//!
//! It needs neither network nor key, and it is a real agent: it asks permission before it runs anything (mode `ask`),
//! streams output as updates of a tool call, and can be used by any ACP client. What persists between the prompts of a
//! session is the working directory, the exported variables, and a short history; shell functions, aliases and
//! unexported variables do not. A command that sets its own EXIT trap, `exec`s another program or is killed leaves
//! directory and variables as they were before it.
//!
//! ```text
//!  serve     reads messages, owns the sessions, starts turns
//!  turn      one prompt: announce → ask → run → report
//!  running   one command: its shell, its output, its processes
//!  state     what a session keeps, on disk; snapshot: how the shell's state gets there
//!  script, text, wire: pure
//! ```
//!
//! Nothing here knows of workers or journals, and nothing prints: stdout carries the protocol.

mod process;
mod running;
mod script;
mod serve;
mod session;
mod snapshot;
mod state;
mod text;
mod turn;
mod wire;

#[cfg(test)]
mod tests;

pub use process::run;
pub use snapshot::run as snapshot;
