//! The session's agent: started when a prompt needs it, listened to, stopped.

use jiff::Timestamp;
use skep_common::event::{AgentExited, AgentStarted, Event};
use skep_common::session::content::as_text;
use skep_common::session::{AgentProcess, Cause, Resume, SessionState, TurnOutcome};
use skep_config::{Driver, Quirk, ResumeBy};

use super::journal::{Broken, note};
use super::prompts::After;
use super::recap::recap;
use super::{Session, Slot};
use crate::agent::acp::{Agent, FromAgent, Gone, Said, Started, Stop, ToAgent};
use crate::agent::claude_stream::driver::ClaudeStream;
use crate::agent::coarse_clock::NotBefore;
use crate::agent::launch::{Launch, Origin, is_built_in_shell};
use crate::agent::oneshot::driver::Run;
use crate::agent::oneshot::ending::Finished;
use crate::agent::oneshot::plan::plan;
use crate::agent::wire::is_work;
use crate::turn::outcome::{End, Seen, judge, stopped};

/// Why a session's agent is not started yet.
const SAME_MINUTE: &str = "the agent would lose the session if it loaded it so soon after it made it; it is started \
                           when the next period of its clock begins";

impl Session {
    /// Starts the agent for the running turn.
    pub(super) fn start_agent(&mut self) {
        let logs = match self.shared.disk.threads() {
            Ok(threads) => &threads.logs,
            Err(error) => {
                self.unstartable = Some(format!("its output cannot be logged: {error}"));
                return;
            }
        };
        let origin = Origin {
            settings: &self.shared.settings,
            worker: &self.shared.worker,
            session_dir: &self.dir,
            exe: &self.shared.exe,
            logs,
            debug: self.shared.debug,
            captured: self.credentials.captured(),
        };
        match Launch::new(&self.spec, origin, self.agent_session.clone().filter(|_| self.remembers())) {
            Ok(mut launch) => {
                self.credentials.starts(launch.keys.clone());
                launch.not_before = self.not_before();
                if launch.not_before.is_some() {
                    self.waits = Some(String::from(SAME_MINUTE));
                }
                self.launch(launch);
            }
            Err(error) => self.unstartable = Some(error.to_string()),
        }
    }

    /// An ACP agent gets its prompts when it is ready, a one-shot agent is started with one.
    fn launch(&mut self, mut launch: Launch) {
        let exe = self.shared.exe.clone();
        let preset = self.shared.settings.agents.get(&self.spec.agent);
        let preset = match preset {
            Some(preset) if preset.driver == Driver::Oneshot => preset,
            Some(preset) if preset.driver == Driver::ClaudeStream => {
                if let Err(refused) = launch.choices.without_acp() {
                    self.unstartable = Some(refused.to_string());
                    return;
                }
                let resumes = preset.resume != ResumeBy::None;
                let resume_args = preset.resume_args.iter().filter(|_| resumes).cloned().collect();
                let title = preset.title.clone();
                let takes = preset.takes().unwrap_or_default();
                let agent = ClaudeStream { launch, title, takes, resume_args };
                self.slot = Slot::Starting(agent.start(exe, &self.shared.tracker));
                return;
            }
            Some(_) | None => {
                self.slot =
                    Slot::Starting(Agent::start(launch, &self.shared.hosts, exe, &self.shared.tracker));
                return;
            }
        };
        let content = self.turns.running().map(|prompt| prompt.content.as_slice()).unwrap_or_default();
        let fitted = match self.fitted(content) {
            Ok(fitted) => fitted,
            Err(unfit) => return self.unfit = Some(unfit),
        };
        let prompt = as_text(&fitted.content);
        match plan(preset, (self.spec.permission_mode, &self.spec.options), &prompt, launch.resume.as_deref())
        {
            Ok(plan) => {
                launch.argv = plan.argv(launch.argv.first().cloned().unwrap_or_default());
                let run = Run { launch, plan, title: preset.title.clone() };
                self.fitted = fitted.notes;
                self.slot = Slot::Starting(run.start(exe, &self.shared.tracker));
                self.prompted = true;
            }
            Err(unfit) => self.unstartable = Some(unfit.to_string()),
        }
    }

    /// When the agent's session can be brought back, if that is not now.
    fn not_before(&self) -> Option<NotBefore> {
        let preset = self.shared.settings.agents.get(&self.spec.agent)?;
        let applies = preset.driver == Driver::Acp
            && preset.resume != ResumeBy::None
            && preset.has_quirk(Quirk::SameMinuteLoad)
            && self.agent_session.is_some();
        let created = self.agent_session_since.filter(|_| applies)?;
        NotBefore::after(created, preset.session_clock, Timestamp::now())
    }

    /// Tells the agent to stop, if there is one.
    pub(super) fn stop_agent(&mut self, how: Stop) {
        self.slot = match std::mem::replace(&mut self.slot, Slot::Empty) {
            Slot::Empty => Slot::Empty,
            Slot::Starting(agent) | Slot::Ready(agent, _) | Slot::Stopping(agent) => {
                agent.stop(how);
                Slot::Stopping(agent)
            }
        };
    }

