//! A client that is many: HTTP/1.1 by hand, so that what is measured is the server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bench::table::{millis, since, wall_nanos};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) at: SocketAddr,
    pub(super) authorization: Option<String>,
    pub(super) pid: u32,
}

impl Target {
    /// The head of a request.
    pub(super) fn head(&self, method: &str, path: &str, more: &str) -> String {
        let authorization = self
            .authorization
            .as_ref()
            .map(|value| format!("authorization: {value}\r\n"))
            .unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{authorization}{more}\r\n", self.at)
    }

    pub(super) async fn connect(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(4096, stream))
    }
}

/// Reads an answer's head: its status and headers.
pub(super) async fn head(stream: &mut BufReader<TcpStream>) -> Result<(u16, HashMap<String, String>)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
    let mut headers = HashMap::new();
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the answer ended in its head");
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((status, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// Reads an answer that is not a stream; its status.
pub(super) async fn answer(stream: &mut BufReader<TcpStream>) -> Result<u16> {
    let (status, headers) = head(stream).await?;
    if let Some(length) = headers.get("content-length") {
        let mut body = vec![0; length.parse()?];
        stream.read_exact(&mut body).await?;
        return Ok(status);
    }
    ensure!(headers.get("transfer-encoding").is_some_and(|how| how == "chunked"), "a body of unknown length");
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16)? + 2];
        stream.read_exact(&mut chunk).await?;
        if chunk.len() == 2 {
            return Ok(status);
        }
    }
}

/// Clients that follow a stream.
pub(super) struct Readers {
    streams: Vec<BufReader<TcpStream>>,
    mark: &'static str,
}

impl Readers {
    /// Connects them all, and waits until each has been answered. `mark` is what a time follows in an event.
    pub(super) async fn connect(
        target: &Target,
        path: &str,
        count: usize,
        mark: &'static str,
    ) -> Result<Self> {
        let mut streams = Vec::with_capacity(count);
        let request = target.head("GET", path, "accept: text/event-stream\r\n");
        for _ in 0..count {
            let mut stream = target.connect().await?;
            stream.write_all(request.as_bytes()).await?;
            let (status, _) = head(&mut stream).await?;
            ensure!(status == 200, "a reader was answered with {status}");
            streams.push(stream);
        }
        Ok(Self { streams, mark })
    }

    /// Reads until every client has seen a line with `end`.
    pub(super) async fn until(self, end: &'static str) -> Result<Seen> {
        let mut tasks = JoinSet::new();
        for stream in self.streams {
            tasks.spawn(follow(stream, self.mark, end));
        }
        let mut seen = Seen::default();
        while let Some(read) = tasks.join_next().await {
            let (latencies, stream) = read??;
            seen.latencies.extend(latencies);
            seen.open.push(stream);
        }
        Ok(seen)
    }
}

/// What the readers of a stream saw. They stay connected until this is dropped.
#[derive(Default)]
pub(super) struct Seen {
    /// How long each event took to each reader, in milliseconds.
    pub(super) latencies: Vec<f64>,
    open: Vec<BufReader<TcpStream>>,
}

/// One reader. Events that are numbered come without a gap.
async fn follow(
    mut stream: BufReader<TcpStream>,
    mark: &str,
    end: &str,
) -> Result<(Vec<f64>, BufReader<TcpStream>)> {
    let (mut samples, mut last, mut line) = (Vec::new(), None, String::new());
    loop {
        line.clear();
        let read =
            timeout(PATIENCE, stream.read_line(&mut line)).await.context("a reader waits for ever")??;
        ensure!(read > 0, "a stream ended early");
        if let Some(id) = line.strip_prefix("id: ") {
            let id: u64 = id.trim().parse()?;
            ensure!(last.is_none_or(|last| id == last + 1), "an event is missing before {id}");
            last = Some(id);
        }
        if let Some((_, rest)) = line.split_once(mark)
            && let Some((stamp, _)) = rest.split_once('"')
            && let Ok(stamp) = stamp.parse()
        {
            samples.push(since(stamp, wall_nanos()));
        }
        if line.contains(end) {
            return Ok((samples, stream));
        }
    }
}

/// Asks `path` so often a second, over so many connections, for so `long`; how long each answer took after the moment
/// at which it was to be asked for, in milliseconds: a server that falls behind is not asked less.
pub(super) async fn requests(
    target: &Target,
    path: &str,
    rate: u32,
    connections: u32,
    long: Duration,
) -> Result<Vec<f64>> {
    let apart = Duration::from_secs(1) * connections / rate;
    let begun = Instant::now() + Duration::from_millis(100);
    let mut tasks = JoinSet::new();
    for n in 0..connections {
        let first = begun + apart * n / connections;
        tasks.spawn(ask(target.clone(), path.to_owned(), first, apart, begun + long));
    }
    let mut samples = Vec::new();
    while let Some(asked) = tasks.join_next().await {
        samples.extend(asked??);
    }
    Ok(samples)
}

async fn ask(
    target: Target,
    path: String,
    first: Instant,
    apart: Duration,
    end: Instant,
) -> Result<Vec<f64>> {
    let request = target.head("GET", &path, "");
    let mut stream = target.connect().await?;
    let (mut samples, mut due) = (Vec::new(), first);
    while due < end {
        sleep_until(due).await;
        stream.write_all(request.as_bytes()).await?;
        let status = timeout(PATIENCE, answer(&mut stream)).await.context("no answer")??;
        ensure!(status == 200, "{path} was answered with {status}");
        samples.push(millis(due.elapsed()));
        due += apart;
    }
    Ok(samples)
}
