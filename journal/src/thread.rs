//! The writer thread: one per process, the only one that writes journals after they were opened.
//!
//! It sleeps on a channel until some inbox has lines, writes each inbox's lines as one batch, and hands syncs to the
//! disk threads, at most one at a time for each session: what comes meanwhile is the next one's group. It owns every
//! open journal's [`Appender`] and [`Lease`]; a lease is given up only after the last write and sync.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use crate::appender::Appender;
use crate::inbox::{End, Inbox};
use crate::pool::Pool;
use crate::{JournalError, Lease};

/// Which journal, in this process.
pub(crate) type Number = u64;

/// What the thread is told. The channel is unbounded and yet bounded: each open journal has at most one `Ready` and
/// one `Synced` in it.
#[derive(Debug)]
pub(crate) enum Message {
    /// A journal was opened.
    Attach(Number, Box<Lane>),
    /// An inbox has lines, or its writer is closed.
    Ready(Number),
    /// A sync ended; the inbox knows how.
    Synced(Number),
    /// Write what there is, and end.
    Stop,
}

/// One open journal.
#[derive(Debug)]
pub(crate) struct Lane {
    inbox: Arc<Inbox>,
    out: Appender,
    _lease: Lease,
    spare: Vec<u8>,
    syncing: bool,
    sync_upto: u64,
    end: Option<End>,
}

/// What happens to a lane.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Keep,
    Finish,
}

/// Runs until told to stop.
pub(crate) fn run(messages: &Receiver<Message>, sender: &Sender<Message>, pool: &Pool) {
    let mut lanes: HashMap<Number, Box<Lane>> = HashMap::new();
    while let Ok(message) = messages.recv() {
        match message {
            Message::Attach(number, lane) => drop(lanes.insert(number, lane)),
            Message::Ready(number) => step(&mut lanes, number, |lane| lane.ready(number, sender, pool)),
            Message::Synced(number) => step(&mut lanes, number, |lane| {
                lane.syncing = false;
                lane.go_on(number, sender, pool)
            }),
            Message::Stop => break,
        }
    }
    // Nobody waits for these any more, except in a process that ends; what they appended is still written.
    for lane in lanes.into_values() {
        lane.abandon();
    }
}

fn step(lanes: &mut HashMap<Number, Box<Lane>>, number: Number, act: impl FnOnce(&mut Lane) -> Next) {
    if let Some(lane) = lanes.get_mut(&number)
        && act(lane) == Next::Finish
        && let Some(lane) = lanes.remove(&number)
    {
        lane.finish();
    }
}

impl Lane {
    pub(crate) fn new(inbox: Arc<Inbox>, out: Appender, lease: Lease) -> Self {
        Self { inbox, out, _lease: lease, spare: Vec::new(), syncing: false, sync_upto: 0, end: None }
    }

    fn ready(&mut self, number: Number, sender: &Sender<Message>, pool: &Pool) -> Next {
        self.write();
        self.go_on(number, sender, pool)
    }

    /// Writes what the inbox has.
    fn write(&mut self) {
        let batch = self.inbox.take(std::mem::take(&mut self.spare));
        self.sync_upto = batch.sync_upto;
        if batch.end.is_some() {
            self.end = batch.end;
        }
        // After a failure nothing is written: a record must not stand behind one that is missing.
        if self.inbox.failure().is_none() {
            let result = self.out.write(&batch.lines, batch.first_seq);
            self.inbox.written(self.out.head());
            if let Err(error) = result {
                self.fail(error);
            }
        }
        self.spare = batch.lines;
    }

    /// Starts the sync that is due, if none runs.
    fn go_on(&mut self, number: Number, sender: &Sender<Message>, pool: &Pool) -> Next {
        if self.syncing {
            return Next::Keep;
        }
        if self.inbox.failure().is_some() {
            return if self.end.is_some() { Next::Finish } else { Next::Keep };
        }
        // A sealed segment is synced soon, so that a turn without syncs does not pile up open files.
        let wanted = self.sync_upto > *self.inbox.synced.borrow() || self.out.sealed_unsynced();
        if !wanted && self.end.is_none() {
            return Next::Keep;
        }
        let Some(work) = self.out.take_unsynced() else {
            self.inbox.synced(self.out.head().seq);
            return if self.end.is_some() { Next::Finish } else { Next::Keep };
        };
        self.syncing = true;
        let (inbox, sender) = (Arc::clone(&self.inbox), sender.clone());
        pool.run(move || {
            match work.run() {
                Ok(seq) => inbox.synced(seq),
                Err(error) => report(&inbox, error),
            }
            // The thread has stopped: then nobody asks for the next sync either.
            drop(sender.send(Message::Synced(number)));
        });
        Next::Keep
    }

    fn fail(&self, error: JournalError) {
        report(&self.inbox, error);
    }

    /// Frees the lease, then tells whoever waits for that.
    fn finish(mut self: Box<Self>) {
        let result = self.inbox.failure().cloned().map_or_else(|| Ok(self.out.head()), Err);
        let waiting = self.end.take().flatten();
        drop(self);
        if let Some(waiting) = waiting {
            // Whoever asked may be gone.
            drop(waiting.send(result));
        }
    }

    fn abandon(mut self: Box<Self>) {
        self.write();
        self.inbox.fail(JournalError::Closed);
        self.finish();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.inbox.leave();
    }
}

fn report(inbox: &Inbox, error: JournalError) {
    use std::error::Error as _;

    let source = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::error!(error = %error, source = %source, "a journal is read-only: {error}: {source}");
    inbox.fail(error);
}
