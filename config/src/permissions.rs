//! `[permissions]`: rules that answer permission requests in a person's place (N7).
//!
//! ```toml
//! [[permissions.rules]]
//! tool = "execute"
//! command = "cargo *"
//! action = "allow"
//! ```
//!
//! The first rule that fits decides. What no rule fits goes by the session's permission mode.

use std::fmt;

use skep_common::session::{RuleVerdict, SessionRule};
use toml::de::DeValue;

use crate::glob::{Glob, Reach};
use crate::schema::{Refusal, Schema, Setting, Visitor};
use crate::value::{choice, no_choice};

mod asked_path;

pub use asked_path::AskedPath;

/// Rules that answer permission requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSettings {
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// A permission request, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The session's agent.
    pub agent: &'a str,
    /// ACP's tool kind: `execute`, `edit`, ….
    pub tool: &'a str,
    /// The command line, or the tool call's title where there is none.
    pub command: &'a str,
    /// The command may go on behind what is known of it.
    pub cut: bool,
    /// The files that the tool call names; none where they are not known whole.
    pub paths: Option<&'a [AskedPath]>,
    /// The session's directory.
    pub cwd: &'a str,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RuleAction {
    /// The agent may.
    Allow,
    /// The agent may not.
    Deny,
    /// A person decides, whatever the session's mode says.
    #[default]
    Ask,
}

choice!(RuleAction { "allow" => Allow, "deny" => Deny, "ask" => Ask });

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The tool kind; none is any (`*` in the file).
    pub tool: ToolPattern,
    /// The command or title that it fits; none is any.
    pub command: Option<Glob>,
    /// The files that it fits, relative to the session's directory; none is any, and no file at all.
    pub path: Option<Glob>,
    /// The agent's name; none is any.
    pub agent: Option<String>,
    /// What it says.
    pub action: RuleAction,
}

/// Which tool kinds a rule fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolPattern {
    /// Any, unknown ones too.
    #[default]
    Any,
    /// One of ACP's kinds.
    Kind(String),
}

const TOOL_KINDS: [&str; 11] =
    ["*", "execute", "edit", "read", "delete", "move", "search", "fetch", "think", "switch_mode", "other"];

impl PermissionSettings {
    /// The first rule that fits, if one does.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(request))
    }
}

impl Rule {
    /// Whether it fits the request. In a rule that allows, `*` covers one command only ([`crate::glob`]).
    #[must_use]
    pub fn fits(&self, request: &Request<'_>) -> bool {
        let reach = match self.action {
            RuleAction::Allow => Reach::OneCommand,
            RuleAction::Deny | RuleAction::Ask => Reach::Anything,
        };
        let tool = match &self.tool {
            ToolPattern::Any => true,
            ToolPattern::Kind(kind) => kind == request.tool,
        };
        tool && self.agent.as_ref().is_none_or(|agent| agent == request.agent)
            && self.command.as_ref().is_none_or(|glob| {
                !(request.cut && self.action == RuleAction::Allow) && glob.matches(request.command, reach)
            })
            && self.path.as_ref().is_none_or(|glob| self.fits_paths(glob, request))
    }

    /// To allow, every file must fit, both as it is named and where it really is; to deny or ask, one is enough.
    fn fits_paths(&self, glob: &Glob, request: &Request<'_>) -> bool {
        let glob = glob.under(request.cwd);
        let fits = |path: &str| glob.matches(path, Reach::OnePart);
        let allows = self.action == RuleAction::Allow;
        match request.paths {
            // What is not known may be just what the rule is about.
            None => !allows,
            Some([]) => false,
            Some(paths) if allows => {
                paths.iter().all(|path| fits(path.named()) && path.real().is_some_and(fits))
            }
            Some(paths) => paths.iter().any(|path| fits(path.named()) || path.real().is_some_and(fits)),
        }
    }

