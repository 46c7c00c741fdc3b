//! Who did what: a line of JSON for every request that changes something, and for every one that was refused to whoever
//! made it; for no read. Never a secret, a prompt, or any other body.
//!
//! The lines go through the bounded log writer (`skep_sys::capture`): nobody waits for the disk. What a full disk loses
//! is counted, written once there is room, and told in the status. Refusals are limited, so that a stranger who knocks
//! a thousand times pushes nothing out of the log.
//!
//! ```text
//!  guard: Deed::begin ─▶ handler ─▶ Deed::done(answer)       client gone: the deed is written when it is dropped
//!           └── refused ─▶ Audit::refused ─▶ Quota ─┘
//! ```

mod quota;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use skep_common::api::AuditEntry;
use skep_common::code::Code;
use skep_common::ids::SessionId;
use skep_sys::capture::{Capture, LogSpec, LogWriter};
use tokio::time::Instant;

use crate::access::{Need, Principal, Rule};
use crate::auth::front;
use crate::origin::Client;
use crate::peer::Peer;

use quota::Quota;

/// The longest path that is written, in characters.
const PATH: usize = 200;

/// How long the last lines may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// The log.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Capture,
    writer: LogWriter,
    refusals: Mutex<Quota>,
}

/// What a handler tells of its deed, as an extension of its answer: what no head of a request says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The session that it made or found.
    pub(crate) session: Option<SessionId>,
    /// The key that it made.
    pub(crate) made: Option<String>,
}

impl Told {
    /// Of a session.
    pub(crate) fn session(id: SessionId) -> Self {
        Self { session: Some(id), made: None }
    }

    /// Of a new key.
    pub(crate) fn made(id: &str) -> Self {
        Self { session: None, made: Some(id.to_owned()) }
    }
}

impl Audit {
    /// The log at this place, whose directory is made where it is missing.
    ///
    /// # Errors
    ///
    /// When there is no directory, or no thread to write with.
    pub(crate) fn start(spec: LogSpec) -> io::Result<Self> {
        if let Some(directory) = spec.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let writer = LogWriter::start()?;
        let log = Capture::new(&writer, spec);
        let refusals = Mutex::new(Quota::new(Instant::now()));
        Ok(Self { shared: Arc::new(Shared { log, writer, refusals }) })
    }

    /// Why it is not complete, if it is not.
    pub(crate) fn problem(&self) -> Option<String> {
        let lost = self.shared.log.dropped().lines;
        let stalled = self.shared.log.is_stalled();
        match (stalled, lost) {
            (false, 0) => None,
            (true, 0) => Some(String::from("it cannot be written at present")),
            (true, lost) => Some(format!("it cannot be written at present, and {lost} entries were lost")),
            (false, lost) => Some(format!("{lost} entries were lost while it could not be written")),
        }
    }

    /// Writes what is still to be written; waits for that a moment at most.
    pub(crate) async fn end(self) {
        let writer = self.shared.writer.clone();
        drop(tokio::task::spawn_blocking(move || writer.stop(LAST)).await);
    }

    /// Writes of a request that did not reach its handler, if it was refused to whoever made it, or was to change
    /// something.
    pub(crate) fn refused(
        &self,
        parts: &Parts,
        rule: Option<Rule>,
        session: Option<SessionId>,
        answer: &Response,
    ) {
        let is_refusal = is_refusal(answer.status());
        if !is_refusal && is_read(&parts.method) {
            return;
        }
        let mut entry = entry(parts, rule);
        entry.session = session;
        entry.status = Some(answer.status().as_u16());
        entry.code = answer.extensions().get::<Code>().map(|code| code.as_str());
        self.write_answered(entry, is_refusal);
    }

    fn write_answered(&self, mut entry: AuditEntry, is_refusal: bool) {
        if is_refusal {
            let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            match refusals.take(Instant::now()) {
                Some(unwritten) => entry.unwritten = (unwritten > 0).then_some(unwritten),
                None => return,
            }
        }
        self.write(&entry);
    }

    fn write(&self, entry: &AuditEntry) {
        match serde_json::to_vec(entry) {
            Ok(mut line) => {
                line.push(b'\n');
                self.shared.log.push(&line);
            }
            Err(error) => tracing::error!("an entry of the audit log cannot be written: {error}"),
        }
    }
}

/// A request that changes something, until it is answered. Written when it is dropped, at the latest.
#[derive(Debug)]
pub(crate) struct Deed {
    audit: Audit,
    entry: Option<AuditEntry>,
}

impl Deed {
    /// The deed of a request; none of one that only reads.
    pub(crate) fn begin(audit: &Audit, parts: &Parts, rule: Option<Rule>) -> Option<Self> {
        if is_read(&parts.method) {
            return None;
        }
        Some(Self { audit: audit.clone(), entry: Some(entry(parts, rule)) })
    }

    /// The session that it is about.
    pub(crate) fn about(&mut self, session: Option<SessionId>) {
        if let Some(entry) = &mut self.entry {
            entry.session = session;
        }
    }

    /// Writes it, with its answer.
    pub(crate) fn done(mut self, answer: &Response) {
        let Some(mut entry) = self.entry.take() else { return };
        if let Some(about) = answer.extensions().get::<Told>() {
            entry.session = about.session.or(entry.session);
            entry.made = about.made.clone();
        }
        entry.time = Timestamp::now();
        entry.status = Some(answer.status().as_u16());
        entry.code = answer.extensions().get::<Code>().map(|code| code.as_str());
        self.audit.write_answered(entry, is_refusal(answer.status()));
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.time = Timestamp::now();
            self.audit.write(&entry);
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What the head of a request tells.
fn entry(parts: &Parts, rule: Option<Rule>) -> AuditEntry {
    let principal = parts.extensions.get::<Principal>();
    let needs = match rule.map(|rule| rule.need) {
        Some(Need::Scope(scope)) => Some(scope.word().to_owned()),
        Some(Need::Nothing | Need::SignedIn) | None => None,
    };
    AuditEntry {
        time: Timestamp::now(),
        who: principal.map_or("nobody", Principal::name).to_owned(),
        name: principal.and_then(|principal| principal.label.clone()),
        front: front(&parts.headers),
        from: from(parts),
        method: clip(parts.method.as_str(), 20),
        path: clip(parts.uri.path(), PATH),
        session: None,
        made: None,
        needs,
        status: None,
        code: None,
        unwritten: None,
    }
}

fn from(parts: &Parts) -> String {
    match parts.extensions.get::<Peer>() {
        Some(Peer::Unix(peer)) => match &peer.process {
            Some(process) => format!("uid {} pid {}", peer.uid, process.pid),
            None => format!("uid {}", peer.uid),
        },
        Some(Peer::Tcp(peer)) => {
            let client = parts.extensions.get::<Client>().map(|client| client.address);
            client.unwrap_or_else(|| peer.remote.ip().to_canonical()).to_string()
        }
        None => String::from("nowhere"),
    }
}

fn clip(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests;
