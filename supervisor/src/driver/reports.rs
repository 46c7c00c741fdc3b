//! The pipes of a worker: reports come up, commands go down, stderr goes into its log (S10).

use std::io::ErrorKind;
use std::time::Duration;

use skep_common::framing::Frame;
use skep_common::ids::SessionId;
use skep_common::protocol::{Action, Command, ControllerHello, PROTOCOL_VERSION, Report, WorkerHello};
use skep_sys::capture::{Capture, PumpEnd, pump};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::Driver;
use super::intake::{Why, shown};
use crate::lifecycle::{Event, Phase};
use crate::pool::PoolEvent;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// More than any pipe holds: what was in it at a given moment has been read after so much.
const PENDING: usize = 2 * 1024 * 1024;

/// How long the pipes of a dead process are read, whoever else holds them (promise 12).
const DRAIN: Duration = Duration::from_secs(2);

/// A journal write that waits for longer is said in the log.
const STALLED_MS: u64 = 1_000;

/// Moves stderr into the log until its end, or until [`DRAIN`] after the process's, which `gone` tells.
pub(super) async fn pump_stderr(
    stderr: Option<pipe::Receiver>,
    log: Capture,
    gone: oneshot::Receiver<()>,
) -> PumpEnd {
    let Some(stderr) = stderr else { return PumpEnd::Closed };
    // The other end is dropped, never used.
    pump(stderr, log, async { drop(gone.await) }, DRAIN).await
}

/// What became of an attempt to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Some(usize),
    NothingNow,
    End,
}

impl Driver {
    /// Sends the hello, the first line down.
    pub(super) fn greet(&mut self) {
        let hello = Command::Hello(ControllerHello {
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.shared.common.epoch,
            settings: self.spec.settings(&self.shared.common),
        });
        self.command(&hello);
    }

    pub(super) fn command(&mut self, command: &Command) {
        if let Command::Request { action: Action::OpenSession { spec, .. }, .. } = command {
            let session = spec.id;
            self.hold(session);
        }
        let Some(live) = &mut self.live else { return };
        if let Err(error) = live.write(command) {
            tracing::error!(worker.name = %self.spec.id, %error, "failed to write a command for worker `{}`", self.spec.id);
        }
    }

    pub(super) fn write_on(&mut self) {
        if let Some(live) = &mut self.live {
            live.write_on();
        }
    }

    pub(super) fn no_more_commands(&mut self) {
        if let Some(live) = &mut self.live {
            live.commands = None;
        }
    }

    /// Closes the way for commands; what waits in it is dropped, and the consumer learns of it by the end of the
    /// worker.
    pub(super) fn close_commands(&mut self) {
        self.shared.directory.set_commands(&self.spec.id, None);
        self.no_more_commands();
    }

    /// Reads what is in the pipe now.
    pub(super) fn read_pending(&mut self) {
        let mut total = 0;
        while let Read::Some(bytes) = self.read()
            && total < PENDING
        {
            total += bytes;
        }
    }

