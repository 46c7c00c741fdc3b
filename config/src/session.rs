//! `[session]`: the settings of new sessions, and what is kept of closed ones.

use std::path::PathBuf;
use std::time::Duration;

use skep_common::environment::wrong_pattern;
use skep_common::session::{Limits, PermissionMode, Resume, WhenBusy};

use crate::schema::{Schema, Visitor};
use crate::value::{ByteSize, choice};

choice!(PermissionMode {
    "ask" => Ask,
    "accept-edits" => AcceptEdits,
    "plan" => Plan,
    "deny" => Deny,
    "bypass" => Bypass,
});

choice!(WhenBusy { "refuse" => Refuse, "queue" => Queue, "steer" => Steer });

// `ask` is what it was called before there was `never`.
choice!(Resume { "on_prompt" | "ask" => OnPrompt, "always" => Always, "never" => Never });

/// The settings of new sessions, and what is kept of closed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The agent of sessions that name none. Default `shell`, the built-in one.
    pub default_agent: String,
    /// What happens to permission requests where nobody has said otherwise (N7). Default `ask`.
    pub permission_mode: PermissionMode,
    /// How long a permission request waits until it is denied; none means for ever.
    pub permission_timeout: Option<Duration>,
    /// What a prompt to a busy session gets where it does not say (Q6). Default `refuse`.
    pub when_busy: WhenBusy,
    /// What brings a session back whose agent, worker or machine died. Default `on_prompt`.
    pub resume: Resume,
    /// Open sessions at most (G17, Q6). Default 50.
    pub max_open: u32,
    /// Prompts that may wait in one session. Default 100.
    pub max_queued: u32,
    /// An idle session's agent is stopped after this (G10, Q6). Default 30 min.
    pub idle_timeout: Duration,
    /// How much memory all agents of the daemon may take; what is beyond makes idle sessions hibernate. Default: any.
    pub memory_budget: Option<ByteSize>,
    /// How long an agent's process is kept ready that no session takes (N6). Default 30 min.
    pub warm_timeout: Duration,
    /// How long a turn may take where the prompt does not say; none means for ever.
    pub turn_timeout: Option<Duration>,
    /// What a session may use where it does not say itself (N11). Default: no limits.
    pub limits: Limits,
    /// How much an open session's journal may take; a turn that goes beyond ends. Default 1 GiB.
    pub max_journal: ByteSize,
    /// How much the attachments of one session may take. Default 256 MiB.
    pub max_attachments: ByteSize,
    /// How long an agent may take to start and answer `initialize`. Default 30 s.
    pub agent_start_timeout: Duration,
    /// How long an agent may take to end a cancelled turn before it is stopped. Default 10 s.
    pub cancel_grace: Duration,
    /// From SIGTERM to SIGKILL of an agent's tree. Default 2 s.
    pub stop_grace: Duration,
    /// Directories under which sessions may run (G6); none: any directory that the user can enter.
    pub allowed_roots: Vec<PathBuf>,
    /// Variables of a client's environment that its agents get beside the declared ones and the agent's keys: names, or
    /// beginnings of names with a `*`.
    pub capture_env: Vec<String>,
    /// How long a closed session is kept. Default 30 days.
    pub keep_closed: Duration,
    /// How much all closed sessions may take; the oldest go first. Default 2 GiB.
    pub keep_closed_bytes: ByteSize,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            default_agent: String::from("shell"),
            permission_mode: PermissionMode::Ask,
            permission_timeout: None,
            when_busy: WhenBusy::Refuse,
            resume: Resume::OnPrompt,
            max_open: 50,
            max_queued: 100,
            idle_timeout: Duration::from_secs(30 * 60),
            memory_budget: None,
            warm_timeout: Duration::from_secs(30 * 60),
            turn_timeout: None,
            limits: Limits::default(),
            max_journal: ByteSize::gib(1),
            max_attachments: ByteSize::mib(256),
            agent_start_timeout: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(10),
            stop_grace: Duration::from_secs(2),
            allowed_roots: Vec::new(),
            capture_env: Vec::new(),
            keep_closed: 30 * DAY,
            keep_closed_bytes: ByteSize::gib(2),
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(10 * 31_557_600);
const INSTANT: Duration = Duration::from_millis(1);

impl Schema for SessionSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.value("default_agent", &mut self.default_agent);
        v.value("permission_mode", &mut self.permission_mode);
        v.optional("permission_timeout", &mut self.permission_timeout);
        v.value("when_busy", &mut self.when_busy);
        v.value("resume", &mut self.resume);
        v.ranged("max_open", &mut self.max_open, 1..=10_000);
        v.ranged("max_queued", &mut self.max_queued, 0..=10_000);
        v.ranged("idle_timeout", &mut self.idle_timeout, INSTANT..=YEARS);
        v.optional("memory_budget", &mut self.memory_budget);
        v.ranged("warm_timeout", &mut self.warm_timeout, INSTANT..=YEARS);
        v.optional("turn_timeout", &mut self.turn_timeout);
        v.ranged("agent_start_timeout", &mut self.agent_start_timeout, INSTANT..=DAY);
        v.ranged("cancel_grace", &mut self.cancel_grace, Duration::ZERO..=DAY);
        v.ranged("stop_grace", &mut self.stop_grace, Duration::ZERO..=DAY);
        v.value("allowed_roots", &mut self.allowed_roots);
        v.value("capture_env", &mut self.capture_env);
        v.ranged("keep_closed", &mut self.keep_closed, Duration::ZERO..=YEARS);
        v.value("keep_closed_bytes", &mut self.keep_closed_bytes);
        v.ranged("max_journal", &mut self.max_journal, ByteSize::mib(1)..=ByteSize::gib(1024));
        v.ranged("max_attachments", &mut self.max_attachments, ByteSize::kib(0)..=ByteSize::gib(1024));
        v.section("limits", &mut self.limits);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let timeouts = [("permission_timeout", self.permission_timeout), ("turn_timeout", self.turn_timeout)];
        timeouts
            .into_iter()
            .filter(|(_, timeout)| timeout.is_some_and(|timeout| !(INSTANT..=YEARS).contains(&timeout)))
            .map(|(key, _)| (key, String::from("it must be at least 1 ms and at most 10 years")))
            .chain(self.wrong_capture())
            .collect()
    }
}

impl SessionSettings {
    fn wrong_capture(&self) -> Option<(&'static str, String)> {
        self.capture_env.iter().find_map(|pattern| {
            let wrong = wrong_pattern(pattern)?;
            // What follows a `=` may be a secret.
            let shown = pattern.split('=').next().unwrap_or_default();
            Some(("capture_env", format!("item {shown:?} {wrong}")))
        })
    }
}
