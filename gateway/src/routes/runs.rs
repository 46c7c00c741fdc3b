//! `/runs`: a session and its prompt in one; the end of the turn too, for who waits.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use skep_common::api::{CreateSession, RunAccepted, RunQuery, RunRequest};
use skep_common::code::{ApiError, Code};
use skep_common::event::{Event, Record};
use skep_common::session::{Cause, TurnOutcome, TurnSummary};
use skep_common::usage::Usage;
use skep_journal::Line;
use skep_supervisor::engine::Received;

use crate::audit::Told;
use crate::body::{Params, PromptBody};
use crate::error::Failure;
use crate::follower::{Follower, Step};
use crate::inside::Asker;
use crate::router::App;
use crate::routes::sessions::{By, check_create, check_prompt, take_environment};
use crate::sse;
use crate::stream::{Wanted, begin, wants_stream};

/// The longest wait, in seconds.
const LONGEST: u32 = 3600;

/// The agent's words beyond this are dropped from their beginning, in bytes.
const TEXT: usize = 256 * 1024;

/// `POST /runs`.
#[utoipa::path(
    post,
    path = "/runs",
    operation_id = "create_run",
    tag = "runs",
    params(RunQuery),
    request_body = RunRequest,
    responses((status = 200, description = "The turn has ended; or, by `Accept`, its stream", content((RunAccepted = "application/json"), (String = "text/event-stream"))), (status = 202, description = "Accepted; it runs", body = RunAccepted)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    asker: Asker,
    Params(query): Params<RunQuery>,
    By(caller): By,
    headers: HeaderMap,
    PromptBody(mut request, room): PromptBody<RunRequest>,
) -> Result<Response, Failure> {
    let streams = wants_stream(&headers);
    match query.wait {
        Some(_) if streams => {
            return Err(Failure::new(
                Code::InvalidValue,
                "`wait` is not for streams, which end with the turn",
            ));
        }
        Some(wait) if !(1..=LONGEST).contains(&wait) => {
            return Err(Failure::new(Code::InvalidValue, "`wait` must be from 1 to 3600 seconds"));
        }
        _ => {}
    }
    check_create(&app, &asker, &mut request.session).await?;
    check_prompt(&asker, &request.prompt).await?;
    let RunRequest { session, prompt } = request;
    let received = app.engine.receive(take_environment(&asker, prompt).await?).await?;
    drop(room);
    let mut accepted = start(&app, session, received, caller).await?;
    let about = Extension(Told::session(accepted.session.id));
    if streams {
        let follower = follow(&app, &accepted).await?;
        let first = sse::message("run", &accepted);
        return Ok((about, sse::of_session(follower, first)).into_response());
    }
    let mut status = StatusCode::ACCEPTED;
    if let Some(wait) = query.wait {
        let follower = follow(&app, &accepted).await?;
        let wait = Duration::from_secs(u64::from(wait));
        if let Ok(ended) = tokio::time::timeout(wait, end(follower, &accepted)).await {
            let (turn, mut text) = ended?;
            keep_end(&mut text);
            status = StatusCode::OK;
            (accepted.turn, accepted.text) = (Some(turn), Some(text));
            accepted.session =
                app.engine.session(&accepted.session.id.to_string()).await.unwrap_or(accepted.session);
        }
    }
    Ok((status, about, Json(accepted)).into_response())
}

/// Starts the run in a task of its own: it goes on when its client has gone away meanwhile.
async fn start(
    app: &App,
    session: CreateSession,
    received: Received,
    caller: skep_supervisor::engine::Caller,
) -> Result<RunAccepted, Failure> {
    let engine = app.engine.clone();
    let run = app.tasks.spawn(async move { engine.run(session, received, &caller).await });
    let run = run.await.map_err(|error| Failure::internal("a run crashed", &error))?;
    Ok(run?)
}

async fn follow(app: &App, accepted: &RunAccepted) -> Result<Follower, Failure> {
    let after = accepted.prompt.seq.saturating_sub(1);
    let until = Some(accepted.prompt.prompt);
    let wanted = Wanted { after: Some(after), epoch: None, tail_turns: None, until };
    let (begin, _) = begin(app, &accepted.session.id.to_string(), wanted).await?;
    Ok(Follower::new(begin, app.engine.clone(), app.limits.heartbeat, app.stop.clone()))
}

/// How the turn of an accepted prompt ended, and what the agent said in it.
async fn end(mut follower: Follower, accepted: &RunAccepted) -> Result<(TurnSummary, String), Failure> {
    let prompt = accepted.prompt.prompt;
    let (mut text, mut runs) = (String::new(), false);
    loop {
        let lines = match follower.next().await {
            Step::Lines(lines) => lines,
            Step::Epoch(_) | Step::Beat => continue,
            Step::Failed(error) => return Err(Failure(error)),
            Step::Stopping => return Err(Failure::new(Code::ShuttingDown, "the daemon is stopping")),
            Step::Complete => {
                return Err(
                    ApiError::new(Code::SessionClosed, "the session ended before the prompt's turn").into()
                );
            }
        };
        for line in &lines {
            let Line::Record(record) = line else { continue };
            let Ok(Record { at, event, .. }) = record.decode() else { continue };
            match event {
                Event::TurnStarted(started) => runs = started.prompt == prompt,
                Event::PromptSteered(steered) if steered.prompt == prompt => runs = true,
                Event::Update(update) if runs => say(&mut text, update.get()),
                Event::TurnEnded(ended) if ended.ends(prompt) => {
                    let (outcome, cause, detail, usage) =
                        (ended.outcome, ended.cause, ended.detail, ended.usage);
                    let prompt = ended.prompt;
                    return Ok((TurnSummary { prompt, outcome, cause, detail, usage, ended_at: at }, text));
                }
                Event::PromptDropped(dropped) if dropped.prompt == prompt => {
                    return Ok((never_ran(prompt, dropped.cause, at), text));
                }
                _ => {}
            }
        }
    }
}

fn never_ran(prompt: skep_common::ids::PromptId, cause: Cause, ended_at: jiff::Timestamp) -> TurnSummary {
    let detail = Some(String::from("the prompt was dropped before it ran"));
    let usage = Usage::default();
    TurnSummary { prompt, outcome: TurnOutcome::Cancelled, cause: Some(cause), detail, usage, ended_at }
}

/// Adds what an update of the agent says to the client.
fn say(text: &mut String, update: &str) {
    let Ok(update) = serde_json::from_str::<serde_json::Value>(update) else { return };
    if update["sessionUpdate"] != "agent_message_chunk" {
        return;
    }
    text.push_str(update["content"]["text"].as_str().unwrap_or_default());
    if text.len() > 2 * TEXT {
        keep_end(text);
    }
}

fn keep_end(text: &mut String) {
    let mut cut = text.len().saturating_sub(TEXT);
    while !text.is_char_boundary(cut) {
        cut += 1;
    }
    text.drain(..cut);
}