    pub(super) fn read(&mut self) -> Read {
        let mut chunk = [0; CHUNK];
        let Some(live) = &mut self.live else { return Read::End };
        let Some(stdout) = &live.stdout else { return Read::End };
        let bytes = match stdout.try_read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => chunk.get(..length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Read::NothingNow,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Read::Some(0),
            Err(error) => {
                tracing::warn!(worker.name = %self.spec.id, %error, "failed to read the reports of worker `{}`", self.spec.id);
                None
            }
        };
        let Some(bytes) = bytes else {
            live.stdout = None;
            return Read::End;
        };
        // The splitter is lent out while its lines change the driver.
        let mut lines = std::mem::replace(&mut live.lines, skep_common::framing::LineSplitter::new(0));
        lines.push(bytes, |frame| match frame {
            Frame::Line(line) => self.line(line),
            Frame::TooLong(length) => self.garbage(Why::TooLong, format!("{length} bytes").as_bytes()),
        });
        if let Some(live) = &mut self.live {
            live.lines = lines;
        }
        Read::Some(bytes.len())
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(report) = serde_json::from_slice::<Report>(line) else {
            return self.garbage(Why::NotAReport, line);
        };
        let greeted = self.live.as_ref().is_some_and(|live| live.version.is_some());
        match report {
            Report::Unknown => self.garbage(Why::Unknown, line),
            Report::Fenced { epoch } => {
                let own = self.shared.common.epoch;
                tracing::error!(
                    worker.name = %self.spec.id, epoch.own = own, epoch.obeyed = epoch,
                    "worker `{}` obeys another supervisor, of epoch {epoch}", self.spec.id
                );
            }
            Report::Hello(hello) if !greeted => self.hello(hello, line),
            Report::Hello(_) => self.garbage(Why::OutOfPlace, line),
            _ if !greeted => self.garbage(Why::OutOfPlace, line),
            Report::Heartbeat { journal_stalled_ms } => self.heartbeat(journal_stalled_ms),
            Report::Ack { .. } | Report::Session(_) | Report::Head { .. } | Report::Released(_) => {
                self.report(report);
            }
        }
    }

    fn hello(&mut self, mut hello: WorkerHello, line: &[u8]) {
        let spoken = hello.protocol == PROTOCOL_VERSION || hello.protocol + 1 == PROTOCOL_VERSION;
        if hello.id != self.spec.id || !spoken || hello.epoch != self.shared.common.epoch {
            return self.garbage(Why::OutOfPlace, line);
        }
        let Some(live) = &mut self.live else { return };
        // Who it is, we know better.
        hello.process = live.process();
        live.version = Some(hello.version.chars().take(64).collect());
        // A process that is on its way out gets no commands any more.
        if matches!(self.state.phase, Phase::Starting(_)) {
            let slot = live.open_commands();
            self.shared.directory.set_commands(&self.spec.id, Some(slot));
        }
        for session in &hello.sessions {
            self.hold(session.id);
        }
        self.tell(PoolEvent::Up { worker: self.spec.id.clone(), hello });
        self.follow.push_back(Event::Hello);
    }

    fn heartbeat(&mut self, journal_stalled_ms: u64) {
        self.follow.push_back(Event::Heartbeat);
        let Some(live) = &mut self.live else { return };
        let before = std::mem::replace(&mut live.journal_stalled_ms, journal_stalled_ms);
        if before < STALLED_MS && journal_stalled_ms >= STALLED_MS {
            tracing::warn!(
                worker.name = %self.spec.id, journal.stalled_ms = journal_stalled_ms,
                "the journals of worker `{}` wait for the disk", self.spec.id
            );
        }
        if before != journal_stalled_ms {
            self.show();
        }
    }

    fn report(&mut self, report: Report) {
        match &report {
            Report::Session(snapshot) => self.hold(snapshot.id),
            Report::Head { session, .. } => self.hold(*session),
            Report::Released(snapshot) => self.release(snapshot.id),
            _ => {}
        }
        self.tell(PoolEvent::Report { worker: self.spec.id.clone(), report });
    }

    fn hold(&mut self, session: SessionId) {
        if self.live.as_mut().is_some_and(|live| live.sessions.hold(session)) {
            self.show();
        }
    }

    fn release(&mut self, session: SessionId) {
        if self.live.as_mut().is_some_and(|live| live.sessions.release(session)) {
            self.show();
        }
    }

    fn garbage(&mut self, why: Why, line: &[u8]) {
        let Some(live) = &mut self.live else { return };
        if let Some(count) = live.garbage.count(why) {
            tracing::warn!(
                worker.name = %self.spec.id, reports.ignored = count,
                "ignored {} of worker `{}`, {count} so far; the last: {}", why.text(), self.spec.id, shown(line)
            );
        }
    }
}
