//! Permission requests: decided by rule, mode or the person's own command, or announced and answered by a person.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;
use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, PermissionRequested, PermissionResolved};
use skep_common::ids::{AnswerId, PermissionId, PromptId};
use skep_common::protocol::{Decision, Reply};
use skep_common::session::{Cause, DecidedBy, PendingPermission, PermissionOption, Resolution, SessionState};
use tokio::time::Instant;

use skep_config::permissions::AskedPath;

use super::journal::{Broken, note};
use super::uses::grants_of;
use super::{Fault, Session};
use crate::acp::message::Id;
use crate::agent::acp::ToAgent;
use crate::agent::client::uses::{Decided, UseId};
use crate::agent::launch::is_built_in_shell;
use crate::agent::wire::PermissionAsk;
use crate::consent::{
    AnswerRefusal, Answered, Ask, Chosen, Policy, Reach, Verdict, allowing, decide, denying,
};

/// How many requests of one session may wait.
const WAITING: usize = 64;

/// Who waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asker {
    /// The agent, for its own tool, under its own id.
    Agent(Id),
    /// The agent, for something that skep is to do for it.
    Use {
        /// Which one.
        number: UseId,
        /// The agent's own id.
        id: Id,
    },
}

impl Asker {
    fn id(&self) -> &Id {
        match self {
            Self::Agent(id) | Self::Use { id, .. } => id,
        }
    }

    /// Tells it the option that was chosen, or that nobody decides.
    fn told(self, option: Option<String>) -> ToAgent {
        match self {
            Self::Agent(id) => ToAgent::Permission { id, option },
            Self::Use { number, .. } => ToAgent::Use { number, decided: Decided::by(option.as_deref()) },
        }
    }
}

/// What is put to rules, mode and persons.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) prompt: PromptId,
    pub(super) ask: Ask,
    pub(super) options: Vec<PermissionOption>,
    pub(super) tool_call: Box<RawValue>,
}

impl Session {
    /// The agent asks for permission.
    pub(super) async fn asked(&mut self, id: Id, request: PermissionAsk) -> Result<(), Broken> {
        let call = self.updates.learn(request.call);
        let mut ask = call.ask();
        let ruled = !self.own_rules.is_empty() || !self.shared.settings.permissions.rules.is_empty();
        if ruled || self.offers().files {
            ask.paths = self.resolve_paths(call.paths).await;
        }
        let Some(prompt) = self.turns.running().filter(|_| self.takes_questions()) else {
            self.tell(ToAgent::Permission { id, option: None });
            return Ok(());
        };
        let (prompt, text, consent) = (prompt.id, prompt.text(), prompt.consent);
        let verdict = decide(self.policy(), &ask, (&text, consent));
        let question = Question { prompt, ask, options: request.options, tool_call: request.tool_call };
        self.put(Asker::Agent(id), question, verdict).await
    }

