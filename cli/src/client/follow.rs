//! Follows one session's journal over the event stream, across disconnects and restarts of the daemon.
//!
//! Owner of the cursor: whatever happens to connections, every record is handed out once and in order.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use skep_common::api::SessionInfo;
use skep_common::code::{ApiError, Code};
use skep_common::event::Record;
use skep_common::ids::SessionId;
use tokio::time::Instant;

use super::sse::{Message, Parser};
use super::{Client, ClientError, Download, Target};
use crate::context::Context;
use crate::error::CliError;

/// How long a daemon may be away before the follower gives up.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// What came next.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record, read, and its JSON as it came.
    Record(Box<Record>, Vec<u8>),
    /// A record that cannot be read: broken on disk, or not what its kind says.
    Unreadable {
        /// The line as it came.
        json: Vec<u8>,
    },
    /// The daemon went away; its return is awaited.
    Away,
    /// It is back, and the session's records go on.
    Back,
    /// Events that are not kept any more.
    Gap {
        /// The first that is kept.
        first_seq: u64,
    },
}

impl Item {
    /// What a person should know about the stream itself.
    pub(crate) const fn remark(&self) -> Option<&'static str> {
        match self {
            Self::Away => Some("the daemon went away; waiting for it to come back"),
            Self::Back => Some("the daemon is back"),
            Self::Record(..) | Self::Unreadable { .. } | Self::Gap { .. } => None,
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// After this event.
    After(u64),
    /// So many turns back.
    TailTurns(u32),
}

/// A follower of one session.
#[derive(Debug)]
pub(crate) struct Follower {
    client: Client,
    relocate: Relocate,
    session: SessionId,
    from: From,
    epoch: Option<u64>,
    stream: Option<Download>,
    parser: Parser,
    ready: VecDeque<Item>,
    away: Option<Away>,
    closed: bool,
}

/// The daemon does not answer, or ends every stream at once.
#[derive(Debug)]
struct Away {
    until: Instant,
    next: Instant,
    delay: Duration,
    announced: bool,
}

/// How to find the daemon again: a new one may listen elsewhere.
#[derive(Debug, Clone)]
struct Relocate {
    paths: skep_config::Paths,
    explicit: bool,
}

/// The details of cursor refusals.
#[derive(Debug, Default, Deserialize)]
struct CursorDetails {
    #[serde(default)]
    first_seq: Option<u64>,
    #[serde(default)]
    resume_from: Option<u64>,
}

impl Follower {
    /// A follower that begins at `from`. Nothing is sent yet.
    pub(crate) fn new(ctx: &Context, client: Client, session: SessionId, from: From) -> Self {
        Self {
            client,
            relocate: Relocate { paths: ctx.paths.clone(), explicit: ctx.explicit_socket },
            session,
            from,
            epoch: None,
            stream: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            away: None,
            closed: false,
        }
    }

