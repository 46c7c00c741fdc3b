//! The beginning of a connection: `initialize`, then the agent's own session, brought back where that is possible.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::session::content::Takes;
use skep_config::ResumeBy;
use skep_sys::tree::Tree;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{CallError, Connection};
use super::launch::Launch;
use super::offer::Offer;
use super::wire::{self, Abilities};
use super::{auth, choices, mode};

/// How long an agent may take to list its sessions.
const LIST: Duration = Duration::from_secs(2);

/// An agent that is ready for prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its own name and version.
    pub title: String,
    /// Its processes; the first one is the root.
    pub tree: Tree,
    /// Its own id for the session.
    pub agent_session: String,
    /// `new`, `loaded`, `resumed`.
    pub context: &'static str,
    /// What it takes in a prompt.
    pub takes: Takes,
    /// Remarks for people: a context that could not be brought back, a mode that could not be set.
    pub notes: Vec<String>,
    /// What can be set of its session while it runs; none if nothing can.
    pub offer: Option<Offer>,
    /// Whether it can be started anew with its context.
    pub returns: bool,
}

/// What is known of a process once it has answered `initialize`.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    abilities: Abilities,
    signed_in: bool,
}

/// Brings the connection to the point where a prompt can be sent.
pub(super) async fn handshake(connection: &mut Connection, launch: &Launch) -> Result<Started, String> {
    introduce(connection, launch).await?;
    open(connection, launch).await
}

/// Up to the point where a session can be opened. A process is asked once, however many sessions it serves.
pub(super) async fn introduce(connection: &mut Connection, launch: &Launch) -> Result<(), String> {
    let host = connection.host().clone();
    let begun = host.begun().get_or_try_init(|| first_words(&mut *connection, launch)).await?;
    connection.abilities.clone_from(&begun.abilities);
    connection.signed_in = begun.signed_in;
    Ok(())
}

/// `initialize`, and `authenticate` where the preset says so.
async fn first_words(connection: &mut Connection, launch: &Launch) -> Result<Begun, String> {
    let result = connection.call("initialize", &wire::initialize(launch.offers)).await;
    connection.abilities =
        Abilities::of(&result.map_err(|error| refusal(&launch.agent, "initialize", &error))?);
    if connection.abilities.protocol != wire::PROTOCOL {
        let version = connection.abilities.protocol;
        if version == 0 {
            return Err(format!("agent `{}` answered initialize without a protocol version", launch.agent));
        }
        let agent = &launch.agent;
        let ours = wire::PROTOCOL;
        return Err(format!("agent `{agent}` speaks ACP version {version}, skep speaks version {ours}"));
    }
    let signed_in = auth::by_preset(connection, launch).await?;
    Ok(Begun { abilities: connection.abilities.clone(), signed_in })
}

/// Opens the agent's own session, or brings it back, in the mode that it is to have.
pub(super) async fn open(connection: &mut Connection, launch: &Launch) -> Result<Started, String> {
    let mut signed_in = connection.signed_in;
    let (servers, mut notes) = launch.mcp.offer(&connection.abilities, &launch.mark);
    let mut context = "new";
    let mut opened = None;
    if let Some(former) = &launch.resume {
        match bring_back(connection, launch, (former, &servers), &mut signed_in).await? {
            Ok((how, result)) => {
                (context, opened) = (how, Some(result));
            }
            Err(why) => notes.push(format!("the agent starts without its former context: {why}")),
        }
    }
    let opened = match opened {
        Some(opened) => opened,
        None => open_new(connection, launch, &servers, &mut signed_in).await?,
    };
    let mut offer = Offer::read(&opened);
    if let Some(wanted) = &launch.mode {
        notes.extend(mode::set(connection, wanted, &mut offer).await);
    }
    choices::set(connection, &launch.choices, &mut offer)
        .await
        .map_err(|refused| format!("agent `{}` cannot serve the session: {refused}", launch.agent))?;
    Ok(Started {
        title: connection.abilities.title.clone().unwrap_or_else(|| launch.agent.clone()),
        tree: connection.host().tree().clone(),
        agent_session: connection.session.clone(),
        context,
        // Every ACP agent takes links.
        takes: Takes { words: true, ..connection.abilities.takes },
        notes,
        offer: Some(offer),
        returns: returns(connection, launch),
    })
}

