//! `[hooks.NAME]`: who is told of what happens: a web address, or a program on this machine.
//!
//! ```toml
//! [hooks.chat]
//! on = ["needs-you", "turn-ended"]
//! url = "https://bot.example/skep"
//! secret_file = "/home/me/.config/skep/chat.secret"
//! ```
//!
//! No secret stands here: only where it is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use skep_common::api::HookEvent;
use skep_common::backoff::DelayPolicy;
use toml::de::DeValue;

use crate::glob::{Glob, Reach};
use crate::schema::{Refusal, Schema, Setting, Visitor};
use crate::value::no_choice;

/// What can be asked for, in the words of the file.
const EVENTS: [(&str, HookEvent); 4] = [
    ("needs-you", HookEvent::NeedsYou),
    ("turn-ended", HookEvent::TurnEnded),
    ("session-failed", HookEvent::SessionFailed),
    ("worker-parked", HookEvent::WorkerParked),
];

/// How many hooks there may be.
pub const MAX_HOOKS: usize = 32;

/// Attempts of a delivery to an address, where the hook does not say.
const ATTEMPTS_OF_URL: u32 = 40;

/// Attempts of a command, where the hook does not say.
const ATTEMPTS_OF_COMMAND: u32 = 3;

/// A hook.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// What it tells of. Default everything.
    pub on: Vec<HookEvent>,
    /// Where events are posted to.
    pub url: Option<String>,
    /// A program and its arguments, which gets the event on its standard input.
    pub command: Vec<String>,
    /// The file with the secret by which what is posted is signed.
    pub secret_file: Option<PathBuf>,
    /// The variable with it, in the daemon's environment.
    pub secret_env: Option<String>,
    /// Only sessions of these agents; none is any.
    pub agents: Vec<String>,
    /// Only sessions whose name fits one of these patterns; none is any.
    pub sessions: Vec<String>,
    /// How long one attempt may take. Default 10 s.
    pub timeout: Duration,
    /// So many attempts at most; none: 40 of a post, 3 of a command.
    pub max_attempts: Option<u32>,
    /// How long a delivery is tried. Default 24 h.
    pub give_up_after: Duration,
    /// From the first attempt to the second; each further wait is twice as long. Default 5 s.
    pub first_delay: Duration,
    /// The longest wait. Default 1 h.
    pub max_delay: Duration,
    /// Whether the address may lie on this machine or in a private network. Default false.
    pub allow_private: bool,
}

/// Where a hook leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HookTarget<'a> {
    /// An address.
    Url(&'a str),
    /// A program and its arguments.
    Command(&'a str, &'a [String]),
}

impl Default for HookSettings {
    fn default() -> Self {
        Self {
            on: EVENTS.map(|(_, event)| event).into(),
            url: None,
            command: Vec::new(),
            secret_file: None,
            secret_env: None,
            agents: Vec::new(),
            sessions: Vec::new(),
            timeout: Duration::from_secs(10),
            max_attempts: None,
            give_up_after: Duration::from_secs(24 * 60 * 60),
            first_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(60 * 60),
            allow_private: false,
        }
    }
}

impl HookSettings {
    /// Where it leads; none in a hook that was not checked.
    #[must_use]
    pub fn target(&self) -> Option<HookTarget<'_>> {
        match (&self.url, self.command.split_first()) {
            (Some(url), None) => Some(HookTarget::Url(url)),
            (None, Some((program, args))) => Some(HookTarget::Command(program, args)),
            _ => None,
        }
    }

    /// Whether it tells of an event of a session with this agent and name.
    #[must_use]
    pub fn wants(&self, event: HookEvent, session: Option<(&str, Option<&str>)>) -> bool {
        let fits = |(agent, name): (&str, Option<&str>)| {
            let agents = self.agents.is_empty() || self.agents.iter().any(|wanted| wanted == agent);
            let matches = |name: &str, pattern: &String| {
                Glob::parse(pattern).is_ok_and(|glob| glob.matches(name, Reach::Anything))
            };
            let names = self.sessions.is_empty()
                || name.is_some_and(|name| self.sessions.iter().any(|pattern| matches(name, pattern)));
            agents && names
        };
        self.on.contains(&event) && session.is_none_or(fits)
    }

    /// How often a delivery is tried.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        let default = if self.url.is_some() { ATTEMPTS_OF_URL } else { ATTEMPTS_OF_COMMAND };
        self.max_attempts.unwrap_or(default)
    }

    /// The waits between attempts.
    #[must_use]
    pub fn delay_policy(&self) -> DelayPolicy {
        DelayPolicy::new(self.first_delay, self.max_delay)
    }
}