    /// What stands by to decide.
    pub(super) fn policy(&self) -> Policy<'_> {
        Policy {
            mode: self.spec.permission_mode,
            own_rules: &self.own_rules,
            rules: &self.shared.settings.permissions,
            cwd: &self.spec.cwd,
            agent: &self.spec.agent,
            built_in_shell: is_built_in_shell(&self.shared.settings, &self.spec.agent),
        }
    }

    /// Journals a question and what was decided, or puts it to a person.
    pub(super) async fn put(
        &mut self,
        asker: Asker,
        question: Question,
        verdict: Verdict,
    ) -> Result<(), Broken> {
        let Question { prompt, ask, options, tool_call } = question;
        let decided = match verdict {
            Verdict::Ask => None,
            Verdict::Deny(by) => {
                let option = denying(&options, Reach::Once).map(|option| option.id.clone());
                Some((by, Chosen { option, allowed: false }))
            }
            // A person's own command is allowed once; a mode or a rule would allow the next one too.
            Verdict::Allow(by) => {
                let once = allowing(&options, Reach::Once);
                let option = match by {
                    DecidedBy::OwnCommand => once,
                    _ => once.or_else(|| allowing(&options, Reach::Always)),
                };
                option.map(|option| (by, Chosen { option: Some(option.id.clone()), allowed: true }))
            }
        };
        let id = PermissionId::random();
        if matches!(asker, Asker::Agent(_)) && self.offers().any() {
            self.grants.asks(id, grants_of(&ask), &options);
        }
        let pending = PendingPermission {
            id,
            prompt,
            tool_kind: ask.tool_kind,
            title: ask.title,
            options,
            requested_at: Timestamp::now(),
        };
        let event = Event::PermissionRequested(PermissionRequested {
            permission: pending.id,
            prompt: pending.prompt,
            tool_kind: pending.tool_kind.clone(),
            title: pending.title.clone(),
            options: pending.options.clone(),
            tool_call,
        });
        match decided {
            Some((by, chosen)) => self.decide_at_once(asker, pending.id, event, by, chosen).await,
            None => self.announce(asker, pending, event).await,
        }
    }

    /// The files that a tool call names, as they are named and as they are on the disk.
    async fn resolve_paths(&self, named: Option<Vec<String>>) -> Option<Vec<AskedPath>> {
        let (named, cwd) = (named?, self.spec.cwd.clone());
        let resolve = move || {
            let named = named.iter().filter(|path| !path.is_empty());
            named.map(|path| AskedPath::resolve(Path::new(&cwd), path)).collect()
        };
        tokio::task::spawn_blocking(resolve).await.ok().flatten()
    }

    /// Whether a question of the agent's can still be put to anybody.
    pub(super) fn takes_questions(&self) -> bool {
        !self.turns.cancelling() && self.ending.is_none() && self.requests.waiting().len() < WAITING
    }

    async fn decide_at_once(
        &mut self,
        asker: Asker,
        permission: PermissionId,
        event: Event,
        by: DecidedBy,
        chosen: Chosen,
    ) -> Result<(), Broken> {
        self.commit(vec![event, resolved(permission, &chosen, by.clone())]).await?;
        self.seen.denied |= !chosen.allowed;
        self.grants.decided(permission, &chosen);
        self.requests.decided(permission, by, chosen.clone());
        self.tell(asker.told(chosen.option));
        Ok(())
    }

    /// Journals a request that waits for a person, then shows it.
    async fn announce(
        &mut self,
        asker: Asker,
        pending: PendingPermission,
        event: Event,
    ) -> Result<(), Broken> {
        let why = Some(format!("asks for permission: {}", pending.title));
        let mut events = vec![event];
        events.extend(self.enter(SessionState::NeedsYou, why));
        self.commit(events).await?;
        let own = self.spec.options.permission_timeout_seconds.map(Duration::from_secs);
        if let Some(patience) = own.or(self.shared.settings.session.permission_timeout)
            && let Some(at) = Instant::now().checked_add(patience)
        {
            self.deadlines.permissions.push_back((at, pending.id));
        }
        self.asked.insert(pending.id, asker);
        self.requests.ask(pending);
        Ok(())
    }

    /// A person answers.
    pub(super) async fn answer(
        &mut self,
        permission: PermissionId,
        answer: AnswerId,
        decision: &Decision,
        via: String,
    ) -> Result<Reply, Fault> {
        if !self.requests.knows(permission)
            && let Some(before) = self.history.resolution(permission)
        {
            let allowed = before.resolution == Resolution::Allowed;
            let chosen = Chosen { option: before.option.clone(), allowed };
            self.requests.decided(permission, before.by.clone(), chosen);
        }
        let chosen = match self.requests.answer(permission, answer, decision).map_err(refused)? {
            Answered::Again(chosen) => return Ok(reply(chosen)),
            Answered::First(chosen) => chosen,
        };
        self.resolve(permission, DecidedBy::Client { via, answer }, chosen.clone()).await?;
        Ok(reply(chosen))
    }

    /// Nobody has answered for too long: the agent may not.
    pub(super) async fn deny_unanswered(&mut self, permission: PermissionId) -> Result<(), Broken> {
        let Some(request) = self.requests.waiting().iter().find(|request| request.id == permission) else {
            return Ok(());
        };
        let option = denying(&request.options, Reach::Once).map(|option| option.id.clone());
        let by = DecidedBy::System { cause: Cause::TimedOut };
        self.resolve(permission, by, Chosen { option, allowed: false }).await
    }

    /// Journals a decision, then tells the agent.
    async fn resolve(
        &mut self,
        permission: PermissionId,
        by: DecidedBy,
        chosen: Chosen,
    ) -> Result<(), Broken> {
        let mut events = vec![resolved(permission, &chosen, by.clone())];
        if self.requests.waiting().len() == 1 {
            events.extend(self.enter(SessionState::Running, None));
        }
        self.commit(events).await?;
        self.seen.denied |= !chosen.allowed;
        self.grants.decided(permission, &chosen);
        self.requests.decided(permission, by, chosen.clone());
        self.deadlines.permissions.retain(|(_, waiting)| *waiting != permission);
        if let Some(asker) = self.asked.remove(&permission) {
            self.tell(asker.told(chosen.option));
        }
        Ok(())
    }

    /// The agent asks no more: what it asked under this id waits no longer.
    pub(super) async fn taken_back(&mut self, id: &Id) -> Result<(), Broken> {
        let asked: Vec<PermissionId> = self
            .asked
            .iter()
            .filter(|(_, asker)| asker.id() == id)
            .map(|(permission, _)| *permission)
            .collect();
        for permission in asked {
            let by = DecidedBy::System { cause: Cause::AgentGaveUp };
            let mut events = vec![Event::PermissionResolved(PermissionResolved {
                permission,
                resolution: Resolution::Withdrawn,
                option: None,
                by: by.clone(),
            })];
            if self.requests.waiting().len() == 1 {
                events.extend(self.enter(SessionState::Running, None));
            }
            self.commit(events).await?;
            self.requests.decided(permission, by, Chosen { option: None, allowed: false });
            self.deadlines.permissions.retain(|(_, waiting)| *waiting != permission);
            match self.asked.remove(&permission) {
                Some(Asker::Agent(id)) => self.tell(ToAgent::TakenBack(id)),
                Some(asker @ Asker::Use { .. }) => self.tell(asker.told(None)),
                None => {}
            }
        }
        Ok(())
    }

    /// Gives up every request that waits: nobody can answer it any more. The events to journal; the agent is told by
    /// [`Self::release_asked`] afterwards.
    #[must_use]
    pub(super) fn withdraw(&mut self, resolution: Resolution, cause: Cause) -> Vec<Event> {
        let waiting: Vec<PermissionId> = self.requests.waiting().iter().map(|request| request.id).collect();
        let by = DecidedBy::System { cause };
        let mut events = Vec::with_capacity(waiting.len());
        for permission in waiting {
            events.push(Event::PermissionResolved(PermissionResolved {
                permission,
                resolution,
                option: None,
                by: by.clone(),
            }));
            self.requests.decided(permission, by.clone(), Chosen { option: None, allowed: false });
        }
        self.deadlines.permissions.clear();
        events
    }

    /// Answers what the agent had asked and nobody will answer any more with `cancelled`.
    pub(super) fn release_asked(&mut self) {
        let waiting: Vec<PermissionId> = self.requests.waiting().iter().map(|request| request.id).collect();
        let given_up: Vec<PermissionId> =
            self.asked.keys().copied().filter(|permission| !waiting.contains(permission)).collect();
        for permission in given_up {
            if let Some(asker) = self.asked.remove(&permission) {
                self.tell(asker.told(None));
            }
        }
    }

    /// A remark in the journal.
    pub(super) async fn remark(&self, level: &str, text: String) -> Result<(), Broken> {
        self.append(vec![note(level, text)]).await
    }
}

fn resolved(permission: PermissionId, chosen: &Chosen, by: DecidedBy) -> Event {
    Event::PermissionResolved(PermissionResolved {
        permission,
        resolution: chosen.resolution(),
        option: chosen.option.clone(),
        by,
    })
}

fn reply(chosen: Chosen) -> Reply {
    Reply::Answer { option: chosen.option, allowed: chosen.allowed }
}

fn refused(refusal: AnswerRefusal) -> ApiError {
    let text = refusal.to_string();
    match refusal {
        AnswerRefusal::NotFound => ApiError::new(Code::PermissionNotFound, text),
        AnswerRefusal::AlreadyResolved(by) => {
            ApiError::new(Code::AlreadyResolved, text).with_details(serde_json::json!({"by": by}))
        }
        AnswerRefusal::NoSuchOption => ApiError::new(Code::InvalidValue, text),
    }
}