    /// Kills the agent and waits until its tree is gone; what it still says is dropped.
    pub(super) async fn kill_agent(&mut self) {
        self.stop_agent(Stop::Kill);
        if !matches!(self.slot, Slot::Empty) {
            while self.slot.next().await.is_some() {}
            self.slot = Slot::Empty;
        }
    }

    pub(super) fn tell(&self, command: ToAgent) {
        if let Some(agent) = self.slot.agent() {
            agent.tell(command);
        }
    }

    /// Something came from the agent.
    pub(super) async fn heard(&mut self, event: Option<FromAgent>) -> Result<(), Broken> {
        match event {
            Some(FromAgent::Started(started)) => self.agent_started(started).await,
            Some(FromAgent::Said(said)) => {
                self.listen();
                self.agent_said(said).await
            }
            Some(FromAgent::Gone(gone)) => self.agent_gone(gone).await,
            Some(FromAgent::Finished(finished)) => self.command_finished(finished).await,
            None => {
                let why = String::from("its driver ended early");
                self.agent_gone(Gone { status: None, told: false, ready: true, why }).await
            }
        }
    }

    async fn agent_started(&mut self, started: Started) -> Result<(), Broken> {
        let mut events = vec![Event::AgentStarted(AgentStarted {
            title: started.title.clone(),
            pid: started.tree.root.pid,
            agent_session: started.agent_session.clone(),
            context: started.context.to_owned(),
            keys: self.credentials.had().to_vec(),
        })];
        events.extend(started.notes.into_iter().map(|text| note("warn", text)));
        if started.context == "new" {
            self.agent_session_since = Some(Timestamp::now());
        }
        // Some agents say their session's id only with their first answer, in a second start.
        let former = self.agent_session.replace(started.agent_session).filter(|former| !former.is_empty());
        self.recap = None;
        let so_far = self.used.cost.as_ref().filter(|_| started.context != "new");
        self.meter.agent_started(so_far);
        // A one-shot agent has its prompt already.
        if former.is_some() && started.context == "new" {
            if !self.remembers() {
                events.push(note("info", "the agent starts without the session's context: resume = never"));
            } else if !self.prompted {
                events.extend(self.recall().await);
            }
        }
        self.takes = Some(started.takes);
        let process = AgentProcess { title: started.title, process: started.tree.root.clone() };
        self.awake.agent_started(started.tree);
        self.agent.started(started.offer, started.returns);
        self.left = None;
        self.slot = match std::mem::replace(&mut self.slot, Slot::Empty) {
            Slot::Starting(agent) => Slot::Ready(agent, process),
            other => other,
        };
        let ready = matches!(self.slot, Slot::Ready(..));
        if ready && self.turns.running().is_some() {
            events.extend(self.enter(SessionState::Running, None));
        } else if ready && self.state == SessionState::Interrupted {
            events.extend(self.enter(SessionState::Idle, None));
            self.unsaved = true;
        }
        self.append(events).await?;
        if ready && !self.prompted {
            self.begin_turn();
        }
        if ready { self.settings_after_start().await } else { Ok(()) }
    }

    /// Prepares a recap for an agent that has forgotten; a remark about it. The shell agent would run it as a command.
    async fn recall(&mut self) -> Option<Event> {
        let next = self.turns.running()?.id;
        if is_built_in_shell(&self.shared.settings, &self.spec.agent) {
            return None;
        }
        let (dir, head) = (self.dir.clone(), self.head());
        let read = tokio::task::spawn_blocking(move || recap(&dir, head, next)).await;
        match read {
            Ok(Ok(text)) => self.recap = text,
            Ok(Err(error)) => tracing::warn!(session.id = %self.spec.id, %error, "no recap of the journal"),
            Err(error) => tracing::error!(%error, "reading a journal for its recap ended early"),
        }
        let length = self.recap.as_ref()?.len();
        Some(note("info", format!("the prompt begins with a recap of this session ({length} bytes)")))
    }

