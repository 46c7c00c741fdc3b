//! A person changes the settings of a session that is open: all that is asked for, or nothing.
//!
//! ```text
//!   asked ─▶ (agent starts) ─▶ checked ─▶ journalled ─▶ set at the agent, step by step ─▶ acknowledged
//!               │ gone                                     │ refused ─▶ journalled back ─▶ put back there
//! ```
//!
//! What skep itself obeys (mode, rules, limits, times) holds from the journal on. What only the agent can obey is set in
//! its running session where it offers that, else when it is started anew: between two turns, where it comes back with
//! its context and nothing of its own runs in the background, and by itself some time otherwise. The answer says which.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::value::RawValue;
use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, SessionChanged};
use skep_common::ids::RequestId;
use skep_common::protocol::Reply;
use skep_common::session::{
    Cause, ChangedSetting, Patch, PermissionMode, SessionChange, SessionSettings, TakesEffect,
};
use skep_config::{AgentPreset, Driver};
use tokio::time::Instant;

use super::journal::{Broken, note};
use super::open::own_rules;
use super::{Fault, Session, Slot};
use crate::agent::acp::{Stop, ToAgent};
use crate::agent::choices::{self, ChoiceRefused, Wanted};
use crate::agent::mode;
use crate::agent::offer::Offer;
use crate::agent::step::{Sets, Step};

/// What is known of the agent's settings while it runs.
#[derive(Debug, Default)]
pub(super) struct AgentSettings {
    /// What it offers; none if nothing can be set while it runs.
    offer: Option<Offer>,
    /// It can be started anew with its context.
    returns: bool,
    /// It was started with settings that it is to lose, and is started anew when its turn is over.
    renew: bool,
    /// The mode changed while it was started.
    mode_lags: bool,
}

/// A change that waits for the agent.
#[derive(Debug)]
pub(super) struct Changing {
    /// Acknowledged when it is done; none if nobody waits.
    request: Option<RequestId>,
    /// All that was asked for.
    asked: SessionChange,
    /// What of it is a change.
    change: SessionChange,
    before: SessionSettings,
    via: String,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The agent is being started; nothing has changed yet.
    Starting,
    /// It is journalled, and the agent is told.
    Setting { todo: VecDeque<Step>, done: Vec<Step>, lags: Vec<String> },
    /// It is journalled back, and the agent is told that too.
    PuttingBack { todo: VecDeque<Step> },
}

/// What a change means for the agent.
#[derive(Debug, Default)]
struct Plan {
    steps: Vec<Step>,
    /// The settings that it can only be given at its start.
    lags: Vec<String>,
    remarks: Vec<String>,
}

impl AgentSettings {
    /// An agent is ready.
    pub(super) fn started(&mut self, offer: Option<Offer>, returns: bool) {
        (self.offer, self.returns) = (offer, returns);
    }

    /// It is gone.
    pub(super) fn gone(&mut self) {
        *self = Self::default();
    }

    /// It told something of its session.
    pub(super) fn hear(&mut self, update: &RawValue) {
        if let Some(offer) = &mut self.offer {
            offer.hear(update);
        }
    }
}

impl Session {
    /// Changes the settings; acknowledged now, or when the agent has answered.
    pub(super) async fn change(
        &mut self,
        request: RequestId,
        asked: SessionChange,
        via: String,
    ) -> Result<(), Broken> {
        let before = self.spec.settings();
        let change = SessionChange::between(&before, &before.changed(&asked));
        if let Err(refused) = self.may_change(&asked) {
            return self.acknowledge(request, Err(refused.into()));
        }
        let stage = Stage::Starting;
        let changing = Changing { request: Some(request), asked, change, before, via, stage };
        let starts = matches!(self.slot, Slot::Starting(_)) && self.driver() == Driver::Acp;
        if starts && changing.change.is_for_agent() {
            self.changing = Some(changing);
            return Ok(());
        }
        self.carry_out(changing).await
    }

    /// Whether a change can be taken at all.
    fn may_change(&self, asked: &SessionChange) -> Result<(), ApiError> {
        if let Some(ending) = &self.ending {
            return Err(ending.refusal());
        }
        if self.changing.is_some() {
            let message = "another change of the session's settings waits for its agent; try again";
            return Err(ApiError::new(Code::SessionBusy, message));
        }
        asked.check().map_err(|why| ApiError::new(Code::InvalidValue, why))
    }

    fn driver(&self) -> Driver {
        self.preset().map(|preset| preset.driver).unwrap_or_default()
    }

