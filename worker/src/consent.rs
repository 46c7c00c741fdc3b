//! Consent: who may say yes to what, and the requests that wait for somebody. Pure; the session's actor journals what
//! is decided before the agent hears of it.
//!
//! The order is: the person's own command, then the first rule that fits, then the session's mode, then a person.
//! Nobody there to answer never means yes (N7). Options are chosen by their kind, never by id or position.

use std::collections::{HashMap, VecDeque};

use skep_common::ids::{AnswerId, PermissionId};
use skep_common::protocol::Decision;
use skep_common::session::{
    Consent, DecidedBy, PendingPermission, PermissionMode, PermissionOption, Resolution,
};
use skep_config::RuleAction;
use skep_config::permissions::{AskedPath, PermissionSettings, Request, Rule};

use crate::turn::REMEMBERED;

pub mod grants;
pub mod uses;

/// What an agent wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// ACP's tool kind; `other` where the agent names none.
    pub tool_kind: String,
    /// For a person: the command, the path.
    pub title: String,
    /// The command itself, where the agent says it.
    pub command: Option<String>,
    /// The title may be the beginning of a longer one.
    pub cut: bool,
    /// The files that the tool call names, resolved; none where they are not known whole.
    pub paths: Option<Vec<AskedPath>>,
}

/// What stands by to decide.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The session's mode.
    pub mode: PermissionMode,
    /// The session's own rules; they come first.
    pub own_rules: &'a [Rule],
    /// The configured rules.
    pub rules: &'a PermissionSettings,
    /// The session's directory, to which patterns of paths are relative.
    pub cwd: &'a str,
    /// The session's agent.
    pub agent: &'a str,
    /// Whether that is the built-in shell agent.
    pub built_in_shell: bool,
}

/// What is decided without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: a person must answer.
    Ask,
    /// The agent may.
    Allow(DecidedBy),
    /// The agent may not.
    Deny(DecidedBy),
}

/// Decides what can be decided without a person. `prompt` is the running prompt's text and the consent that came
/// with it.
#[must_use]
pub fn decide(policy: Policy<'_>, ask: &Ask, prompt: (&str, Consent)) -> Verdict {
    let own = own(ask);
    if prompt.1 == Consent::OwnCommand
        && policy.built_in_shell
        && ask.tool_kind == "execute"
        && own.trim() == prompt.0.trim()
        && !own.trim().is_empty()
    {
        return Verdict::Allow(DecidedBy::OwnCommand);
    }
    by_rules(policy, ask).unwrap_or_else(|| by_mode(policy.mode, &ask.tool_kind))
}

/// The command, or what stands for it.
fn own(ask: &Ask) -> &str {
    ask.command.as_deref().unwrap_or(&ask.title)
}

/// What the first rule says that fits; none if none does.
fn by_rules<'a>(policy: Policy<'a>, ask: &Ask) -> Option<Verdict> {
    let request = Request {
        agent: policy.agent,
        tool: &ask.tool_kind,
        command: own(ask),
        cut: ask.cut && ask.command.is_none(),
        paths: ask.paths.as_deref(),
        cwd: policy.cwd,
    };
    let numbered = |place: &'static str, rules: &'a [Rule]| {
        rules.iter().enumerate().map(move |(at, rule)| (place, at + 1, rule))
    };
    let mut rules =
        numbered("the session", policy.own_rules).chain(numbered("the configuration", &policy.rules.rules));
    let (place, number, rule) = rules.find(|(_, _, rule)| rule.fits(&request))?;
    let by = DecidedBy::Rule { rule: format!("rule {number} of {place}: {rule}") };
    Some(match rule.action {
        RuleAction::Allow => Verdict::Allow(by),
        RuleAction::Deny => Verdict::Deny(by),
        RuleAction::Ask => Verdict::Ask,
    })
}

fn by_mode(mode: PermissionMode, tool_kind: &str) -> Verdict {
    let by = DecidedBy::Mode { mode };
    match mode {
        PermissionMode::Ask => Verdict::Ask,
        PermissionMode::AcceptEdits if tool_kind == "edit" => Verdict::Allow(by),
        PermissionMode::AcceptEdits => Verdict::Ask,
        PermissionMode::Plan if matches!(tool_kind, "read" | "search" | "think") => Verdict::Allow(by),
        PermissionMode::Plan | PermissionMode::Deny => Verdict::Deny(by),
        PermissionMode::Bypass => Verdict::Allow(by),
    }
}

/// How far an answer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This once.
    Once,
    /// For good, where the agent offers it.
    Always,
}

/// The option by which the agent may. An answer for once never becomes one for good.
#[must_use]
pub fn allowing(options: &[PermissionOption], reach: Reach) -> Option<&PermissionOption> {
    let always = || of_kind(options, "allow_always");
    match reach {
        Reach::Once => of_kind(options, "allow_once"),
        Reach::Always => always().or_else(|| of_kind(options, "allow_once")),
    }
}