    /// Journals what the agent said, in its order; updates of one read go together and unread.
    async fn agent_said(&mut self, said: Vec<Said>) -> Result<(), Broken> {
        let mut updates = Vec::with_capacity(said.len());
        let (mut told, mut dropped) = (false, false);
        for said in said {
            match said {
                Said::Update(update) => {
                    self.agent.hear(&update);
                    told |= self.turns.running().is_some() && self.meter.update(&update);
                    if !self.seen.work && self.turns.running().is_some() {
                        self.seen.work = is_work(&update);
                    }
                    if !self.updates.repeats(&update) {
                        match self.has_room(update.get().len()) {
                            true => updates.push(Event::Update(update)),
                            false => dropped = true,
                        }
                    }
                }
                Said::Note(text) => updates.push(note("warn", text)),
                Said::Set(answer) => {
                    self.append(std::mem::take(&mut updates)).await?;
                    self.was_set(answer).await?;
                }
                Said::Permission { id, request } => {
                    self.append(std::mem::take(&mut updates)).await?;
                    self.asked(id, request).await?;
                }
                Said::Wants(wish) => {
                    self.append(std::mem::take(&mut updates)).await?;
                    self.wants(wish).await?;
                }
                Said::TakesBack(id) => {
                    self.append(std::mem::take(&mut updates)).await?;
                    self.taken_back(&id).await?;
                }
                Said::Steered => self.steering = self.steering.saturating_sub(1),
                // It ended the turn before it had heard of a prompt that is on its way: that one has gone on with it.
                Said::Answered(_) if self.steering > 0 => {}
                Said::Answered(answer) => {
                    self.append(std::mem::take(&mut updates)).await?;
                    self.answered(answer).await?;
                }
            }
        }
        self.append(updates).await?;
        if dropped {
            self.overflowed().await?;
        }
        if told { self.check_limits().await } else { Ok(()) }
    }

    /// The agent ended its turn.
    async fn answered(&mut self, answer: Result<crate::turn::outcome::Stop, String>) -> Result<(), Broken> {
        self.answer_tokens = answer.as_ref().ok().and_then(|stop| stop.tokens);
        let seen = Seen { broken: self.updates.broken, ..self.seen };
        let end = judge(answer.as_ref().map_err(String::as_str), seen, self.turns.cancel_cause());
        self.turn_over(end).await
    }

    /// The agent's part of the running turn is over.
    async fn turn_over(&mut self, end: End) -> Result<(), Broken> {
        if !self.prompted {
            return Ok(());
        }
        if let Some(ending) = &self.ending {
            let cause = ending.cause();
            self.end_turn(End::ours(TurnOutcome::Interrupted, cause, None), After::Next).await?;
            self.deadlines.end = None;
            self.stop_agent(Stop::Gently);
            return Ok(());
        }
        self.end_turn(end, After::Next).await
    }

    /// A one-shot agent's command has ended, and its turn with it.
    async fn command_finished(&mut self, finished: Finished) -> Result<(), Broken> {
        self.slot = Slot::Empty;
        self.awake.agent_gone();
        self.agent.gone();
        if let Some(status) = finished.status {
            let stopped = self.turns.cancel_cause().unwrap_or(self.stopped_for);
            let cause = if finished.stopped { stopped } else { Cause::Finished };
            self.left = Some(cause);
            self.append(vec![Event::AgentExited(AgentExited { status: status.to_string(), cause })]).await?;
        }
        if !self.prompted && self.ending.is_none() && self.turns.running().is_some() {
            self.start_agent();
            return Ok(());
        }
        let end = finished.end(self.seen, self.turns.cancel_cause());
        self.turn_over(end).await
    }

    /// Nothing of the agent is left.
    async fn agent_gone(&mut self, gone: Gone) -> Result<(), Broken> {
        let served = self.prompted || matches!(self.slot, Slot::Starting(_));
        let told = matches!(self.slot, Slot::Stopping(_)) || gone.told;
        self.slot = Slot::Empty;
        self.awake.agent_gone();
        let cause = if told { self.stopped_for } else { Cause::AgentCrashed };
        self.left = Some(cause);
        if let Some(status) = gone.status {
            self.append(vec![Event::AgentExited(AgentExited { status, cause })]).await?;
        }
        self.settings_after_end().await?;
        if self.turns.running().is_none() {
            if !told {
                self.remark("warn", format!("the agent ended by itself: {}", gone.why)).await?;
            }
            return Ok(());
        }
        if let Some(ending) = &self.ending {
            let end = End::ours(TurnOutcome::Interrupted, ending.cause(), None);
            return self.end_turn(end, After::Next).await;
        }
        if !served {
            self.start_agent();
            return Ok(());
        }
        if let Some(cancel) = self.turns.cancel_cause() {
            let detail =
                if told { "the agent did not end the turn and was stopped" } else { "the agent ended" };
            let detail = Some(detail.to_owned());
            return self.end_turn(End::ours(stopped(cancel), cancel, detail), After::Next).await;
        }
        if !gone.ready {
            return self.could_not_start(gone.why).await;
        }
        let end = End::ours(TurnOutcome::Interrupted, Cause::AgentCrashed, Some(gone.why.clone()));
        let why = Some(format!("the agent ended in the middle of its turn: {}", gone.why));
        self.end_turn(end, After::Hold(SessionState::Interrupted, why)).await?;
        if self.resume() == Resume::Always && self.turns.running().is_none() && self.ending.is_none() {
            self.wake_agent().await?;
        }
        Ok(())
    }

    /// The running turn fails, since its agent cannot be started. Without one it was only to be back.
    pub(super) async fn could_not_start(&mut self, why: String) -> Result<(), Broken> {
        if self.turns.running().is_none() {
            return self.remark("warn", format!("the agent could not be started: {why}")).await;
        }
        self.end_turn(End::failed(why.clone()), After::Hold(SessionState::Failed, Some(why))).await
    }
}
