//! The engine's methods for sessions. Each checks its input and asks the actor.

use std::path::Path;

use jiff::Timestamp;
use skep_common::api::{
    AgentInfo, AgentList, AnswerAccepted, AnswerRequest, CancelRequest, CloseRequest, CreateSession,
    PromptAccepted, PromptRequest, RunAccepted, SessionInfo, SessionList, SessionQuery, SettingsChanged,
    WaitingPermission,
};
use skep_common::code::{ApiError, Code};
use skep_common::ids::{AnswerId, PermissionId, PromptId, SessionId};
use skep_common::protocol::Reply;
use skep_common::session::content::fit;
use skep_common::session::{
    Cause, ContentBlock, Head, MAX_RULES, SessionChange, SessionOptions, SessionRule, WhenBusy,
};
use skep_config::permissions::Rule;
use skep_config::{AgentPreset, Attachments, Settings, agents};
use tokio::sync::watch;

use super::actor::Call;
use super::core::Act;
use super::create::{CheckedCreate, Choice, Created};
use super::incoming::{Incoming, Received};
use super::{Caller, Engine, directory, environment, incoming};
use crate::session_page::Wanted;
use crate::sessions::Changes;

impl Engine {
    /// The sessions, newest change first; closed ones too if `all`.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn sessions(&self, all: bool) -> Result<Vec<SessionInfo>, ApiError> {
        self.ask(|reply| Call::List(all, reply)).await
    }

    /// The pids of all agents, each with the session that it serves; one that serves several stands there for each.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn agent_pids(&self) -> Result<Vec<(u32, SessionId)>, ApiError> {
        self.ask(Call::Agents).await
    }

    /// A page of the sessions that a client asks for, the latest created first.
    ///
    /// # Errors
    ///
    /// `invalid_value` for a query that makes no sense, `shutting_down` when the engine has ended.
    pub async fn session_page(&self, query: SessionQuery) -> Result<SessionList, ApiError> {
        let wanted = Wanted::check(query)?;
        self.ask(|reply| Call::Page(wanted, reply)).await
    }

    /// A session by id, by name (the open one, else the latest closed one) or by a unique prefix of either.
    ///
    /// # Errors
    ///
    /// `session_not_found`, `session_ambiguous`.
    pub async fn session(&self, wanted: &str) -> Result<SessionInfo, ApiError> {
        self.ask(|reply| Call::Find(wanted.to_owned(), reply)).await
    }

    /// Creates a session, or continues an open one.
    ///
    /// # Errors
    ///
    /// When the request is not allowed, the name or id is taken, or there is no place for it.
    pub async fn create(&self, request: CreateSession) -> Result<Created, ApiError> {
        self.create_for(request, None).await
    }

    /// The same for a client whose `PATH` is this one.
    async fn create_for(&self, request: CreateSession, path: Option<&str>) -> Result<Created, ApiError> {
        let checked = self.check_create(request, path).await?;
        self.ask(|reply| Call::Create(checked, reply)).await
    }

    /// The directory that `cwd` really is, where the request came over TCP: it must lie under an allowed root, and where
    /// none is configured under the home directory or the daemon's own (G6).
    ///
    /// # Errors
    ///
    /// `directory_not_allowed`.
    pub async fn remote_directory(&self, cwd: String) -> Result<String, ApiError> {
        let mut roots = self.settings().session.allowed_roots.clone();
        if roots.is_empty() {
            roots.extend(self.shared.environment.home());
            roots.push(self.shared.facts.dir.clone());
        }
        let checked = tokio::task::spawn_blocking(move || directory::check(&cwd, &roots)).await;
        checked.map_err(|_| ApiError::new(Code::Internal, "the check of cwd crashed"))?
    }

    async fn check_create(
        &self,
        mut request: CreateSession,
        path: Option<&str>,
    ) -> Result<CheckedCreate, ApiError> {
        if request.sandbox {
            return Err(not_supported("sandbox: sandboxed sessions are not supported yet"));
        }
        match request.spawn_mode.as_deref() {
            None | Some("same-dir") => {}
            Some("worktree") => {
                return Err(not_supported("spawn_mode: worktree sessions are not supported yet"));
            }
            Some(_) => return Err(invalid("spawn_mode must be `same-dir` or `worktree`")),
        }
        request.options.check().map_err(|why| invalid(&why))?;
        let settings = self.settings();
        let descent = self.descent(&mut request, &settings).await?;
        let agent = match request.agent {
            Some(agent) => Choice::Given(self.check_agent(&settings, agent, path)?),
            None => {
                let agent = settings.session.default_agent.clone();
                Choice::Default(self.check_agent(&settings, agent, path)?)
            }
        };
        check_rules(request.options.rules.as_deref().unwrap_or_default())?;
        let steers = settings.agent(agent.value()).is_ok_and(|preset| preset.driver.steers());
        let (cwd, roots) = (request.cwd, settings.session.allowed_roots.clone());
        let of_opener = descent.roots.clone();
        let check = move || directory::check_both(&cwd, &roots, &of_opener);
        let checked = tokio::task::spawn_blocking(check).await;
        let cwd = checked.map_err(|_| ApiError::new(Code::Internal, "the check of cwd crashed"))??;
        let mode = match request.permission_mode {
            Some(mode) => Choice::Given(mode),
            None => Choice::Default(descent.mode(default_mode(&settings, request.kind))),
        };
        Ok(CheckedCreate {
            id: request.id,
            name: request.name,
            agent,
            steers,
            cwd,
            mode,
            kind: request.kind,
            ephemeral: request.ephemeral,
            options: request.options,
            continue_open: request.continue_open,
            descent,
        })
    }

    fn check_agent(&self, settings: &Settings, name: String, path: Option<&str>) -> Result<String, ApiError> {
        let preset = settings.agent(&name).map_err(|why| {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            ApiError::new(Code::AgentNotFound, format!("no agent `{shown}`: {why}"))
        })?;
        let found = match path {
            Some(path) => preset.find(path.as_ref()),
            None => self.find(preset),
        };
        if found.is_none() {
            let program = preset.command.first().map_or("", String::as_str);
            let hint = preset.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            let message = format!("agent `{name}`: its program `{program}` was not found{hint}");
            return Err(ApiError::new(Code::AgentFailed, message));
        }
        Ok(name)
    }

    fn find(&self, preset: &AgentPreset) -> Option<std::path::PathBuf> {
        preset.find(self.shared.environment.get(skep_config::env::PATH).unwrap_or_default())
    }

    /// Creates or continues a session, and prompts it. To repeat a run with the same ids is safe.
    ///
    /// # Errors
    ///
    /// As for creating and prompting. A session that was created stays when its prompt was refused.
    pub async fn run(
        &self,
        mut wanted: CreateSession,
        received: Received,
        caller: &Caller,
    ) -> Result<RunAccepted, ApiError> {
        let prompt = &received.request;
        // Before there is a session that a prompt which cannot be sent would leave behind.
        if wanted.agent.is_some() || wanted.name.is_none() {
            let agent = wanted.agent.clone();
            let agent = agent.unwrap_or_else(|| self.settings().session.default_agent.clone());
            self.check_fit(&agent, &prompt.content)?;
        }
        // A run that is repeated with its ids finds the session that the first one made.
        wanted.continue_open |= wanted.id.is_some() && prompt.id.is_some();
        let path = prompt.environment.as_ref().and_then(|given| given.get(skep_config::env::PATH));
        let Created { info, created } = self.create_for(wanted, path).await?;
        let prompt = self.submit(info.id, received, caller).await?;
        let session = self.session(&info.id.to_string()).await.unwrap_or(info);
        Ok(RunAccepted { session, created, prompt, turn: None, text: None })
    }

    /// The prompt's parts are such that the agent takes them, as far as that is known before it runs.
    fn check_fit(&self, agent: &str, content: &[ContentBlock]) -> Result<(), ApiError> {
        let settings = self.settings();
        let Ok(preset) = settings.agent(agent) else { return Ok(()) };
        let files = (preset.attachments == Attachments::Link).then_some(Path::new("/"));
        match preset.takes().map(|takes| fit(content, takes, files)) {
            Some(Err(unfit)) => Err(ApiError::new(Code::ContentNotSupported, unfit.to_string())),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    async fn act(&self, session: SessionId, act: Act) -> Result<Reply, ApiError> {
        match self.ask(|reply| Call::Act(session, act, reply)).await? {
            Reply::Error { error } => Err(error),
            done => Ok(done),
        }
    }

    /// Checks a prompt, and puts its attachments into files.
    ///
    /// # Errors
    ///
    /// `invalid_value`, `too_large`, `storage_failed`.
    pub async fn receive(&self, mut request: PromptRequest) -> Result<Received, ApiError> {
        check_prompt(&request)?;
        let content = std::mem::take(&mut request.content);
        let (content, incoming) = incoming::receive(self.shared.paths.state_dir(), content).await?;
        request.content = content;
        Ok(Received { request, incoming })
    }

    /// Runs a prompt, queues it, or steers it into the turn that runs. A session that is not held by a worker wakes for it.
    ///
    /// # Errors
    ///
    /// `session_busy`, `not_supported` (the agent cannot be steered), `session_closed`, `queue_full`, `pool_full`,
    /// `content_not_supported`, `worker_gone` (safe to repeat with the same id).
    pub async fn submit(
        &self,
        session: SessionId,
        received: Received,
        caller: &Caller,
    ) -> Result<PromptAccepted, ApiError> {
        // Attachments that no worker took go with it.
        let Received { request, incoming } = received;
        if request.content.iter().any(|block| !matches!(block, ContentBlock::Text { .. })) {
            self.check_fit(&self.session(&session.to_string()).await?.agent, &request.content)?;
        }
        if request.environment.is_some() {
            let agent = self.session(&session.to_string()).await?.agent;
            environment::check(&request, &agent, &self.settings())?;
        }
        let when_busy = match request.when_busy {
            Some(when_busy) => when_busy,
            None => {
                let of_session = self.session(&session.to_string()).await?.options.when_busy;
                of_session.unwrap_or_else(|| self.settings().session.when_busy)
            }
        };
        let repeatable = request.id.is_some();
        let prompt = request.id.unwrap_or_else(PromptId::random);
        let act = Act::Prompt {
            prompt,
            content: request.content,
            when_busy,
            consent: request.consent,
            via: caller.via.clone(),
            timeout_seconds: request.timeout_seconds,
            environment: request.environment,
            retry: request.retry_interrupted,
            incoming: incoming.as_ref().map(Incoming::id),
            repeatable,
        };
        match self.act(session, act).await? {
            Reply::Prompt { queued, duplicate, seq, steered_into } => {
                Ok(PromptAccepted { session, prompt, queued, duplicate, seq, steered_into })
            }
            _ => Err(nonsense()),
        }
    }

    /// Cancels the running turn, or a prompt that waits.
    ///
    /// # Errors
    ///
    /// `session_not_found`, `prompt_not_found`, `invalid_value` for a cause that is not a client's to give.
    pub async fn cancel(&self, session: SessionId, request: CancelRequest) -> Result<SessionInfo, ApiError> {
        let cause = match request.cause {
            None | Some(Cause::Person) => Cause::Person,
            Some(Cause::TimedOut) => Cause::TimedOut,
            Some(_) => return Err(invalid("cause must be `person` or `timed_out`")),
        };
        self.act(session, Act::Cancel { prompt: request.prompt, cause }).await?;
        self.session(&session.to_string()).await
    }

    /// Ends a session for good; its history is kept. Closing a closed session is no error.
    ///
    /// # Errors
    ///
    /// `session_not_found`, `worker_gone`.
    pub async fn close(&self, session: SessionId, request: CloseRequest) -> Result<SessionInfo, ApiError> {
        let cause = if request.force { Cause::Killed } else { Cause::Person };
        self.act(session, Act::Close { cause }).await?;
        self.session(&session.to_string()).await
    }

    /// Lets a held queue go on.
    ///
    /// # Errors
    ///
    /// `session_not_found`, `session_closed`.
    pub async fn release_queue(&self, session: SessionId, caller: &Caller) -> Result<SessionInfo, ApiError> {
        self.act(session, Act::ReleaseQueue { via: caller.via.clone() }).await?;
        self.session(&session.to_string()).await
    }

    /// Changes a session's settings: all that is asked for, or nothing. A session that is not held by a worker is opened
    /// for it; its agent is not started.
    ///
    /// # Errors
    ///
    /// `invalid_value`, `model_not_found`, `option_not_found`, `agent_refused`, `session_closed`, `session_busy`,
    /// `worker_gone` (safe to repeat).
    pub async fn change(
        &self,
        session: SessionId,
        change: SessionChange,
        caller: &Caller,
    ) -> Result<SettingsChanged, ApiError> {
        change.check().map_err(|why| invalid(&why))?;
        check_rules(change.options.rules.wanted().map(Vec::as_slice).unwrap_or_default())?;
        if change.options.when_busy.wanted() == Some(&WhenBusy::Steer) {
            let agent = self.session(&session.to_string()).await?.agent;
            if !self.settings().agent(&agent).is_ok_and(|preset| preset.driver.steers()) {
                let message = format!("when_busy: agent `{agent}` takes no prompt into a turn that runs");
                return Err(ApiError::new(Code::NotSupported, message));
            }
        }
        let act = Act::Change { change: Box::new(change), via: caller.via.clone() };
        match self.act(session, act).await? {
            Reply::Changed { changed, .. } => {
                Ok(SettingsChanged { session: self.session(&session.to_string()).await?, changed })
            }
            _ => Err(nonsense()),
        }
    }

    /// Answers a permission request. The first answer wins.
    ///
    /// # Errors
    ///
    /// `permission_not_found`, `already_resolved`, `worker_gone` (safe to repeat with the same id).
    pub async fn answer(
        &self,
        session: SessionId,
        permission: PermissionId,
        request: AnswerRequest,
        caller: &Caller,
    ) -> Result<AnswerAccepted, ApiError> {
        let answer = request.id.unwrap_or_else(AnswerId::random);
        let act = Act::Answer { permission, answer, decision: request.decision, via: caller.via.clone() };
        match self.act(session, act).await? {
            Reply::Answer { option, allowed } => {
                Ok(AnswerAccepted { session, permission, answer, option, allowed })
            }
            _ => Err(nonsense()),
        }
    }

    /// Deletes a session's history; an open session only with `force`.
    ///
    /// # Errors
    ///
    /// `session_busy` if it is open and not forced, `session_leased`, `storage_failed`.
    pub async fn remove(&self, session: SessionId, force: bool) -> Result<(), ApiError> {
        self.ask(|reply| Call::Remove(session, force, reply)).await
    }

    /// All permission requests that wait, oldest first.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn permissions(&self) -> Result<Vec<WaitingPermission>, ApiError> {
        self.ask(Call::Permissions).await
    }

    /// The bell of a session's journal: how far it is committed, the latest wins.
    ///
    /// # Errors
    ///
    /// `session_not_found`.
    pub async fn head(&self, session: SessionId) -> Result<watch::Receiver<Head>, ApiError> {
        self.ask(|reply| Call::Head(session, reply)).await
    }

    /// The number of the latest change of any session, to wait on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.generation.clone()
    }

    /// What changed since a generation; 0 asks for everything.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn changed_since(&self, generation: u64) -> Result<Changes, ApiError> {
        self.ask(|reply| Call::Changes(generation, reply)).await
    }

    /// The agents that are known, and which of them were found here.
    #[must_use]
    pub fn agents(&self) -> AgentList {
        let settings = self.settings();
        let agents = settings.agents.values().map(|preset| {
            let path = self.find(preset);
            AgentInfo {
                name: preset.name.clone(),
                title: preset.title.clone(),
                found: path.is_some(),
                path: path.map(|path| path.display().to_string()),
                command: preset.command.clone(),
                driver: preset.driver.to_string(),
                tested: preset.tested.clone(),
                quirks: preset.quirks.iter().map(ToString::to_string).collect(),
                keys: preset.keys.clone(),
                hint: preset.hint.clone(),
                default: preset.name == settings.session.default_agent,
                source: match preset.source {
                    agents::Source::BuiltIn => String::from("built-in"),
                    agents::Source::Configured => self.shared.paths.config_file().display().to_string(),
                },
                probe: None,
            }
        });
        let capture = environment::listed(&settings).map(str::to_owned).collect();
        AgentList { agents: agents.collect(), capture }
    }

    /// Opens the session that the start of the daemon named (S9), if it is not open already.
    pub(crate) async fn open_named(&self, name: skep_common::ids::SessionName) {
        let request = CreateSession {
            id: None,
            name: Some(name.clone()),
            agent: None,
            cwd: self.shared.facts.dir.display().to_string(),
            permission_mode: None,
            kind: skep_common::session::SessionKind::Daemon,
            ephemeral: false,
            options: SessionOptions::default(),
            continue_open: true,
            opener: None,
            sandbox: false,
            spawn_mode: None,
        };
        let since = Timestamp::now();
        match self.create(request).await {
            Ok(created) => {
                let took = Timestamp::now().duration_since(since);
                tracing::info!(session.id = %created.info.id, "session `{name}` is open after {took:#}");
            }
            Err(error) => tracing::error!("session `{name}` could not be opened at the start: {error}"),
        }
    }
}