/// Without what may be a secret: an address's path and query, a command's arguments.
impl fmt::Debug for HookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookSettings")
            .field("on", &self.on)
            .field("target", &self.target().map(|target| target.to_string()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HookTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookTarget({self})")
    }
}

/// What may be shown of it: scheme, host and port, or the program.
impl fmt::Display for HookTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => match url.parse::<Uri>() {
                Ok(uri) => write!(
                    f,
                    "{}://{}",
                    uri.scheme_str().unwrap_or_default(),
                    uri.authority().map_or("", |authority| authority.as_str())
                ),
                Err(_) => f.write_str("an address that is none"),
            },
            Self::Command(program, _) => f.write_str(program),
        }
    }
}

/// What a `[hooks.NAME]` table starts from.
pub(crate) fn start_from(name: &str) -> Result<HookSettings, String> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if fits {
        Ok(HookSettings::default())
    } else {
        Err(String::from("a hook's name is 1 to 64 letters, digits, `_` or `-`"))
    }
}

impl Setting for HookEvent {
    fn expected() -> String {
        format!("one of \"{}\"", EVENTS.map(|(word, _)| word).join("\", \""))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let text = value.as_str().ok_or(Refusal::Type)?;
        let known = EVENTS.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, event)| *event)
            .ok_or_else(|| Refusal::Value(no_choice(text, &EVENTS.map(|(word, _)| word))))
    }

    fn write(&self) -> toml::Value {
        // No other one can be read.
        EVENTS.iter().find(|(_, event)| event == self).map_or("", |(word, _)| word).into()
    }
}

impl Schema for HookSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let seconds = Duration::from_secs;
        v.value("on", &mut self.on);
        v.optional("url", &mut self.url);
        v.value("command", &mut self.command);
        v.optional("secret_file", &mut self.secret_file);
        v.optional("secret_env", &mut self.secret_env);
        v.value("agents", &mut self.agents);
        v.value("sessions", &mut self.sessions);
        v.ranged("timeout", &mut self.timeout, Duration::from_millis(100)..=seconds(300));
        v.optional("max_attempts", &mut self.max_attempts);
        v.ranged("give_up_after", &mut self.give_up_after, seconds(1)..=seconds(30 * 86_400));
        v.ranged("first_delay", &mut self.first_delay, Duration::from_millis(10)..=seconds(86_400));
        v.ranged("max_delay", &mut self.max_delay, Duration::from_millis(10)..=seconds(86_400));
        v.value("allow_private", &mut self.allow_private);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut say = |key, why: &str| wrong.push((key, String::from(why)));
        match (&self.url, self.command.first()) {
            (Some(url), None) => {
                if let Some(why) = no_url(url) {
                    say("url", why);
                }
                match (&self.secret_file, &self.secret_env) {
                    (None, None) => {
                        say("url", "it needs a `secret_file` or a `secret_env`: what is posted is signed");
                    }
                    (Some(_), Some(_)) => say("secret_env", "there is a `secret_file` already"),
                    _ => {}
                }
            }
            (None, Some(program)) => {
                if program.is_empty() {
                    say("command", "its first item, the program, is empty");
                }
                if self.secret_file.is_some() {
                    say("secret_file", "only what is posted to a `url` is signed");
                }
                if self.secret_env.is_some() {
                    say("secret_env", "only what is posted to a `url` is signed");
                }
            }
            (Some(_), Some(_)) => say("command", "there is a `url` already"),
            (None, None) => say("url", "it needs either a `url` or a `command`"),
        }
        if self.max_attempts.is_some_and(|most| !(1..=1_000).contains(&most)) {
            say("max_attempts", "it must lie between 1 and 1000");
        }
        if let Some(why) = self.sessions.iter().find_map(|pattern| Glob::parse(pattern).err()) {
            say("sessions", why);
        }
        wrong
    }
}

