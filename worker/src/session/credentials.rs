//! What a session's agents are started with of their user's environment, and which of the keys that they once had
//! are missing now.
//!
//! Owned by the session's actor, in memory only; names of variables are all that the journal hears of it.

use skep_common::environment::CapturedEnvironment;

/// What was given, and what an agent had.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    /// What a client gave, since the session was opened.
    captured: Option<CapturedEnvironment>,
    /// The names of the keys with which the agent was started last, in this process or before.
    had: Vec<String>,
}

impl Credentials {
    /// What was given at the opening, and the keys that the journal names.
    pub(super) fn new(captured: Option<CapturedEnvironment>, had: Vec<String>) -> Self {
        Self { captured, had }
    }

    /// A client gives its environment; one that gives none changes nothing.
    pub(super) fn given(&mut self, environment: Option<CapturedEnvironment>) {
        if environment.is_some() {
            self.captured = environment;
        }
    }

    /// What agents are started with.
    pub(super) fn captured(&self) -> Option<&CapturedEnvironment> {
        self.captured.as_ref()
    }

    /// An agent is started with these keys.
    pub(super) fn starts(&mut self, keys: Vec<String>) {
        self.had = keys;
    }

    /// The keys with which the agent was started last.
    pub(super) fn had(&self) -> &[String] {
        &self.had
    }
}
