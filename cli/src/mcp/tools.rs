//! The tools. Each is one or two calls of the API; none answers a permission request.

use std::sync::Arc;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ProgressNotificationParam,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use skep_common::api::{
    AgentList, CancelRequest, CloseRequest, CreateSession, PromptAccepted, RunRequest, SessionInfo,
    SessionList,
};
use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionId;
use skep_common::session::{Consent, SessionKind, SessionOptions, SessionState, WhenBusy};
use skep_common::words;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::wait::{self, Listener, Waited};
use super::{arguments, read, view};
use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;
use crate::{capture, start};

/// Tools that may be at work at the same time; each that waits has two streams of the daemon's.
const CALLS: usize = 16;

/// Sessions on a page.
const PAGE: u32 = 50;

/// What an agent reads before anything else.
const INSTRUCTIONS: &str = "Coding-agent sessions that run in the background, kept by skep. session_start opens one \
    (another agent, or another copy of you) with a prompt; session_wait or `wait_seconds` waits for it; session_read \
    reads what it said and did; session_prompt goes on with it; session_close ends it when you are done. A session that \
    `needs_person` waits for a permission that only a person can give: tell the person. Your own permission is what a \
    session can have at most, and how many you may open is limited.";

/// The server: what its tools need.
#[derive(Clone)]
pub(super) struct Tools {
    ctx: Context,
    authority: Arc<Authority>,
    places: Arc<Semaphore>,
    /// Cancelled when the agent has closed standard input: nobody waits any more.
    gone: CancellationToken,
    router: ToolRouter<Self>,
}

/// What a tool answers.
type Answer = Result<Value, CliError>;

fn told(answer: Answer) -> CallToolResult {
    match answer {
        Ok(value) => view::answer(value),
        Err(error) => view::refusal(&error),
    }
}

#[tool_router]
impl Tools {
    /// The tools of an agent at the other end of standard input.
    pub(super) fn new(ctx: &Context, authority: Arc<Authority>, gone: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(CALLS));
        Self { ctx: ctx.clone(), authority, places, gone, router: Self::tool_router() }
    }

    #[tool(
        description = "Open a session: a coding agent that works in the background, in a directory of its own choice. With \
                       `prompt` it begins at once. It goes on when you do not wait for it.",
        annotations(title = "Open a session", destructive_hint = false)
    )]
    async fn session_start(
        &self,
        Parameters(given): Parameters<arguments::Start>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        told(self.start(given, &context).await)
    }

    #[tool(
        description = "Send a prompt to an open session. Its context is kept from prompt to prompt.",
        annotations(title = "Prompt a session", destructive_hint = false)
    )]
    async fn session_prompt(
        &self,
        Parameters(given): Parameters<arguments::Prompt>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        told(self.prompt(given, &context).await)
    }

    #[tool(
        description = "Wait until no turn runs in a session and none is queued, or until a person must answer it, at most \
                       `timeout_seconds`. What it waited for stands in `waited`.",
        annotations(title = "Wait for a session", read_only_hint = true)
    )]
    async fn session_wait(
        &self,
        Parameters(given): Parameters<arguments::Wait>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        told(self.wait(&given, &context).await)
    }

    #[tool(
        description = "Read what was said and done in a session, as text. `cursor` in the answer is where to go on; `more` \
                       says that there is more already.",
        annotations(title = "Read a session", read_only_hint = true)
    )]
    async fn session_read(&self, Parameters(given): Parameters<arguments::Read>) -> CallToolResult {
        told(self.read(&given).await)
    }

    #[tool(
        description = "List the sessions that you reach, the newest first, 50 at a time.",
        annotations(title = "List sessions", read_only_hint = true)
    )]
    async fn session_list(&self, Parameters(given): Parameters<arguments::List>) -> CallToolResult {
        told(self.list(&given).await)
    }

    #[tool(
        description = "Cancel the turn that runs in a session. The session stays open. No running turn is no error.",
        annotations(title = "Cancel a turn", destructive_hint = true, idempotent_hint = true)
    )]
    async fn session_cancel(&self, Parameters(given): Parameters<arguments::Of>) -> CallToolResult {
        told(self.cancel(&given).await)
    }

    #[tool(
        description = "Close a session for good: its agent ends, and its place is free. What it said can still be read. \
                       Sessions that it opened go on.",
        annotations(title = "Close a session", destructive_hint = true, idempotent_hint = true)
    )]
    async fn session_close(&self, Parameters(given): Parameters<arguments::Of>) -> CallToolResult {
        told(self.close(&given).await)
    }

    #[tool(
        description = "List the agents that a session can have.",
        annotations(title = "List agents", read_only_hint = true)
    )]
    async fn agents_list(&self) -> CallToolResult {
        told(self.agents().await)
    }
}

