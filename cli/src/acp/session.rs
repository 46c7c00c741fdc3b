//! One session of the editor: an actor that follows the session's events, passes them on, and takes what the editor
//! wants of it.
//!
//! ```text
//!   fresh ──first prompt──▶ followed ◀──load, resume
//!                              │ the daemon stays away: every prompt is answered with an error
//!                              ▼
//!                           adrift ──next prompt──▶ followed, from the same cursor
//! ```
//!
//! A session begins with its first prompt: until then the editor may choose its mode, and an editor that opens a
//! conversation for nothing leaves nothing behind.

use std::sync::Arc;

use serde_json::{Value, json};
use skep_common::api::{CreateSession, PromptRequest, RunRequest, SessionInfo};
use skep_common::ids::{PromptId, SessionId};
use skep_common::session::{Consent, ContentBlock, PermissionMode, SessionState, WhenBusy};
use skep_supervisor::instance::{DaemonFound, find_daemon};
use skep_worker::acp::message::{self, Id, RpcError};
use skep_worker::acp::peer::Closed;
use tokio::sync::mpsc;

use super::editor::Editor;
use super::permission::Requests;
use super::relay::{Effect, History, Relay};
use super::{ending, wire};
use crate::client::Client;
use crate::client::follow::{Follower, From, Item};
use crate::error::CliError;
use crate::{capture, start};

/// How many commands of the editor may wait for the session.
pub(super) const COMMANDS: usize = 16;

/// How many prompts of the editor may wait for their turns' ends.
const PROMPTS: usize = 16;

/// What the editor wants of a session.
#[derive(Debug)]
pub(super) enum Command {
    /// `session/prompt`
    Prompt {
        /// The request.
        id: Id,
        /// What it says.
        content: Vec<ContentBlock>,
    },
    /// `session/set_mode`
    Mode {
        /// The request.
        id: Id,
        /// The mode.
        mode: PermissionMode,
    },
    /// `session/cancel`
    Cancel,
    /// `$/cancel_request`, perhaps of a prompt of this session.
    CancelRequest(Id),
}

/// How the session comes to the editor.
#[derive(Debug)]
pub(super) enum Begin {
    /// `session/new`
    Fresh {
        /// What the first prompt creates.
        create: Box<CreateSession>,
        /// What the person must know then.
        remark: Option<String>,
    },
    /// `session/load` or `session/resume`
    Known {
        /// The session as it is.
        info: Box<SessionInfo>,
        /// Whether its history is told.
        history: History,
        /// The request; answered when the history is told.
        request: Id,
    },
}

/// A prompt of the editor whose turn has not ended.
#[derive(Debug)]
struct Waiting {
    prompt: PromptId,
    request: Id,
    cancelled: bool,
}

/// A load that is not answered yet.
#[derive(Debug)]
struct Loading {
    request: Id,
    head: u64,
    answer: Value,
}

/// The session's actor.
#[derive(Debug)]
pub(super) struct Session {
    editor: Arc<Editor>,
    id: SessionId,
    /// The id as the editor writes it.
    name: String,
    fresh: Option<Box<CreateSession>>,
    remark: Option<String>,
    agent: Option<String>,
    mode: PermissionMode,
    loading: Option<Loading>,
    relay: Relay,
    requests: Requests,
    follower: Option<Follower>,
    cursor: u64,
    waiting: Vec<Waiting>,
}

enum Next {
    Command(Option<Command>),
    Item(Result<Option<Item>, CliError>),
}

impl Session {
    /// The actor of a session. `client` reaches the daemon.
    pub(super) fn new(editor: Arc<Editor>, id: SessionId, begin: Begin, client: Client) -> Self {
        let mut session = Self {
            editor,
            id,
            name: id.to_string(),
            fresh: None,
            remark: None,
            agent: None,
            mode: PermissionMode::Ask,
            loading: None,
            relay: Relay::new(History::Told, 0),
            requests: Requests::default(),
            follower: None,
            cursor: 0,
            waiting: Vec::new(),
        };
        match begin {
            Begin::Fresh { create, remark } => {
                session.mode = create.permission_mode.unwrap_or_default();
                session.agent.clone_from(&create.agent);
                session.fresh = Some(create);
                session.remark = remark;
            }
            Begin::Known { info, history, request } => session.know(*info, history, request, client),
        }
        session
    }

