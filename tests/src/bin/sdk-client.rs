//! A client on the Rust SDK of the protocol's authors, which knows nothing of skep: `sdk-client allow|deny PROMPT` has
//! one session with the agent at the other end of its standard input and output, gives the same answer to every
//! permission that it is asked for, and writes every update as JSON, and why the agent
//! stopped, to its standard error.

use std::ffi::OsString;
use std::io::Write as _;

use acp::schema::ProtocolVersion;
use acp::v1::schema::{
    ContentBlock, InitializeRequest, NewSessionRequest, PermissionOptionKind, PromptRequest,
    RequestPermissionOutcome, RequestPermissionRequest, RequestPermissionResponse, SelectedPermissionOutcome,
    SessionNotification, TextContent,
};
use acp::v1::{ConnectionTo, Responder};
use acp::{Agent, Client, Stdio};
use agent_client_protocol as acp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> acp::Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [answer, prompt] = args.as_slice() else {
        return Err(acp::Error::invalid_params().data("sdk-client allow|deny PROMPT"));
    };
    let prompt = prompt.to_string_lossy().into_owned();
    let wanted =
        if answer == "allow" { PermissionOptionKind::AllowOnce } else { PermissionOptionKind::RejectOnce };
    let told = async |notification: SessionNotification, _: ConnectionTo<Agent>| {
        say(&serde_json::to_string(&notification.update).map_err(acp::Error::into_internal_error)?);
        Ok(())
    };
    let asked = async move |ask: RequestPermissionRequest,
                            answer: Responder<RequestPermissionResponse>,
                            _: ConnectionTo<Agent>| {
        let option = ask.options.iter().find(|option| option.kind == wanted);
        let chosen = option.map_or(RequestPermissionOutcome::Cancelled, |option| {
            RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(option.option_id.clone()))
        });
        answer.respond(RequestPermissionResponse::new(chosen))
    };
    Client
        .v1()
        .on_receive_notification(told, acp::on_receive_notification!())
        .on_receive_request(asked, acp::on_receive_request!())
        .connect_with(Stdio::new(), async move |agent: ConnectionTo<Agent>| {
            agent.send_request(InitializeRequest::new(ProtocolVersion::V1)).block_task().await?;
            let cwd = std::env::current_dir().map_err(acp::Error::into_internal_error)?;
            let session = agent.send_request(NewSessionRequest::new(cwd)).block_task().await?.session_id;
            let prompt = PromptRequest::new(session, vec![ContentBlock::Text(TextContent::new(prompt))]);
            let ended = agent.send_request(prompt).block_task().await?;
            say(&format!("stopped: {:?}", ended.stop_reason));
            Ok(())
        })
        .await
}

/// A standard error that nobody reads is no reason to stop.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}