impl Tools {
    async fn client(&self) -> Result<Client, CliError> {
        self.authority.client(&self.ctx).await
    }

    async fn find(&self, client: &Client, session: &str) -> Result<SessionInfo, CliError> {
        Ok(client.session(&arguments::session(session)?).await?)
    }

    async fn start(&self, given: arguments::Start, context: &RequestContext<RoleServer>) -> Answer {
        let limit = arguments::wait(given.wait_seconds)?;
        let name = arguments::name(given.name.as_deref())?;
        let client = self.client().await?;
        let cwd = match given.cwd {
            Some(cwd) => cwd,
            None => match self.authority.directory().await {
                Some(own) => own,
                None => start::directory(None)?,
            },
        };
        let session = CreateSession {
            id: Some(SessionId::random()),
            name,
            agent: given.agent.clone(),
            cwd,
            permission_mode: given.permission_mode.map(Into::into),
            kind: SessionKind::Daemon,
            ephemeral: false,
            options: SessionOptions { delegate: given.delegate, ..SessionOptions::default() },
            continue_open: false,
            opener: None,
            sandbox: false,
            spawn_mode: None,
        };
        let Some(text) = given.prompt else {
            let info: SessionInfo = client.post("/sessions", &session).await?;
            return Ok(json!({"session": view::Session::of(&info)}));
        };
        let mut prompt = start::prompt((&text, Vec::new()), Consent::None, None, None);
        prompt.environment = capture::environment(&self.ctx, &client, given.agent.as_deref()).await?;
        let accepted = start::start(&client, &RunRequest { session, prompt }).await?;
        self.follow(&client, &accepted.prompt, limit, context).await
    }

    async fn prompt(&self, given: arguments::Prompt, context: &RequestContext<RoleServer>) -> Answer {
        let limit = arguments::wait(given.wait_seconds)?;
        let client = self.client().await?;
        let info = self.find(&client, &given.session).await?;
        let when_busy = if given.queue { WhenBusy::Queue } else { WhenBusy::Refuse };
        let mut prompt = start::prompt((&given.text, Vec::new()), Consent::None, Some(when_busy), None);
        prompt.environment = capture::environment(&self.ctx, &client, Some(&info.agent)).await?;
        let accepted = client.prompt(info.id, &prompt).await?;
        self.follow(&client, &accepted, limit, context).await
    }

    /// What a prompt came to, as far as it is waited for.
    async fn follow(
        &self,
        client: &Client,
        accepted: &PromptAccepted,
        limit: Option<std::time::Duration>,
        context: &RequestContext<RoleServer>,
    ) -> Answer {
        let cursor = accepted.seq.saturating_sub(1);
        let mut answer = json!({"prompt": accepted.prompt, "queued": accepted.queued, "read_from": cursor});
        if let Some(limit) = limit {
            let progress = Progress::of(context);
            let waiting = wait::for_turn(&self.ctx, client, accepted, limit, &progress);
            let waited = self.until_gone(waiting).await?;
            answer["waited"] = json!(waited.word());
            if let Waited::Ended(turn, text) = waited {
                let shown = wait::shown(client, accepted.session, accepted.prompt, &progress);
                self.until_gone(shown).await?;
                (answer["turn"], answer["text"]) = (turn, json!(text));
            }
        }
        let info: SessionInfo = client.get(&format!("/sessions/{}", accepted.session)).await?;
        answer["session"] = json!(view::Session::of(&info));
        Ok(answer)
    }

    async fn wait(&self, given: &arguments::Wait, context: &RequestContext<RoleServer>) -> Answer {
        let limit = given.timeout()?;
        let client = self.client().await?;
        let info = self.find(&client, &given.session).await?;
        let progress = Progress::of(context);
        let waiting = wait::for_rest(&client, info.id, limit, &progress);
        let waited = self.until_gone(waiting).await?;
        let info: SessionInfo = client.get(&format!("/sessions/{}", info.id)).await?;
        Ok(json!({"waited": waited.word(), "session": view::Session::of(&info)}))
    }

    /// The end of a wait, unless the agent goes away first.
    async fn until_gone<T>(&self, waiting: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        tokio::select! {
            waited = waiting => waited,
            () = self.gone.cancelled() => Err(CliError::failed("the agent has closed its end")),
        }
    }