    /// A rule that a session was given.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn of_session(rule: &SessionRule) -> Result<Self, String> {
        let pattern = |key: &str, text: &Option<String>| {
            let glob = text.as_ref().map(|text| Glob::parse(text)).transpose();
            glob.map_err(|why| format!("`{key}`: {why}"))
        };
        let tool = ToolPattern::parse(&rule.tool).map_err(|why| format!("`tool`: {why}"))?;
        Ok(Self {
            tool,
            command: pattern("command", &rule.command)?,
            path: pattern("path", &rule.path)?,
            agent: None,
            action: match rule.action {
                RuleVerdict::Allow => RuleAction::Allow,
                RuleVerdict::Deny => RuleAction::Deny,
                RuleVerdict::Ask => RuleAction::Ask,
            },
        })
    }

    /// A rule that denies whatever is asked.
    #[must_use]
    pub fn denies_all() -> Self {
        Self { action: RuleAction::Deny, ..Self::default() }
    }
}

/// As an inline table, as it could stand in the file.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ tool = {}", self.tool.write())?;
        if let Some(command) = &self.command {
            write!(f, ", command = {}", command.write())?;
        }
        if let Some(path) = &self.path {
            write!(f, ", path = {}", path.write())?;
        }
        if let Some(agent) = &self.agent {
            write!(f, ", agent = {}", agent.write())?;
        }
        write!(f, ", action = {} }}", self.action.write())
    }
}

impl ToolPattern {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            kind if TOOL_KINDS.contains(&kind) => Ok(Self::Kind(kind.to_owned())),
            other => Err(no_choice(other, &TOOL_KINDS)),
        }
    }
}

impl Setting for ToolPattern {
    fn expected() -> String {
        format!("one of \"{}\"", TOOL_KINDS.join("\", \""))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Self::parse(value.as_str().ok_or(Refusal::Type)?).map_err(Refusal::Value)
    }

    fn write(&self) -> toml::Value {
        match self {
            Self::Any => "*".into(),
            Self::Kind(kind) => kind.as_str().into(),
        }
    }
}

impl Setting for Glob {
    fn expected() -> String {
        String::from("a pattern such as \"cargo *\"")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let text = value.as_str().ok_or(Refusal::Type)?;
        Self::parse(text).map_err(|why| Refusal::Value(why.to_owned()))
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Schema for PermissionSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.list("rules", &mut self.rules);
    }
}

impl Schema for Rule {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.required("tool", &mut self.tool);
        v.optional("command", &mut self.command);
        v.optional("path", &mut self.path);
        v.optional("agent", &mut self.agent);
        v.required("action", &mut self.action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> PermissionSettings {
        crate::parse(text, "test").unwrap().permissions
    }

    #[test]
    fn n7_the_first_rule_that_fits_decides() {
        let permissions = rules(
            r#"
            [[permissions.rules]]
            tool = "execute"
            command = "cargo publish*"
            action = "deny"
            [[permissions.rules]]
            tool = "execute"
            command = "cargo *"
            agent = "shell"
            action = "allow"
            [[permissions.rules]]
            tool = "*"
            command = "*secret*"
            action = "ask"
            "#,
        );
        let decide = |agent, tool, command| {
            permissions
                .decide(&Request { agent, tool, command, cut: false, paths: Some(&[]), cwd: "/" })
                .map(|rule| rule.action)
        };
        assert_eq!(decide("shell", "execute", "cargo publish --dry-run"), Some(RuleAction::Deny));
        assert_eq!(decide("shell", "execute", "cargo publish; cargo x"), Some(RuleAction::Deny));
        assert_eq!(decide("shell", "execute", "cargo test"), Some(RuleAction::Allow));
        assert_eq!(decide("shell", "execute", "cargo test; rm x"), None);
        assert_eq!(decide("gemini", "execute", "cargo test"), None);
        assert_eq!(decide("gemini", "brand_new_kind", "read my secret; now"), Some(RuleAction::Ask));
        assert_eq!(
            permissions.rules[1].to_string(),
            r#"{ tool = "execute", command = "cargo *", agent = "shell", action = "allow" }"#
        );
    }
}
