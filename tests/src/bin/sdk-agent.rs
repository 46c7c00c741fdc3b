//! An agent on the Rust SDK of the protocol's authors, which knows nothing of skep: it echoes, counts its prompts, asks
//! before a prompt that begins with `ask `, and waits for a cancel upon `wait`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use acp::schema::ProtocolVersion;
use acp::v1::schema::{
    CancelNotification, ContentBlock, ContentChunk, Implementation, InitializeRequest, InitializeResponse,
    NewSessionRequest, NewSessionResponse, PermissionOption, PermissionOptionKind, PromptRequest,
    PromptResponse, RequestPermissionOutcome, RequestPermissionRequest, SessionId, SessionNotification,
    SessionUpdate, StopReason, TextContent, ToolCallUpdate, ToolCallUpdateFields, ToolKind,
};
use acp::v1::{ConnectionTo, Responder};
use acp::{Agent, Client, Stdio};
use agent_client_protocol as acp;
use tokio::sync::watch;

/// What the agent knows of a session: its prompts so far, and what cancels the last of them.
type Sessions = Arc<Mutex<HashMap<SessionId, (usize, watch::Sender<bool>)>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> acp::Result<()> {
    let sessions = Sessions::default();
    let (made, prompted, cancelled) = (sessions.clone(), sessions.clone(), sessions);
    let initialize =
        async |_: InitializeRequest, answer: Responder<InitializeResponse>, _: ConnectionTo<Client>| {
            let response = InitializeResponse::new(ProtocolVersion::V1);
            answer.respond(response.agent_info(Implementation::new("sdk-agent", "1.0.0")))
        };
    let new =
        async move |_: NewSessionRequest, answer: Responder<NewSessionResponse>, _: ConnectionTo<Client>| {
            let mut sessions = made.lock().unwrap_or_else(PoisonError::into_inner);
            let id = SessionId::new(format!("session-{}", sessions.len()));
            sessions.insert(id.clone(), (0, watch::channel(false).0));
            answer.respond(NewSessionResponse::new(id))
        };
    let prompt = async move |request: PromptRequest,
                             answer: Responder<PromptResponse>,
                             client: ConnectionTo<Client>| {
        let sessions = prompted.clone();
        let own = client.clone();
        // A handler that waits would hold up every other message.
        client.spawn(async move {
            match turn(&sessions, request, &own).await {
                Ok(stop) => answer.respond(PromptResponse::new(stop)),
                Err(error) => answer.respond_with_error(error),
            }
        })
    };
    let cancel = async move |cancel: CancelNotification, _: ConnectionTo<Client>| {
        let sessions = cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stop)) = sessions.get(&cancel.session_id) {
            stop.send_replace(true);
        }
        Ok(())
    };
    Agent
        .v1()
        .name("sdk-agent")
        .on_receive_request(initialize, acp::on_receive_request!())
        .on_receive_request(new, acp::on_receive_request!())
        .on_receive_request(prompt, acp::on_receive_request!())
        .on_receive_notification(cancel, acp::on_receive_notification!())
        .connect_to(Stdio::new())
        .await
}

async fn turn(
    sessions: &Sessions,
    request: PromptRequest,
    client: &ConnectionTo<Client>,
) -> acp::Result<StopReason> {
    let id = request.session_id;
    let text: String = request.prompt.iter().filter_map(text_of).collect();
    let (count, mut stop) = {
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, stop) = sessions.get_mut(&id).ok_or_else(acp::Error::invalid_params)?;
        *count += 1;
        stop.send_replace(false);
        (*count, stop.subscribe())
    };
    if let Some(deed) = text.strip_prefix("ask ") {
        let fields = ToolCallUpdateFields::new().title(deed.to_owned()).kind(ToolKind::Execute);
        let options = vec![
            PermissionOption::new("a", "Do it", PermissionOptionKind::AllowOnce),
            PermissionOption::new("b", "Do not", PermissionOptionKind::RejectOnce),
        ];
        let ask = RequestPermissionRequest::new(id.clone(), ToolCallUpdate::new("deed", fields), options);
        let chosen = client.send_request(ask).block_task().await?.outcome;
        let said = match chosen {
            RequestPermissionOutcome::Selected(chosen) if chosen.option_id.0.as_ref() == "a" => "allowed",
            RequestPermissionOutcome::Selected(_) => "denied",
            _ => return Ok(StopReason::Cancelled),
        };
        say(client, id, format!("{said} {deed}"))?;
    } else if text == "wait" {
        say(client, id, String::from("waiting"))?;
        stop.wait_for(|stop| *stop).await.map_err(acp::Error::into_internal_error)?;
        return Ok(StopReason::Cancelled);
    } else {
        say(client, id, format!("{text}, prompt {count}"))?;
    }
    Ok(StopReason::EndTurn)
}

fn say(client: &ConnectionTo<Client>, id: SessionId, text: String) -> acp::Result<()> {
    let chunk = ContentChunk::new(ContentBlock::Text(TextContent::new(text)));
    client.send_notification(SessionNotification::new(id, SessionUpdate::AgentMessageChunk(chunk)))
}

fn text_of(block: &ContentBlock) -> Option<&str> {
    match block {
        ContentBlock::Text(text) => Some(&text.text),
        _ => None,
    }
}