    fn know(&mut self, info: SessionInfo, history: History, request: Id, client: Client) {
        let head = info.head.seq;
        let from = match history {
            History::Told => From::After(0),
            // The requests of a turn that runs stand in the journal since its start.
            History::Kept if info.turn.is_some() => From::TailTurns(1),
            History::Kept => From::After(head),
        };
        let answer = json!({
            "modes": wire::modes(info.permission_mode, false),
            "_meta": {"skep": {"state": info.state, "turn": info.turn, "name": info.name, "agent": info.agent}},
        });
        self.mode = info.permission_mode;
        self.agent = Some(info.agent);
        self.relay = Relay::new(history, head);
        if history == History::Kept {
            self.cursor = head;
        }
        self.loading = Some(Loading { request, head, answer });
        self.follower = Some(Follower::new(&self.editor.ctx, client, self.id, from));
    }

    /// Runs until the editor is gone, or has the session anew.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Ok(true) = self.step(&mut commands).await {}
        for waiting in std::mem::take(&mut self.waiting) {
            let error = RpcError::new(message::REQUEST_CANCELLED, "the session was loaded again meanwhile");
            if self.editor.answer(&waiting.request, Err(error)).await.is_err() {
                return;
            }
        }
    }

    async fn step(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<bool, Closed> {
        // Where no history is told, nothing need come first.
        if self.loading.as_ref().is_some_and(|loading| self.cursor >= loading.head) {
            self.loaded().await?;
        }
        let next = tokio::select! {
            biased;
            command = commands.recv() => Next::Command(command),
            item = next_item(self.follower.as_mut()) => Next::Item(item),
        };
        match next {
            Next::Command(None) => return Ok(false),
            Next::Command(Some(Command::Prompt { id, content })) => self.prompt(id, content).await?,
            Next::Command(Some(Command::Mode { id, mode })) => self.set_mode(&id, mode).await?,
            Next::Command(Some(Command::Cancel)) => self.cancel().await,
            Next::Command(Some(Command::CancelRequest(id))) => self.cancel_request(&id).await,
            Next::Item(Ok(Some(item))) => self.items(item).await?,
            Next::Item(Ok(None)) => {
                self.follower = None;
                self.loaded().await?;
                self.give_up(&RpcError::new(message::INTERNAL_ERROR, "the session is closed")).await?;
            }
            Next::Item(Err(error)) => {
                self.follower = None;
                let error = ending::refusal(&error);
                if let Some(loading) = self.loading.take() {
                    self.editor.answer(&loading.request, Err(error.clone())).await?;
                }
                self.give_up(&error).await?;
            }
        }
        Ok(true)
    }

    /// Answers every prompt with an error: nobody knows how their turns end.
    async fn give_up(&mut self, error: &RpcError) -> Result<(), Closed> {
        for waiting in std::mem::take(&mut self.waiting) {
            self.editor.answer(&waiting.request, Err(error.clone())).await?;
        }
        Ok(())
    }

    async fn items(&mut self, first: Item) -> Result<(), Closed> {
        let mut next = Some(first);
        while let Some(item) = next {
            self.item(item).await?;
            next = self.follower.as_mut().and_then(Follower::next_ready);
        }
        if self.loading.as_ref().is_some_and(|loading| self.cursor >= loading.head) {
            self.loaded().await?;
        }
        if self.loading.is_none() {
            for effect in self.relay.settle() {
                self.perform(effect).await?;
            }
        }
        Ok(())
    }

    async fn item(&mut self, item: Item) -> Result<(), Closed> {
        match item {
            Item::Record(record, _) => {
                self.cursor = self.cursor.max(record.seq);
                for effect in self.relay.event(*record) {
                    self.perform(effect).await?;
                }
            }
            Item::Unreadable { json } => {
                self.cursor = self.cursor.max(seq_of(&json));
                tracing::warn!(session = %self.id, "an event of the session cannot be read");
            }
            Item::Gap { first_seq } => {
                self.cursor = self.cursor.max(first_seq.saturating_sub(1));
                self.editor.remark(&self.name, "the beginning of this session is not kept any more").await?;
            }
            Item::Away => self.revive().await,
            Item::Back => {}
        }
        Ok(())
    }

    /// A daemon that crashed while the editor waits for a turn is started again; one that was stopped stays stopped.
    async fn revive(&self) {
        let crashed = matches!(find_daemon(&self.editor.ctx.paths), DaemonFound::Stale(_));
        if crashed
            && !self.waiting.is_empty()
            && let Err(error) = self.editor.daemon().await
        {
            tracing::warn!(%error, "the daemon is gone and cannot be started");
        }
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), Closed> {
        match effect {
            Effect::Update(update) => self.editor.update(&self.name, &update).await,
            Effect::Said(content) => {
                for part in &content {
                    let said = wire::user_said(&super::content::to_editor(part));
                    self.editor.tell(&self.name, said).await?;
                }
                Ok(())
            }
            Effect::Ask(request) => self.requests.ask(&self.editor, self.id, &request).await,
            Effect::Withdraw(permission) => self.requests.withdraw(&self.editor, permission).await,
            Effect::Ended(ended) => match self.take_waiting(ended.prompt) {
                Some(waiting) => {
                    self.editor.answer(&waiting.request, ending::answer(&ended, waiting.cancelled)).await
                }
                None => self.told_end(&ended).await,
            },
            Effect::Dropped(dropped) => {
                let Some(waiting) = self.take_waiting(dropped.prompt) else { return Ok(()) };
                let why = format!("the prompt did not run: {}", skep_common::words::cause(dropped.cause));
                let answer = if waiting.cancelled {
                    Ok(json!({"stopReason": "cancelled"}))
                } else {
                    Err(RpcError::new(message::INTERNAL_ERROR, why))
                };
                self.editor.answer(&waiting.request, answer).await
            }
        }
    }

    /// A turn ended for which the editor has no request: it was running when the session was loaded, or is somebody
    /// else's. ACP has no word for that but metadata.
    async fn told_end(&self, ended: &skep_common::event::TurnEnded) -> Result<(), Closed> {
        if let Err(error) = ending::answer(ended, false) {
            self.editor.remark(&self.name, &error.message).await?;
        }
        let update = json!({"sessionUpdate": "session_info_update", "_meta": ending::meta(ended)});
        self.editor.tell(&self.name, update).await
    }

    fn take_waiting(&mut self, prompt: PromptId) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.prompt == prompt)?;
        Some(self.waiting.remove(at))
    }

    /// The history is told.
    async fn loaded(&mut self) -> Result<(), Closed> {
        match self.loading.take() {
            Some(loading) => self.editor.answer(&loading.request, Ok(loading.answer)).await,
            None => Ok(()),
        }
    }

    async fn set_mode(&mut self, id: &Id, mode: PermissionMode) -> Result<(), Closed> {
        let answer = match &mut self.fresh {
            Some(create) => {
                create.permission_mode = Some(mode);
                self.mode = mode;
                Ok(json!({}))
            }
            None if self.mode == mode => Ok(json!({})),
            None => Err(RpcError::new(
                message::INVALID_PARAMS,
                "a session keeps the permission mode that it had at its first prompt; choose another one in a new \
                 session, or with `skep acp --permission-mode`",
            )),
        };
        self.editor.answer(id, answer).await
    }

    /// A prompt of the editor. While a turn runs it waits in the session's queue.
    async fn prompt(&mut self, id: Id, content: Vec<ContentBlock>) -> Result<(), Closed> {
        if self.waiting.len() >= PROMPTS {
            let error = RpcError::new(message::INTERNAL_ERROR, "too many prompts wait in this session");
            return self.editor.answer(&id, Err(error)).await;
        }
        let prompt = PromptId::random();
        self.relay.own(prompt);
        self.waiting.push(Waiting { prompt, request: id, cancelled: false });
        let is_first = self.fresh.is_some();
        if let Err(error) = self.submit(prompt, content).await
            && let Some(waiting) = self.take_waiting(prompt)
        {
            return self.editor.answer(&waiting.request, Err(ending::refusal(&error))).await;
        }
        match self.remark.take() {
            Some(remark) if is_first => self.editor.remark(&self.name, &remark).await,
            _ => Ok(()),
        }
    }

    async fn submit(&mut self, prompt: PromptId, content: Vec<ContentBlock>) -> Result<(), CliError> {
        let client = self.editor.daemon().await?;
        let environment = capture::environment(&self.editor.ctx, &client, self.agent.as_deref()).await?;
        let request = PromptRequest {
            id: Some(prompt),
            content,
            when_busy: Some(WhenBusy::Queue),
            consent: Consent::None,
            timeout_seconds: None,
            environment,
            retry_interrupted: false,
        };
        match &self.fresh {
            Some(create) => {
                let run = RunRequest { session: (**create).clone(), prompt: request };
                let begun = start::start(&client, &run).await;
                // Whatever was answered: a session that exists now is not to be created again.
                if begun.is_ok() || client.get::<SessionInfo>(&format!("/sessions/{}", self.id)).await.is_ok()
                {
                    self.fresh = None;
                    self.follow(client);
                }
                begun.map(drop)
            }
            None => {
                if self.follower.is_none() {
                    self.follow(client.clone());
                }
                client.prompt(self.id, &request).await.map(drop).map_err(CliError::from)
            }
        }
    }

    fn follow(&mut self, client: Client) {
        self.follower = Some(Follower::new(&self.editor.ctx, client, self.id, From::After(self.cursor)));
    }

    /// Cancels the editor's prompts, the last one first so that none of them begins; without any, the turn that runs.
    async fn cancel(&mut self) {
        let mut prompts: Vec<Option<PromptId>> = Vec::new();
        for waiting in self.waiting.iter_mut().rev() {
            waiting.cancelled = true;
            prompts.push(Some(waiting.prompt));
        }
        if prompts.is_empty() && self.relay.running().is_some() {
            prompts.push(None);
        }
        self.cancel_prompts(prompts).await;
    }

    async fn cancel_request(&mut self, request: &Id) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.request == *request) {
            waiting.cancelled = true;
            let prompt = waiting.prompt;
            self.cancel_prompts(vec![Some(prompt)]).await;
        }
    }

    async fn cancel_prompts(&self, prompts: Vec<Option<PromptId>>) {
        for prompt in prompts {
            let client = match self.editor.daemon().await {
                Ok(client) => client,
                Err(error) => {
                    tracing::warn!(%error, "the editor's cancel did not reach the daemon");
                    return;
                }
            };
            if let Err(error) = client.cancel(self.id, prompt).await {
                tracing::warn!(%error, "the editor's cancel was not taken");
            }
        }
    }
}

/// The number of an event that cannot be read otherwise; 0 if even that cannot.
fn seq_of(json: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(json).ok().and_then(|event| event["seq"].as_u64()).unwrap_or(0)
}

async fn next_item(follower: Option<&mut Follower>) -> Result<Option<Item>, CliError> {
    match follower {
        Some(follower) => follower.next().await,
        None => std::future::pending().await,
    }
}

/// Whether a session that the editor wants to delete may go: nothing runs in it.
pub(super) fn is_at_rest(info: &SessionInfo) -> bool {
    info.turn.is_none() && !matches!(info.state, SessionState::Running | SessionState::NeedsYou)
}
