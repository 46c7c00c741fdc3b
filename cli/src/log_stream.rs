//! Logs as the daemon streams them: one as it is, or several, each line with its source's name (S10).

use bytes::Bytes;
use clap::{Args, ValueEnum};
use skep_common::framing::{Frame, LineSplitter};
use skep_common::sanitise::{Colours, Filter, one_line};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::client::{Client, ClientError, Download};
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// A line over this is split: logs are written by processes that nobody trusts.
const MAX_LINE: usize = 1024 * 1024;

/// Which log, and how much of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Go on as the log grows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Which log.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    pub(crate) log_type: Option<LogKind>,
    /// Only the last so many lines.
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<u32>,
}

/// The types of logs (C5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogKind {
    /// The first of the others that exists.
    Auto,
    /// skep's own events.
    Telemetry,
    /// What processes wrote to standard error.
    Process,
    /// Verbose records, written with `--debug` only.
    Debug,
    /// The conversation.
    Transcript,
}

impl LogArgs {
    /// The query of the API.
    pub(crate) fn query(&self) -> String {
        let kind = match self.log_type {
            None | Some(LogKind::Auto) => "auto",
            Some(LogKind::Telemetry) => "telemetry",
            Some(LogKind::Process) => "process",
            Some(LogKind::Debug) => "debug",
            Some(LogKind::Transcript) => "transcript",
        };
        let tail = self.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
        format!("type={kind}&follow={}{tail}", self.follow)
    }
}

/// Shows one log as it comes.
pub(crate) async fn plain(ctx: &Context, client: &Client, path: &str) -> Outcome {
    let mut log = client.download(path, "text/plain").await?;
    if ctx.screen.verbose
        && let Some(kind) = log.log_type()
    {
        ctx.screen.say(format!("log type: {}", one_line(kind)));
    }
    let mut text = TerminalText::new(ctx);
    while let Some(bytes) = log.next().await? {
        ctx.screen.raw(&text.push(&bytes))?;
    }
    ctx.screen.raw(&text.finish())?;
    Ok(Exit::Completed)
}

/// Shows several logs at once, each line with its source's name.
pub(crate) async fn prefixed(ctx: &Context, client: &Client, sources: Vec<(String, String)>) -> Outcome {
    let width = sources.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let (sender, mut lines) = mpsc::channel::<Result<(String, Vec<Vec<u8>>), ClientError>>(16);
    let tasks = TaskTracker::new();
    for (name, path) in sources {
        let log = client.download(&path, "text/plain").await?;
        drop(tasks.spawn(pump(name, log, sender.clone())));
    }
    drop(sender);
    while let Some(batch) = lines.recv().await {
        let (name, batch) = batch?;
        let mut out = Vec::new();
        for line in batch {
            let mut text = TerminalText::new(ctx);
            out.extend_from_slice(format!("{name:width$} | ").as_bytes());
            out.extend_from_slice(&text.push(&line));
            out.extend_from_slice(&text.finish());
            out.push(b'\n');
        }
        ctx.screen.raw(&out)?;
    }
    Ok(Exit::Completed)
}

type Batch = Result<(String, Vec<Vec<u8>>), ClientError>;

/// Splits one log into whole lines.
async fn pump(name: String, mut log: Download, to: mpsc::Sender<Batch>) {
    let mut splitter = LineSplitter::new(MAX_LINE);
    loop {
        let (batch, more) = match log.next().await {
            Ok(Some(bytes)) => (Ok((name.clone(), split(&mut splitter, &bytes))), true),
            Ok(None) => (Ok((name.clone(), splitter.finish().into_iter().collect())), false),
            Err(error) => (Err(error), false),
        };
        if to.send(batch).await.is_err() || !more {
            return;
        }
    }
}

fn split(splitter: &mut LineSplitter, bytes: &Bytes) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    splitter.push(bytes, |frame| {
        lines.push(match frame {
            Frame::Line(line) => line.to_vec(),
            Frame::TooLong(length) => format!("(a line of {length} bytes)").into_bytes(),
        });
    });
    lines
}

/// Bytes for standard output: filtered for a terminal, exact for a pipe.
#[derive(Debug)]
pub(crate) struct TerminalText {
    filter: Option<Filter>,
    partial: Vec<u8>,
}

impl TerminalText {
    /// Text at its beginning.
    pub(crate) fn new(ctx: &Context) -> Self {
        let colours = if ctx.screen.out.colour { Colours::Keep } else { Colours::Drop };
        Self { filter: ctx.screen.out.terminal.then(|| Filter::new(colours)), partial: Vec::new() }
    }

    /// What is shown of the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(filter) = &mut self.filter else { return bytes.to_vec() };
        self.partial.extend_from_slice(bytes);
        // A character split between two reads waits for its end (G9).
        let whole = match std::str::from_utf8(&self.partial) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.partial.len(),
        };
        let rest = self.partial.split_off(whole);
        let mut out = String::new();
        filter.push(&String::from_utf8_lossy(&self.partial), &mut out);
        self.partial = rest;
        out.into_bytes()
    }

    /// What is shown at the end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let Some(filter) = &mut self.filter else { return Vec::new() };
        let mut out = String::new();
        filter.push(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)), &mut out);
        filter.finish(&mut out);
        out.into_bytes()
    }
}