    async fn read(&self, given: &arguments::Read) -> Answer {
        let max = given.max_chars()?;
        let client = self.client().await?;
        let info = self.find(&client, &given.session).await?;
        let piece = read::piece(&client, &info, given.cursor, max).await?;
        let state = info.state;
        Ok(json!({"text": piece.text, "cursor": piece.cursor, "more": piece.more, "state": state}))
    }

    async fn list(&self, given: &arguments::List) -> Answer {
        let cursor = given.cursor.as_deref().map(|cursor| ("cursor", cursor));
        let (limit, all) = (PAGE.to_string(), given.closed_too.to_string());
        let pairs = [("limit", limit.as_str()), ("all", all.as_str())].into_iter().chain(cursor);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let list: SessionList = self.client().await?.get(&format!("/sessions?{query}")).await?;
        let sessions: Vec<_> = list.sessions.iter().map(view::Session::of).collect();
        Ok(json!({"sessions": sessions, "next": list.next}))
    }

    async fn cancel(&self, given: &arguments::Of) -> Answer {
        let client = self.client().await?;
        let info = self.find(&client, &given.session).await?;
        let path = format!("/sessions/{}/cancel", info.id);
        let info: SessionInfo = client.post(&path, &CancelRequest::default()).await?;
        Ok(json!({"session": view::Session::of(&info)}))
    }

    async fn close(&self, given: &arguments::Of) -> Answer {
        let client = self.client().await?;
        let wanted = arguments::session(&given.session)?;
        let info = client.session(&wanted).await?;
        if !wanted.means(&info) {
            let error = ApiError::new(Code::SessionNotFound, format!("no session `{wanted}`"));
            return Err(error.into());
        }
        let path = format!("/sessions/{}/close", info.id);
        let info: SessionInfo = client.post(&path, &CloseRequest::default()).await?;
        Ok(json!({"session": view::Session::of(&info)}))
    }

    async fn agents(&self) -> Answer {
        let list: AgentList = self.client().await?.get("/agents").await?;
        Ok(json!({"agents": list.agents.iter().map(view::agent).collect::<Vec<_>>()}))
    }
}

/// Tells an agent that asked for it what it waits for.
struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    told: std::sync::atomic::AtomicU32,
}

impl<'a> Progress<'a> {
    fn of(context: &'a RequestContext<RoleServer>) -> Self {
        Self { context, told: std::sync::atomic::AtomicU32::new(0) }
    }
}

impl Listener for Progress<'_> {
    async fn changed(&self, state: SessionState) {
        let Some(token) = self.context.meta.get_progress_token() else { return };
        let step = self.told.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let mut progress = ProgressNotificationParam::new(token, f64::from(step));
        progress.message = Some(words::state(state).to_owned());
        if self.context.peer.notify_progress(progress).await.is_err() {
            tracing::debug!("the agent does not hear of progress any more");
        }
    }
}

#[tool_handler(router = self.router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let own = Implementation::new("skep", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(own).with_instructions(INSTRUCTIONS.to_owned())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Ok(_place) = self.places.try_acquire() else {
            let busy = ApiError::new(Code::Overloaded, format!("{CALLS} tools are at work, the limit"));
            return Ok(view::refusal(&busy.into()).into());
        };
        let cancelled = context.ct.clone();
        let call = self.router.call(ToolCallContext::new(self, request, context));
        tokio::select! {
            answer = call => answer.map(view::with_code),
            () = cancelled.cancelled() => Err(ErrorData::internal_error("the call was cancelled", None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n9_every_tool_is_described_and_none_answers_a_permission_request() {
        let tools = Tools::tool_router().list_all();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        let expected = [
            "agents_list",
            "session_cancel",
            "session_close",
            "session_list",
            "session_prompt",
            "session_read",
            "session_start",
            "session_wait",
        ];
        assert_eq!(names, expected);
        for tool in &tools {
            let schema = serde_json::to_value(&tool.input_schema).unwrap();
            assert!(tool.description.as_ref().is_some_and(|text| text.len() > 30), "{}", tool.name);
            assert_eq!(schema["type"], "object", "{}", tool.name);
            for (name, argument) in schema["properties"].as_object().into_iter().flatten() {
                assert!(argument["description"].is_string(), "{} {name}: {argument}", tool.name);
            }
        }
        assert!(serde_json::to_string(&tools).unwrap().len() < 12_000, "an agent reads all of it each time");
    }
}