    /// The client that now reaches the daemon.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// What came next; none when the session is closed and all was handed out. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, CliError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.closed {
                return Ok(None);
            }
            match &mut self.stream {
                None => self.connect().await?,
                Some(stream) => match stream.next().await {
                    Ok(Some(bytes)) => self.take(&bytes)?,
                    Ok(None) | Err(ClientError::Lost { .. }) => {
                        self.stream = None;
                        let why = String::from("the event stream ended");
                        self.back_off(Instant::now(), ClientError::Lost { why })?;
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// What came without waiting: for a reader that shows many records in one write.
    pub(crate) fn next_ready(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }

    /// Tries once to open the stream at the cursor; after a failure, only when some time has passed.
    async fn connect(&mut self) -> Result<(), CliError> {
        let now = Instant::now();
        if let Some(away) = &self.away {
            // A daemon that is away cannot announce its return: nothing but trying again is left.
            tokio::time::sleep_until(away.next).await;
            self.client = self.client.moved(Target::find(&self.relocate.paths, self.relocate.explicit));
        }
        let error = match self.open().await {
            Ok(()) => return Ok(()),
            Err(ClientError::Refused(refusal)) if self.adjust(&refusal) => {
                ClientError::Lost { why: refusal.message }
            }
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error.into()),
        };
        self.back_off(now, error)?;
        if let Some(away) = &mut self.away
            && !std::mem::replace(&mut away.announced, true)
        {
            self.ready.push_back(Item::Away);
        }
        Ok(())
    }

    /// Sets the time of the next try, or gives up.
    fn back_off(&mut self, now: Instant, error: ClientError) -> Result<(), CliError> {
        let away = match self.away.take() {
            None => {
                Away { until: now + PATIENCE, next: now + FIRST_DELAY, delay: FIRST_DELAY, announced: false }
            }
            Some(away) => {
                let delay = (away.delay * 2).min(MAX_DELAY);
                Away { next: now + delay, delay, ..away }
            }
        };
        if away.next > away.until {
            return Err(error.into());
        }
        self.away = Some(away);
        Ok(())
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        if self.stream_ended_for_good().await? {
            self.closed = true;
            return Ok(());
        }
        let mut query = match self.from {
            From::After(seq) => format!("after={seq}"),
            From::TailTurns(turns) => format!("tail_turns={turns}"),
        };
        if let (From::After(_), Some(epoch)) = (self.from, self.epoch) {
            query = format!("{query}&epoch={epoch}");
        }
        let path = format!("/sessions/{}/events?{query}", self.session);
        self.stream = Some(self.client.download(&path, "text/event-stream").await?);
        if let Some(away) = &mut self.away
            && std::mem::take(&mut away.announced)
        {
            self.ready.push_back(Item::Back);
        }
        self.parser = Parser::default();
        Ok(())
    }

    /// Whether the session is closed and its whole journal was handed out: a stream that ended is no accident then.
    async fn stream_ended_for_good(&self) -> Result<bool, ClientError> {
        let From::After(seq) = self.from else { return Ok(false) };
        if self.epoch.is_none() {
            return Ok(false);
        }
        let info: SessionInfo = self.client.get(&format!("/sessions/{}", self.session)).await?;
        Ok(info.state.is_closed() && info.head.seq <= seq)
    }

    /// Moves a cursor that the daemon does not have; whether there is anything to try again.
    fn adjust(&mut self, refusal: &ApiError) -> bool {
        let details: CursorDetails = refusal
            .details
            .clone()
            .and_then(|details| serde_json::from_value(details).ok())
            .unwrap_or_default();
        match (refusal.code, details.first_seq, details.resume_from) {
            (Code::CursorExpired, Some(first_seq), _) => {
                self.from = From::After(first_seq.saturating_sub(1));
                self.ready.push_back(Item::Gap { first_seq });
                true
            }
            (Code::CursorInvalid, _, Some(resume_from)) => {
                self.from = From::After(resume_from);
                self.epoch = None;
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let mut messages = Vec::new();
        self.parser
            .push(bytes, |message| messages.push(message))
            .map_err(|error| CliError::failed(error.to_string()))?;
        for message in messages {
            self.message(message);
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
        self.away = None;
        // Messages without a number are about the stream, not about the session.
        let Some(seq) = message.id.as_deref().and_then(|id| id.parse::<u64>().ok()) else { return };
        if matches!(self.from, From::After(last) if seq <= last) {
            return;
        }
        self.from = From::After(seq);
        let item = match Record::from_json(&message.data) {
            Ok(record) => {
                self.note(&record);
                Item::Record(Box::new(record), message.data)
            }
            Err(_) => Item::Unreadable { json: message.data },
        };
        self.ready.push_back(item);
    }

    fn note(&mut self, record: &Record) {
        match &record.event {
            skep_common::event::Event::WriterOpened(opened) => self.epoch = Some(opened.epoch),
            skep_common::event::Event::SessionClosed(_) => self.closed = true,
            _ => {}
        }
    }
}
