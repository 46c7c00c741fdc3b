//! Requests for permission that the editor was asked: each is answered at most once, by whoever is first.
//!
//! The editor's answer goes to the daemon, again if the daemon is away, always under the same id. A request that was
//! answered elsewhere is withdrawn (`$/cancel_request`). An editor that gives no answer leaves the request as it is:
//! others can answer it, and so can the editor once it has loaded the session again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use skep_common::api::{AnswerAccepted, AnswerRequest};
use skep_common::code::Code;
use skep_common::event::PermissionRequested;
use skep_common::ids::{AnswerId, PermissionId, SessionId};
use skep_common::protocol::Decision;
use skep_worker::acp::message;
use skep_worker::acp::peer::{Answer, Closed};
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, sleep};

use super::editor::Editor;
use super::wire::{self, PermissionAnswer, PermissionOutcome};

/// A daemon that is away gets the editor's answer if it is back within this time.
const PATIENCE: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_millis(200);

/// The requests of one session.
#[derive(Debug, Default)]
pub(super) struct Requests {
    asked: HashMap<PermissionId, Asked>,
}

#[derive(Debug)]
struct Asked {
    /// The id of our request.
    request: u64,
    /// The editor has answered.
    answered: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Requests {
    /// Asks the editor.
    pub(super) async fn ask(
        &mut self,
        editor: &Arc<Editor>,
        session: SessionId,
        request: &PermissionRequested,
    ) -> Result<(), Closed> {
        let (number, answer) = editor.calls.register();
        let name = session.to_string();
        let params = wire::ask(&name, request);
        editor
            .send(message::request(number, "session/request_permission", &params).map_err(|_| Closed)?)
            .await?;
        let answered = Arc::new(AtomicBool::new(false));
        let (permission, told, host) = (request.permission, Arc::clone(&answered), Arc::clone(editor));
        let task = editor.tasks.spawn(async move {
            // An editor that is gone answers nothing.
            let Ok(answer) = answer.await else { return };
            told.store(true, Ordering::Relaxed);
            if let Some(decision) = decision(answer) {
                deliver(&host, session, permission, decision).await;
            }
        });
        self.asked.insert(permission, Asked { request: number, answered, task: task.abort_handle() });
        Ok(())
    }

    /// The request is decided: nobody waits for the editor's answer any more.
    pub(super) async fn withdraw(&mut self, editor: &Editor, permission: PermissionId) -> Result<(), Closed> {
        let Some(asked) = self.asked.remove(&permission) else { return Ok(()) };
        if asked.answered.load(Ordering::Relaxed) {
            return Ok(());
        }
        asked.task.abort();
        editor.notify("$/cancel_request", &json!({"requestId": asked.request})).await
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // An answer that is on its way goes on.
        for asked in self.asked.values().filter(|asked| !asked.answered.load(Ordering::Relaxed)) {
            asked.task.abort();
        }
    }
}

/// What the editor decided; none where it gave no decision. Pure.
fn decision(answer: Answer) -> Option<Decision> {
    let outcome = match answer {
        Ok(answer) => message::read::<PermissionAnswer>(&answer).map(|answer| answer.outcome),
        Err(error) => {
            tracing::warn!(%error, "the editor did not answer a request for permission");
            return None;
        }
    };
    match outcome {
        Ok(PermissionOutcome::Selected { option_id }) => Some(Decision::Option { id: option_id }),
        Ok(PermissionOutcome::Other) => None,
        Err(error) => {
            tracing::warn!(%error, "the editor's answer to a request for permission cannot be read");
            None
        }
    }
}

async fn deliver(editor: &Editor, session: SessionId, permission: PermissionId, decision: Decision) {
    let request = AnswerRequest { id: Some(AnswerId::random()), decision };
    let path = format!("/sessions/{session}/permissions/{permission}");
    let until = Instant::now() + PATIENCE;
    loop {
        match editor.ctx.client().post::<AnswerAccepted>(&path, &request).await {
            // A daemon that is away cannot announce its return.
            Err(error) if error.is_transient() && Instant::now() < until => sleep(DELAY).await,
            Err(error) if error.code() == Some(Code::AlreadyResolved) => return,
            Err(error) => {
                tracing::warn!(%error, "the editor's answer to a request for permission was not taken");
                return;
            }
            Ok(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use skep_worker::acp::message::RpcError;

    #[test]
    fn only_a_chosen_option_decides() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(|_| RpcError::new(0, "x"));
        let chosen = decision(raw(r#"{"outcome":{"outcome":"selected","optionId":"yes"}}"#));
        assert_eq!(chosen, Some(Decision::Option { id: String::from("yes") }));
        for none in
            [r#"{"outcome":{"outcome":"cancelled"}}"#, r#"{"outcome":{"outcome":"later"}}"#, "{}", "null"]
        {
            assert_eq!(decision(raw(none)), None, "{none}");
        }
        assert_eq!(decision(Err(RpcError::new(message::METHOD_NOT_FOUND, "what?"))), None);
    }
}