    /// Checks, journals, obeys, and tells the agent.
    async fn carry_out(&mut self, mut changing: Changing) -> Result<(), Broken> {
        let plan = match self.plan(&changing.change) {
            Ok(plan) => plan,
            Err(refused) => return self.answer_change(changing.request, Err(self.refusal(&refused).into())),
        };
        if !changing.change.is_empty() {
            let changes = changing.change.clone();
            let mut events =
                vec![Event::SessionChanged(SessionChanged { changes, by: changing.via.clone() })];
            events.extend(plan.remarks.iter().map(|text| note("warn", text.clone())));
            if let Err(broken) = self.commit(events).await {
                return self.answer_change(changing.request, Err(broken.into()));
            }
            self.adopt(changing.before.changed(&changing.change));
        }
        changing.stage = Stage::Setting { todo: plan.steps.into(), done: Vec::new(), lags: plan.lags };
        self.go_on(changing).await?;
        self.check_limits().await
    }

    /// What the change means for the agent, as it is now.
    fn plan(&self, change: &SessionChange) -> Result<Plan, ChoiceRefused> {
        let mut plan = Plan::default();
        let Some(preset) = self.preset() else { return Ok(plan) };
        let runs = matches!(self.slot, Slot::Ready(..) | Slot::Starting(_));
        let options = &change.options;
        let wanted = Wanted {
            model: options.model.wanted().cloned(),
            named_at_start: !preset.model_args.is_empty(),
            options: options
                .set
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.wanted()?.clone())))
                .collect(),
        };
        if preset.driver != Driver::Acp {
            wanted.without_acp()?;
        }
        if preset.driver == Driver::Oneshot || !runs {
            return Ok(plan);
        }
        if let Some(mode) = change.permission_mode.wanted() {
            self.plan_mode(preset, *mode, &mut plan);
        }
        let offer = self.agent.offer.as_ref();
        if let Some(offer) = offer {
            plan.steps.extend(choices::plan(&wanted, offer)?);
        }
        let is_offered = |model: &String| {
            offer.is_some_and(|offer| offer.model_options().chain(&offer.models).any(|all| all.offers(model)))
        };
        if !options.model.is_keep() && !options.model.wanted().is_some_and(is_offered) {
            plan.lags.push(String::from("model"));
        }
        let taken_back = options.set.iter().filter(|(_, value)| **value == Patch::Reset);
        plan.lags.extend(taken_back.map(|(key, _)| format!("set.{key}")));
        Ok(plan)
    }

    /// The agent's own mode that fits `mode`: by a call, by what it is started with, or by neither.
    fn plan_mode(&self, preset: &AgentPreset, mode: PermissionMode, plan: &mut Plan) {
        let now = self.spec.permission_mode;
        if preset.mode_args.of(mode) != preset.mode_args.of(now)
            || preset.mode_env.of(mode) != preset.mode_env.of(now)
        {
            plan.lags.push(String::from("permission_mode"));
        }
        let Some(wanted) = preset.mode.of(mode) else { return };
        let Some(offer) = &self.agent.offer else { return };
        match mode::plan(wanted, offer) {
            Ok(step) => plan.steps.extend(step),
            Err(why) => plan.remarks.push(mode::not_set(wanted, &why)),
        }
    }

    fn refusal(&self, refused: &ChoiceRefused) -> ApiError {
        let (code, offered) = match refused {
            ChoiceRefused::Model { offered, .. } => (Code::ModelNotFound, Some(offered)),
            ChoiceRefused::NoModels => (Code::ModelNotFound, None),
            ChoiceRefused::Option { offered, .. } => (Code::OptionNotFound, Some(offered)),
            ChoiceRefused::Value { offered, .. } => (Code::InvalidValue, Some(offered)),
            ChoiceRefused::Failed { .. } => (Code::AgentRefused, None),
        };
        let error =
            ApiError::new(code, format!("agent `{}`: {refused}; nothing was changed", self.spec.agent));
        match offered {
            Some(offered) => error.with_details(serde_json::json!({ "offered": offered })),
            None => error,
        }
    }

    /// From here on these settings hold for what skep does itself.
    fn adopt(&mut self, settings: SessionSettings) {
        if settings.permission_mode != self.spec.permission_mode && matches!(self.slot, Slot::Starting(_)) {
            self.agent.mode_lags = true;
        }
        self.spec.take(settings);
        self.changed = true;
        self.own_rules = own_rules(&self.spec);
        let idle = self.spec.options.idle_timeout_seconds.map(Duration::from_secs);
        self.deadlines.idle_after(idle.unwrap_or(self.shared.settings.session.idle_timeout));
        if self.turns.running().is_some() && !self.turns.cancelling() {
            self.deadlines.turn_may_take(self.turn_time());
        }
    }

    /// The next step at the agent, or the end of the change.
    async fn go_on(&mut self, changing: Changing) -> Result<(), Broken> {
        let next = match &changing.stage {
            Stage::Starting => None,
            Stage::Setting { todo, .. } | Stage::PuttingBack { todo } => todo.front().cloned(),
        };
        match (next, &self.slot) {
            (Some(step), Slot::Ready(..)) => {
                self.tell(ToAgent::Set(Box::new(step)));
                self.changing = Some(changing);
                Ok(())
            }
            (_, Slot::Empty | Slot::Stopping(_) | Slot::Starting(_)) | (None, Slot::Ready(..)) => {
                self.changed(changing).await
            }
        }
    }

    /// The agent has answered what it was told to set.
    pub(super) async fn was_set(&mut self, answer: Result<Box<RawValue>, String>) -> Result<(), Broken> {
        let Some(mut changing) = self.changing.take() else { return Ok(()) };
        let (Stage::Setting { todo, .. } | Stage::PuttingBack { todo }) = &mut changing.stage else {
            self.changing = Some(changing);
            return Ok(());
        };
        let Some(mut step) = todo.pop_front() else { return Ok(()) };
        let offer = self.agent.offer.get_or_insert_default();
        let Err(why) = answer.and_then(|answer| step.answered(&answer, offer)) else {
            if let Stage::Setting { done, .. } = &mut changing.stage {
                done.push(step);
            }
            return self.go_on(changing).await;
        };
        if let Some(otherwise) = step.otherwise.take() {
            todo.push_front(*otherwise);
            return self.go_on(changing).await;
        }
        let puts_back = matches!(changing.stage, Stage::PuttingBack { .. });
        match step.sets {
            Sets::Mode => self.remark("warn", mode::not_set(&step.value, &why)).await?,
            _ if puts_back => {
                let text = format!("the agent's `{}` could not be put back: {why}", step.name());
                self.remark("warn", text).await?;
            }
            Sets::Model | Sets::Option(_) => return self.take_back(changing, &step, &why).await,
        }
        self.go_on(changing).await
    }

    /// The agent refuses a step: nothing of the change holds.
    async fn take_back(&mut self, changing: Changing, step: &Step, why: &str) -> Result<(), Broken> {
        let Changing { request, asked, change, before, via, stage } = changing;
        let refused = ChoiceRefused::Failed {
            key: step.name().to_owned(),
            value: step.value.clone(),
            why: why.to_owned(),
        };
        let changes = SessionChange::between(&self.spec.settings(), &before);
        let by = String::from("skep: the agent refused");
        let text =
            format!("the agent did not take what was asked for: {refused}; the settings are as before");
        let events = vec![Event::SessionChanged(SessionChanged { changes, by }), note("warn", text)];
        if let Err(broken) = self.commit(events).await {
            return self.answer_change(request, Err(broken.into()));
        }
        self.adopt(before.clone());
        self.save(false).await;
        self.answer_change(request, Err(self.refusal(&refused).into()))?;
        let todo: VecDeque<Step> = match stage {
            Stage::Setting { done, .. } => done.iter().rev().map(Step::back).collect(),
            Stage::Starting | Stage::PuttingBack { .. } => VecDeque::new(),
        };
        let stage = Stage::PuttingBack { todo };
        self.go_on(Changing { request: None, asked, change, before, via, stage }).await
    }

    /// The change is done, as far as it can be now.
    async fn changed(&mut self, changing: Changing) -> Result<(), Broken> {
        let Stage::Setting { lags, .. } = &changing.stage else { return Ok(()) };
        let runs = matches!(self.slot, Slot::Ready(..) | Slot::Starting(_));
        let renews = runs && !lags.is_empty() && self.renews().await;
        self.agent.renew |= runs && !lags.is_empty();
        self.save(false).await;
        let Some(request) = changing.request else { return Ok(()) };
        let effective = changing.change.names();
        let one = |setting: String| self.effect(setting, &effective, lags, renews);
        let changed = changing.asked.names().into_iter().map(one).collect();
        let settings = Box::new(self.spec.settings());
        self.acknowledge(request, Ok(Reply::Changed { settings, changed }))
    }

    fn effect(&self, setting: String, effective: &[String], lags: &[String], renews: bool) -> ChangedSetting {
        let (mut takes_effect, mut detail) = (TakesEffect::Now, None);
        let for_agent = setting == "model" || setting.starts_with("set.");
        let runs = matches!(self.slot, Slot::Ready(..) | Slot::Starting(_));
        if !effective.contains(&setting) {
            takes_effect = TakesEffect::Unchanged;
        } else if self.driver() == Driver::Oneshot {
            takes_effect = if for_agent { TakesEffect::NextTurn } else { TakesEffect::Now };
        } else if for_agent && !runs {
            takes_effect = TakesEffect::NextStart;
        } else if lags.contains(&setting) {
            let at_start = if renews { TakesEffect::NextTurn } else { TakesEffect::NextStart };
            if for_agent {
                takes_effect = at_start;
            } else {
                let when = if renews { "from its next turn on" } else { "only when it is started anew" };
                detail = Some(format!("skep decides by it now, the agent itself keeps to it {when}"));
            }
        }
        ChangedSetting { setting, takes_effect, detail }
    }

    /// Whether the agent will be started anew with its context as soon as no turn runs.
    async fn renews(&self) -> bool {
        self.agent.returns && self.remembers() && self.awake_for().await.is_none()
    }

    /// Starts the agent anew, if it is to be and can be now. Its next prompt does the starting.
    pub(super) async fn renew_agent(&mut self) -> Result<(), Broken> {
        let rests = self.is_at_rest() && matches!(self.slot, Slot::Ready(..)) && self.changing.is_none();
        if !rests || !std::mem::take(&mut self.agent.renew) {
            return Ok(());
        }
        if self.renews().await {
            self.stopped_for = Cause::Person;
            self.stop_agent(Stop::Gently);
            return Ok(());
        }
        let why = match self.awake_for().await {
            Some(by) => by,
            None => String::from("it would come back without its context"),
        };
        let text = format!("the agent keeps its former settings until it is started anew: {why}");
        self.remark("warn", text).await
    }

    /// An agent is ready: what waited for that goes on.
    pub(super) async fn settings_after_start(&mut self) -> Result<(), Broken> {
        let lags = std::mem::take(&mut self.agent.mode_lags);
        match self.changing.take() {
            Some(changing) if matches!(changing.stage, Stage::Starting) => {
                return self.carry_out(changing).await;
            }
            other => self.changing = other,
        }
        if !lags || self.changing.is_some() {
            return Ok(());
        }
        let mode = self.spec.permission_mode;
        let (before, mut plan) = (self.spec.settings(), Plan::default());
        if let Some(preset) = self.preset() {
            self.plan_mode(preset, mode, &mut plan);
        }
        for text in plan.remarks {
            self.remark("warn", text).await?;
        }
        let stage = Stage::Setting { todo: plan.steps.into(), done: Vec::new(), lags: Vec::new() };
        let (asked, change, via) = (SessionChange::default(), SessionChange::default(), String::new());
        self.go_on(Changing { request: None, asked, change, before, via, stage }).await
    }

    /// The agent is gone: what waited for it holds from its next start on.
    pub(super) async fn settings_after_end(&mut self) -> Result<(), Broken> {
        self.agent.gone();
        match self.changing.take() {
            Some(changing) if matches!(changing.stage, Stage::Starting) => {
                match self.ending.as_ref().map(super::Ending::refusal) {
                    Some(refused) => self.answer_change(changing.request, Err(refused.into())),
                    None => self.carry_out(changing).await,
                }
            }
            Some(changing) => self.changed(changing).await,
            None => Ok(()),
        }
    }

    /// The session is let go of: whoever still waits for a change is told.
    pub(super) fn give_up_change(&mut self, error: Option<&ApiError>) {
        if let Some(request) = self.changing.take().and_then(|changing| changing.request) {
            let gone = || ApiError::new(Code::WorkerGone, "the session was let go of meanwhile; try again");
            let error = error.cloned().unwrap_or_else(gone);
            self.shared.reports.ack(request, Reply::Error { error });
        }
    }

    fn answer_change(&self, request: Option<RequestId>, done: Result<Reply, Fault>) -> Result<(), Broken> {
        match (request, done) {
            (Some(request), done) => self.acknowledge(request, done),
            (None, Err(Fault::Broken(broken))) => Err(broken),
            (None, Ok(_) | Err(Fault::Refused(_))) => Ok(()),
        }
    }
}

/// When something that began then and may take so long is over.
pub(super) fn deadline(began: Instant, time: Option<Duration>) -> Option<Instant> {
    time.and_then(|time| began.checked_add(time))
}