/// Why nothing can be posted there.
fn no_url(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else {
        return Some("it is no address such as https://example.org/hook");
    };
    if uri.scheme() != Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTP) {
        return Some("it must begin with https:// or http://");
    }
    let Some(authority) = uri.authority() else { return Some("it names no host") };
    if authority.as_str().contains('@') {
        return Some("it must not hold a user or password; what is posted is signed");
    }
    if authority.host().is_empty() || url.contains('#') {
        return Some("it is no address such as https://example.org/hook");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn hooks_are_read_and_written() {
        let text = r#"
            [hooks.chat]
            on = ["needs-you"]
            url = "https://bot.example:8443/in?key=abc"
            secret_file = "/etc/secret"
            sessions = ["chat-*"]
            agents = ["claude"]
            max_attempts = 7
            [hooks.desk]
            command = ["notify", "--quiet"]
        "#;
        let settings = parse(text, "t").unwrap();
        assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
        let (chat, desk) = (&settings.hooks["chat"], &settings.hooks["desk"]);
        assert_eq!((chat.attempts(), desk.attempts()), (7, 3));
        assert!(chat.wants(HookEvent::NeedsYou, Some(("claude", Some("chat-1")))));
        assert!(!chat.wants(HookEvent::NeedsYou, Some(("claude", Some("work")))));
        assert!(!chat.wants(HookEvent::NeedsYou, Some(("claude", None))));
        assert!(!chat.wants(HookEvent::NeedsYou, Some(("shell", Some("chat-1")))));
        assert!(!chat.wants(HookEvent::TurnEnded, Some(("claude", Some("chat-1")))));
        assert!(
            desk.wants(HookEvent::WorkerParked, None) && desk.wants(HookEvent::TurnEnded, Some(("x", None)))
        );
    }

    #[test]
    fn g15_what_is_shown_of_a_hook_holds_no_path_query_or_argument() {
        let url = HookTarget::Url("https://bot.example:8443/in/secret?key=abc");
        assert_eq!(url.to_string(), "https://bot.example:8443");
        let args = [String::from("--token=abc")];
        assert_eq!(HookTarget::Command("notify", &args).to_string(), "notify");
        let hook = HookSettings { url: Some("https://h/secret".into()), ..HookSettings::default() };
        assert!(!format!("{hook:?}").contains("secret"));
    }

    #[test]
    fn g13_a_hook_that_cannot_be_used_is_refused_with_its_place() {
        for (text, said) in [
            ("[hooks.a]\n", "1:8: `hooks.a.url`: it needs either"),
            ("[hooks.a]\nurl = 'https://h'\n", "2:7: `hooks.a.url`: it needs a `secret_file`"),
            ("[hooks.a]\nurl = 'ftp://h'\nsecret_env = 'S'\n", "2:7: `hooks.a.url`: it must begin"),
            ("[hooks.a]\nurl = 'https://u:p@h/'\nsecret_env = 'S'\n", "it must not hold a user"),
            ("[hooks.a]\nurl = '/x'\nsecret_env = 'S'\n", "it must begin with https"),
            (
                "[hooks.a]\nurl = 'https://h'\nsecret_env = 'S'\ncommand = ['x']\n",
                "4:11: `hooks.a.command`: there is",
            ),
            (
                "[hooks.a]\ncommand = ['x']\nsecret_env = 'S'\n",
                "3:14: `hooks.a.secret_env`: only what is posted",
            ),
            ("[hooks.a]\ncommand = ['x']\nsecret_file = 's'\n", "it is not absolute"),
            ("[hooks.a]\ncommand = ['x']\non = ['done']\n", "3:6: `hooks.a.on`"),
            ("[hooks.a]\ncommand = ['x']\non = ['test']\n", "3:6: `hooks.a.on`"),
            ("[hooks.a]\ncommand = ['x']\nmax_attempts = 0\n", "between 1 and 1000"),
            ("[hooks.a]\ncommand = ['x']\ntimeout = '0 s'\n", "3:11: `hooks.a.timeout`"),
            ("[hooks.a]\ncommand = ['x']\nsecret = 'abc'\n", "unknown key `hooks.a.secret`"),
            ("[hooks.'a b']\ncommand = ['x']\n", "a hook's name is"),
        ] {
            let error = parse(text, "t").unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
