//! The HTTP API as any client sees it: HTTP/1.1 over the Unix socket, written with the standard library only, so
//! that the tests share no code with the server.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::SOON;

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
#[must_use]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Api {
    /// A client of the daemon that listens on `socket`.
    #[must_use]
    pub fn new(socket: PathBuf, token: Option<String>) -> Self {
        Self { socket, token }
    }

    /// The same client with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { socket: self.socket.clone(), token: token.map(str::to_owned) }
    }

    /// `GET` below `/api/v1`.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", &format!("/api/v1{path}"), None)
    }

    /// `POST` below `/api/v1`.
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", &format!("/api/v1{path}"), Some(body.to_string().as_bytes()))
    }

    /// `DELETE` below `/api/v1`.
    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", &format!("/api/v1{path}"), None)
    }

    /// Any request.
    ///
    /// # Panics
    ///
    /// When the daemon does not answer.
    pub fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Response {
        match self.try_request(method, path, body) {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Any request, with the failure left to the caller.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Response> {
        let mut stream = self.connect()?;
        match self.send(&mut stream, method, path, body, &["connection: close"]) {
            // A server may refuse a request before it has read all of it.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
        Response::read(&mut BufReader::new(stream))
    }

    /// An open connection, for requests that no client of ours would send.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn connect(&self) -> Result<UnixStream> {
        let stream = connect(&self.socket)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(stream)
    }

    /// Writes a request to a connection that stays open.
    ///
    /// # Errors
    ///
    /// When the daemon has closed it.
    pub fn send(
        &self,
        stream: &mut UnixStream,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        headers: &[&str],
    ) -> Result<()> {
        let mut head = vec![format!("{method} {path} HTTP/1.1"), "host: skep".to_owned()];
        head.extend(self.token.iter().map(|token| format!("authorization: Bearer {token}")));
        if let Some(body) = body {
            head.push("content-type: application/json".to_owned());
            head.push(format!("content-length: {}", body.len()));
        }
        head.extend(headers.iter().map(|header| (*header).to_owned()));
        let head = head.join("\r\n") + "\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.unwrap_or_default())
    }

    /// Follows an event stream below `/api/v1`.
    ///
    /// # Panics
    ///
    /// When the daemon does not answer with a stream.
    #[must_use]
    pub fn stream(&self, path: &str, last_event_id: Option<u64>) -> EventStream {
        let mut stream = self.connect().expect("the daemon listens");
        let resume = last_event_id.map(|id| format!("last-event-id: {id}"));
        let mut headers = vec!["accept: text/event-stream"];
        headers.extend(resume.as_deref());
        self.send(&mut stream, "GET", &format!("/api/v1{path}"), None, &headers).expect("the daemon reads");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader).expect("the daemon answers");
        if status != 200 {
            let response = Response::read_body(&mut reader, status, headers).expect("the daemon answers");
            panic!("GET {path}: {response:?}");
        }
        EventStream { body: BufReader::new(Chunked { inner: reader, left: 0, ended: false }) }
    }
}

/// Connects to a socket whose path may be longer than the kernel's address can hold.
///
/// # Errors
///
/// When nobody listens there.
pub fn connect(socket: &Path) -> Result<UnixStream> {
    let (Some(dir), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let dir = File::open(dir)?;
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

impl Response {
    /// Reads one answer from a connection.
    ///
    /// # Errors
    ///
    /// When it is not HTTP, or does not come.
    pub fn read(reader: &mut impl BufRead) -> Result<Self> {
        let (status, headers) = read_head(reader)?;
        Self::read_body(reader, status, headers)
    }

    fn read_body(reader: &mut impl BufRead, status: u16, headers: Vec<(String, String)>) -> Result<Self> {
        let header =
            |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut body = Vec::new();
        if header("transfer-encoding") == Some("chunked") {
            Chunked { inner: reader, left: 0, ended: false }.read_to_end(&mut body)?;
        } else if let Some(length) = header("content-length") {
            let length = length.parse().map_err(Error::other)?;
            reader.take(length).read_to_end(&mut body)?;
        }
        Ok(Self { status, headers, body })
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {}", self.text()),
        }
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status.
    ///
    /// # Panics
    ///
    /// When it is another.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert!(self.status == status, "expected {status}, got {}: {}", self.status, self.text());
        self
    }

    /// Asserts a refusal: the status and the stable code, with a message for a person and nothing internal.
    ///
    /// # Panics
    ///
    /// When it is anything else.
    #[track_caller]
    pub fn refuses(self, status: u16, code: &str) -> Self {
        let response = self.is(status);
        let body = response.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && !message.ends_with('\n'), "a message for a person: {body}");
        response
    }
}

