//! Calls about sessions that several commands make, and the feed of all sessions.

use std::collections::{HashSet, VecDeque};

use serde::Deserialize;
use skep_common::api::{
    AnswerAccepted, AnswerRequest, CancelRequest, PromptAccepted, PromptRequest, SessionInfo, SessionList,
};
use skep_common::code::{ApiError, Code};
use skep_common::ids::{AnswerId, PermissionId, PromptId, SessionId};
use skep_common::protocol::Decision;

use super::sse::Parser;
use super::{Client, ClientError, Download};
use crate::arguments::SessionRef;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::table::label;

/// So often a call is repeated, with the same ids, when the worker went away before it answered.
const ATTEMPTS: u32 = 3;

impl Client {
    /// The session of this name, id or prefix.
    pub(crate) async fn session(&self, session: &SessionRef) -> Result<SessionInfo, ClientError> {
        self.get(&format!("/sessions/{session}")).await
    }

    /// The session that a person wants to end or delete: its name in full, or the beginning of its id.
    pub(crate) async fn session_to_end(&self, wanted: &SessionRef) -> Result<SessionInfo, CliError> {
        let session = self.session(wanted).await?;
        if wanted.means(&session) {
            return Ok(session);
        }
        let hint = format!("the nearest is {}; say its whole name", label(&session));
        Err(CliError::new(Exit::NotFound, format!("no session `{wanted}`")).hint(hint))
    }

    /// The sessions, newest change first.
    pub(crate) async fn sessions(&self, all: bool) -> Result<SessionList, ClientError> {
        let path = format!("/sessions?all={all}&limit=500");
        let mut whole: SessionList = self.get(&path).await?;
        while let Some(cursor) = whole.next.take() {
            let page: SessionList = self.get(&format!("{path}&cursor={cursor}")).await?;
            whole.sessions.extend(page.sessions);
            whole.next = page.next;
        }
        whole.sessions.sort_by_key(|session| std::cmp::Reverse(session.updated_at));
        Ok(whole)
    }

    /// Prompts a session. A second delivery of the same id is acknowledged, so a lost answer is asked for again.
    pub(crate) async fn prompt(
        &self,
        session: SessionId,
        prompt: &PromptRequest,
    ) -> Result<PromptAccepted, ClientError> {
        let path = format!("/sessions/{session}/prompts");
        let mut attempt = 1;
        loop {
            match self.post(&path, prompt).await {
                Err(error) if attempt < ATTEMPTS && error.code() == Some(Code::WorkerGone) => attempt += 1,
                answer => return answer,
            }
        }
    }

    /// Cancels one prompt's turn, or drops the prompt if it still waits.
    pub(crate) async fn cancel(
        &self,
        session: SessionId,
        prompt: Option<PromptId>,
    ) -> Result<(), ClientError> {
        self.post_done(&format!("/sessions/{session}/cancel"), &CancelRequest { prompt, cause: None }).await
    }

    /// Answers a permission request.
    pub(crate) async fn answer(
        &self,
        session: SessionId,
        permission: PermissionId,
        decision: Decision,
    ) -> Result<AnswerAccepted, ClientError> {
        let request = AnswerRequest { id: Some(AnswerId::random()), decision };
        let path = format!("/sessions/{session}/permissions/{permission}");
        let mut attempt = 1;
        loop {
            match self.post(&path, &request).await {
                Err(error) if attempt < ATTEMPTS && error.code() == Some(Code::WorkerGone) => attempt += 1,
                answer => return answer,
            }
        }
    }

    /// Where a session stands, from now on.
    pub(crate) async fn states(&self, session: SessionId) -> Result<States, ClientError> {
        let stream = self.download("/sessions", "text/event-stream").await?;
        let feed = Feed { stream, parser: Parser::default(), ready: VecDeque::new() };
        Ok(States { client: self.clone(), session, feed })
    }
}

/// The states of one session, from the feed of all sessions.
#[derive(Debug)]
pub(crate) struct States {
    client: Client,
    session: SessionId,
    feed: Feed,
}

impl States {
    /// Where the session stands; at first at once, then after every change. None when the stream ended; a session that
    /// was deleted is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<SessionInfo>, ClientError> {
        while let Some(change) = self.feed.next().await? {
            match change {
                Change::Session(now) if now.id == self.session => return Ok(Some(*now)),
                Change::Removed(id) if id == self.session => {
                    let error = ApiError::new(Code::SessionNotFound, "the session was deleted");
                    return Err(ClientError::Refused(error));
                }
                // It tells of open sessions only: one that was closed just before would never be heard of.
                Change::Told { open } if !open.contains(&self.session) => {
                    return self.client.get(&format!("/sessions/{}", self.session)).await.map(Some);
                }
                Change::Session(_) | Change::Removed(_) | Change::Told { .. } => {}
            }
        }
        Ok(None)
    }
}

/// A change in the feed of all sessions.
#[derive(Debug)]
enum Change {
    /// A session as it is now.
    Session(Box<SessionInfo>),
    /// A session whose history was deleted.
    Removed(SessionId),
    /// These were all open sessions; what happens from here on follows.
    Told {
        /// Which they are.
        open: HashSet<SessionId>,
    },
}

/// The feed of all sessions: each that is open as it is, then every change.
#[derive(Debug)]
struct Feed {
    stream: Download,
    parser: Parser,
    ready: VecDeque<Change>,
}

#[derive(Debug, Deserialize)]
struct Removed {
    id: SessionId,
}

impl Feed {
    /// The next change; none when the stream ended.
    async fn next(&mut self) -> Result<Option<Change>, ClientError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            let Some(bytes) = self.stream.next().await? else { return Ok(None) };
            let ready = &mut self.ready;
            let mut broken = None;
            self.parser
                .push(&bytes, |message| {
                    if let Err(error) = take(&message.event, &message.data, ready) {
                        broken = Some(error);
                    }
                })
                .map_err(|error| ClientError::Unintelligible { why: error.to_string() })?;
            if let Some(error) = broken {
                return Err(ClientError::Unintelligible { why: error.to_string() });
            }
        }
    }
}

fn take(event: &str, data: &[u8], ready: &mut VecDeque<Change>) -> Result<(), serde_json::Error> {
    match event {
        "snapshot" => {
            let list: SessionList = serde_json::from_slice(data)?;
            let open = list.sessions.iter().map(|session| session.id).collect();
            ready.extend(list.sessions.into_iter().map(|info| Change::Session(Box::new(info))));
            ready.push_back(Change::Told { open });
        }
        "session" => ready.push_back(Change::Session(serde_json::from_slice(data)?)),
        "removed" => ready.push_back(Change::Removed(serde_json::from_slice::<Removed>(data)?.id)),
        // A change of a newer daemon.
        _ => {}
    }
    Ok(())
}
