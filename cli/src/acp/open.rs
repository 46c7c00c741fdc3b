//! `session/new`, `session/load`, `session/resume` and `session/delete`: how sessions come to the editor and go.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use skep_common::api::{AgentInfo, AgentList, CreateSession, SessionInfo};
use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionId;
use skep_common::session::{SessionKind, SessionOptions};
use skep_worker::acp::message::{self, Id, RpcError};

use super::editor::Editor;
use super::relay::History;
use super::session::{Begin, is_at_rest};
use super::{ending, mcp, wire};
use crate::client::Client;
use crate::error::CliError;
use crate::start;

/// A session that the editor gets, and what is answered to it at once; the answer to a load comes after its history.
#[derive(Debug)]
pub(super) struct Opened {
    /// The session.
    pub(super) id: SessionId,
    /// How it begins.
    pub(super) begin: Begin,
    /// What reaches the daemon.
    pub(super) client: Client,
    /// What is answered at once.
    pub(super) answer: Option<Value>,
}

/// `session/new`: checks everything that can be checked before the first prompt creates the session.
pub(super) async fn create(editor: &Arc<Editor>, setup: &wire::Setup) -> Result<Opened, RpcError> {
    let refused = |error: CliError| ending::refusal(&error);
    if !Path::new(&setup.cwd).is_absolute() {
        return Err(RpcError::new(message::INVALID_PARAMS, "`cwd` must be an absolute path"));
    }
    let cwd = start::directory(Some(Path::new(&setup.cwd)))
        .map_err(|error| refused(CliError { code: Some(Code::DirectoryNotAllowed), ..error }))?;
    let client = editor.daemon().await.map_err(refused)?;
    let list: AgentList = client.get("/agents").await.map_err(|error| refused(error.into()))?;
    let agent = choose(&list, editor.choice.agent.as_deref()).map_err(refused)?;
    let mode = editor.mode().map_err(refused)?;
    let id = SessionId::random();
    let (mcp_servers, refused_servers) = mcp::servers(setup.servers());
    let create = CreateSession {
        id: Some(id),
        name: None,
        agent: Some(agent.name.clone()),
        cwd,
        permission_mode: Some(mode),
        kind: SessionKind::Interactive,
        ephemeral: false,
        options: SessionOptions { mcp_servers, ..SessionOptions::default() },
        continue_open: false,
        opener: None,
        sandbox: false,
        spawn_mode: None,
    };
    let remark = (!refused_servers.is_empty()).then(|| {
        format!("these MCP servers of the editor are not given to the agent: {}", refused_servers.join("; "))
    });
    Ok(Opened {
        id,
        begin: Begin::Fresh { create: Box::new(create), remark },
        client,
        answer: Some(json!({"sessionId": id.to_string(), "modes": wire::modes(mode, true)})),
    })
}

/// The agent that was asked for, or the default one; it must be there.
fn choose<'a>(list: &'a AgentList, wanted: Option<&str>) -> Result<&'a AgentInfo, CliError> {
    let is_meant = |info: &&AgentInfo| wanted.map_or(info.default, |wanted| info.name == wanted);
    let missing = |message: String| CliError::from(ApiError::new(Code::AgentNotFound, message));
    let Some(agent) = list.agents.iter().find(is_meant) else {
        return Err(missing(format!("there is no agent `{}`", wanted.unwrap_or("default"))));
    };
    if agent.found {
        return Ok(agent);
    }
    let error = missing(format!("the agent `{}` is not installed", agent.name));
    Err(match &agent.hint {
        Some(hint) => error.hint(hint.clone()),
        None => error,
    })
}

/// `session/load` and `session/resume`.
pub(super) async fn load(
    editor: &Arc<Editor>,
    session: &str,
    history: History,
    request: Id,
) -> Result<Opened, RpcError> {
    let id = id(session)?;
    let (client, info) = look_up(editor, id).await?;
    let begin = Begin::Known { info: Box::new(info), history, request };
    Ok(Opened { id, begin, client, answer: None })
}

/// `session/delete`: the session is closed and its history deleted. Not while a turn runs.
pub(super) async fn delete(editor: &Arc<Editor>, session: &str) -> Result<Value, RpcError> {
    let id = id(session)?;
    let (client, info) = look_up(editor, id).await?;
    if !is_at_rest(&info) {
        let busy =
            ApiError::new(Code::SessionBusy, "a turn runs in the session; cancel it before you delete it");
        return Err(ending::refusal(&CliError { hints: Vec::new(), ..busy.into() }));
    }
    let deleted = client.delete(&format!("/sessions/{id}?force=true")).await;
    deleted.map_err(|error| ending::refusal(&error.into()))?;
    Ok(json!({}))
}

/// The id of a session, as the editor was told it: no name, no beginning.
pub(super) fn id(session: &str) -> Result<SessionId, RpcError> {
    session.parse().map_err(|_| RpcError::new(message::NOT_FOUND, "there is no such session"))
}

async fn look_up(editor: &Editor, id: SessionId) -> Result<(Client, SessionInfo), RpcError> {
    let refused = |error: CliError| ending::refusal(&error);
    let client = editor.daemon().await.map_err(refused)?;
    let info = client.get(&format!("/sessions/{id}")).await.map_err(|error| refused(error.into()))?;
    Ok((client, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_of_a_new_session_must_be_there() {
        let list: AgentList = serde_json::from_value(json!({"agents": [
            {"name": "a", "title": "a", "found": true, "command": ["a"], "default": true, "source": "x"},
            {"name": "b", "title": "b", "found": false, "command": ["b"], "default": false, "source": "x",
             "hint": "get it"},
        ]}))
        .unwrap();
        assert_eq!(choose(&list, None).unwrap().name, "a");
        let missing = choose(&list, Some("b")).unwrap_err();
        assert!(missing.message.contains("not installed") && missing.hints.contains(&String::from("get it")));
        assert_eq!(choose(&list, Some("c")).unwrap_err().code, Some(Code::AgentNotFound));
    }

    #[test]
    fn g16_a_session_of_an_editor_is_named_by_its_whole_id() {
        for bad in ["", "build", "1a2b", "../../etc/passwd", "1a2b3c4d-0000-4000-8000-00000000000g"] {
            assert_eq!(id(bad).unwrap_err().code, message::NOT_FOUND, "{bad}");
        }
        assert!(id("1a2b3c4d-0000-4000-8000-000000000000").is_ok());
    }
}
