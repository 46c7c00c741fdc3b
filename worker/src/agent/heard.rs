//! What a read of an agent's output means: what its session must know of, and what is answered without it.

use super::acp::Said;
use super::client::desk::Desk;
use super::connection::{Connection, Deaf};
use super::wire;
use crate::acp::message::{self, Message, RpcError};
use crate::acp::peer::Batch;

/// Ends what a cancelled turn left running before its answer is told.
pub(super) async fn end_leftovers(connection: &mut Connection, said: &mut Vec<Said>) {
    let Some(answer) = said.iter().position(|said| matches!(said, Said::Answered(_))) else { return };
    if !std::mem::take(&mut connection.cancelled) {
        return;
    }
    let ended = connection.end_leftovers().await;
    if ended > 0 {
        let text =
            format!("the agent left {ended} process(es) of the cancelled turn running; they were killed");
        said.insert(answer, Said::Note(text));
    }
}

/// Turns a read into what the session must know; answers what needs no session.
pub(super) async fn interpret(
    connection: &mut Connection,
    desk: &mut Desk,
    batch: Batch,
) -> Result<Vec<Said>, Deaf> {
    let mut said = Vec::with_capacity(batch.messages.len());
    for message in batch.messages {
        match message {
            Message::Notification { method, params: Some(params) } if method == "session/update" => {
                said.extend(wire::update(&params, &connection.session).map(Said::Update));
            }
            Message::Notification { method, params: Some(params) } if method == "$/cancel_request" => {
                let request = message::cancelled_request(&params).filter(|id| !desk.taken_back(id));
                said.extend(request.map(Said::TakesBack));
            }
            Message::Notification { .. } => {}
            Message::Request { id, method, params } if method == "session/request_permission" => {
                match params.and_then(|params| wire::permission(&params, &connection.session)) {
                    Some(request) => said.push(Said::Permission { id, request }),
                    None => connection.respond(&id, Ok(&wire::permission_answer(None)))?,
                }
            }
            Message::Request { id, method, params } => {
                said.extend(desk.asked(connection, (id, &method, params.as_deref())).await?);
            }
            Message::Response { id, result } => {
                if connection.prompt.is_some() && id.number() == connection.prompt {
                    connection.turn_ends();
                    said.push(Said::Answered(match result {
                        Ok(result) => Ok(wire::stop(&result)),
                        Err(error) => Err(message::clip(&error.to_string(), 2000)),
                    }));
                } else if let Some((call, _)) = connection.setting
                    && id.number() == Some(call)
                {
                    connection.setting = None;
                    let refused =
                        |error: RpcError| format!("it answered: {}", message::clip(&error.to_string(), 300));
                    said.push(Said::Set(result.map_err(refused)));
                }
            }
        }
    }
    for length in batch.dropped {
        said.push(Said::Note(format!(
            "a line of {length} bytes from the agent was over the limit and dropped"
        )));
    }
    Ok(said)
}