/// The mode of a new session that names none: its kind of worker's, else the general one.
fn default_mode(
    settings: &Settings,
    kind: skep_common::session::SessionKind,
) -> skep_common::session::PermissionMode {
    let of_kind = settings.pool.kind(super::slots::worker_kind(kind)).and_then(|kind| kind.permission_mode);
    of_kind.unwrap_or(settings.session.permission_mode)
}

/// The session's own permission rules are such that they can be obeyed.
fn check_rules(rules: &[SessionRule]) -> Result<(), ApiError> {
    if rules.len() > MAX_RULES {
        return Err(invalid(&format!("options.rules: a session takes at most {MAX_RULES} rules")));
    }
    for (at, rule) in rules.iter().enumerate() {
        Rule::of_session(rule).map_err(|why| invalid(&format!("options.rules[{at}]: {why}")))?;
    }
    Ok(())
}

fn check_prompt(request: &PromptRequest) -> Result<(), ApiError> {
    let is_empty = request.content.iter().all(ContentBlock::is_blank);
    if request.retry_interrupted && !request.content.is_empty() {
        return Err(invalid("a retry has no content of its own"));
    }
    if is_empty && !request.retry_interrupted {
        return Err(invalid("content is empty"));
    }
    if request.timeout_seconds == Some(0) {
        return Err(invalid("timeout_seconds must be at least 1"));
    }
    incoming::check(&request.content)
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(Code::InvalidValue, message)
}

fn not_supported(message: &str) -> ApiError {
    ApiError::new(Code::NotSupported, message)
}

fn nonsense() -> ApiError {
    ApiError::new(Code::Internal, "the worker's answer does not fit the request")
}