async fn open_new(
    connection: &mut Connection,
    launch: &Launch,
    servers: &Value,
    signed_in: &mut bool,
) -> Result<Box<RawValue>, String> {
    let params = json!({"cwd": launch.cwd, "mcpServers": servers});
    let result = call(connection, launch, "session/new", &params, signed_in).await?;
    let result = result.map_err(|error| refusal(&launch.agent, "session/new", &error))?;
    let session = wire::session_id(&result)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| format!("agent `{}` answered session/new without a session id", launch.agent))?;
    if !connection.name(&session) {
        return Err(format!("agent `{}` gave one session id to two sessions", launch.agent));
    }
    Ok(result)
}

/// A call that an agent may refuse until it is signed in. The outer error ends the start.
async fn call(
    connection: &mut Connection,
    launch: &Launch,
    method: &'static str,
    params: &Value,
    signed_in: &mut bool,
) -> Result<Result<Box<RawValue>, CallError>, String> {
    match connection.call(method, params).await {
        Err(refused) if refused.wants_auth() => {
            if *signed_in {
                return Err(auth::wanted(connection, launch, &refused));
            }
            auth::by_itself(connection, launch, &refused).await?;
            *signed_in = true;
            Ok(connection.call(method, params).await)
        }
        answer => Ok(answer),
    }
}

/// By the way that the preset names, where the agent has it, else by the other one (`resume` replays nothing): what it
/// was, and the answer; or why neither was possible.
async fn bring_back(
    connection: &mut Connection,
    launch: &Launch,
    (former, servers): (&str, &Value),
    signed_in: &mut bool,
) -> Result<Result<(&'static str, Box<RawValue>), String>, String> {
    let params = json!({"sessionId": former, "cwd": launch.cwd, "mcpServers": servers});
    let (resume, load) = (connection.abilities.resume, connection.abilities.load);
    let (method, context) = match launch.resume_by {
        ResumeBy::None => return Ok(Err(String::from("its preset says that it cannot be brought back"))),
        ResumeBy::Auto | ResumeBy::Resume if resume => ("session/resume", "resumed"),
        ResumeBy::Auto | ResumeBy::Resume | ResumeBy::Load if load => ("session/load", "loaded"),
        ResumeBy::Load if resume => ("session/resume", "resumed"),
        ResumeBy::Auto | ResumeBy::Resume | ResumeBy::Load => {
            return Ok(Err(String::from("it cannot load sessions")));
        }
    };
    if !connection.name(former) {
        return Ok(Err(String::from("another session has it")));
    }
    let opened = match call(connection, launch, method, &params, signed_in).await? {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(format!("{error}{}", is_listed(connection, launch, former).await))),
    };
    if context == "loaded"
        && let Err(error) = settle(connection, launch.quiet).await
    {
        return Ok(Err(error.to_string()));
    }
    Ok(Ok((context, opened)))
}

/// Whether a session of it can be brought back.
fn returns(connection: &Connection, launch: &Launch) -> bool {
    launch.resume_by != ResumeBy::None && (connection.abilities.resume || connection.abilities.load)
}

/// Whether an agent that could not bring back a session still has it, in words, where it can tell.
async fn is_listed(connection: &mut Connection, launch: &Launch, former: &str) -> &'static str {
    if !connection.abilities.list {
        return "";
    }
    let params = json!({"cwd": launch.cwd});
    let Ok(Ok(answer)) = timeout(LIST, connection.call("session/list", &params)).await else { return "" };
    match wire::lists(&answer, former) {
        Some(true) => "; it still lists the session",
        Some(false) => "; it does not list the session any more",
        // There are more pages.
        None => "",
    }
}

/// Drops the history that an agent tells after it answered, until it has told none for `quiet`.
async fn settle(connection: &mut Connection, quiet: Duration) -> Result<(), CallError> {
    if quiet.is_zero() {
        return Ok(());
    }
    let mut until = Instant::now() + quiet;
    while let Ok(batch) = timeout_at(until, connection.read()).await {
        for message in batch?.messages {
            if connection.overhear(message)? {
                until = Instant::now() + quiet;
            }
        }
    }
    Ok(())
}

fn refusal(agent: &str, what: &str, error: &CallError) -> String {
    format!("agent `{agent}` could not be started: {what}: {error}")
}