fn read_head(reader: &mut impl BufRead) -> Result<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Error::other(format!("not HTTP: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((status, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The chunked transfer encoding, undone.
#[derive(Debug)]
struct Chunked<R> {
    inner: R,
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            self.inner.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim(), 16).map_err(Error::other)?;
            if self.left == 0 {
                self.ended = true;
                self.inner.read_line(&mut line)?;
                return Ok(0);
            }
        }
        let wanted = self.left.min(out.len());
        let read = self.inner.read(&mut out[..wanted])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            let mut line = String::new();
            self.inner.read_line(&mut line)?;
        }
        Ok(read)
    }
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct EventStream {
    body: BufReader<Chunked<BufReader<UnixStream>>>,
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentEvent {
    /// Its `id:`, the seq of a session's event.
    pub id: Option<u64>,
    /// Its `event:`, the kind.
    pub kind: String,
    /// Its `data:`.
    pub data: String,
}

impl SentEvent {
    /// The record's data.
    ///
    /// # Panics
    ///
    /// When the event is not JSON.
    #[must_use]
    pub fn record(&self) -> Value {
        serde_json::from_str(&self.data).expect("an event's data is a record")
    }

    /// The text that an agent's message or a tool's output adds, if the event is such an update.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if self.kind != "update" {
            return None;
        }
        let record = self.record();
        let update = &record["data"];
        let text =
            update["content"]["text"].as_str().or_else(|| update["content"][0]["content"]["text"].as_str());
        text.map(str::to_owned)
    }
}

impl EventStream {
    /// The next event; `None` when the daemon ended the stream.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub fn next_event(&mut self) -> Option<SentEvent> {
        let deadline = Instant::now() + SOON;
        let mut event = SentEvent::default();
        loop {
            assert!(Instant::now() < deadline, "only heartbeats came for {SOON:?}");
            let mut line = String::new();
            match self.body.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
                {
                    return None;
                }
                Err(error) => panic!("no event came: {error}"),
            }
            match line.trim_end_matches('\n').split_once(':') {
                None if event != SentEvent::default() => return Some(event),
                Some(("id", value)) => event.id = value.trim().parse().ok(),
                Some(("event", value)) => value.trim().clone_into(&mut event.kind),
                Some(("data", value)) => event.data += value.strip_prefix(' ').unwrap_or(value),
                _ => {}
            }
        }
    }

    /// The next event of `kind`.
    ///
    /// # Panics
    ///
    /// When the stream ends before one comes.
    #[track_caller]
    pub fn next_of(&mut self, kind: &str) -> SentEvent {
        loop {
            match self.next_event() {
                Some(event) if event.kind == kind => return event,
                Some(_) => {}
                None => panic!("the stream ended without `{kind}`"),
            }
        }
    }

    /// All events up to and with the first of `kind`.
    ///
    /// # Panics
    ///
    /// When the stream ends before one comes.
    #[track_caller]
    pub fn until(&mut self, kind: &str) -> Vec<SentEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next_event();
            events.push(event.unwrap_or_else(|| panic!("the stream ended without `{kind}`")));
            if events.last().is_some_and(|event| event.kind == kind) {
                return events;
            }
        }
    }

    /// Waits until the daemon ends the stream.
    ///
    /// # Panics
    ///
    /// When it does not within `limit`.
    pub fn ends_within(mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.next_event().is_some() {
            assert!(Instant::now() < deadline, "the stream did not end");
        }
    }
}