/// The option by which the agent may not; without one the request is answered as cancelled.
#[must_use]
pub fn denying(options: &[PermissionOption], reach: Reach) -> Option<&PermissionOption> {
    let (once, always) = (of_kind(options, "reject_once"), of_kind(options, "reject_always"));
    match reach {
        Reach::Once => once.or(always),
        Reach::Always => always.or(once),
    }
}

fn of_kind<'a>(options: &'a [PermissionOption], kind: &str) -> Option<&'a PermissionOption> {
    options.iter().find(|option| option.kind == kind)
}

/// An answer to a request: the option that was chosen, and whether the agent may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The chosen option's id; none where the agent offered nothing that fits a denial.
    pub option: Option<String>,
    /// Whether the agent may.
    pub allowed: bool,
}

impl Chosen {
    /// The same for the journal.
    #[must_use]
    pub fn resolution(&self) -> Resolution {
        if self.allowed { Resolution::Allowed } else { Resolution::Denied }
    }
}

/// Turns a person's decision into one of the agent's options.
///
/// # Errors
///
/// When the agent offers no option that means this.
pub fn choose(options: &[PermissionOption], decision: &Decision) -> Result<Chosen, AnswerRefusal> {
    let reach = |always: bool| if always { Reach::Always } else { Reach::Once };
    match decision {
        Decision::Allow { always } => {
            let option = allowing(options, reach(*always)).ok_or(AnswerRefusal::NoSuchOption)?;
            Ok(Chosen { option: Some(option.id.clone()), allowed: true })
        }
        Decision::Deny { always } => {
            let option = denying(options, reach(*always)).map(|option| option.id.clone());
            Ok(Chosen { option, allowed: false })
        }
        Decision::Option { id } => {
            let option = options.iter().find(|option| option.id == *id).ok_or(AnswerRefusal::NoSuchOption)?;
            Ok(Chosen { option: Some(option.id.clone()), allowed: option.kind.starts_with("allow") })
        }
    }
}

/// Why an answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerRefusal {
    /// No such request was ever made.
    #[error("no such permission request")]
    NotFound,
    /// Somebody or something else decided first.
    #[error("the request was answered before")]
    AlreadyResolved(DecidedBy),
    /// The agent offers no option that means this.
    #[error("the agent offers no such option")]
    NoSuchOption,
}

/// What an answer meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The first answer: journal it, then tell the agent.
    First(Chosen),
    /// The same answer again: the same reply.
    Again(Chosen),
}

/// The requests of one session: those that wait, and how the last ones were decided.
#[derive(Debug, Default)]
pub struct Requests {
    waiting: Vec<PendingPermission>,
    decided: HashMap<PermissionId, (DecidedBy, Chosen)>,
    order: VecDeque<PermissionId>,
}

impl Requests {
    /// Adds a request that waits for a person.
    pub fn ask(&mut self, request: PendingPermission) {
        self.waiting.push(request);
    }

    /// Meets an answer. Nothing is changed; [`Self::decided`] does that.
    ///
    /// # Errors
    ///
    /// When the request is unknown or decided by another answer, or the agent offers no such option.
    pub fn answer(
        &self,
        permission: PermissionId,
        answer: AnswerId,
        decision: &Decision,
    ) -> Result<Answered, AnswerRefusal> {
        if let Some(request) = self.waiting.iter().find(|request| request.id == permission) {
            return choose(&request.options, decision).map(Answered::First);
        }
        match self.decided.get(&permission) {
            None => Err(AnswerRefusal::NotFound),
            Some((DecidedBy::Client { answer: first, .. }, chosen)) if *first == answer => {
                Ok(Answered::Again(chosen.clone()))
            }
            Some((by, _)) => Err(AnswerRefusal::AlreadyResolved(by.clone())),
        }
    }

    /// Records how a request was decided; it waits no longer.
    pub fn decided(&mut self, permission: PermissionId, by: DecidedBy, chosen: Chosen) {
        self.waiting.retain(|request| request.id != permission);
        if self.decided.insert(permission, (by, chosen)).is_none() {
            self.order.push_back(permission);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.decided.remove(&oldest);
            }
        }
    }

    /// Whether the request waits or is remembered.
    #[must_use]
    pub fn knows(&self, permission: PermissionId) -> bool {
        self.decided.contains_key(&permission) || self.waiting.iter().any(|request| request.id == permission)
    }

    /// The requests that wait, oldest first.
    #[must_use]
    pub fn waiting(&self) -> &[PendingPermission] {
        &self.waiting
    }
}

#[cfg(test)]
mod tests;
