//! `session/list`: the open sessions, for the editor's history.

use serde_json::{Value, json};
use skep_common::api::{EventsPage, SessionInfo, SessionList};
use skep_common::event::{Event, Record};
use skep_worker::acp::message::RpcError;

use super::editor::Editor;
use super::{content, ending, wire};
use crate::client::Client;
use crate::error::CliError;
use crate::start;

/// How many sessions a page has.
const PAGE: u32 = 50;

/// Within so many events a session's first prompt is found.
const FIRST_EVENTS: u32 = 8;

/// One page.
pub(super) async fn list(editor: &Editor, wanted: &wire::ListSessions) -> Result<Value, RpcError> {
    page(editor, wanted).await.map_err(|error| ending::refusal(&error))
}

async fn page(editor: &Editor, wanted: &wire::ListSessions) -> Result<Value, CliError> {
    let client = editor.daemon().await?;
    let list: SessionList = client.get(&format!("/sessions?{}", query(wanted))).await?;
    let mut sessions = Vec::with_capacity(list.sessions.len());
    for session in &list.sessions {
        sessions.push(entry(session, &title(&client, session).await));
    }
    let mut answer = json!({"sessions": sessions});
    if let Some(next) = list.next {
        answer["nextCursor"] = Value::from(next);
    }
    Ok(answer)
}

fn query(wanted: &wire::ListSessions) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    if let Some(cwd) = &wanted.cwd {
        // Sessions know their directories with symlinks resolved; one that is gone is looked for as it is written.
        let resolved = start::directory(Some(cwd.as_ref())).unwrap_or_else(|_| cwd.clone());
        query.append_pair("cwd", &resolved);
    }
    if let Some(cursor) = &wanted.cursor {
        query.append_pair("cursor", cursor);
    }
    query.finish()
}

fn entry(session: &SessionInfo, title: &str) -> Value {
    json!({
        "sessionId": session.id,
        "cwd": session.cwd,
        "title": title,
        "updatedAt": session.updated_at,
        "_meta": {"skep": {"agent": session.agent, "state": session.state}},
    })
}

/// The session's name, else the beginning of its first prompt, else its agent.
async fn title(client: &Client, session: &SessionInfo) -> String {
    if let Some(name) = &session.name {
        return name.to_string();
    }
    let path = format!("/sessions/{}/events?limit={FIRST_EVENTS}", session.id);
    let first = match client.get::<EventsPage>(&path).await {
        Ok(page) => page.events.iter().find_map(|event| first_line(event.get())),
        Err(error) => {
            tracing::debug!(%error, session = %session.id, "the session's first prompt cannot be read");
            None
        }
    };
    first.unwrap_or_else(|| format!("{} session", session.agent))
}

fn first_line(event: &str) -> Option<String> {
    match Record::from_json(event.as_bytes()).ok()?.event {
        Event::PromptQueued(queued) => content::title(&queued.content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_what_the_editor_asks_for_is_one_value_each() {
        let wanted = wire::ListSessions {
            cwd: Some(String::from("/no such/&all=true")),
            cursor: Some(String::from("a&b=c")),
        };
        assert_eq!(query(&wanted), "limit=50&cwd=%2Fno+such%2F%26all%3Dtrue&cursor=a%26b%3Dc");
    }
}
