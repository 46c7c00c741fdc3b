//! What a person does at the terminal: lines that they type, and signals.
//!
//! Lines are read by a thread of their own, started with the first wish to read: a read from a terminal cannot be
//! cancelled, and nobody's shell should find it still waiting.

use std::io::BufRead as _;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::CliError;

/// Lines typed at the terminal.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Option<mpsc::Receiver<String>>,
}

impl Lines {
    /// The next line; none at the end of the input. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.lines.get_or_insert_with(start).recv().await
    }
}

fn start() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    let read = move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    // Without the thread the channel is closed at once, which reads as the end of the input.
    drop(std::thread::Builder::new().name(String::from("stdin")).spawn(read));
    receiver
}

/// Signals that end or detach a foreground command.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C.
    Interrupt,
    /// The terminal is gone, or somebody wants this process to end.
    Leave,
}

impl Signals {
    /// Takes the signals over from their defaults.
    pub(crate) fn new() -> Result<Self, CliError> {
        let take =
            |kind| signal(kind).map_err(|error| CliError::failed(format!("cannot handle signals: {error}")));
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// The next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Leave,
            _ = self.hangup.recv() => Asked::Leave,
        }
    }
}
